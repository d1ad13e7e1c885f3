//! Whether a batch is whole, and whether a producer may send it. Neither decompresses anything.

use bytes::Bytes;

use crate::{
    BatchError, BatchHeader, CRC_START, Codec, TimestampType, crc32c,
    header::{CODEC_MASK, CONTROL_BIT, LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT},
    records::frames,
};

/// Proves that `bytes` are exactly one whole batch: its length fits, its checksum matches, and its record count is possible for its offsets
/// (a compacted batch has fewer records than offsets). One pass over the bytes.
///
/// Base offset and leader epoch are outside the checksum, so that a broker can stamp them: nothing can prove those.
pub fn verify(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let need = header.total_len();
    let have = bytes.len();
    if have < need {
        return Err(BatchError::Truncated { have, need });
    }
    if have > need {
        return Err(BatchError::TrailingBytes { extra: have.saturating_sub(need) });
    }
    let computed = crc32c(bytes.get(CRC_START..).unwrap_or_default());
    if computed != header.crc {
        return Err(BatchError::Crc { stored: header.crc, computed });
    }
    let offsets = i64::from(header.last_offset_delta).saturating_add(1);
    if header.last_offset_delta < 0 || header.record_count < 0 || i64::from(header.record_count) > offsets {
        return Err(counts(&header));
    }
    Ok(header)
}

fn counts(header: &BatchHeader) -> BatchError {
    BatchError::Counts { record_count: header.record_count, last_offset_delta: header.last_offset_delta }
}

/// What a produce request may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidateOptions {
    /// `max.message.bytes`: the largest batch, in bytes as sent.
    pub max_bytes: usize,
    /// Whether the request's version knows zstd (Produce v7 and later; KIP-110).
    pub allow_zstd: bool,
}

/// Checks of a verified batch that a client wants to append; `header` is [`verify`]'s. As Kafka's `LogValidator` and `UnifiedLog` do, as far
/// as the header tells; attribute bits that no version of the format gives to clients are refused.
pub fn validate(batch: &[u8], header: &BatchHeader, options: &ValidateOptions) -> Result<(), BatchError> {
    if batch.len() > options.max_bytes {
        return Err(BatchError::BatchTooLarge { len: batch.len(), limit: options.max_bytes });
    }
    let codec = header.codec()?;
    if codec == Codec::Zstd && !options.allow_zstd {
        return Err(BatchError::CodecNotAllowed { codec });
    }
    if header.is_control() {
        return invalid("clients must not write control batches");
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::TimestampTypeFromClient);
    }
    if header.attributes & !(CODEC_MASK | LOG_APPEND_TIME_BIT | TRANSACTIONAL_BIT | CONTROL_BIT) != 0 {
        return invalid("attribute bits that clients do not own are set");
    }
    if header.record_count < 1 || header.last_offset_delta != header.record_count.wrapping_sub(1) {
        return Err(counts(header));
    }
    if header.base_offset != 0 {
        return invalid("the base offset of a produced batch must be 0");
    }
    validate_producer(header)
}

fn validate_producer(header: &BatchHeader) -> Result<(), BatchError> {
    if header.producer_id < -1 {
        return invalid("a negative producer id");
    }
    if header.has_producer_id() && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return invalid("a producer id without epoch or sequence");
    }
    if header.is_transactional() && !header.has_producer_id() {
        return invalid("a transactional batch without producer id");
    }
    Ok(())
}

fn invalid(why: &'static str) -> Result<(), BatchError> {
    Err(BatchError::Invalid { why })
}

/// Index in the batch of the first record without a key, which a compacted topic refuses (INVALID_RECORD with its batch index).
/// Decompresses at most `limit` bytes.
pub fn first_without_key(batch: &Bytes, limit: usize) -> Result<Option<usize>, BatchError> {
    for (index, frame) in frames(batch, limit)?.enumerate() {
        if !frame?.has_key {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
