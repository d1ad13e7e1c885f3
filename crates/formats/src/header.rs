//! The 64 bytes before every object: what it is, which version, who wrote it in which write, and checksums of itself and of the body.

use crate::{FormatError, checksum::crc32c, read::Fields};
use floe_types::{Incarnation, WriteId};
use std::fmt;

/// Length of the header, in bytes.
pub const OBJECT_HEADER_LEN: usize = 64;
/// The first four bytes of every object.
pub const OBJECT_MAGIC: &[u8; 4] = b"FLOE";
const CRC_AT: usize = 60;
const WHAT: &str = "object header";

/// What an object is. The numbers are persisted; none is ever given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Kind {
    Cluster = 1,
    Catalog = 2,
    Claim = 3,
    Stop = 4,
    Pack = 5,
    End = 6,
    Index = 7,
    Manifest = 8,
    DiskIdentity = 9,
    Seal = 10,
    /// A WAL file. It has a header of its own and never stands in an object header.
    WalFile = 11,
    ManifestPage = 12,
    Mark = 13,
    Replica = 14,
}

impl Kind {
    /// All kinds that an object header may name.
    pub const OBJECTS: [Kind; 13] = [
        Kind::Cluster,
        Kind::Catalog,
        Kind::Claim,
        Kind::Stop,
        Kind::Pack,
        Kind::End,
        Kind::Index,
        Kind::Manifest,
        Kind::DiskIdentity,
        Kind::Seal,
        Kind::ManifestPage,
        Kind::Mark,
        Kind::Replica,
    ];

    /// The persisted number.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    fn from_number(found: u16) -> Result<Self, FormatError> {
        Self::OBJECTS.into_iter().find(|kind| kind.number() == found).ok_or(FormatError::UnknownKind { found })
    }

    /// The kind's name in messages and in `floe inspect`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Catalog => "catalog version",
            Self::Claim => "claim",
            Self::Stop => "stop",
            Self::Pack => "pack",
            Self::End => "end",
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::DiskIdentity => "disk identity",
            Self::Seal => "seal",
            Self::WalFile => "WAL file",
            Self::ManifestPage => "manifest page",
            Self::Mark => "mark",
            Self::Replica => "replica",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who writes an object, and in which write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// Unique to this write: retries keep it, another body never has it (R10).
    pub write_id: WriteId,
    /// The incarnation that writes; 0 where none exists yet.
    pub incarnation: Incarnation,
    /// The highest etcd revision the writer has seen; 0 without etcd.
    pub revision: u64,
}

/// The header as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHeader {
    pub kind: Kind,
    /// Version of the kind's format.
    pub version: u16,
    pub writer: Writer,
    /// Bytes behind the header.
    pub body_len: u64,
    /// CRC-32C of the bytes behind the header.
    pub body_crc: u32,
}

impl ObjectHeader {
    /// Bytes of the whole object.
    #[must_use]
    pub fn object_len(&self) -> u64 {
        self.body_len.saturating_add(OBJECT_HEADER_LEN as u64)
    }

    /// The 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; OBJECT_HEADER_LEN] {
        let mut out = Vec::with_capacity(OBJECT_HEADER_LEN);
        out.extend_from_slice(OBJECT_MAGIC);
        out.extend_from_slice(&self.kind.number().to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.writer.write_id.0.to_be_bytes());
        out.extend_from_slice(&self.writer.incarnation.0.to_le_bytes());
        out.extend_from_slice(&self.writer.revision.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        out.resize(CRC_AT, 0);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.try_into().expect("the fields above add up to 64 bytes")
    }

    /// Reads and checks the first 64 bytes of `bytes`; what lies behind them is not looked at.
    ///
    /// # Errors
    /// Truncated, wrong magic, checksum, unknown kind (a later version's), a reserved byte that is not zero.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if let Some(magic) = bytes.first_chunk::<4>().filter(|magic| *magic != OBJECT_MAGIC) {
            return Err(FormatError::WrongMagic { what: WHAT, at: 0, expected: OBJECT_MAGIC, found: magic.to_vec() });
        }
        let Some(header) = bytes.first_chunk::<OBJECT_HEADER_LEN>() else {
            return Err(FormatError::Truncated { what: WHAT, needed: OBJECT_HEADER_LEN as u64, found: bytes.len() as u64 });
        };
        let (covered, stored) = header.split_at(CRC_AT);
        let (stored, computed) = (Fields(stored).u32(), crc32c(covered));
        if stored != computed {
            return Err(FormatError::Checksum { what: WHAT, at: 0, stored, computed });
        }
        let mut fields = Fields(covered);
        let _magic: [u8; 4] = fields.take();
        let (kind, version) = (fields.u16(), fields.u16());
        let writer = Writer { write_id: WriteId(fields.id()), incarnation: Incarnation(fields.u64()), revision: fields.u64() };
        let (body_len, body_crc) = (fields.u64(), fields.u32());
        if fields.take::<8>() != [0; 8] {
            return Err(FormatError::Malformed { what: WHAT, at: 52, problem: "reserved bytes are not zero" });
        }
        Ok(Self { kind: Kind::from_number(kind)?, version, writer, body_len, body_crc })
    }
}
