//! The budget for batches in memory, over all partitions. The oldest batch that has another place goes first; one that
//! memory alone holds is passed over, and bounded by the budgets of whoever keeps it there.

use crate::partition::{Evicted, Partition};
use floe_types::Offset;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Batches looked at for one that comes in: keeps an append short, and still drains faster than it fills.
const LOOKS: usize = 8;

#[derive(Debug)]
pub(crate) struct TailMemory {
    budget: u64,
    used: AtomicU64,
    queue: Mutex<VecDeque<(Weak<Partition>, Offset)>>,
    /// The queue's length at which what is released in other ways is taken out of it.
    purge_at: AtomicUsize,
}

/// Entries that are never too many.
const FEW: usize = 4096;

impl TailMemory {
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, used: AtomicU64::new(0), queue: Mutex::new(VecDeque::new()), purge_at: AtomicUsize::new(FEW) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// A batch came in. Called without a partition's lock held.
    pub(crate) fn added(&self, partition: &Arc<Partition>, base_offset: Offset, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
        let len = {
            let mut queue = self.queue.lock();
            queue.push_back((Arc::downgrade(partition), base_offset));
            queue.len()
        };
        if len >= self.purge_at.load(Relaxed) {
            self.purge();
        }
        for _ in 0..LOOKS {
            if self.used() <= self.budget || !self.evict_oldest() {
                return;
            }
        }
    }

    pub(crate) fn released(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Takes out what partitions have let go by themselves: they end, move away, are compacted. It costs what has come in since the last time.
    fn purge(&self) {
        let mut queue = std::mem::take(&mut *self.queue.lock());
        queue.retain(|(weak, base_offset)| weak.upgrade().is_some_and(|partition| partition.holds_in_memory(*base_offset)));
        self.purge_at.store((queue.len() * 2).max(FEW), Relaxed);
        let mut there = self.queue.lock();
        // What came in meanwhile is newer.
        queue.append(&mut there);
        *there = queue;
    }

    fn evict_oldest(&self) -> bool {
        let Some((weak, base_offset)) = self.queue.lock().pop_front() else { return false };
        match weak.upgrade().map_or(Evicted::Gone, |partition| partition.evict(base_offset)) {
            Evicted::Freed(bytes) => self.released(bytes),
            Evicted::Gone => {}
            Evicted::Needed => self.queue.lock().push_back((weak, base_offset)),
        }
        true
    }
}
