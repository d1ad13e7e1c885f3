//! The way between brokers: who is there, who stands still, and who cannot be reached by whom.

use async_trait::async_trait;
use floe_env::Env;
use floe_formats::etcd::BrokerEntry;
use floe_log::{Links, OpenError, PeerIdentity, Peers};
use floe_types::{BrokerId, Incarnation};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(200);
const SUSPECT_AFTER: Duration = Duration::from_secs(1);

/// The network of one world.
#[derive(Debug, Clone, Default)]
pub(super) struct Net(Arc<Mutex<State>>);

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
    /// The process on this machine is gone.
    pub(super) fn died(&self, node: usize) {
        let mut state = self.0.lock();
        state.lives.retain(|_, at| *at != node);
        state.frozen.remove(&node);
    }

    pub(super) fn set_frozen(&self, node: usize, frozen: bool) {
        let mut state = self.0.lock();
        if frozen {
            state.frozen.insert(node)
        } else {
            state.frozen.remove(&node)
        };
    }

    pub(super) fn cut(&self, from: usize, to: usize) {
        self.0.lock().cuts.insert((from, to));
    }

    pub(super) fn heal(&self) {
        self.0.lock().cuts.clear();
    }

    /// How one node reaches the others.
    pub(super) fn links(&self, env: Env, node: usize) -> Arc<dyn Links> {
        Arc::new(SimLinks { net: self.clone(), env, node })
    }

    fn way(&self, from: usize, to: Incarnation) -> Way {
        let state = self.0.lock();
        let Some(at) = state.lives.get(&to) else { return Way::Refused };
        let is_cut = state.cuts.contains(&(from, *at)) || state.cuts.contains(&(*at, from));
        if is_cut || state.frozen.contains(at) { Way::Silent } else { Way::Answered }
    }
}

#[derive(Debug)]
struct SimLinks {
    net: Net,
    env: Env,
    node: usize,
}

#[async_trait]
impl Links for SimLinks {
    async fn begin(&self, of: PeerIdentity) -> Result<Arc<dyn Peers>, OpenError> {
        self.net.0.lock().lives.insert(of.incarnation, self.node);
        Ok(Arc::new(SimPeers { net: self.net.clone(), env: self.env.clone(), node: self.node }))
    }
}

#[derive(Debug)]
struct SimPeers {
    net: Net,
    env: Env,
    node: usize,
}

#[async_trait]
impl Peers for SimPeers {
    async fn lost(&self, broker: BrokerId, entry: &BrokerEntry) {
        while self.answers(broker, entry).await {
            self.env.sleep(EVERY).await;
        }
    }

    async fn answers(&self, _broker: BrokerId, entry: &BrokerEntry) -> bool {
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
}
