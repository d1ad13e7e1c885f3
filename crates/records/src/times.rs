//! Finding offsets by timestamp inside one batch, for ListOffsets.

use bytes::Bytes;

use crate::{BatchError, BatchHeader, NO_TIMESTAMP, records::frames};

/// A record's offset with its timestamp (unix milliseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOffset {
    pub offset: i64,
    pub timestamp: i64,
}

/// The first record with the batch's greatest timestamp; none where no record has a timestamp. Decompresses at most `limit` bytes.
pub fn max_timestamp_offset(batch: &Bytes, limit: usize) -> Result<Option<TimedOffset>, BatchError> {
    max_timestamp_from(batch, i64::MIN, limit)
}

/// The same among the records at or above the offset `from`: what lies below was deleted.
pub fn max_timestamp_from(batch: &Bytes, from: i64, limit: usize) -> Result<Option<TimedOffset>, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let mut best: Option<TimedOffset> = None;
    for frame in frames(batch, limit)? {
        let timed = frame?.timed;
        if timed.offset < from {
            continue;
        }
        if timed.timestamp == header.max_timestamp && timed.timestamp != NO_TIMESTAMP {
            return Ok(Some(timed)); // nothing can be greater, unless the header lies
        }
        if timed.timestamp > best.map_or(NO_TIMESTAMP, |best| best.timestamp) {
            best = Some(timed);
        }
    }
    Ok(best)
}

/// The first record whose timestamp is at or after `timestamp`. Decompresses at most `limit` bytes, and nothing where the header already
/// says that there is none.
pub fn first_offset_at_or_after(batch: &Bytes, timestamp: i64, limit: usize) -> Result<Option<TimedOffset>, BatchError> {
    first_offset_from(batch, i64::MIN, timestamp, limit)
}

/// The same among the records at or above the offset `from`: what lies below was deleted.
pub fn first_offset_from(batch: &Bytes, from: i64, timestamp: i64, limit: usize) -> Result<Option<TimedOffset>, BatchError> {
    if BatchHeader::parse(batch)?.max_timestamp < timestamp {
        return Ok(None);
    }
    for frame in frames(batch, limit)? {
        let timed = frame?.timed;
        if timed.offset >= from && timed.timestamp >= timestamp {
            return Ok(Some(timed));
        }
    }
    Ok(None)
}
