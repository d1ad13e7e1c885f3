//! Packs: immutable objects that hold segments of one or many partitions.
//!
//! ```text
//! object header (64) | blocks, one behind the other | footer | trailer (32)
//! ```
//!
//! The footer lists every segment and block with checksums; the trailer says where the footer begins. A reader needs the tail
//! (or, by a [`crate::SegmentRef`], exactly the footer) and then the blocks it wants; the header's body checksum covers all of
//! it for `floe verify`. Batches come out as they came from the producer: blocks of uncompressed ones may be
//! compressed as a whole.

mod builder;
mod footer;
mod trailer;

pub use builder::{BatchSlice, BuiltPack, DEFAULT_BLOCK_TARGET, PackBuilder, SegmentMeta};
pub use footer::{Block, BlockCodec, PackFooter, PackKind, WalPosition, decode_footer};
pub use trailer::{PackTail, SlotTail, TRAILER_LEN, Trailer, decode_slot_tail, decode_tail, decode_trailer};

use crate::{
    FormatError,
    checksum::crc32c,
    header::{Kind, OBJECT_HEADER_LEN, ObjectHeader},
    object::{checked_body, known_version, peek},
};
use bytes::Bytes;

/// The version that is written, in header, footer and trailer alike. Version 1 knew no [`crate::PartitionEvent::Compaction`];
/// what it wrote reads as it is.
pub const PACK_VERSION: u16 = 2;

/// Checks a block's stored bytes against its length and checksum.
///
/// # Errors
/// Truncated, trailing bytes, checksum.
pub fn verify_block(block: &Block, stored: &[u8]) -> Result<(), FormatError> {
    const WHAT: &str = "pack block";
    let (found, needed) = (stored.len() as u64, u64::from(block.len));
    if found < needed {
        return Err(FormatError::Truncated { what: WHAT, needed, found });
    }
    if found > needed {
        return Err(FormatError::TrailingBytes {
            what: WHAT,
            at: block.position.saturating_add(needed),
            extra: found.saturating_sub(needed),
        });
    }
    let computed = crc32c(stored);
    if computed != block.crc {
        return Err(FormatError::Checksum { what: WHAT, at: block.position, stored: block.crc, computed });
    }
    Ok(())
}

/// A block's batches, from its stored bytes: checked, and not copied where the block is not compressed.
///
/// # Errors
/// As [`verify_block`]; `Malformed` when it does not decompress to its length.
pub fn open_block(block: &Block, stored: &Bytes) -> Result<Bytes, FormatError> {
    verify_block(block, stored)?;
    let Some(codec) = block.codec.of_records() else { return Ok(stored.clone()) };
    let raw_len = usize::try_from(block.raw_len).unwrap_or(usize::MAX);
    match codec.decompress(stored, raw_len) {
        Ok(raw) if raw.len() == raw_len => Ok(raw),
        _ => Err(FormatError::Malformed { what: "pack block", at: block.position, problem: "it does not decompress to the length it had" }),
    }
}

/// Checks every byte of a whole pack: header, body, trailer, footer, each block, and that blocks lie without a gap.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_pack(bytes: &Bytes) -> Result<(ObjectHeader, PackFooter), FormatError> {
    const WHAT: &str = "pack";
    let header = peek(bytes)?;
    if header.kind != Kind::Pack {
        return Err(FormatError::WrongKind { expected: Kind::Pack, found: header.kind });
    }
    known_version(Kind::Pack, header.version, PACK_VERSION)?;
    checked_body(&header, bytes)?;
    let trailer = decode_trailer(bytes, bytes.len() as u64)?;
    let footer = decode_footer(slice(bytes, trailer.footer_range())?)?;
    if (footer.write_id, footer.revision) != (header.writer.write_id, header.writer.revision) {
        return Err(FormatError::Malformed {
            what: WHAT,
            at: trailer.footer_position,
            problem: "header and footer are of different writes",
        });
    }
    let mut position = OBJECT_HEADER_LEN as u64;
    for block in footer.segments.iter().flat_map(|segment| &segment.blocks) {
        if block.position != position {
            return Err(FormatError::Malformed { what: WHAT, at: position, problem: "blocks do not lie one behind the other" });
        }
        position = block.range().end;
        verify_block(block, slice(bytes, block.range())?)?;
    }
    if position != trailer.footer_position {
        return Err(FormatError::Malformed { what: WHAT, at: position, problem: "bytes between the last block and the footer" });
    }
    Ok((header, footer))
}

fn slice(bytes: &[u8], range: std::ops::Range<u64>) -> Result<&[u8], FormatError> {
    let found = bytes.len() as u64;
    let truncated = || FormatError::Truncated { what: "pack", needed: range.end, found };
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    match (start, end) {
        (Ok(start), Ok(end)) => bytes.get(start..end).ok_or_else(truncated),
        _ => Err(truncated()),
    }
}
