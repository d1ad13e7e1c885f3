//! What an engine's parts reach in common: the doors, the budgets, the list of partitions that wait for a flush, and
//! how the incarnation ended.

use crate::ended::{End, Ended};
use crate::history::clean::CleaningShare;
use crate::history::pages::Pages;
use crate::history::stats::HistoryCounts;
use crate::history::stopped::Stopped;
use crate::pack_reader::PackReader;
use crate::partition::Partition;
use crate::tail_memory::TailMemory;
use crate::wals::Wals;
use crate::{AppendError, EngineOptions};
use floe_cache::DiskCache;
use floe_env::{Env, Mutant, mutated};
use floe_objstore::{Class, Payload, Store};
use floe_types::{Generation, Incarnation, PartitionId, TopicId};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use tokio::sync::Notify;

/// Unflushed batches that all partitions together may have: bounds what memory knows of each, whatever their size.
const MAX_UNFLUSHED_BATCHES: u64 = 500_000;

/// A claim to the next generation that was sent, and whose answer is not known: it may stand.
#[derive(Debug, Clone)]
pub(crate) struct SentClaim {
    pub(crate) generation: Generation,
    pub(crate) body: Payload,
}

/// What the open partitions follow.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// A version of the catalog.
    pub(crate) version: u64,
    /// What is opened from now on takes nothing.
    pub(crate) draining: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) env: Env,
    /// For what the tail waits for.
    pub(crate) store: Store,
    /// For what readers of history wait for.
    pub(crate) replay: Store,
    /// For what is read before anything is served.
    pub(crate) recovery: Store,
    /// For settling, merging, compacting, sweeping and cleaning.
    pub(crate) merging: Store,
    pub(crate) options: EngineOptions,
    pub(crate) incarnation: Incarnation,
    pub(crate) ended: End,
    pub(crate) dirty: Dirty,
    pub(crate) tail_memory: TailMemory,
    pub(crate) packs: PackReader,
    pub(crate) pages: Pages,
    pub(crate) history: HistoryCounts,
    pub(crate) stopped: Stopped,
    pub(crate) cleaning: Mutex<CleaningShare>,
    /// Held by whoever opens or closes partitions.
    pub(crate) followed: Mutex<Followed>,
    /// Held by whoever changes the generation.
    pub(crate) sent_claim: tokio::sync::Mutex<Option<SentClaim>>,
    partitions: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    /// How often `partitions` has changed.
    led_version: AtomicU64,
    pub(crate) wals: Wals,
    /// A quorum of copies does not answer: what waits for it is flushed as soon as `object` records are.
    pub(crate) hurried: AtomicBool,
    unflushed_batches: AtomicU64,
    object_bytes: AtomicU64,
    room: Notify,
}

/// Room for one batch, given back unless it is kept.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    shared: &'a Shared,
    bytes: u64,
}

impl Reserved<'_> {
    /// The batch is in the tail: what it holds is given back when its slot is certain.
    pub(crate) fn keep(self, object: bool) {
        self.shared.dirty.grew(self.bytes, self.shared.options.flush_bytes);
        if !object {
            self.shared.object_bytes.fetch_sub(self.bytes, Relaxed);
        }
        std::mem::forget(self);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.shared.unflushed_batches.fetch_sub(1, Relaxed);
        self.shared.object_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(
        env: Env,
        store: Store,
        options: EngineOptions,
        incarnation: Incarnation,
        disk_cache: Option<DiskCache>,
    ) -> Arc<Self> {
        let packs = PackReader::new(env.clone(), &store, options.cache_bytes, disk_cache);
        Arc::new(Self {
            tail_memory: TailMemory::new(options.tail_bytes),
            pages: Pages::new(options.cache_bytes),
            env,
            replay: store.for_class(Class::Replay),
            recovery: store.for_class(Class::Recovery),
            merging: store.for_class(Class::Merging),
            store,
            options,
            incarnation,
            ended: End::new(),
            dirty: Dirty::default(),
            packs,
            history: HistoryCounts::default(),
            stopped: Stopped::default(),
            cleaning: Mutex::default(),
            followed: Mutex::default(),
            sent_claim: tokio::sync::Mutex::new(None),
            partitions: RwLock::new(BTreeMap::new()),
            led_version: AtomicU64::new(0),
            wals: Wals::default(),
            hurried: AtomicBool::new(false),
            unflushed_batches: AtomicU64::new(0),
            object_bytes: AtomicU64::new(0),
            room: Notify::new(),
        })
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.partitions.read().get(&id).cloned()
    }

    /// All partitions led here, in order.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }

    /// Read before `partitions` is, it tells later whether anything was added or taken out since.
    pub(crate) fn led_version(&self) -> u64 {
        self.led_version.load(Acquire)
    }

    /// Counts while it holds the lock: who sees the new number sees what has changed.
    fn change_partitions<T>(&self, change: impl FnOnce(&mut BTreeMap<PartitionId, Arc<Partition>>) -> T) -> T {
        let mut partitions = self.partitions.write();
        let result = change(&mut partitions);
        self.led_version.fetch_add(1, Release);
        result
    }

    pub(crate) fn add_partition(&self, partition: Arc<Partition>) {
        self.change_partitions(|partitions| partitions.insert(partition.id(), partition));
    }

    /// Takes out all partitions of a topic.
    pub(crate) fn remove_topic(&self, topic: TopicId) -> Vec<Arc<Partition>> {
        let of_topic = PartitionId { topic, index: 0 }..=PartitionId { topic, index: i32::MAX };
        self.change_partitions(|partitions| {
            let ids: Vec<PartitionId> = partitions.range(of_topic).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| partitions.remove(id)).collect()
        })
    }

    /// Takes one partition out, if it is that very one.
    pub(crate) fn remove_partition(&self, partition: &Arc<Partition>) {
        self.change_partitions(|partitions| {
            let id = partition.id();
            if partitions.get(&id).is_some_and(|there| Arc::ptr_eq(there, partition)) {
                partitions.remove(&id);
            }
        });
    }

    /// The engine is gone: nobody reaches its partitions any more but by handles of their own.
    pub(crate) fn let_go(&self) {
        self.dirty.partitions.lock().clear();
        self.change_partitions(BTreeMap::clear);
        self.wals.let_go();
    }

    /// What waits for a quorum of copies is flushed as soon as what waits for its slot.
    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried.load(Relaxed)
    }

    pub(crate) fn set_hurried(&self, hurried: bool) {
        if !self.hurried.swap(hurried, Relaxed) && hurried {
            self.dirty.mark(true);
        }
    }

    /// Room for a batch of `bytes`, whatever its durability will be.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reserved<'_>, AppendError> {
        let batches = self.unflushed_batches.fetch_add(1, Relaxed);
        let object = self.object_bytes.fetch_add(bytes, Relaxed);
        let reserved = Reserved { shared: self, bytes };
        // An empty budget takes any batch: one that is larger than the budget must not wait for ever.
        if batches >= MAX_UNFLUSHED_BATCHES || (object > 0 && object + bytes > self.options.object_unflushed_bytes) {
            return Err(AppendError::Overloaded);
        }
        Ok(reserved)
    }

    /// So much no longer waits for a slot.
    pub(crate) fn flushed(&self, batches: u64, object_bytes: u64) {
        self.unflushed_batches.fetch_sub(batches, Relaxed);
        self.object_bytes.fetch_sub(object_bytes, Relaxed);
        self.room.notify_waiters();
    }

    /// A partition was deleted with all that it held.
    pub(crate) fn released(&self, released: &crate::partition::Released) {
        self.dirty.unplanned_bytes.fetch_sub(released.unplanned_bytes, Relaxed);
        self.tail_memory.released(released.memory_bytes);
        self.flushed(released.unflushed_batches, released.object_bytes);
    }

    /// Returns when something was flushed or trimmed: an append that was refused for lack of room may succeed now.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    pub(crate) fn made_room(&self) {
        self.room.notify_waiters();
    }

    pub(crate) fn unflushed_batches(&self) -> u64 {
        self.unflushed_batches.load(Relaxed)
    }

    /// The incarnation ends: nothing more is acknowledged.
    pub(crate) fn end(&self, ended: Ended) {
        if self.ended.tell(ended.clone()) {
            match &ended {
                Ended::Drained => tracing::info!(incarnation = self.incarnation.0, "drained"),
                _ => tracing::error!(incarnation = self.incarnation.0, %ended, "this incarnation has ended"),
            }
            for partition in self.partitions() {
                partition.close_ended(&ended);
            }
        }
    }
}

/// The partitions that hold batches without a slot.
///
/// A partition is put in under its own lock and *before* its batch enters the WAL, and taken out under its own lock:
/// whoever samples the end of the WAL and looks at this list afterwards misses no entry below that end.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    partitions: Mutex<BTreeMap<PartitionId, Arc<Partition>>>,
    pub(crate) unplanned_bytes: AtomicU64,
    since: Mutex<Since>,
    news: Notify,
}

/// Since when something waits for a flush; what is `object` waits with an acknowledgement behind it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Since {
    pub(crate) any: bool,
    pub(crate) object: bool,
    /// Somebody waits for all of it.
    pub(crate) hurried: bool,
}

impl Dirty {
    pub(crate) fn insert(&self, partition: &Arc<Partition>) {
        self.partitions.lock().insert(partition.id(), partition.clone());
    }

    /// Wakes the flusher if it does not know yet that there is something of this kind.
    pub(crate) fn mark(&self, object: bool) {
        let mut since = self.since.lock();
        let news = !since.any || (object && !since.object);
        since.any = true;
        since.object |= object;
        if news {
            self.news.notify_one();
        }
    }

    /// What waits is sent without waiting for more.
    pub(crate) fn hurry(&self) {
        self.since.lock().hurried = true;
        self.news.notify_one();
    }

    /// So much more waits; the flusher is woken when that reaches `enough`.
    fn grew(&self, bytes: u64, enough: u64) {
        let before = self.unplanned_bytes.fetch_add(bytes, Relaxed);
        if before < enough && before + bytes >= enough {
            self.news.notify_one();
        }
    }

    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    pub(crate) fn since(&self) -> Since {
        *self.since.lock()
    }

    pub(crate) fn clear_since(&self) {
        *self.since.lock() = Since::default();
    }

    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.lock().values().cloned().collect()
    }

    /// One that was left may be led again meanwhile, under another epoch: its place is not taken from that one.
    pub(crate) fn remove(&self, partition: &Partition) {
        let mut partitions = self.partitions.lock();
        let is_it = partitions.get(&partition.id()).is_some_and(|there| std::ptr::eq(Arc::as_ptr(there), partition));
        if is_it || mutated(Mutant::LeftTakesPlace) {
            partitions.remove(&partition.id());
        }
    }
}
