//! Snappy in the two shapes that Kafka's clients send: the framing of snappy-java ("xerial": a magic, two versions, then chunks of
//! `len: u32 BE | raw snappy`), which Java and most others write and which is what Floe writes, and one raw block, as librdkafka writes it.

use super::{Failure, output::Output};

/// `SnappyCodec.MAGIC_HEADER` of snappy-java.
const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version and least compatible version, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Uncompressed bytes per chunk: snappy-java's default block size.
const CHUNK: usize = 32 * 1024;
/// No block grows by more: its densest element makes 64 bytes of 3.
const MAX_RATIO: usize = 22;

pub(super) fn compress(raw: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity((raw.len() / 2).saturating_add(MAGIC.len()).saturating_add(VERSIONS.len()));
    stored.extend_from_slice(&MAGIC);
    stored.extend_from_slice(&VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in raw.chunks(CHUNK) {
        let block = encoder.compress_vec(chunk).expect("32 KiB are below what snappy takes");
        stored.extend_from_slice(&u32::try_from(block.len()).expect("a block of 32 KiB stays small").to_be_bytes());
        stored.extend_from_slice(&block);
    }
    stored
}

pub(super) fn decompress(stored: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let mut output = Output::new(limit, stored.len().saturating_mul(2));
    let Some(framed) = stored.strip_prefix(&MAGIC) else {
        decompress_block(stored, &mut output)?;
        return Ok(output.into_bytes());
    };
    let mut rest = framed.get(VERSIONS.len()..).ok_or_else(|| Failure::malformed("the header is cut"))?;
    while !rest.is_empty() {
        let cut = || Failure::malformed("a chunk is cut");
        let (len, after) = rest.split_first_chunk().ok_or_else(cut)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (block, after) = after.split_at_checked(len).ok_or_else(cut)?;
        decompress_block(block, &mut output)?;
        rest = after;
    }
    Ok(output.into_bytes())
}

fn decompress_block(block: &[u8], output: &mut Output) -> Result<(), Failure> {
    let len = snap::raw::decompress_len(block).map_err(Failure::malformed)?;
    if len > block.len().saturating_mul(MAX_RATIO) {
        return Err(Failure::malformed("a block declares more than it can hold"));
    }
    let (_, into) = output.grow(len)?;
    let written = snap::raw::Decoder::new().decompress(block, into).map_err(Failure::malformed)?;
    output.shrink(len.saturating_sub(written));
    Ok(())
}
