//! How a client reaches the coordinator of its group: it asks any broker who that is, goes there, and stays until it is told otherwise or hears nothing.

use super::history::{Epochs, History};
use floe_coordinator::{GroupError, Name, Reply, Request};
use floe_env::Env;
use floe_groups::Groups;
use floe_log::Engine;
use floe_types::Incarnation;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long anybody is asked for the coordinator.
const FIND_TIMEOUT: Duration = Duration::from_secs(3);
/// One answer in so many is lost on its way.
const LOST: u64 = 25;
const MOST_DELAY_MS: u64 = 3;

/// Brokers that have begun to serve and whose processes are there, by machine.
#[derive(Clone, Default)]
pub(in crate::cluster) struct Brokers(Arc<Mutex<BTreeMap<usize, Broker>>>);

#[derive(Clone)]
struct Broker {
    env: Env,
    engine: Engine,
    groups: Groups,
}

impl Brokers {
    pub(in crate::cluster) fn serves(&self, at: usize, env: Env, engine: Engine) {
        let groups = super::coordinate(&env, &engine);
        self.0.lock().insert(at, Broker { env, engine, groups });
    }

    pub(in crate::cluster) fn died(&self, at: usize) {
        self.0.lock().remove(&at);
    }

    fn all(&self) -> Vec<Broker> {
        self.0.lock().values().cloned().collect()
    }
}

impl Broker {
    /// FindCoordinator. A process that stands still answers nothing, one that is gone breaks off.
    async fn find(&self, group: Name) -> Option<Incarnation> {
        let (engine, groups) = (self.engine.clone(), self.groups.clone());
        let find = async move {
            groups.ensure_topic().await.ok()?;
            let owner = engine.cluster_view()?.owner(groups.partition_of(&group)?)?;
            Some(owner.incarnation)
        };
        self.env.spawn("request", find).join().await.ok()?
    }

    async fn ask(&self, group: Name, request: Request) -> Option<Answer> {
        let (engine, groups) = (self.engine.clone(), self.groups.clone());
        let ask = async move {
            let epoch = || Some(engine.partition(groups.partition_of(&group)?)?.leader_epoch());
            let before = epoch();
            let outcome = groups.call(&group, request).await;
            Answer { outcome, under: Epochs::between(before, epoch()) }
        };
        self.env.spawn("request", ask).join().await.ok()
    }
}

/// What a coordinator answered, and under which leader epoch of its partition.
pub(super) struct Answer {
    pub(super) outcome: Result<Reply, GroupError>,
    pub(super) under: Epochs,
}

/// One client of a group.
pub(super) struct Client {
    pub(super) env: Env,
    pub(super) group: Name,
    /// Which of the group's clients it is.
    pub(super) index: usize,
    brokers: Brokers,
    history: Arc<Mutex<History>>,
    coordinator: Option<Incarnation>,
}

impl Client {
    pub(super) fn new(env: Env, brokers: Brokers, history: Arc<Mutex<History>>, (group, index): (Name, usize)) -> Self {
        Self { env, group, index, brokers, history, coordinator: None }
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock()
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.env.random_below(one_in) == 0
    }

    pub(super) async fn pause(&self, least_ms: u64, most_ms: u64) {
        self.env.sleep(Duration::from_millis(least_ms + self.env.random_below(most_ms - least_ms))).await;
    }

    /// None: no coordinator is known, or nothing was heard of it, and what was asked may have been done. It is not done later than that.
    pub(super) async fn ask(&mut self, request: Request, patience: Duration) -> Option<Answer> {
        let coordinator = self.find().await?;
        self.pause(0, MOST_DELAY_MS).await;
        let broker = self.brokers.all().into_iter().find(|broker| broker.engine.incarnation() == coordinator);
        let answer = match broker {
            Some(broker) => self.env.timeout(patience, broker.ask(self.group.clone(), request)).await.ok().flatten(),
            None => None,
        };
        self.pause(0, MOST_DELAY_MS).await;
        let answer = answer.filter(|_| !self.chance(LOST));
        let is_elsewhere = answer
            .as_ref()
            .is_none_or(|answer| matches!(answer.outcome, Err(GroupError::NotCoordinator | GroupError::CoordinatorNotAvailable)));
        if is_elsewhere {
            self.coordinator = None;
        }
        answer
    }

    async fn find(&mut self) -> Option<Incarnation> {
        if self.coordinator.is_none() {
            let brokers = self.brokers.all();
            let asked = brokers.get(usize::try_from(self.env.random_below(brokers.len() as u64)).unwrap_or(0))?;
            self.coordinator = self.env.timeout(FIND_TIMEOUT, asked.find(self.group.clone())).await.ok().flatten();
        }
        self.coordinator
    }
}
