//! What compaction needs of a batch: its keys, and the batch without some of its records.
//!
//! Offsets stay: what is left of a batch stands for all the offsets that it had. A batch that holds a tombstone says until
//! when it is to be kept, as Kafka's do (KIP-534): attribute bit 6, and the time in place of the base timestamp, from which
//! every record's timestamp is counted.

use bytes::Bytes;

use crate::{BatchBuilder, BatchError, BatchHeader, TimestampType, records, records::frames};

/// A record as compaction sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRecord {
    pub offset: i64,
    /// None: compaction leaves it alone.
    pub key: Option<Bytes>,
    /// It has a key and no value: it says that its key is gone.
    pub is_tombstone: bool,
}

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// All of it, as it was.
    Same,
    /// No record.
    Nothing,
    /// Another batch in its place, for the same offsets.
    Batch(Bytes),
}

/// Calls `each` with every record of a batch. Decompresses at most `limit` bytes.
///
/// # Errors
/// A batch that is broken or larger than that.
pub fn keyed_records(batch: &Bytes, limit: usize, mut each: impl FnMut(&KeyedRecord)) -> Result<(), BatchError> {
    let mut frames = frames(batch, limit)?;
    while let Some(frame) = frames.next() {
        each(&frames.keyed(&frame?)?);
    }
    Ok(())
}

/// The batch without the records that `keep` refuses. If tombstones are left, and it does not say yet until when they are kept, it says
/// `horizon` (unix milliseconds). Decompresses at most `limit` bytes.
///
/// # Errors
/// A batch that is broken or larger than that.
pub fn retain(batch: &Bytes, limit: usize, horizon: i64, mut keep: impl FnMut(&KeyedRecord) -> bool) -> Result<Left, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let (mut kept, mut gone, mut tombstones) = (Vec::new(), false, false);
    keyed_records(batch, limit, |record| {
        let stays = keep(record);
        gone |= !stays;
        tombstones |= stays && record.is_tombstone;
        kept.push(stays);
    })?;
    let sets_horizon = tombstones && header.delete_horizon().is_none();
    if !gone && !sets_horizon {
        return Ok(Left::Same);
    }
    if !kept.contains(&true) {
        return Ok(Left::Nothing);
    }
    let mut left = BatchBuilder::like(&header)?;
    if let Some(horizon) = header.delete_horizon().or(sets_horizon.then_some(horizon)) {
        left = left.delete_horizon(horizon);
    }
    for (record, _) in records(batch, limit)?.zip(kept).filter(|(_, stays)| *stays) {
        left.push(&record?)?;
    }
    Ok(Left::Batch(left.last_offset(header.last_offset()).build()))
}

impl BatchBuilder {
    /// An empty batch that will stand where `header`'s does: same base offset, epoch, producer, codec and kind of timestamps.
    fn like(header: &BatchHeader) -> Result<Self, BatchError> {
        let mut builder = Self::new(header.codec()?).base_offset(header.base_offset).leader_epoch(header.leader_epoch).producer(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
        );
        if header.is_transactional() {
            builder = builder.transactional();
        }
        if header.is_control() {
            builder = builder.control();
        }
        if header.timestamp_type() == TimestampType::LogAppendTime {
            builder = builder.log_append_time(header.max_timestamp);
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests;
