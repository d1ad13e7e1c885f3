//! Gzip (RFC 1952), one member, as Kafka's producers write it.

use flate2::{Compression, Decompress, FlushDecompress, Status, write::GzEncoder};

use super::Failure;
use std::io::Write;

/// Largest window of deflate, which any stream may use.
const WINDOW_BITS: u8 = 15;

pub(super) fn compress(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(raw.len() / 2), Compression::default());
    encoder.write_all(raw).expect("writing to a Vec cannot fail");
    encoder.finish().expect("writing to a Vec cannot fail")
}

/// The checksum and length in the trailer are verified.
pub(super) fn decompress(stored: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    // One byte more than allowed tells a stream of exactly `limit` bytes from a longer one.
    let most = limit.saturating_add(1);
    let mut raw = Vec::with_capacity(stored.len().saturating_mul(4).min(most));
    let mut inflate = Decompress::new_gzip(WINDOW_BITS);
    let mut rest = stored;
    loop {
        if raw.len() == raw.capacity() {
            let capacity = raw.capacity().saturating_mul(2).max(1024).min(most);
            raw.reserve_exact(capacity.saturating_sub(raw.len()));
        }
        let (had, before) = (raw.len(), inflate.total_in());
        let status = inflate.decompress_vec(rest, &mut raw, FlushDecompress::None).map_err(Failure::malformed)?;
        if raw.len() > limit {
            return Err(Failure::Full);
        }
        let consumed = usize::try_from(inflate.total_in().saturating_sub(before)).unwrap_or(usize::MAX);
        rest = rest.get(consumed..).unwrap_or_default();
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(raw),
            Status::StreamEnd => return Err(Failure::malformed("bytes follow the stream")),
            Status::Ok | Status::BufError if consumed == 0 && raw.len() == had => return Err(Failure::malformed("the stream is cut")),
            Status::Ok | Status::BufError => {}
        }
    }
}
