//! Why bytes are not what they should be.

use crate::header::Kind;
use floe_types::ErrorKind;

/// What a decoder found. Each variant names what was read and, where a place can be told, the byte position in the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The input ends before the thing does.
    #[error("{what} is truncated: it needs {needed} bytes, there are {found}")]
    Truncated { what: &'static str, needed: u64, found: u64 },
    /// The input goes on behind the thing's end.
    #[error("{what} has {extra} trailing bytes from byte {at} on")]
    TrailingBytes { what: &'static str, at: u64, extra: u64 },
    /// These bytes are something else.
    #[error("{what} at byte {at} begins with {found:02x?}, not with its magic {expected:02x?}")]
    WrongMagic { what: &'static str, at: u64, expected: &'static [u8], found: Vec<u8> },
    /// The bytes are not those that were written.
    #[error("{what} at byte {at} does not match its checksum: {stored:08x} is stored, its bytes give {computed:08x}")]
    Checksum { what: &'static str, at: u64, stored: u32, computed: u32 },
    /// Written by a later version of Floe; nothing is wrong with it.
    #[error("{kind} has format version {found}, this program knows versions up to {known}: use a newer floe")]
    NewerVersion { kind: Kind, found: u16, known: u16 },
    /// An object of a kind that this program does not know: written by a later version of Floe.
    #[error("object of unknown kind {found}: use a newer floe")]
    UnknownKind { found: u16 },
    /// A whole and sound object of another kind than asked for.
    #[error("this object is a {found}, not a {expected}")]
    WrongKind { expected: Kind, found: Kind },
    /// The checksum holds, the contents contradict the format: written by a faulty program.
    #[error("{what} at byte {at} is malformed: {problem}")]
    Malformed { what: &'static str, at: u64, problem: &'static str },
    /// Part of the format, but this program cannot read it yet.
    #[error("{what} is not supported by this version of floe: {detail}")]
    Unsupported { what: &'static str, detail: &'static str },
    /// The caller asked to write what the format cannot hold.
    #[error("{what} cannot be written: {problem}")]
    Unencodable { what: &'static str, problem: &'static str },
}

impl FormatError {
    /// What to do: `Corrupt` for damage, `Invalid` for what a newer program would read, `Bug` for what should never have been written.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::WrongMagic { .. }
            | Self::Checksum { .. }
            | Self::WrongKind { .. }
            | Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::NewerVersion { .. } | Self::UnknownKind { .. } | Self::Unsupported { .. } => ErrorKind::Invalid,
            Self::Unencodable { .. } => ErrorKind::Bug,
        }
    }
}
