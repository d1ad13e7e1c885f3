//! The handle that the broker holds: partitions by id, the catalog, producer ids, and the end.

use crate::cluster::Member;
use crate::drain::{Drain, close_chain, stop_appending};
use crate::shared::Shared;
use crate::{Ended, EngineOptions, Partition};
use floe_env::{Disk, DiskLock, Task};
use floe_metadata::Catalog;
use floe_metadata::cluster::{ClusterError, ClusterView};
use floe_types::{BrokerId, ClusterId, DiskId, Incarnation, PartitionId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;

/// What this process has and keeps for as long as the engine lives.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) shared: Arc<Shared>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) disk_id: DiskId,
    pub(crate) cluster: ClusterId,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) lock: DiskLock,
    pub(crate) flusher: Task<()>,
    pub(crate) retention: Task<()>,
    pub(crate) settler: Task<()>,
    pub(crate) compactor: Task<()>,
    pub(crate) sweeper: Task<()>,
    pub(crate) cleaner: Task<()>,
    pub(crate) drains: mpsc::Sender<Drain>,
    pub(crate) producers: AtomicU64,
    /// What a broker of a cluster has besides.
    pub(crate) member: Option<(Arc<Member>, Vec<Task<()>>)>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Partitions hold on to what they share: without this neither would ever be freed.
        self.shared.let_go();
    }
}

/// One incarnation's log. Clones are handles on the same one; when the last is dropped, its tasks end.
#[derive(Debug, Clone)]
pub struct Engine {
    owned: Arc<Owned>,
}

impl Engine {
    pub(crate) fn new(owned: Owned) -> Self {
        Self { owned: Arc::new(owned) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owned.shared
    }

    pub(crate) fn owned(&self) -> &Owned {
        &self.owned
    }

    /// Topics and their settings.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.owned.catalog
    }

    /// A partition that this broker leads.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.owned.shared.partition(id)
    }

    /// A number that changes whenever a partition begins or ceases to be led here.
    #[must_use]
    pub fn led_version(&self) -> u64 {
        self.owned.shared.led_version()
    }

    /// What etcd says, as far as it was seen here; none for a single broker, which leads everything.
    #[must_use]
    pub fn cluster_view(&self) -> Option<Arc<ClusterView>> {
        self.owned.member.as_ref().map(|(member, _)| member.view())
    }

    /// A number that grows with every [`Engine::cluster_view`]; 0 for a single broker.
    #[must_use]
    pub fn cluster_views(&self) -> u64 {
        self.owned.member.as_ref().map_or(0, |(member, _)| member.views())
    }

    /// Returns once all partitions have leaders who are there, after half a second at most: before clients are told who leads what. At once for a single broker.
    pub async fn leaders_are_known(&self) {
        if let Some((member, _)) = &self.owned.member {
            member.leaders_are_known().await;
        }
    }

    /// Whether an incarnation that etcd names as a leader is to be named to clients: not if it refuses connections just now.
    #[must_use]
    pub fn may_lead(&self, incarnation: floe_types::Incarnation) -> bool {
        self.owned.member.as_ref().is_none_or(|(member, _)| !member.refuses(incarnation))
    }

    /// Whether it is about to end: it takes nothing more, in a cluster others are about to lead what it leads.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.owned.shared.followed.lock().draining
    }

    /// Returns when somebody has asked etcd for this incarnation to drain; never for a single broker.
    pub async fn asked_to_drain(&self) {
        match &self.owned.member {
            Some((member, _)) => member.asked_to_drain().await,
            None => std::future::pending().await,
        }
    }

    /// Says which brokers should lead partitions; none: anybody. Their owners move them there as soon as they can.
    ///
    /// # Errors
    /// etcd's; `Invalid` for a single broker.
    pub async fn prefer_leaders(&self, wishes: &[(PartitionId, Option<BrokerId>)]) -> Result<(), ClusterError> {
        match &self.owned.member {
            Some((member, _)) => member.prefer(wishes).await,
            None => Err(ClusterError::Invalid("a single broker leads everything".into())),
        }
    }

    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.owned.cluster
    }

    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.owned.shared.incarnation
    }

    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.owned.shared.options
    }

    pub(crate) fn recoveries(&self) -> Vec<(floe_types::Incarnation, Option<String>)> {
        self.owned.member.as_ref().map(|(member, _)| member.recoveries()).unwrap_or_default()
    }

    pub(crate) fn recovered_bytes(&self) -> u64 {
        self.owned.member.as_ref().map_or(0, |(member, _)| member.recovered_bytes())
    }

    /// A producer id that was never given and never will be: (incarnation, counter), R23.
    #[must_use]
    pub fn allocate_producer_id(&self) -> i64 {
        let counter = self.owned.producers.fetch_add(1, Relaxed);
        i64::try_from(self.owned.shared.incarnation.0 << 32 | counter & 0xffff_ffff).unwrap_or(i64::MAX)
    }

    /// Waits, up to `limit`, until something was flushed: an append that was refused for lack of room may succeed then.
    pub async fn wait_for_room(&self, limit: Duration) {
        // Either way the caller tries again.
        let _waited = self.owned.shared.env.timeout(limit, self.owned.shared.room()).await;
    }

    /// How this incarnation ended, once it has.
    #[must_use]
    pub fn has_ended(&self) -> Option<Ended> {
        self.owned.shared.ended.get()
    }

    /// Waits for the end of this incarnation.
    pub async fn ended(&self) -> Ended {
        self.owned.shared.ended.wait().await
    }

    /// Accepts nothing more, flushes everything, and closes the chain (SIGTERM). Waits for the store for as long as it
    /// takes; the caller bounds it.
    pub async fn drain(&self) -> Ended {
        if let Some((member, _)) = &self.owned.member {
            return member.drain(&self.owned.drains).await;
        }
        stop_appending(&self.owned.shared);
        close_chain(&self.owned.shared, &self.owned.drains).await
    }

    /// Whether the data directory is still this process's, and the log's tasks run.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let _held: &DiskLock = &self.owned.lock;
        self.owned.shared.ended.get().is_none()
            && [
                &self.owned.flusher,
                &self.owned.retention,
                &self.owned.settler,
                &self.owned.compactor,
                &self.owned.sweeper,
                &self.owned.cleaner,
            ]
            .into_iter()
            .chain(self.owned.member.iter().flat_map(|(_, tasks)| tasks))
            .all(|task| !task.is_finished())
    }
}
