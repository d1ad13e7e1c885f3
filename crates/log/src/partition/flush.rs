//! What goes into the next pack: the batches behind those that already have a slot, in offset order.

use super::tail::Evicted;
use super::{Partition, producers};
use crate::wals::WalPlace;
use bytes::Bytes;
use floe_formats::{PartitionEvent, ProducerUpdate, WalPosition};
use floe_types::{LeaderEpoch, Offset, PartitionId};
use std::collections::BTreeMap;

/// One batch on its way into a pack.
#[derive(Debug)]
pub(crate) struct PlannedBatch {
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) max_timestamp: i64,
    pub(crate) records: u32,
    /// None: memory let it go, the WAL has it.
    pub(crate) bytes: Option<Bytes>,
    pub(crate) wal: Option<WalPlace>,
}

/// A segment on its way into a pack.
#[derive(Debug)]
pub(crate) struct PlannedSegment {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) base_offset: Offset,
    pub(crate) log_start: Offset,
    pub(crate) batches: Vec<PlannedBatch>,
    pub(crate) events: Vec<PartitionEvent>,
    pub(crate) producers: Vec<ProducerUpdate>,
    pub(crate) bytes: u64,
}

impl Partition {
    /// Takes up to `max_bytes` of what has no slot yet - at least one batch, or events alone - and the partition off the
    /// dirty list when nothing is left. None if there is nothing.
    pub(crate) fn plan(&self, max_bytes: u64) -> Option<PlannedSegment> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut updates = BTreeMap::new();
        let base_offset = state.planned;
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for batch in state.tail.at_or_after_mut(state.planned).filter(|_| state.closed.is_none()) {
            let len = u64::from(batch.len);
            if !batches.is_empty() && bytes + len > max_bytes {
                break;
            }
            if let Some(update) = batch.producer.take() {
                producers::merge(&mut updates, &update);
            }
            bytes += len;
            state.planned = batch.end_offset;
            batches.push(PlannedBatch {
                base_offset: batch.base_offset,
                end_offset: batch.end_offset,
                max_timestamp: batch.max_timestamp,
                records: batch.records,
                bytes: batch.bytes.clone(),
                wal: batch.wal,
            });
        }
        let log_start = state.take_log_start();
        let compaction = state.allowance.take().filter(|_| state.closed.is_none());
        state.dirty = state.closed.is_none() && (state.planned < state.end || state.raising.is_waiting());
        if batches.is_empty() && log_start.is_none() && compaction.is_none() {
            return None;
        }
        let told = std::mem::replace(&mut state.epoch_told, true);
        let epoch_start = (!told).then_some(PartitionEvent::EpochStart { epoch: self.epoch, start: self.epoch_start });
        let events = epoch_start.into_iter().chain(log_start).chain(compaction).collect();
        Some(PlannedSegment {
            partition: self.id,
            epoch: self.epoch,
            base_offset,
            log_start: state.line.log_start,
            batches,
            events,
            producers: updates.into_values().collect(),
            bytes,
        })
    }

    /// The oldest WAL position of a batch that waits for a slot. A partition where none waits leaves the dirty list.
    pub(crate) fn first_unplanned(&self) -> Option<WalPosition> {
        let state = self.state.lock();
        if !state.dirty {
            self.shared.dirty.remove(self);
            return None;
        }
        state.tail.at_or_after(state.planned).find_map(|batch| batch.wal.map(|place| place.position()))
    }

    /// Whether the batch that begins there is in memory.
    pub(crate) fn holds_in_memory(&self, base_offset: Offset) -> bool {
        self.state
            .lock()
            .tail
            .at_or_after(base_offset)
            .next()
            .is_some_and(|batch| batch.base_offset == base_offset && batch.bytes.is_some())
    }

    /// Frees the memory of one batch if it has another place.
    pub(crate) fn evict(&self, base_offset: Offset) -> Evicted {
        let mut state = self.state.lock();
        // Copies elsewhere are no place to read from.
        state.tail.evict(base_offset, |place| self.shared.wals.is_durable(place))
    }
}
