//! A batch gets its offsets and enters the WAL, or memory, in one step under the partition's lock: the order of
//! offsets is the order of the log.

use super::producers::{self, Verdict};
use super::tail::TailBatch;
use super::{Partition, State};
use crate::shared::Reserved;
use crate::wals::WalPlace;
use crate::{AppendError, Durability, Ended};
use bytes::{Bytes, BytesMut};
use floe_formats::ProducerBatch;
use floe_records::BatchHeader;
use floe_types::Offset;
use floe_wal::{Entry, WalError};
use std::sync::Arc;

/// What an append answers. It is not committed yet: await [`Partition::committed`] with `end_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub end_offset: Offset,
    pub log_start: Offset,
    /// The greatest timestamp of the batch, as it was appended first.
    pub max_timestamp: i64,
    /// The same batch came before; its first offsets are given again, and its commit has to be awaited as well (R23).
    pub duplicate: bool,
}

impl Partition {
    /// Appends one verified batch. Never waits: what has no room is refused.
    ///
    /// # Errors
    /// A sequence that does not follow, a budget that is used up, or a partition that has ended.
    pub fn append(self: &Arc<Self>, batch: &Bytes, header: &BatchHeader) -> Result<Appended, AppendError> {
        let len = batch.len() as u64;
        let appended = self.try_append(batch, header, len);
        if let Err(AppendError::Ended(ended @ Ended::Fenced { .. })) = &appended {
            // Perhaps this append is the first to hear of it; told again, it changes nothing (R10).
            self.shared.end(ended.clone());
        }
        let appended = appended?;
        if !appended.duplicate {
            self.shared.tail_memory.added(self, appended.base_offset, len);
        }
        Ok(appended)
    }

    fn try_append(self: &Arc<Self>, batch: &Bytes, header: &BatchHeader, len: u64) -> Result<Appended, AppendError> {
        let mut state = self.state.lock();
        state.check_appendable()?;
        if let Verdict::Duplicate(ProducerBatch { base_offset, end_offset, timestamp, .. }) = state.producers.check(header)? {
            let (log_start, max_timestamp) = (state.line.log_start, timestamp);
            return Ok(Appended { base_offset, end_offset, log_start, max_timestamp, duplicate: true });
        }
        let reserved = self.shared.reserve(len)?;
        self.append_next(&mut state, batch, header, reserved)
    }

    fn append_next(
        self: &Arc<Self>,
        state: &mut State,
        batch: &Bytes,
        header: &BatchHeader,
        reserved: Reserved<'_>,
    ) -> Result<Appended, AppendError> {
        if !state.dirty {
            // Before the WAL knows the batch: see `Dirty`.
            state.dirty = true;
            self.shared.dirty.insert(self);
        }
        let base_offset = state.end;
        let end_offset = base_offset + i64::from(header.last_offset_delta) + 1;
        let (bytes, wal) = self.write(state, base_offset, batch)?;
        let producer = producers::update_of(header, base_offset);
        if let Some(update) = &producer {
            state.producers.record(update);
        }
        state.tail.push(TailBatch {
            base_offset,
            end_offset,
            max_timestamp: header.max_timestamp,
            records: u32::try_from(header.record_count).unwrap_or(0),
            len: u32::try_from(batch.len()).unwrap_or(u32::MAX),
            bytes: Some(bytes),
            wal,
            producer: producer.map(Box::new),
        });
        state.end = end_offset;
        reserved.keep(wal.is_none());
        self.shared.dirty.mark(wal.is_none() || self.shared.is_hurried());
        let (log_start, max_timestamp) = (state.line.log_start, header.max_timestamp);
        Ok(Appended { base_offset, end_offset, log_start, max_timestamp, duplicate: false })
    }

    /// The stamped batch, and where its WAL entry lies. What its topic asks for may not be had just now: then it waits for its slot.
    fn write(self: &Arc<Self>, state: &mut State, base_offset: Offset, batch: &Bytes) -> Result<(Bytes, Option<WalPlace>), AppendError> {
        let current = if state.durability == Durability::Object { None } else { self.shared.wals.current() };
        if let Some(own) = current.filter(|own| own.gives() == state.durability) {
            let entry = Entry { partition: self.id, epoch: self.epoch, epoch_start: self.epoch_start, base_offset, batch };
            let sink = self.sink(state, own.generation);
            match own.wal.append(&entry, &sink) {
                Ok(appended) => {
                    let place = WalPlace { generation: own.generation, start: appended.start, end: appended.end };
                    return Ok((appended.batch, Some(place)));
                }
                // Its generation has just ended (R2).
                Err(WalError::Closed) if own.copied.is_some() => {}
                Err(error) => return Err(self.refused(&error)),
            }
        }
        let mut stamped = BytesMut::from(batch.as_ref());
        floe_records::stamp(&mut stamped, base_offset, self.epoch);
        Ok((stamped.freeze(), None))
    }

    fn refused(&self, error: &WalError) -> AppendError {
        match (self.shared.ended.get(), error) {
            (Some(ended), _) => AppendError::Ended(ended),
            (None, WalError::Full { .. }) => AppendError::Overloaded,
            // By a broker that takes this one for dead (R5).
            (None, WalError::Sealed { .. }) => AppendError::Ended(Ended::Fenced { by: None, found: error.to_string() }),
            (None, _) => AppendError::Ended(Ended::Failed { why: error.to_string() }),
        }
    }
}
