//! The lz4 frame format, with the right header checksum that message format v2 asks for (KIP-57).
//!
//! Frames are read and written here, over lz4_flex's block codec. Its frame decoder allocates up to 12 MiB by a byte of
//! the frame's header, and it copies twice, as the encoder does. Source: lz4_Frame_format.md 1.6.4. Not supported, as in Kafka: dictionaries, legacy frames.

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict, get_maximum_output_size,
};

use super::{Failure, output::Output, xxhash::xxh32};

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Version 1, independent blocks, no checksums; blocks of at most 64 KiB.
const DESCRIPTOR: [u8; 2] = [0x60, 0x40];
/// Most bytes of a block that is written.
const BLOCK: usize = 64 * 1024;
/// How far back a block that is linked to its predecessors may refer.
const WINDOW: usize = 64 * 1024;
/// A block grows by at most this: each byte of a match length adds 255.
const MAX_RATIO: usize = 255;
/// The bit of a block's length that says it is stored as it is.
const UNCOMPRESSED: u32 = 1 << 31;

/// Independent blocks of 64 KiB without checksums, as Kafka's `Lz4BlockOutputStream` writes: the batch has its own checksum.
pub(super) fn compress(raw: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity((raw.len() / 8).saturating_mul(5).saturating_add(64));
    stored.extend_from_slice(&MAGIC);
    stored.extend_from_slice(&DESCRIPTOR);
    stored.push(xxh32(&DESCRIPTOR).to_le_bytes()[1]);
    let mut table = CompressTable::large();
    let mut block = vec![0; get_maximum_output_size(BLOCK.min(raw.len()))];
    for chunk in raw.chunks(BLOCK) {
        let len = compress_into_with_table(chunk, &mut block, &mut table).ok();
        let smaller = len.and_then(|len| block.get(..len)).filter(|bytes| bytes.len() < chunk.len());
        let (bytes, flag) = smaller.map_or((chunk, UNCOMPRESSED), |bytes| (bytes, 0));
        stored.extend_from_slice(&(u32::try_from(bytes.len()).unwrap_or(0) | flag).to_le_bytes());
        stored.extend_from_slice(bytes);
    }
    stored.extend_from_slice(&[0; 4]);
    stored.shrink_to_fit();
    stored
}

pub(super) fn decompress(stored: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let mut reader = Reader { rest: stored };
    let frame = reader.frame()?;
    let expected = frame.content_len.and_then(|len| usize::try_from(len).ok()).unwrap_or(stored.len().saturating_mul(2));
    let mut output = Output::new(limit, expected.min(stored.len().saturating_mul(MAX_RATIO)));
    loop {
        let len = reader.u32()?;
        if len == 0 {
            break;
        }
        let block = reader.take(usize::try_from(len & !UNCOMPRESSED).unwrap_or(usize::MAX))?;
        if block.len() > frame.block_max {
            return Err(Failure::malformed("a block is larger than the frame says"));
        }
        if frame.block_checksums && reader.u32()? != xxh32(block) {
            return Err(Failure::malformed("a block's checksum is wrong"));
        }
        if len & UNCOMPRESSED == 0 {
            decompress_block(block, &frame, &mut output)?;
        } else {
            output.extend(block)?;
        }
    }
    if frame.content_len.is_some_and(|len| u64::try_from(output.bytes().len()) != Ok(len)) {
        return Err(Failure::malformed("the content's length is not what the frame says"));
    }
    if frame.content_checksum && reader.u32()? != xxh32(output.bytes()) {
        return Err(Failure::malformed("the content's checksum is wrong"));
    }
    if !reader.rest.is_empty() {
        return Err(Failure::malformed("bytes follow the frame"));
    }
    Ok(output.into_bytes())
}

fn decompress_block(block: &[u8], frame: &Frame, output: &mut Output) -> Result<(), Failure> {
    let possible = frame.block_max.min(block.len().saturating_mul(MAX_RATIO));
    let space = possible.min(output.room());
    let (before, into) = output.grow(space)?;
    let decompressed = if frame.linked {
        decompress_into_with_dict(block, into, before.get(before.len().saturating_sub(WINDOW)..).unwrap_or_default())
    } else {
        decompress_into(block, into)
    };
    match decompressed {
        Ok(written) => {
            output.shrink(space.saturating_sub(written));
            Ok(())
        }
        Err(DecompressError::OutputTooSmall { .. }) if space < possible => Err(Failure::Full),
        Err(error) => Err(Failure::malformed(error)),
    }
}

/// A frame's header.
#[derive(Debug)]
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_len: Option<u64>,
    block_max: usize,
}

/// Reads forward; all errors mean a cut or unsupported frame.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| Failure::malformed("the frame is cut"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| Failure::malformed("the frame is cut"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, Failure> {
        self.array().map(u32::from_le_bytes)
    }

    fn frame(&mut self) -> Result<Frame, Failure> {
        if self.array()? != MAGIC {
            return Err(Failure::malformed("not an lz4 frame"));
        }
        let described = self.rest;
        let [flags, sizes] = self.array()?;
        if flags >> 6 != 1 || flags & 0b10 != 0 || sizes & 0b1000_1111 != 0 {
            return Err(Failure::malformed("an unknown version or reserved bits"));
        }
        if flags & 1 != 0 {
            return Err(Failure::malformed("dictionaries are not supported"));
        }
        let content_len = if flags & 0b1000 == 0 { None } else { Some(u64::from_le_bytes(self.array()?)) };
        let described = described.get(..described.len().saturating_sub(self.rest.len())).unwrap_or_default();
        let [checksum] = self.array()?;
        let [_, second, ..] = xxh32(described).to_le_bytes();
        if checksum != second {
            return Err(Failure::malformed("the header's checksum is wrong"));
        }
        let block_max = match sizes >> 4 {
            4 => 64 * 1024,
            5 => 256 * 1024,
            6 => 1024 * 1024,
            7 => 4 * 1024 * 1024,
            _ => return Err(Failure::malformed("an unknown block size")),
        };
        Ok(Frame {
            linked: flags & 0b10_0000 == 0,
            block_checksums: flags & 0b1_0000 != 0,
            content_checksum: flags & 0b100 != 0,
            content_len,
            block_max,
        })
    }
}
