//! Zstandard (RFC 8878), in one shot: a streaming decoder would allocate the window that a frame declares, up to 128 MiB.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, DCtx, compress_bound, get_error_name, get_frame_content_size, zstd_sys::ZSTD_ErrorCode};

use super::Failure;

/// Kafka's default level (`compression.zstd.level`).
const LEVEL: i32 = 3;
/// First guess where a frame does not say its size.
const MIN_CAPACITY: usize = 16 * 1024;

// A context is large to set up and meant to be used again.
thread_local! {
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

pub(super) fn compress(raw: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(compress_bound(raw.len()));
    COMPRESSOR
        .with_borrow_mut(|context| context.compress(&mut stored, raw, LEVEL))
        .expect("a buffer of the bound's size takes whatever comes");
    stored.shrink_to_fit();
    stored
}

pub(super) fn decompress(stored: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let declared = get_frame_content_size(stored).map_err(|_| Failure::malformed("not a zstd frame"))?;
    let mut capacity = match declared.map(usize::try_from) {
        Some(Ok(len)) if len <= limit => len,
        Some(_) => return Err(Failure::Full),
        None => stored.len().saturating_mul(4).max(MIN_CAPACITY).min(limit),
    };
    loop {
        let mut raw = Vec::with_capacity(capacity);
        match DECOMPRESSOR.with_borrow_mut(|context| context.decompress(&mut raw, stored)) {
            Ok(_) if raw.len() > limit => return Err(Failure::Full),
            Ok(_) => return Ok(raw),
            Err(code) if !is_too_small(code) => return Err(Failure::malformed(get_error_name(code))),
            Err(_) if capacity >= limit => return Err(Failure::Full),
            Err(_) => capacity = capacity.saturating_mul(4).max(MIN_CAPACITY).min(limit),
        }
    }
}

/// zstd's error codes are the negated numbers of its enum.
fn is_too_small(code: usize) -> bool {
    code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}
