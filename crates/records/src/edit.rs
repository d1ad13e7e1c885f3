//! Changing a batch's bytes: the fields a broker stamps, and its codec.

use bytes::Bytes;

use crate::{
    BatchError, BatchHeader, CRC_START, Codec, HEADER_LEN, crc32c,
    header::{CODEC_MASK, LENGTH_OVERHEAD, LOG_APPEND_TIME_BIT},
    records::section,
};

/// Gives a batch its place in the log. Both fields are outside the checksum, which stays right.
///
/// # Panics
/// If `batch` is shorter than a header: it must have passed [`crate::verify`].
pub fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    put(batch, 0, &base_offset.to_be_bytes());
    put(batch, 12, &leader_epoch.to_be_bytes());
}

/// Makes the batch one of log append time `now_ms` (unix milliseconds): attribute bit, max timestamp, checksum. The records stay as they
/// are; readers give all of them the max timestamp.
///
/// # Panics
/// If `batch` is shorter than a header: it must have passed [`crate::verify`].
pub fn set_log_append_time(batch: &mut [u8], now_ms: i64) {
    let header = BatchHeader::parse(batch).expect("a verified batch has a header");
    put(batch, 21, &(header.attributes | LOG_APPEND_TIME_BIT).to_be_bytes());
    put(batch, 35, &now_ms.to_be_bytes());
    let crc = crc32c(batch.get(CRC_START..).unwrap_or_default());
    put(batch, 17, &crc.to_be_bytes());
}

fn put<const N: usize>(batch: &mut [u8], at: usize, field: &[u8; N]) {
    batch.get_mut(at..).and_then(|rest| rest.first_chunk_mut()).expect("a verified batch has a whole header").clone_from(field);
}

/// The same batch with its records under another codec: same offsets, timestamps, headers and producer, new length and checksum.
/// A batch that has the codec already is returned as it is. Decompresses at most `limit` bytes.
pub fn recompress(batch: &Bytes, codec: Codec, limit: usize) -> Result<Bytes, BatchError> {
    let mut header = BatchHeader::parse(batch)?;
    let section = section(batch, &header)?;
    let old = header.codec()?;
    if old == codec || section.is_empty() {
        return Ok(batch.clone());
    }
    let raw = old.decompress(&section, limit)?;
    header.attributes = (header.attributes & !CODEC_MASK) | codec.bits();
    Ok(assemble(header, &codec.compress(&raw)))
}

/// Header and records as one batch; sets length and checksum.
pub(crate) fn assemble(mut header: BatchHeader, section: &[u8]) -> Bytes {
    let total = HEADER_LEN.saturating_add(section.len());
    header.batch_length = i32::try_from(total.saturating_sub(LENGTH_OVERHEAD)).expect("records are limited far below 2 GiB");
    let mut batch = Vec::with_capacity(total);
    batch.extend_from_slice(&header.encode());
    batch.extend_from_slice(section);
    let crc = crc32c(batch.get(CRC_START..).unwrap_or_default());
    put(&mut batch, 17, &crc.to_be_bytes());
    batch.into()
}
