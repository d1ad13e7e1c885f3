//! What history's parts tell each other, and what they have cost so far.

use floe_types::SlotNumber;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// The newest index of this chain that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Indexed {
    pub(crate) number: u64,
    pub(crate) front: SlotNumber,
}

/// Shared by the flusher, which writes indexes, and those who wait for them; and counters since the start.
#[derive(Debug, Default)]
pub(crate) struct HistoryCounts {
    indexed: Mutex<Indexed>,
    index_wanted: Notify,
    sweep_wanted: Notify,
    settled_packs: AtomicU64,
    settled_bytes: AtomicU64,
    deleted_objects: AtomicU64,
}

impl HistoryCounts {
    /// Something is in no line any more: an index that says so lets the front move.
    pub(crate) fn want_index(&self) {
        self.index_wanted.notify_one();
    }

    pub(crate) async fn index_is_wanted(&self) {
        self.index_wanted.notified().await;
    }

    /// An index stands.
    pub(crate) fn indexed(&self, number: u64, front: SlotNumber) {
        *self.indexed.lock() = Indexed { number, front };
        self.sweep_wanted.notify_one();
    }

    pub(crate) fn newest_index(&self) -> Indexed {
        *self.indexed.lock()
    }

    pub(crate) async fn sweep_is_wanted(&self) {
        self.sweep_wanted.notified().await;
    }

    /// An own pack of so many bytes was uploaded.
    pub(crate) fn settled(&self, bytes: u64) {
        self.settled_packs.fetch_add(1, Relaxed);
        self.settled_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn settled_packs(&self) -> u64 {
        self.settled_packs.load(Relaxed)
    }

    pub(crate) fn settled_bytes(&self) -> u64 {
        self.settled_bytes.load(Relaxed)
    }

    pub(crate) fn deleted(&self) {
        self.deleted_objects.fetch_add(1, Relaxed);
    }

    pub(crate) fn deleted_objects(&self) -> u64 {
        self.deleted_objects.load(Relaxed)
    }
}
