//! A start, step by step. Nothing is written before everything that can be refused has been refused, and no slot is
//! created before the predecessor's `end` stands.

use crate::cluster::Member;
use crate::critical;
use crate::engine::{Engine, Owned};
use crate::flush::Flusher;
use crate::history;
use crate::history::clean::Cleaner;
use crate::partition::{Line, Partition};
use crate::shared::Shared;
use crate::start::{self, Chains, Start};
use crate::topics::durability_of;
use crate::wals::OwnWal;
use crate::{Durability, EngineOptions, OpenError};
use floe_cache::{DiskCache, DiskCacheOptions};
use floe_env::{Disk, DiskLock, Env, Task};
use floe_formats::{DiskIdentity, Mode, PartitionIndex};
use floe_metadata::{Catalog, MetadataError};
use floe_objstore::{Class, Store};
use floe_types::{ClusterId, ErrorKind, Generation, Incarnation, LeaderEpoch, PartitionId};
use floe_wal::{Wal, WalOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes that wait for a fdatasync: what a disk that hangs may hold in memory before producers are told to wait.
const PENDING_BYTES: u64 = 64 << 20;
/// How long a recovery that has begun waits for a store that does not answer, and how long between two attempts. To end would
/// leave the next start one more chain to recover, and so on (T22).
const RECOVERY_PATIENCE: Duration = Duration::from_secs(600);
const RECOVERY_PAUSE: Duration = Duration::from_millis(500);
/// Bytes a second that the cache on the disk may write: the disk is the WAL's first.
const DISK_CACHE_PACE: u64 = 16 << 20;
/// Times another broker may take the number that this one wanted before the start gives up.
const CLAIM_ATTEMPTS: u32 = 16;

impl Engine {
    /// Takes the store over: ends the predecessor's chain, and leads every partition from where it ended.
    ///
    /// # Errors
    /// Everything that [`OpenError`] names; nothing is served then, and nothing that was acknowledged is touched.
    pub async fn open(env: Env, store: Store, disk: Arc<dyn Disk>, options: EngineOptions) -> Result<Engine, OpenError> {
        let (lock, identity) = start::take_disk(&env, &disk).await?;
        let recovery = store.for_class(Class::Recovery);
        let cluster = start::join_cluster(&env, &recovery, &disk, (identity, Mode::Single)).await?;
        let catalog = Arc::new(Catalog::open(env.clone(), recovery.clone()).await?);
        let start = Start {
            env,
            store: recovery,
            disk,
            options,
            disk_id: identity.disk,
            catalog,
            recovery_packs: AtomicU32::new(0),
            recovered_bytes: AtomicU64::new(0),
        };
        let wal = start.needs_wal();
        let (incarnation, inherited) = start.succeed(wal).await?;
        start.remove_old_wals(incarnation).await?;
        let catalog = Arc::new(start.catalog.with_store(store.for_class(Class::Tail)));
        let shared = Shared::new(start.env.clone(), store, start.options.clone(), incarnation, start.disk_cache());
        if wal {
            shared.wals.begin(open_wal(&shared, &start.disk, Generation(0)).await?);
        }
        let epoch = epoch_of(incarnation);
        let view = start.catalog_view();
        for topic in view.topics() {
            let durability = durability_of(topic, &start.options);
            for index in 0..topic.partitions {
                let id = PartitionId { topic: topic.id, index };
                let left = inherited.get(&id).cloned().unwrap_or_else(|| Line::empty(id).to_index());
                shared.add_partition(Partition::open(shared.clone(), left, epoch, durability));
            }
        }
        shared.followed.lock().version = view.version;
        Ok(run(Opened { shared, disk: start.disk.clone(), identity, cluster, catalog, lock, member: None }))
    }
}

/// Everything of an engine but what works for it.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: DiskIdentity,
    pub(crate) cluster: ClusterId,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) lock: DiskLock,
    pub(crate) member: Option<(Arc<Member>, Vec<Task<()>>)>,
}

/// Begins to flush, to settle, and to delete.
pub(crate) fn run(opened: Opened) -> Engine {
    let Opened { shared, disk, identity, cluster, catalog, lock, member } = opened;
    let (drains, receiver) = mpsc::channel(1);
    let (merges, slots) = mpsc::channel(1);
    let flusher = critical::spawn(&shared, "flush", Flusher::new(shared.clone(), receiver, slots).run());
    let retention = critical::spawn(&shared, "retention", history::retention::run(shared.clone(), catalog.clone()));
    let settler = critical::spawn(&shared, "settle", history::settle::run(shared.clone(), merges));
    let compactor = critical::spawn(&shared, "compact", history::compact::run(shared.clone(), catalog.clone()));
    let sweeper = critical::spawn(&shared, "sweep", history::sweep::run(shared.clone()));
    let cleaner = critical::spawn(&shared, "clean", Cleaner::new(shared.clone(), catalog.clone()).run());
    Engine::new(Owned {
        shared,
        disk,
        disk_id: identity.disk,
        cluster,
        catalog,
        lock,
        flusher,
        retention,
        settler,
        compactor,
        sweeper,
        cleaner,
        drains,
        producers: AtomicU64::new(0),
        member,
    })
}

/// An incarnation leads everything it owns under its own number.
pub(crate) fn epoch_of(incarnation: Incarnation) -> LeaderEpoch {
    LeaderEpoch::try_from(incarnation.0).unwrap_or(LeaderEpoch::MAX)
}

/// Begins the WAL of a generation whose claim stands, and ends the incarnation when the WAL fails.
pub(crate) async fn open_wal(shared: &Arc<Shared>, disk: &Arc<dyn Disk>, generation: Generation) -> Result<OwnWal, OpenError> {
    let wal = Wal::create(shared.env.clone(), disk.clone(), wal_options(shared, generation)).await?;
    watch_wal(shared, &wal);
    Ok(OwnWal { generation, wal, disk: disk.clone(), copied: None, _watch: None })
}

/// How the WAL of a generation is laid out and bounded.
pub(crate) fn wal_options(shared: &Shared, generation: Generation) -> WalOptions {
    let dir = start::wal_dir(shared.incarnation, generation);
    let EngineOptions { wal_budget: budget, wal_file_bytes: file_bytes, .. } = shared.options;
    WalOptions { budget, file_bytes, pending_bytes: PENDING_BYTES, ..WalOptions::new(shared.incarnation, generation, dir) }
}

/// Ends the incarnation when its WAL fails.
pub(crate) fn watch_wal(shared: &Arc<Shared>, wal: &Arc<Wal>) {
    let (watched, shared_too) = (wal.clone(), shared.clone());
    let watch = async move {
        let error = watched.failed().await;
        shared_too.end(crate::Ended::Failed { why: error.to_string() });
    };
    shared.env.spawn("watch the WAL", watch).detach_to_group();
}

impl Start {
    /// The cache on the data directory's disk, if it may take anything there.
    pub(crate) fn disk_cache(&self) -> Option<DiskCache> {
        let budget = self.options.disk_cache_bytes;
        let options = DiskCacheOptions { dir: "cache".to_owned(), budget, write_bytes_per_second: DISK_CACHE_PACE };
        (budget > 0).then(|| DiskCache::start(&self.env, self.disk.clone(), options))
    }

    /// Whether anything of the catalog, or the default, asks for this disk's word.
    fn needs_wal(&self) -> bool {
        let local = |topic: &Arc<floe_formats::Topic>| durability_of(topic, &self.options) == Durability::Local;
        self.options.durability == Durability::Local || self.catalog_view().topics().any(local)
    }

    /// Claims the next incarnation and ends all that came before, the oldest first. What the last one left.
    async fn succeed(&self, wal: bool) -> Result<(Incarnation, BTreeMap<PartitionId, PartitionIndex>), OpenError> {
        for _ in 0..CLAIM_ATTEMPTS {
            let chains = self.chains().await?;
            self.refuse_local_elsewhere(&chains).await?;
            let base = (chains.newest.0 > 0).then_some(chains.newest);
            let Some(incarnation) = self.claim_next(chains.newest, (wal, base)).await? else { continue };
            let mut last = None;
            for predecessor in &chains.open {
                last = Some(self.patiently(async || self.recover(predecessor, incarnation, None).await).await?);
            }
            let last = match (last, chains.ended) {
                (Some(end), _) => Some(end),
                (None, Some(ended)) => Some(self.patiently(async || self.read_end(ended).await).await?),
                (None, None) => None,
            };
            let taking = self.patiently(async || self.take_catalog(&chains, incarnation).await);
            let (taken, adopted) = futures::join!(taking, self.patiently(async || start::is_adopted(&self.store).await));
            taken?;
            if adopted? {
                return Err(OpenError::ClusterStore);
            }
            let lines = last.map(|end| end.index.partitions).unwrap_or_default();
            return Ok((incarnation, lines.into_iter().map(|line| (line.partition, line)).collect()));
        }
        Err(OpenError::Ended(crate::Ended::Fenced { by: None, found: "other brokers keep starting on this store".into() }))
    }

    /// The predecessor may have changed topics until its row was stopped. If it did not end by itself it may live, and want to
    /// change more: it is kept from that (T16).
    async fn take_catalog(&self, chains: &Chains, incarnation: Incarnation) -> Result<(), OpenError> {
        let taken = if chains.open.is_empty() { self.catalog.refresh().await } else { self.catalog.take(incarnation).await };
        taken.map_err(|error| match error {
            MetadataError::Fenced { by } => OpenError::Ended(crate::Ended::Fenced { by: Some(by), found: error.to_string() }),
            error => error.into(),
        })
    }

    /// Does one step again and again while the store does not answer. Every step may be taken up in its middle.
    async fn patiently<T>(&self, step: impl AsyncFn() -> Result<T, OpenError>) -> Result<T, OpenError> {
        let give_up = self.env.monotonic() + RECOVERY_PATIENCE;
        loop {
            match step().await {
                Err(error @ (OpenError::Store(_) | OpenError::Metadata(_)))
                    if error.kind() == ErrorKind::Retry && self.env.monotonic() < give_up =>
                {
                    tracing::warn!(%error, "the store does not answer in the middle of a recovery; trying again");
                    self.env.sleep(RECOVERY_PAUSE).await;
                }
                done => return done,
            }
        }
    }
}
