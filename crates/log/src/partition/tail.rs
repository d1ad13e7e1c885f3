//! The batches of one partition that memory still knows: everything that is not yet in certain slots, and, while the
//! budget lasts, what was flushed lately, for readers of the tail.

use crate::wals::WalPlace;
use bytes::Bytes;
use floe_formats::ProducerUpdate;
use floe_types::Offset;
use std::collections::VecDeque;

/// One appended batch.
#[derive(Debug, Clone)]
pub(crate) struct TailBatch {
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
    pub(crate) max_timestamp: i64,
    pub(crate) records: u32,
    pub(crate) len: u32,
    /// None once evicted: then it is read from the WAL, or from its pack.
    pub(crate) bytes: Option<Bytes>,
    /// Where its WAL entry lies; None for an `object` record.
    pub(crate) wal: Option<WalPlace>,
    /// Only until it is planned into a pack.
    pub(crate) producer: Option<Box<ProducerUpdate>>,
}

/// What became of a batch that should leave memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evicted {
    /// This many bytes are free.
    Freed(u64),
    /// It had left already.
    Gone,
    /// Memory is its only place.
    Needed,
}

/// What a deleted partition gives back.
#[derive(Debug, Default)]
pub(crate) struct Released {
    pub(crate) memory_bytes: u64,
    pub(crate) unplanned_bytes: u64,
    pub(crate) object_bytes: u64,
    pub(crate) unflushed_batches: u64,
}

#[derive(Debug)]
pub(super) struct Tail {
    batches: VecDeque<TailBatch>,
    /// How many at the back are not committed.
    uncommitted: usize,
    /// How many at the back are not in certain slots.
    uncertain: usize,
}

impl Tail {
    pub(super) fn new() -> Self {
        Self { batches: VecDeque::new(), uncommitted: 0, uncertain: 0 }
    }

    pub(super) fn push(&mut self, batch: TailBatch) {
        self.batches.push_back(batch);
        self.uncommitted += 1;
        self.uncertain += 1;
    }

    /// Where memory begins.
    pub(super) fn start(&self) -> Option<Offset> {
        self.batches.front().map(|batch| batch.base_offset)
    }

    /// The oldest batch that is not committed.
    pub(super) fn first_uncommitted(&self) -> Option<&TailBatch> {
        self.batches.get(self.batches.len() - self.uncommitted)
    }

    pub(super) fn commit_one(&mut self) {
        self.uncommitted -= 1;
    }

    /// Bytes in the WAL of what is not in certain slots.
    pub(super) fn unflushed_wal_bytes(&self) -> u64 {
        let unflushed = self.batches.range(self.batches.len() - self.uncertain..);
        unflushed.filter(|batch| batch.wal.is_some()).map(|batch| u64::from(batch.len)).sum()
    }

    /// The batches from the one that holds `offset` on.
    pub(super) fn at_or_after(&self, offset: Offset) -> impl Iterator<Item = &TailBatch> {
        self.batches.range(self.batches.partition_point(|batch| batch.end_offset <= offset)..)
    }

    pub(super) fn at_or_after_mut(&mut self, offset: Offset) -> impl Iterator<Item = &mut TailBatch> {
        let start = self.batches.partition_point(|batch| batch.end_offset <= offset);
        self.batches.range_mut(start..)
    }

    /// Everything below `certain` is in certain slots: evicted batches are forgotten. Returns how many batches and
    /// `object` bytes no longer wait for a slot.
    pub(super) fn flushed(&mut self, certain: Offset) -> (u64, u64) {
        let (mut batches, mut object_bytes) = (0, 0);
        while self.uncertain > 0 {
            let Some(batch) = self.batches.get(self.batches.len() - self.uncertain).filter(|batch| batch.end_offset <= certain) else {
                break;
            };
            batches += 1;
            object_bytes += if batch.wal.is_none() { u64::from(batch.len) } else { 0 };
            self.uncertain -= 1;
        }
        self.forget_evicted();
        (batches, object_bytes)
    }

    fn forget_evicted(&mut self) {
        while self.batches.len() > self.uncertain.max(self.uncommitted) && self.batches.front().is_some_and(|batch| batch.bytes.is_none()) {
            self.batches.pop_front();
        }
    }

    /// Forgets what lies below `offset` and is in certain slots, for readers to find what packs hold of it. Returns the bytes
    /// that are free now.
    pub(super) fn forget_below(&mut self, offset: Offset) -> u64 {
        let mut freed = 0;
        while self.batches.len() > self.uncertain.max(self.uncommitted)
            && let Some(batch) = self.batches.pop_front_if(|batch| batch.end_offset <= offset)
        {
            freed += batch.bytes.map_or(0, |_| u64::from(batch.len));
        }
        freed
    }

    /// Drops the bytes of the batch at `base_offset` if another place has them: a certain slot, or the fsynced WAL.
    pub(super) fn evict(&mut self, base_offset: Offset, is_durable: impl FnOnce(&WalPlace) -> bool) -> Evicted {
        let at = self.batches.partition_point(|batch| batch.base_offset < base_offset);
        let certain_below = self.batches.len() - self.uncertain;
        let Some(batch) = self.batches.get_mut(at).filter(|batch| batch.base_offset == base_offset && batch.bytes.is_some()) else {
            return Evicted::Gone;
        };
        let elsewhere = at < certain_below || batch.wal.is_some_and(|place| is_durable(&place));
        if !elsewhere {
            return Evicted::Needed;
        }
        batch.bytes = None;
        let freed = u64::from(batch.len);
        self.forget_evicted();
        Evicted::Freed(freed)
    }

    pub(super) fn release_all(&mut self, planned: Offset) -> Released {
        let mut released = Released::default();
        let certain_below = self.batches.len() - self.uncertain;
        for (at, batch) in self.batches.iter().enumerate() {
            let len = u64::from(batch.len);
            released.memory_bytes += if batch.bytes.is_some() { len } else { 0 };
            released.unplanned_bytes += if batch.base_offset >= planned { len } else { 0 };
            if at >= certain_below {
                released.unflushed_batches += 1;
                released.object_bytes += if batch.wal.is_none() { len } else { 0 };
            }
        }
        *self = Self::new();
        released
    }
}
