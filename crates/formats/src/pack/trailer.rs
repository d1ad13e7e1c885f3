//! A pack's last 32 bytes, and how to read a pack, or whatever a slot holds, from its tail.

use super::{PACK_VERSION, PackFooter, decode_footer};
use crate::{
    FormatError,
    checksum::crc32c,
    header::{Kind, OBJECT_HEADER_LEN, ObjectHeader},
    object::{decode, known_version, peek},
    read::Fields,
    stop::Stop,
};
use bytes::Bytes;
use std::ops::Range;

/// Length of the trailer, in bytes.
pub const TRAILER_LEN: usize = 32;
const TRAILER_MAGIC: &[u8; 4] = b"FLPT";
const CRC_AT: usize = 28;
const WHAT: &str = "pack trailer";

/// Where a pack's footer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// First byte of the footer, from the start of the object.
    pub footer_position: u64,
    /// Bytes of the footer, its checksum included.
    pub footer_len: u32,
    /// Bytes of the whole pack.
    pub pack_len: u64,
}

impl Trailer {
    /// The bytes of the object that hold the footer.
    #[must_use]
    pub fn footer_range(&self) -> Range<u64> {
        self.footer_position..self.footer_position.saturating_add(u64::from(self.footer_len))
    }

    pub(super) fn encode(pack_len: u64, footer_len: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(TRAILER_LEN);
        out.extend_from_slice(TRAILER_MAGIC);
        out.extend_from_slice(&PACK_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&pack_len.to_le_bytes());
        out.extend_from_slice(&footer_len.to_le_bytes());
        out.resize(CRC_AT, 0);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }
}

/// Reads the trailer at the end of `tail`, the last bytes (32 or more) of an object of `object_len` bytes.
///
/// # Errors
/// Each way to be damaged, an object of another length than the pack was written with, a newer version.
pub fn decode_trailer(tail: &[u8], object_len: u64) -> Result<Trailer, FormatError> {
    let Some(bytes) = tail.last_chunk::<TRAILER_LEN>() else {
        return Err(FormatError::Truncated { what: WHAT, needed: TRAILER_LEN as u64, found: tail.len() as u64 });
    };
    let at = object_len.saturating_sub(TRAILER_LEN as u64);
    let (covered, crc) = bytes.split_at(CRC_AT);
    let mut fields = Fields(covered);
    let magic: [u8; 4] = fields.take();
    if magic != *TRAILER_MAGIC {
        return Err(FormatError::WrongMagic { what: WHAT, at, expected: TRAILER_MAGIC, found: magic.to_vec() });
    }
    let (stored, computed) = (Fields(crc).u32(), crc32c(covered));
    if stored != computed {
        return Err(FormatError::Checksum { what: WHAT, at, stored, computed });
    }
    let (version, reserved) = (fields.u16(), fields.u16());
    known_version(Kind::Pack, version, PACK_VERSION)?;
    let malformed = |problem| FormatError::Malformed { what: WHAT, at, problem };
    let (pack_len, footer_len) = (fields.u64(), fields.u32());
    if version == 0 || reserved != 0 || fields.take::<8>() != [0; 8] {
        return Err(malformed("this format version never existed"));
    }
    if object_len < pack_len {
        return Err(FormatError::Truncated { what: "pack", needed: pack_len, found: object_len });
    }
    if object_len > pack_len {
        return Err(FormatError::TrailingBytes { what: "pack", at: pack_len, extra: object_len.saturating_sub(pack_len) });
    }
    let footer_position = at.checked_sub(footer_len.into()).filter(|position| *position >= OBJECT_HEADER_LEN as u64);
    let footer_position = footer_position.ok_or_else(|| malformed("the footer is longer than the pack"))?;
    Ok(Trailer { footer_position, footer_len, pack_len })
}

/// What the tail of a pack gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackTail {
    /// The footer was in it.
    Footer(Trailer, PackFooter),
    /// The footer begins before it: read [`Trailer::footer_range`], then [`decode_footer`].
    Before(Trailer),
}

/// Reads trailer and, if it is there, footer from `tail`, the last bytes of an object of `object_len` bytes.
///
/// # Errors
/// Each way to be damaged; a newer version.
pub fn decode_tail(tail: &[u8], object_len: u64) -> Result<PackTail, FormatError> {
    let trailer = decode_trailer(tail, object_len)?;
    let tail_at = object_len.saturating_sub(tail.len() as u64);
    let range = trailer.footer_range();
    let start = range.start.checked_sub(tail_at).and_then(|start| usize::try_from(start).ok());
    let end = range.end.checked_sub(tail_at).and_then(|end| usize::try_from(end).ok());
    let Some(bytes) = start.zip(end).and_then(|(start, end)| tail.get(start..end)) else { return Ok(PackTail::Before(trailer)) };
    let footer = decode_footer(bytes)?;
    if footer.blocks_end() > trailer.footer_position {
        return Err(FormatError::Malformed { what: "pack footer", at: trailer.footer_position, problem: "blocks reach into the footer" });
    }
    Ok(PackTail::Footer(trailer, footer))
}

/// What a slot holds, from its object's tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotTail {
    Stop(ObjectHeader, Stop),
    Pack(PackTail),
}

/// Reads a slot from `tail`, the last bytes (256 or more, or all there are) of its object: a stop is so small that it is there whole.
///
/// # Errors
/// Each way to be damaged, a kind that no slot holds, a newer version.
pub fn decode_slot_tail(tail: &Bytes, object_len: u64) -> Result<SlotTail, FormatError> {
    if tail.len() as u64 != object_len {
        return decode_tail(tail, object_len).map(SlotTail::Pack);
    }
    match peek(tail)?.kind {
        Kind::Stop => decode(tail).map(|(header, stop)| SlotTail::Stop(header, stop)),
        Kind::Pack => decode_tail(tail, object_len).map(SlotTail::Pack),
        found => Err(FormatError::WrongKind { expected: Kind::Pack, found }),
    }
}
