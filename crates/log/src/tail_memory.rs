//! The budget for batches in memory, over all partitions. The oldest batch that has another place goes first; one that
//! memory alone holds is passed over, and bounded by the budgets of whoever keeps it there.

use crate::partition::{Evicted, Partition};
use floe_types::Offset;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Batches looked at for one that comes in: keeps an append short, and still drains faster than it fills.
const LOOKS: usize = 8;

#[derive(Debug)]
pub(crate) struct TailMemory {
    budget: u64,
    used: AtomicU64,
    queue: Mutex<VecDeque<(Weak<Partition>, Offset)>>,
}

impl TailMemory {
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, used: AtomicU64::new(0), queue: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// A batch came in. Called without a partition's lock held.
    pub(crate) fn added(&self, partition: &Arc<Partition>, base_offset: Offset, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
        self.queue.lock().push_back((Arc::downgrade(partition), base_offset));
        for _ in 0..LOOKS {
            if self.used() <= self.budget || !self.evict_oldest() {
                return;
            }
        }
    }

    pub(crate) fn released(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
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
