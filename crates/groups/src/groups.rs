//! The coordinators of one broker: finds the partition of `__consumer_offsets` that keeps a group, has it loaded, and lets each request wait for what it waits for - the other
//! members, or the commit of its records.
//!
//! A caller locks the shard, asks, appends what the answer wants appended, and unlocks; it waits outside. Time is a task per loaded partition that sleeps until the next deadline.
//!
//! A partition is loaded from its log start when it comes to be led here, or when it is first asked for. Checkpoints (`slot/checkpoint.rs`) keep the log near the size of its state, so
//! loading takes as long as there are offsets and groups.

use crate::slot::Slot;
use floe_coordinator::{GroupConfig, GroupError, Listed, Name, OFFSETS_TOPIC, Reply, Request, partition_of};
use floe_env::{Env, Shutdown};
use floe_formats::Topic;
use floe_log::{Engine, NewTopic, TopicError};
use floe_types::PartitionId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
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

/// What does not change while a broker runs; the limits that may are asked for at each step.
#[derive(Debug, Clone)]
pub struct GroupsOptions {
    /// Of the topic, where it is yet to be created.
    pub topic_partitions: i32,
    /// How often offsets that nobody uses are looked for.
    pub retention_check: Duration,
    /// How long a reply waits for the records that it rests on.
    pub commit_timeout: Duration,
    /// Bytes that loading reads at once.
    pub load_bytes: usize,
    /// Records that a partition may have beside twice its state before it gets a checkpoint.
    pub checkpoint_slack: i64,
    /// Most records of a checkpoint's batch: what others wait for at the most.
    pub checkpoint_batch: usize,
}

impl Default for GroupsOptions {
    /// Kafka's defaults, where it has any.
    fn default() -> Self {
        Self {
            topic_partitions: 50,
            retention_check: Duration::from_secs(600),
            commit_timeout: Duration::from_secs(5),
            load_bytes: 4 << 20,
            checkpoint_slack: 20_000,
            checkpoint_batch: 2_000,
        }
    }
}

/// The coordinators of this broker. Clones are handles on the same.
#[derive(Debug, Clone)]
pub struct Groups {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    slots: Mutex<BTreeMap<PartitionId, Arc<Slot>>>,
    surroundings: Arc<Surroundings>,
}

/// What every slot uses. It knows neither the engine nor other slots, so that a slot's task keeps none of them alive.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) env: Env,
    pub(crate) shutdown: Shutdown,
    pub(crate) options: GroupsOptions,
    pub(crate) loads: Semaphore,
    limits: Limits,
}

impl Surroundings {
    /// The limits in force.
    pub(crate) fn config(&self) -> GroupConfig {
        (self.limits.0)()
    }
}

struct Limits(Box<dyn Fn() -> GroupConfig + Send + Sync>);

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0().fmt(f)
    }
}

impl Groups {
    /// `limits` are those in force when it is called.
    pub fn new(
        env: Env,
        engine: Engine,
        options: GroupsOptions,
        limits: impl Fn() -> GroupConfig + Send + Sync + 'static,
        shutdown: Shutdown,
    ) -> Self {
        let surroundings =
            Arc::new(Surroundings { env, shutdown, options, limits: Limits(Box::new(limits)), loads: Semaphore::new(LOADS) });
        Self { shared: Arc::new(Shared { engine, slots: Mutex::default(), surroundings }) }
    }

    /// Loads what there is, so that members that are gone are noticed, and lets offsets expire from time to time. Ends at
    /// shutdown.
    pub async fn run(self) {
        let shared = self.shared;
        let Surroundings { env, shutdown, options, .. } = &*shared.surroundings;
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
                () = env.sleep(options.retention_check.min(LED_CHECK)) => {}
            }
            if env.monotonic().saturating_sub(cleaned) >= options.retention_check {
                cleaned = env.monotonic();
                let slots: Vec<_> = shared.slots.lock().values().cloned().collect();
                for slot in slots {
                    slot.clean();
                }
            }
        }
    }

    /// Creates the topic if it is not there.
    ///
    /// # Errors
    /// It is not there in time.
    pub async fn ensure_topic(&self) -> Result<(), GroupError> {
        self.shared.topic().await.map(|_| ())
    }

    /// The partition that keeps a group, once the topic is there.
    #[must_use]
    pub fn partition_of(&self, group: &str) -> Option<PartitionId> {
        let topic = self.shared.view_topic()?;
        Some(PartitionId { topic: topic.id, index: partition_of(group, topic.partitions) })
    }

    /// Asks the coordinator of `group`, and waits for the reply and for the commit that it depends on. Cancelled, what was asked may have been done.
    ///
    /// # Errors
    /// What Kafka's clients are told.
    pub async fn call(&self, group: &Name, request: Request) -> Result<Reply, GroupError> {
        let shared = &self.shared;
        let topic = shared.topic().await?;
        let index = partition_of(group, topic.partitions);
        let slot = shared.loaded(PartitionId { topic: topic.id, index }).await?;
        slot.call(request).await
    }

    /// All groups in one of the states, or in any.
    ///
    /// # Errors
    /// A partition that is led here is not loaded in time.
    pub async fn list(&self, states: &[String]) -> Result<Vec<Listed>, GroupError> {
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
    pub async fn forget_topic(&self, topic: &str) {
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
        let new = NewTopic { name: OFFSETS_TOPIC.to_owned(), partitions: self.surroundings.options.topic_partitions, configs };
        let engine = self.engine.clone();
        let create = async move { engine.create_topic(new).await };
        match self.surroundings.env.run_to_end("create-topic", CREATE_TIMEOUT, create).await {
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
