//! The way between brokers: who is there, who stands still, and who cannot be reached by whom. What they ask one another goes over pipes with seeded delays; who
//! watches whom is asked of the net itself, which is the same and costs less.

use super::pipes::Pipes;
use async_trait::async_trait;
use floe_env::{Disk, Env, Watched};
use floe_formats::etcd::BrokerEntry;
use floe_log::copies::{Candidate, CopiedWal, Copies, CopySet};
use floe_log::{Links, OpenError, PeerIdentity, Peers};
use floe_metadata::cluster::ClusterView;
use floe_replication::{PeerLinks, ReplicationOptions};
use floe_types::{DiskId, Incarnation};
use floe_wal::{ReplicasOptions, WalError, WalOptions};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(200);
const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// The network of one world.
#[derive(Debug, Clone)]
pub(super) struct Net(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Counts changes of what gets through.
    changes: Watched<u64>,
    pipes: Pipes,
}

#[derive(Debug, Default)]
struct State {
    /// Lives that answer, and where.
    lives: BTreeMap<Incarnation, usize>,
    frozen: BTreeSet<usize>,
    /// From whom to whom nothing gets through.
    cuts: BTreeSet<(usize, usize)>,
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Answered,
    Refused,
    Silent,
}

impl Net {
    pub(super) fn new(env: &Env) -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), changes: Watched::new(0), pipes: Pipes::new(env) }))
    }

    /// The process on this machine is gone.
    pub(super) fn died(&self, node: usize) {
        self.change(|state| {
            state.lives.retain(|_, at| *at != node);
            state.frozen.remove(&node);
        });
        self.0.pipes.down(node);
    }

    pub(super) fn set_frozen(&self, node: usize, frozen: bool) {
        self.change(|state| if frozen { state.frozen.insert(node) } else { state.frozen.remove(&node) });
    }

    pub(super) fn cut(&self, from: usize, to: usize) {
        self.change(|state| state.cuts.insert((from, to)));
    }

    pub(super) fn heal(&self) {
        self.change(|state| state.cuts.clear());
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.0.state.lock());
        self.0.changes.set_if(|count| {
            *count += 1;
            true
        });
    }

    /// Waits until what one sends gets to the other.
    pub(super) async fn open(&self, from: usize, to: usize) {
        let is_open = || {
            let state = self.0.state.lock();
            !state.cuts.contains(&(from, to)) && !state.frozen.contains(&from) && !state.frozen.contains(&to)
        };
        self.0.changes.wait_for(|_| is_open()).await;
    }

    pub(super) fn pipes(&self) -> &Pipes {
        &self.0.pipes
    }

    /// How one node reaches the others.
    pub(super) fn links(&self, env: Env, node: usize, disk: Arc<dyn Disk>) -> Arc<dyn Links> {
        let (accept, dial) = (self.0.pipes.listen(node), self.0.pipes.host(self.clone(), node));
        let real = PeerLinks::new(env.clone(), disk, accept, dial, options()).with_replicas(replicas());
        Arc::new(SimLinks { net: self.clone(), env, node, real: Arc::new(real) })
    }

    /// What comes of asking one life whether another answers it.
    fn way_over(&self, from: usize, by: Incarnation, of: Incarnation) -> Way {
        let at = self.0.state.lock().lives.get(&by).copied();
        match (self.way(from, by), at) {
            (Way::Answered, Some(at)) => self.way(at, of),
            (way, _) => way,
        }
    }

    fn way(&self, from: usize, to: Incarnation) -> Way {
        let state = self.0.state.lock();
        let Some(at) = state.lives.get(&to) else { return Way::Refused };
        let is_cut = state.cuts.contains(&(from, *at)) || state.cuts.contains(&(*at, from));
        if is_cut || state.frozen.contains(at) { Way::Silent } else { Way::Answered }
    }
}

/// Small windows, so that much happens in little.
fn options() -> ReplicationOptions {
    ReplicationOptions {
        piece_bytes: 8_000,
        ring_bytes: 40_000,
        window_bytes: 64 << 10,
        ack_timeout: Duration::from_secs(2),
        call_timeout: Duration::from_secs(3),
        keep_alive: Duration::from_secs(4),
        ..ReplicationOptions::default()
    }
}

fn replicas() -> ReplicasOptions {
    ReplicasOptions { budget: 16 << 20, most: 64, file_bytes: 16 << 10, pending_bytes: 80 << 10, max_group_bytes: 6 << 10 }
}

#[derive(Debug)]
struct SimLinks {
    net: Net,
    env: Env,
    node: usize,
    real: Arc<PeerLinks>,
}

#[async_trait]
impl Links for SimLinks {
    async fn begin(&self, of: PeerIdentity) -> Result<Arc<dyn Peers>, OpenError> {
        let (links, real) = (self.real.clone(), self.real.begin(of).await?);
        self.net.change(|state| state.lives.insert(of.incarnation, self.node));
        Ok(Arc::new(SimPeers { net: self.net.clone(), env: self.env.clone(), node: self.node, real, _links: links }))
    }
}

#[derive(Debug)]
struct SimPeers {
    net: Net,
    env: Env,
    node: usize,
    real: Arc<dyn Peers>,
    /// Answers for as long as it is there.
    _links: Arc<PeerLinks>,
}

#[async_trait]
impl Peers for SimPeers {
    async fn lost(&self, entry: &BrokerEntry) {
        while self.answers(entry).await {
            self.env.sleep(EVERY).await;
        }
    }

    async fn answers(&self, entry: &BrokerEntry) -> bool {
        self.env.sleep(Duration::from_millis(1)).await;
        match self.net.way(self.node, entry.incarnation) {
            Way::Answered => true,
            Way::Refused => false,
            Way::Silent => {
                self.env.sleep(SUSPECT_AFTER).await;
                self.net.way(self.node, entry.incarnation) == Way::Answered
            }
        }
    }

    async fn is_reached_by(&self, entry: &BrokerEntry, others: &[BrokerEntry]) -> bool {
        self.env.sleep(Duration::from_millis(2)).await;
        let ways = || others.iter().map(|other| self.net.way_over(self.node, other.incarnation, entry.incarnation)).collect::<Vec<_>>();
        let now = ways();
        if now.contains(&Way::Silent) && !now.contains(&Way::Answered) {
            self.env.sleep(SUSPECT_AFTER).await;
            return ways().contains(&Way::Answered);
        }
        now.contains(&Way::Answered)
    }

    async fn refuses(&self, entry: &BrokerEntry) -> bool {
        self.env.sleep(Duration::from_millis(1)).await;
        self.net.way(self.node, entry.incarnation) == Way::Refused
    }

    fn follow(&self, view: &ClusterView) {
        self.real.follow(view);
    }

    fn copies(&self) -> &dyn Copies {
        self.real.copies()
    }

    async fn answering(&self, disks: Vec<DiskId>) -> BTreeSet<DiskId> {
        self.real.answering(disks).await
    }

    fn choose(&self, own: &Candidate, live: &[Candidate], in_use: Option<&CopySet>) -> Option<CopySet> {
        self.real.choose(own, live, in_use)
    }

    async fn begin_wal(&self, options: WalOptions, set: &CopySet) -> Result<Arc<dyn CopiedWal>, WalError> {
        self.real.begin_wal(options, set).await
    }

    fn kept(&self) -> Vec<Incarnation> {
        self.real.kept()
    }

    async fn remove(&self, incarnation: Incarnation) -> Result<(), WalError> {
        self.real.remove(incarnation).await
    }
}
