//! A broker's links to the others: it answers on its peer listener, asks and watches them, and ships its own WALs to them.

use crate::{
    Accept, Addresses, Brokers, Dial, Identity, Me, PeerCopies, Pong, ReplicationError, ReplicationOptions, Server, Shipping, Vitals,
    WalVitals, choose, shipping::Shipped,
};
use async_trait::async_trait;
use floe_env::{Disk, Env};
use floe_log::copies::{Candidate, CopiedWal, Copies, CopySet};
use floe_log::{Links, OpenError, PeerIdentity, Peers};
use floe_metadata::cluster::{BrokerEntry, ClusterView};
use floe_types::{DiskId, Incarnation};
use floe_wal::{Replicas, ReplicasOptions, Wal, WalError, WalOptions};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Disks that are asked at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Between two signs of life of a broker that is watched.
const EVERY: Duration = Duration::from_millis(200);
/// Who is silent for so long is suspected, and asked once more.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);
/// What a question to a third broker takes besides.
const ON_THE_WAY: Duration = Duration::from_millis(250);
/// A disk that has not been done with a write for so long does not move (T69).
const LONGEST_STALL: Duration = Duration::from_secs(5);

/// The peer listener, and the way to other brokers.
#[derive(Debug)]
pub struct PeerLinks {
    env: Env,
    disk: Arc<dyn Disk>,
    accept: Arc<dyn Accept>,
    network: Arc<dyn Dial>,
    options: ReplicationOptions,
    replicas: ReplicasOptions,
    server: Mutex<Option<Server>>,
}

impl PeerLinks {
    /// Takes connections from `accept` and keeps copies on `disk`, once an incarnation has begun.
    #[must_use]
    pub fn new(env: Env, disk: Arc<dyn Disk>, accept: Arc<dyn Accept>, network: Arc<dyn Dial>, options: ReplicationOptions) -> Self {
        Self { env, disk, accept, network, options, replicas: ReplicasOptions::default(), server: Mutex::default() }
    }

    /// How copies of others' WALs are laid out and bounded.
    #[must_use]
    pub fn with_replicas(self, replicas: ReplicasOptions) -> Self {
        Self { replicas, ..self }
    }

    /// Answers nobody any more: when one's own chain has ended.
    pub async fn stop(&self, limit: Duration) {
        let server = self.server.lock().take();
        if let Some(server) = server {
            server.stop(&self.env, limit).await;
        }
    }
}

#[async_trait]
impl Links for PeerLinks {
    async fn begin(&self, of: PeerIdentity) -> Result<Arc<dyn Peers>, OpenError> {
        let identity = Identity { cluster: of.cluster, broker: of.broker, disk: of.disk, incarnation: of.incarnation };
        let me = Arc::new(Me::new(identity));
        let replicas = Replicas::open(self.env.clone(), self.disk.clone(), of.disk, self.replicas.clone()).await?;
        let directory = Arc::new(Addresses::default());
        let (addresses, network) = (Arc::clone(&directory), self.network.clone());
        let brokers = Brokers { env: self.env.clone(), me: me.clone(), network, directory, options: self.options.clone() };
        let own = Arc::new(Own { brokers: brokers.clone(), wals: Mutex::default() });
        let vitals: Arc<dyn Vitals> = own.clone();
        let server = Server::start(&self.env, self.accept.clone(), me, replicas.clone(), vitals, self.options.clone());
        *self.server.lock() = Some(server);
        let copies = PeerCopies::new(brokers.clone(), replicas.clone());
        Ok(Arc::new(PeerWatch { brokers, addresses, replicas, copies, own }))
    }
}

/// What others are told of this broker.
#[derive(Debug)]
struct Own {
    brokers: Brokers,
    /// The WAL that it writes now.
    wals: Mutex<Option<(Weak<Wal>, Weak<Shipping>)>>,
}

#[async_trait]
impl Vitals for Own {
    fn wal(&self) -> Option<WalVitals> {
        let own = self.wals.lock();
        let (wal, shipping) = own.as_ref()?;
        let (wal, shipping) = (wal.upgrade()?, shipping.upgrade()?);
        Some(WalVitals {
            generation: wal.options().generation,
            end: wal.end(),
            durable: wal.durable(),
            committed: shipping.committed(),
            stalled: wal.stalled(),
        })
    }

    async fn reaches(&self, disk: DiskId, incarnation: Incarnation) -> bool {
        let Ok(peer) = self.brokers.peer(disk) else { return false };
        matches!(ask(&self.brokers.env, &peer, incarnation).await, Sign::Alive)
    }
}

#[derive(Debug)]
struct PeerWatch {
    brokers: Brokers,
    addresses: Arc<Addresses>,
    replicas: Replicas,
    copies: PeerCopies,
    own: Arc<Own>,
}

/// What came of one question.
enum Sign {
    Alive,
    /// Nobody listens there, or the connection broke.
    Unreachable,
    /// Nothing was heard, or somebody else answers.
    Gone,
}

async fn ask(env: &Env, peer: &crate::Peer, incarnation: Incarnation) -> Sign {
    let is_it = |pong: &Pong| pong.from.incarnation == incarnation && pong.is_alive(LONGEST_STALL);
    match env.timeout(SUSPECT_AFTER, peer.ping()).await {
        Ok(Ok(pong)) if is_it(&pong) => Sign::Alive,
        Ok(Err(ReplicationError::Unreachable { .. })) => Sign::Unreachable,
        Ok(_) | Err(_) => Sign::Gone,
    }
}

impl PeerWatch {
    async fn ask(&self, entry: &BrokerEntry) -> Sign {
        ask(&self.brokers.env, &self.brokers.at(&entry.peer, Some(entry.disk)), entry.incarnation).await
    }
}

#[async_trait]
impl Peers for PeerWatch {
    async fn lost(&self, entry: &BrokerEntry) {
        let peer = self.brokers.at(&entry.peer, Some(entry.disk));
        let mut was_reached = true;
        loop {
            match ask(&self.brokers.env, &peer, entry.incarnation).await {
                Sign::Alive => {
                    was_reached = true;
                    self.brokers.env.sleep(EVERY).await;
                }
                // A connection that broke is dialled again at once.
                Sign::Unreachable if was_reached => was_reached = false,
                Sign::Unreachable | Sign::Gone => return,
            }
        }
    }

    async fn answers(&self, entry: &BrokerEntry) -> bool {
        matches!(self.ask(entry).await, Sign::Alive)
    }

    async fn is_reached_by(&self, entry: &BrokerEntry, others: &[BrokerEntry]) -> bool {
        let ask = |other: &BrokerEntry| {
            let (peer, of) = (self.brokers.at(&other.peer, Some(other.disk)), entry.clone());
            async move { peer.reaches(of.disk, of.incarnation).await.unwrap_or(false) }
        };
        let mut answers = stream::iter(others).map(ask).buffer_unordered(ASKED_AT_ONCE);
        let any = async {
            while let Some(reached) = answers.next().await {
                if reached {
                    return true;
                }
            }
            false
        };
        self.brokers.env.timeout(SUSPECT_AFTER + ON_THE_WAY, any).await.unwrap_or(false)
    }

    async fn refuses(&self, entry: &BrokerEntry) -> bool {
        // A connection that broke long ago is dialled again.
        matches!(self.ask(entry).await, Sign::Unreachable) && matches!(self.ask(entry).await, Sign::Unreachable)
    }

    fn follow(&self, view: &ClusterView) {
        for entry in view.brokers().values() {
            self.addresses.set(entry.disk, entry.peer.as_str());
        }
    }

    fn copies(&self) -> &dyn Copies {
        &self.copies
    }

    async fn answering(&self, disks: Vec<DiskId>) -> BTreeSet<DiskId> {
        let ask = |disk: DiskId| async move {
            let peer = self.brokers.peer(disk).ok()?;
            let pong = self.brokers.env.timeout(SUSPECT_AFTER, peer.ping()).await.ok()?.ok()?;
            pong.is_alive(LONGEST_STALL).then_some(disk)
        };
        let answers: Vec<Option<DiskId>> = stream::iter(disks).map(ask).buffer_unordered(ASKED_AT_ONCE).collect().await;
        answers.into_iter().flatten().collect()
    }

    fn choose(&self, own: &Candidate, live: &[Candidate], in_use: Option<&CopySet>) -> Option<CopySet> {
        choose(own, live, in_use)
    }

    async fn begin_wal(&self, options: WalOptions, set: &CopySet) -> Result<Arc<dyn CopiedWal>, WalError> {
        let shipping = Shipping::new(self.brokers.clone(), set)?;
        let tap: Arc<dyn floe_wal::Tap> = shipping.clone();
        let wal = self.replicas.create_own(options, Some(tap)).await?;
        shipping.start(&wal);
        *self.own.wals.lock() = Some((Arc::downgrade(&wal), Arc::downgrade(&shipping)));
        Ok(Arc::new(Shipped { wal, shipping }))
    }

    fn kept(&self) -> Vec<Incarnation> {
        self.replicas.list().into_iter().map(|(incarnation, _)| incarnation).collect()
    }

    async fn remove(&self, incarnation: Incarnation) -> Result<(), WalError> {
        self.replicas.remove(incarnation).await
    }
}
