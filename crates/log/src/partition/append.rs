//! A batch gets its offsets and enters the WAL, or memory, in one step under the partition's lock: the order of
//! offsets is the order of the log.

use super::producers::{self, Verdict};
use super::tail::TailBatch;
use super::{Partition, State};
use crate::shared::Reserved;
use crate::{AppendError, Durability};
use bytes::{Bytes, BytesMut};
use floe_formats::ProducerBatch;
use floe_records::BatchHeader;
use floe_types::{Lsn, Offset};
use floe_wal::{Durable, Entry, WalError};
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
        let appended = {
            let mut state = self.state.lock();
            state.check_appendable()?;
            if let Verdict::Duplicate(ProducerBatch { base_offset, end_offset, timestamp, .. }) = state.producers.check(header)? {
                return Ok(Appended {
                    base_offset,
                    end_offset,
                    log_start: state.line.log_start,
                    max_timestamp: timestamp,
                    duplicate: true,
                });
            }
            let reserved = self.shared.reserve(len)?;
            self.append_next(&mut state, batch, header, reserved)?
        };
        self.shared.tail_memory.added(self, appended.base_offset, len);
        Ok(appended)
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
        let (bytes, wal) = self.write(state.durability, base_offset, batch)?;
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
        self.shared.dirty.mark(wal.is_none());
        let (log_start, max_timestamp) = (state.line.log_start, header.max_timestamp);
        Ok(Appended { base_offset, end_offset, log_start, max_timestamp, duplicate: false })
    }

    /// The stamped batch, and where its WAL entry lies.
    fn write(
        self: &Arc<Self>,
        durability: Durability,
        base_offset: Offset,
        batch: &Bytes,
    ) -> Result<(Bytes, Option<(Lsn, Lsn)>), AppendError> {
        if durability == Durability::Local
            && let Some(wal) = self.shared.wal()
        {
            let entry = Entry { partition: self.id, epoch: self.epoch, epoch_start: self.epoch_start, base_offset, batch };
            let sink: Arc<dyn Durable> = self.clone();
            let appended = wal.append(&entry, &sink).map_err(|e| self.refused(&e))?;
            return Ok((appended.batch, Some((appended.start, appended.end))));
        }
        let mut own = BytesMut::from(batch.as_ref());
        floe_records::stamp(&mut own, base_offset, self.epoch);
        Ok((own.freeze(), None))
    }

    fn refused(&self, error: &WalError) -> AppendError {
        match self.shared.ended.get() {
            Some(ended) => AppendError::Ended(ended),
            None if matches!(error, WalError::Full { .. }) => AppendError::Overloaded,
            None => AppendError::Ended(crate::Ended::Failed { why: error.to_string() }),
        }
    }
}
