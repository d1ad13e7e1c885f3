//! What history's parts tell each other, and what they have cost so far.

use floe_formats::PackRef;
use floe_types::{Incarnation, SlotNumber};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// The newest index of this chain that stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Indexed {
    pub(crate) number: u64,
    pub(crate) front: SlotNumber,
    /// Slots of this chain below this one are in it.
    pub(crate) covers: SlotNumber,
    pub(crate) incarnation: Incarnation,
    /// The packs that it names of chains before this one.
    pub(crate) foreign: Arc<BTreeSet<PackRef>>,
}

impl Indexed {
    /// Whether what is read from this pack today is read on the word of this index.
    pub(crate) fn names(&self, pack: &PackRef) -> bool {
        match pack {
            PackRef::Slot { incarnation, slot } if *incarnation == self.incarnation => *slot < self.covers,
            pack => self.foreign.contains(pack),
        }
    }
}

/// Shared by the flusher, which writes indexes, and those who wait for them; and counters since the start.
#[derive(Debug, Default)]
pub(crate) struct HistoryCounts {
    indexed: Mutex<Indexed>,
    index_wanted: Notify,
    sweep_wanted: Notify,
    clean_wanted: Notify,
    settle_wanted: Notify,
    settled_packs: AtomicU64,
    settled_bytes: AtomicU64,
    compacted_bytes: AtomicU64,
    remerged_segments: AtomicU64,
    remerged_bytes: AtomicU64,
    deleted_objects: AtomicU64,
    pages: AtomicU64,
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
    pub(crate) fn indexed(&self, now: Indexed) {
        let before = std::mem::replace(&mut *self.indexed.lock(), now.clone());
        self.sweep_wanted.notify_one();
        // The first is what cleaning waits for; later ones matter where they name less.
        if before.number == 0 || before.foreign != now.foreign {
            self.want_clean();
        }
    }

    pub(crate) fn newest_index(&self) -> Indexed {
        self.indexed.lock().clone()
    }

    /// Something of an earlier chain, or of a deleted topic, may be needed no more.
    pub(crate) fn want_clean(&self) {
        self.clean_wanted.notify_one();
    }

    pub(crate) async fn clean_is_wanted(&self) {
        self.clean_wanted.notified().await;
    }

    /// Records are wanted in own packs before the next check would come.
    pub(crate) fn want_settle(&self) {
        self.settle_wanted.notify_one();
    }

    pub(crate) async fn settle_is_wanted(&self) {
        self.settle_wanted.notified().await;
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

    /// A pass over so many bytes is done.
    pub(crate) fn compacted(&self, bytes: u64) {
        self.compacted_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn compacted_bytes(&self) -> u64 {
        self.compacted_bytes.load(Relaxed)
    }

    /// So many segments of a merged shared pack, of so many bytes, are in a certain slot.
    pub(crate) fn remerged(&self, segments: u64, bytes: u64) {
        self.remerged_segments.fetch_add(segments, Relaxed);
        self.remerged_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn remerged_bytes(&self) -> u64 {
        self.remerged_bytes.load(Relaxed)
    }

    pub(crate) fn remerged_segments(&self) -> u64 {
        self.remerged_segments.load(Relaxed)
    }

    /// A page of a manifest was written.
    pub(crate) fn paged(&self) {
        self.pages.fetch_add(1, Relaxed);
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Relaxed)
    }

    pub(crate) fn deleted(&self) {
        self.deleted_objects.fetch_add(1, Relaxed);
    }

    pub(crate) fn deleted_objects(&self) -> u64 {
        self.deleted_objects.load(Relaxed)
    }
}
