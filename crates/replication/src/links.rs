//! A broker's links to the others: it answers on its peer listener, and asks and watches them.

use crate::{Accept, Addresses, Brokers, Dial, Identity, Me, Pong, ReplicationError, ReplicationOptions, Server, Vitals, WalVitals};
use async_trait::async_trait;
use floe_env::{Disk, Env};
use floe_log::{Links, OpenError, PeerIdentity, Peers};
use floe_metadata::cluster::BrokerEntry;
use floe_types::BrokerId;
use floe_wal::{Replicas, ReplicasOptions};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Between two signs of life of a broker that is watched.
const EVERY: Duration = Duration::from_millis(200);
/// Who is silent for so long is suspected, and asked once more.
const SUSPECT_AFTER: Duration = Duration::from_secs(1);
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
    server: Mutex<Option<Server>>,
}

impl PeerLinks {
    /// Takes connections from `accept` and keeps copies on `disk`, once an incarnation has begun.
    #[must_use]
    pub fn new(env: Env, disk: Arc<dyn Disk>, accept: Arc<dyn Accept>, network: Arc<dyn Dial>, options: ReplicationOptions) -> Self {
        Self { env, disk, accept, network, options, server: Mutex::default() }
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
        let replicas = Replicas::open(self.env.clone(), self.disk.clone(), of.disk, ReplicasOptions::default()).await?;
        let server = Server::start(&self.env, self.accept.clone(), Arc::clone(&me), replicas, Arc::new(NoWal), self.options.clone());
        *self.server.lock() = Some(server);
        let directory = Arc::new(Addresses::default());
        let brokers = Brokers { env: self.env.clone(), me, network: self.network.clone(), directory, options: self.options.clone() };
        Ok(Arc::new(PeerWatch { brokers }))
    }
}

/// A broker whose topics are all `object` writes no WAL.
#[derive(Debug)]
struct NoWal;

impl Vitals for NoWal {
    fn wal(&self) -> Option<WalVitals> {
        None
    }
}

#[derive(Debug)]
struct PeerWatch {
    brokers: Brokers,
}

/// What came of one question.
enum Sign {
    Alive,
    /// Nobody listens there, or the connection broke.
    Unreachable,
    /// Nothing was heard, or somebody else answers.
    Gone,
}

impl PeerWatch {
    async fn ask(&self, peer: &crate::Peer, broker: BrokerId, entry: &BrokerEntry) -> Sign {
        let is_it = |pong: &Pong| (pong.from.broker, pong.from.incarnation) == (broker, entry.incarnation) && pong.is_alive(LONGEST_STALL);
        match self.brokers.env.timeout(SUSPECT_AFTER, peer.ping()).await {
            Ok(Ok(pong)) if is_it(&pong) => Sign::Alive,
            Ok(Err(ReplicationError::Unreachable { .. })) => Sign::Unreachable,
            Ok(_) | Err(_) => Sign::Gone,
        }
    }
}

#[async_trait]
impl Peers for PeerWatch {
    async fn lost(&self, broker: BrokerId, entry: &BrokerEntry) {
        let peer = self.brokers.at(&entry.peer, Some(entry.disk));
        let mut was_reached = true;
        loop {
            match self.ask(&peer, broker, entry).await {
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

    async fn answers(&self, broker: BrokerId, entry: &BrokerEntry) -> bool {
        let peer = self.brokers.at(&entry.peer, Some(entry.disk));
        matches!(self.ask(&peer, broker, entry).await, Sign::Alive)
    }
}
