//! A broker's start in a cluster. Nothing is written before what can be refused has been refused.

use super::view::Followed;
use super::{Links, Member, PeerIdentity, Peers, copying, keep, lease, moves, suspect, view};
use crate::critical;
use crate::engine::Engine;
use crate::open::{Opened, run};
use crate::shared::Shared;
use crate::start::{self, Start};
use crate::{EngineOptions, OpenError};
use floe_env::{Disk, Env, Task};
use floe_formats::etcd::{BrokerEntry, IncarnationEntry, Life};
use floe_formats::{DiskIdentity, Mode, keys};
use floe_metadata::Catalog;
use floe_metadata::cluster::{Cluster, ClusterError, Lineage, Registration, StoreMarks};
use floe_objstore::{Class, Store};
use floe_types::{BrokerId, ClusterId, Incarnation};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

/// Times others may take the number that this broker wanted before the start gives up.
const CLAIM_ATTEMPTS: u32 = 64;
/// Times others may take the id that this broker wanted.
const ID_ATTEMPTS: u32 = 16;
/// The first id that is given.
const FIRST_ID: BrokerId = BrokerId(1);

/// What a broker tells its cluster, and what it reaches it by.
#[derive(Debug, Clone)]
pub struct Membership {
    pub cluster: Cluster,
    pub links: Arc<dyn Links>,
    /// The id that the data directory got, or the first that nobody has, instead of the one in the engine's options.
    pub auto_id: bool,
    /// Empty: not told.
    pub rack: String,
    /// Where Kafka clients reach this broker.
    pub host: String,
    pub port: u16,
    /// Where other brokers reach it, `host:port`.
    pub peer: String,
}

impl Engine {
    /// Joins a cluster of brokers, or begins one: leads nothing before others, or the records of ownership, give it something.
    ///
    /// # Errors
    /// Everything that [`OpenError`] names; nothing is served then, and nothing that was acknowledged is touched.
    pub async fn join(
        env: Env,
        store: Store,
        disk: Arc<dyn Disk>,
        options: EngineOptions,
        membership: Membership,
    ) -> Result<Engine, OpenError> {
        let (lock, identity) = start::take_disk(&env, &disk).await?;
        let recovery = store.for_class(Class::Recovery);
        let id = start::join_cluster(&env, &recovery, &disk, (identity, Mode::Cluster)).await?;
        found(&membership.cluster, &recovery, id).await?;
        let catalog = Arc::new(Catalog::open(env.clone(), recovery.clone()).await?.shared());
        let options = EngineOptions { in_cluster: true, ..options };
        let mut start = Start {
            env,
            store: recovery,
            disk,
            options,
            disk_id: identity.disk,
            catalog,
            recovery_packs: AtomicU32::new(0),
            recovered_bytes: AtomicU64::new(0),
        };
        let Listed { incarnation, peers, registration } = start.be_listed(id, &membership, identity).await?;
        let watch = membership.cluster.watch().await?;
        let catalog = Arc::new(start.catalog.with_store(store.for_class(Class::Tail)));
        let disk = start.disk.clone();
        let shared = Shared::new(start.env.clone(), store.clone(), start.options.clone(), incarnation, start.disk_cache());
        let marks = StoreMarks::new(start.env.clone(), store.for_class(Class::Recovery), incarnation);
        let member = Arc::new(Member {
            shared: shared.clone(),
            catalog: catalog.clone(),
            lineage: Lineage::new(membership.cluster.clone(), Arc::new(marks)),
            cluster: membership.cluster,
            start,
            peers,
            rack: membership.rack,
            registration,
            followed: Followed::new(watch.view().clone()),
            reach: super::reach::Reach::default(),
            recovering: parking_lot::Mutex::default(),
            led: parking_lot::Mutex::default(),
        });
        let tasks = member.tasks(watch);
        Ok(run(Opened { shared, disk, identity, cluster: id, catalog, lock, member: Some((member, tasks)) }))
    }
}

/// A life that others know of.
struct Listed {
    incarnation: Incarnation,
    peers: Arc<dyn Peers>,
    registration: Registration,
}

impl Start {
    /// Claims a number, answers others, and is listed as alive; where the id is the cluster's to give, under one that nobody has.
    async fn be_listed(&mut self, cluster: ClusterId, membership: &Membership, identity: DiskIdentity) -> Result<Listed, OpenError> {
        let is_free = membership.auto_id && identity.broker.is_none();
        for attempt in 1.. {
            if membership.auto_id {
                self.options.broker = match identity.broker {
                    Some(kept) => kept,
                    None => membership.cluster.free_broker_id(FIRST_ID).await?,
                };
            }
            let broker = self.options.broker;
            if !is_free {
                membership.cluster.may_have_id(broker, identity.disk).await?;
            }
            let incarnation = self.begin(&membership.cluster).await?;
            let peers = membership.links.begin(PeerIdentity { cluster, broker, disk: identity.disk, incarnation }).await?;
            match membership.cluster.register(broker, membership.entry(incarnation, identity)).await {
                Ok(registration) => {
                    if is_free {
                        // Theirs from now on, for as long as the data directory lasts.
                        let identity = DiskIdentity { cluster: Some(cluster), broker: Some(broker), ..identity };
                        start::write_identity(&self.env, &self.disk, &identity).await?;
                    }
                    return Ok(Listed { incarnation, peers, registration });
                }
                // Another was faster to the same id. That life of this disk is over: it is ended as former ones are.
                Err(ClusterError::BrokerIdTaken { .. }) if is_free && attempt < ID_ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OpenError::Ended(crate::Ended::Fenced { by: None, found: "other brokers take every id first".into() }))
    }
}

impl Membership {
    fn entry(&self, incarnation: Incarnation, identity: DiskIdentity) -> BrokerEntry {
        BrokerEntry {
            incarnation,
            disk: identity.disk,
            rack: self.rack.clone(),
            host: self.host.clone(),
            port: self.port,
            peer: self.peer.clone(),
        }
    }
}

impl Member {
    fn tasks(self: &Arc<Self>, watch: floe_metadata::cluster::Watch) -> Vec<Task<()>> {
        let (shared, ttl) = (&self.shared, self.cluster.lease_ttl());
        vec![
            critical::spawn(shared, "follow etcd", view::follow(self.clone(), watch)),
            critical::spawn(shared, "keep what is led", keep::run(self.clone())),
            critical::spawn(shared, "move partitions", moves::run(self.clone())),
            critical::spawn(shared, "keep the lease", lease::keep(self.clone(), ttl)),
            critical::spawn(shared, "watch others", suspect::run(self.clone())),
            critical::spawn(shared, "keep copies", copying::run(self.clone())),
        ]
    }
}

/// Makes sure that etcd and the store are of the same cluster, and that etcd remembers what the store has.
async fn found(cluster: &Cluster, store: &Store, id: ClusterId) -> Result<(), OpenError> {
    let mut stands = cluster.founded().await?;
    if stands.is_none() {
        let has_lives = !store.list_folders(&keys::chains_prefix()).await?.is_empty();
        // Another may have founded it, and claimed, between the two looks.
        stands = if has_lives { cluster.founded().await? } else { Some(cluster.found(id).await?) };
    }
    match stands {
        Some(stands) if stands == id => Ok(()),
        Some(stands) => Err(OpenError::OtherEtcd { etcd: stands.to_string(), store: id.to_string() }),
        None => Err(OpenError::EtcdForgot { store: id.to_string() }),
    }
}

impl Start {
    /// Claims the first number that nobody has taken (R1), and lists it as open.
    async fn begin(&self, cluster: &Cluster) -> Result<Incarnation, OpenError> {
        for _ in 0..CLAIM_ATTEMPTS {
            let folders = self.store.list_folders(&keys::chains_prefix()).await?;
            let newest = folders.iter().filter_map(|name| keys::parse_chain_folder(name).ok()).max().unwrap_or_default();
            let newest = newest.max(cluster.greatest_incarnation().await?);
            let Some(incarnation) = self.claim_next(newest, (false, None)).await? else { continue };
            let entry = IncarnationEntry { broker: self.options.broker, disk: self.disk_id, started_ms: self.env.now_ms() };
            match cluster.open_incarnation(incarnation, &entry).await {
                Ok(()) => return Ok(incarnation),
                Err(ClusterError::NumberTaken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OpenError::Ended(crate::Ended::Fenced { by: None, found: "other brokers keep starting on this store".into() }))
    }
}

/// Earlier lives on this disk: nobody else has its lock, so they are over for certain.
pub(super) fn former_lives(member: &Member, view: &floe_metadata::cluster::ClusterView) -> Vec<Incarnation> {
    let is_former = |(incarnation, entry): &(&Incarnation, &IncarnationEntry)| {
        entry.disk == member.start.disk_id
            && **incarnation != member.me()
            && view.lives().get(*incarnation).is_some_and(|life| *life != Life::Closed)
    };
    view.incarnations().iter().filter(is_former).map(|(incarnation, _)| *incarnation).collect()
}

/// Between two looks at what no view tells.
pub(super) const LOOK: Duration = Duration::from_millis(500);
