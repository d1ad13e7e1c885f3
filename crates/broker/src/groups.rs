//! Where consumer groups are coordinated: finds the partition of `__consumer_offsets` that keeps a group, has it loaded, and
//! lets each request wait for what it waits for - the other members, or the commit of its records.
//!
//! All decisions are the state machine's (`floe-coordinator`). A handler locks the shard, asks, appends what the answer wants
//! appended, and unlocks; it waits outside. Time is a task per loaded partition that sleeps until the next deadline.
//!
//! A partition is loaded from its log start when the broker starts, or when it is first asked for. Checkpoints
//! (`slot/checkpoint.rs`) keep the log near the size of its state, so loading takes as long as there are offsets and groups.

mod load;
mod slot;

use crate::config::BrokerConfig;
use crate::live::LiveSettings;
use floe_coordinator::{GroupConfig, GroupError, Listed, Name, OFFSETS_TOPIC, Reply, Request, partition_of};
use floe_env::{Env, Shutdown};
use floe_formats::Topic;
use floe_log::{Engine, NewTopic, TopicError};
use floe_types::PartitionId;
use parking_lot::Mutex;
use slot::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Partitions that are loaded at the same time.
const LOADS: usize = 4;

/// How often is looked whether other partitions are led here than before.
const LED_CHECK: Duration = Duration::from_secs(1);

/// How long a request waits for its partition to be loaded before the client is told to come again.
const LOAD_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for the topic to be created.
const CREATE_TIMEOUT: Duration = Duration::from_secs(15);

/// The coordinators of this broker. Clones are handles on the same.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    topic_partitions: i32,
    retention_check: Duration,
    slots: Mutex<BTreeMap<PartitionId, Arc<Slot>>>,
    surroundings: Arc<Surroundings>,
}

/// What every slot uses. It knows neither the engine nor other slots, so that a slot's task keeps none of them alive.
#[derive(Debug)]
struct Surroundings {
    env: Env,
    shutdown: Shutdown,
    live: Arc<LiveSettings>,
    commit_timeout: Duration,
    loads: Semaphore,
}

impl Surroundings {
    /// The limits in force.
    fn config(&self) -> GroupConfig {
        group_config(&self.live.get())
    }
}

impl Groups {
    pub(crate) fn new(env: Env, engine: Engine, live: Arc<LiveSettings>, shutdown: Shutdown) -> Self {
        let config = live.get();
        let surroundings = Arc::new(Surroundings {
            env,
            shutdown,
            live,
            commit_timeout: config.offsets_commit_timeout.into(),
            loads: Semaphore::new(LOADS),
        });
        let shared = Shared {
            engine,
            topic_partitions: config.offsets_topic_partitions,
            retention_check: config.offsets_retention_check.into(),
            slots: Mutex::default(),
            surroundings,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Loads what there is, so that members that are gone are noticed, and lets offsets expire from time to time. Ends at
    /// shutdown.
    pub(crate) async fn run(self) {
        let shared = self.shared;
        let Surroundings { env, shutdown, .. } = &*shared.surroundings;
        let (mut led, mut cleaned, mut catalog) = (None, env.monotonic(), shared.engine.catalog().view());
        loop {
            // Topics that another broker has deleted: who deletes one here lets go of its offsets at once.
            let now = shared.engine.catalog().view();
            if shared.engine.cluster_views() > 0 && now.version != catalog.version {
                for gone in catalog.topics().filter(|topic| now.by_name(&topic.name).is_none()) {
                    shared.forget_topic(&gone.name).await;
                }
            }
            catalog = now;
            // Whatever has come to be led here meanwhile has groups whose members may be gone.
            let now_led = shared.engine.led_version();
            if led.replace(now_led) != Some(now_led) {
                shared.load_all();
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = env.sleep(shared.retention_check.min(LED_CHECK)) => {}
            }
            if env.monotonic().saturating_sub(cleaned) >= shared.retention_check {
                cleaned = env.monotonic();
                let slots: Vec<_> = shared.slots.lock().values().cloned().collect();
                for slot in slots {
                    slot.clean();
                }
            }
        }
    }

    /// Creates the topic if it is not there.
    pub(crate) async fn ensure_topic(&self) -> Result<(), GroupError> {
        self.shared.topic().await.map(|_| ())
    }

    /// The partition that keeps a group, once the topic is there.
    pub(crate) fn partition_of(&self, group: &str) -> Option<PartitionId> {
        let topic = self.shared.view_topic()?;
        Some(PartitionId { topic: topic.id, index: partition_of(group, topic.partitions) })
    }

    /// Asks the coordinator of `group`, and waits for the reply and for the commit that it depends on.
    pub(crate) async fn call(&self, group: &Name, request: Request) -> Result<Reply, GroupError> {
        let shared = &self.shared;
        let topic = shared.topic().await?;
        let index = partition_of(group, topic.partitions);
        let slot = shared.loaded(PartitionId { topic: topic.id, index }).await?;
        slot.call(request).await
    }

    /// All groups in one of the states, or in any.
    pub(crate) async fn list(&self, states: &[String]) -> Result<Vec<Listed>, GroupError> {
        let shared = &self.shared;
        let mut groups = Vec::new();
        for slot in shared.all_loaded().await? {
            if let Reply::Listed(listed) = slot.call(Request::List { states: states.to_vec() }).await? {
                groups.extend(listed);
            }
        }
        Ok(groups)
    }

    /// Lets go of all offsets of a topic that has been deleted.
    pub(crate) async fn forget_topic(&self, topic: &str) {
        self.shared.forget_topic(topic).await;
    }
}

impl Shared {
    fn view_topic(&self) -> Option<Arc<Topic>> {
        self.engine.catalog().view().by_name(OFFSETS_TOPIC).cloned()
    }

    /// The topic, created if need be.
    async fn topic(&self) -> Result<Arc<Topic>, GroupError> {
        if let Some(topic) = self.view_topic() {
            return Ok(topic);
        }
        let configs = BTreeMap::from([(floe_log::CLEANUP_POLICY.to_owned(), "compact".to_owned())]);
        let new = NewTopic { name: OFFSETS_TOPIC.to_owned(), partitions: self.topic_partitions, configs };
        let engine = self.engine.clone();
        let create = async move { engine.create_topic(new).await };
        match crate::broker::run_to_end(&self.surroundings.env, "create-topic", CREATE_TIMEOUT, create).await {
            Some(Ok(_) | Err(TopicError::Exists(_))) => {}
            Some(Err(error)) => tracing::warn!(topic = OFFSETS_TOPIC, %error, "the topic of the groups could not be created"),
            None => tracing::warn!(topic = OFFSETS_TOPIC, "the topic of the groups is not there in time"),
        }
        self.view_topic().ok_or(GroupError::CoordinatorNotAvailable)
    }

    async fn forget_topic(self: &Arc<Self>, topic: &str) {
        match self.all_loaded().await {
            Ok(slots) => slots.iter().for_each(|slot| slot.forget_topic(topic)),
            Err(error) => tracing::warn!(topic, %error, "offsets of a deleted topic stay until they expire"),
        }
    }

    /// Begins to load every partition that holds something.
    fn load_all(self: &Arc<Self>) {
        for id in self.view_topic().iter().flat_map(|topic| self.with_records(topic)) {
            self.slot(id).ok();
        }
    }

    /// Partitions of the topic in which something is written.
    fn with_records(&self, topic: &Topic) -> Vec<PartitionId> {
        let id = |index| PartitionId { topic: topic.id, index };
        let is_written = |id: &PartitionId| self.engine.partition(*id).is_some_and(|partition| partition.offsets().end > 0);
        (0..topic.partitions).map(id).filter(is_written).collect()
    }

    /// All slots that hold groups, loaded.
    async fn all_loaded(self: &Arc<Self>) -> Result<Vec<Arc<Slot>>, GroupError> {
        let Some(topic) = self.view_topic() else { return Ok(Vec::new()) };
        let written = self.with_records(&topic);
        // A group that is only now beginning has written nothing yet.
        let known = self.slots.lock().keys().copied().filter(|id| id.topic == topic.id && !written.contains(id)).collect::<Vec<_>>();
        let mut slots = Vec::new();
        for id in written.into_iter().chain(known) {
            slots.push(self.slot(id)?);
        }
        for slot in &slots {
            slot.until_loaded(LOAD_WAIT).await?;
        }
        Ok(slots)
    }

    async fn loaded(self: &Arc<Self>, id: PartitionId) -> Result<Arc<Slot>, GroupError> {
        let slot = self.slot(id)?;
        slot.until_loaded(LOAD_WAIT).await?;
        Ok(slot)
    }

    /// The slot of a partition; a new one begins to load.
    fn slot(self: &Arc<Self>, id: PartitionId) -> Result<Arc<Slot>, GroupError> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(&id).filter(|slot| !slot.is_gone()) {
            return Ok(slot.clone());
        }
        // Slots of a topic that was deleted, and those that failed, make place.
        slots.retain(|known, slot| known.topic == id.topic && !slot.is_gone());
        let partition = self.engine.partition(id).filter(|partition| partition.is_led()).ok_or(GroupError::NotCoordinator)?;
        let slot = Arc::new(Slot::new(self.surroundings.clone(), partition));
        slots.insert(id, slot.clone());
        self.surroundings.env.spawn("group-coordinator", slot.clone().run()).detach_to_group();
        Ok(slot)
    }
}

/// Without any delay, members that start in the same moment find a group that has begun with the first of them, whose members learn of
/// the others by their heartbeats, which are seconds apart.
const LEAST_REBALANCE_DELAY: Duration = Duration::from_millis(50);

fn group_config(config: &BrokerConfig) -> GroupConfig {
    let size = |n: i32| usize::try_from(n).unwrap_or(0);
    GroupConfig {
        initial_rebalance_delay: Duration::from(config.group_initial_rebalance_delay).max(LEAST_REBALANCE_DELAY),
        min_session_timeout_ms: config.group_min_session_timeout,
        max_session_timeout_ms: config.group_max_session_timeout,
        max_size: size(config.group_max_size),
        max_offset_metadata: size(config.offset_metadata_max_bytes),
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * 60_000,
        ..GroupConfig::default()
    }
}

#[cfg(test)]
mod tests;
