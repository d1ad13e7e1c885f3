//! What every handler reaches: the engine, the settings, who this broker is, and the budgets.

use crate::budget::ByteBudget;
use crate::config::BrokerConfig;
use crate::groups;
use crate::handlers::{FetchSessions, KeptAnswers};
use crate::live::{LiveSettings, Settings};
use crate::metrics::BrokerMetrics;
use bytes::Bytes;
use floe_coordinator::OFFSETS_TOPIC;
use floe_env::{Env, Shutdown};
use floe_formats::Topic;
use floe_groups::Groups;
use floe_log::{AppendError, Appended, Engine, Partition};
use floe_metadata::View;
use floe_protocol::ErrorCode;
use floe_protocol::messages::{StrBytes, Uuid, topic_id};
use floe_records::BatchHeader;
use floe_types::PartitionId;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Batches that are decompressed, checked record by record or compressed anew at the same time.
const CONVERSIONS: usize = 2;

/// How long an append waits for room, and how often it looks whether there is some.
const ROOM_WAIT: Duration = Duration::from_secs(1);
const ROOM_CHECK: Duration = Duration::from_millis(20);

/// One running broker. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) env: Env,
    pub(crate) engine: Engine,
    /// What it was started with. What can be altered since is in `live`.
    pub(crate) config: BrokerConfig,
    pub(crate) live: Arc<LiveSettings>,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) groups: Groups,
    pub(crate) shutdown: Shutdown,
    /// Requests in memory.
    pub(crate) requests: ByteBudget,
    /// Answers in memory whose bytes were there anyway: the tail of the log, and everything that is not records.
    pub(crate) answers: ByteBudget,
    /// Answers with records that are fetched from the object store. Apart, so that who replays history cannot slow who
    /// reads the tail (P9). Whoever needs both takes this one first.
    pub(crate) replays: ByteBudget,
    pub(crate) conversions: Semaphore,
    pub(crate) sessions: FetchSessions,
    pub(crate) kept_metadata: KeptAnswers,
    /// Waiting for room in the log was in vain, and nothing has been appended since.
    full: AtomicBool,
}

impl Broker {
    pub(crate) fn new(env: Env, engine: Engine, config: BrokerConfig, metrics: BrokerMetrics, shutdown: Shutdown) -> Self {
        let live = Arc::new(LiveSettings::new(engine.options().broker, config.clone()));
        live.follow(|| engine.catalog().view());
        let half = config.queued_max_response_bytes.0 / 2;
        Self {
            requests: ByteBudget::new(config.queued_max_request_bytes.0),
            answers: ByteBudget::new(half),
            replays: ByteBudget::new(half),
            conversions: Semaphore::new(CONVERSIONS),
            sessions: FetchSessions::new(env.clone(), usize::try_from(config.fetch_sessions).unwrap_or(usize::MAX)),
            kept_metadata: KeptAnswers::default(),
            full: AtomicBool::new(false),
            groups: groups::coordinate(env.clone(), engine.clone(), live.clone(), shutdown.clone()),
            env,
            engine,
            config,
            live,
            metrics,
            shutdown,
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.engine.catalog().view()
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.live.get()
    }

    /// The partition, if the topic has it and this broker leads it.
    pub(crate) fn partition(&self, topic: &Topic, index: i32) -> Result<Arc<Partition>, ErrorCode> {
        if index < 0 || index >= topic.partitions {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        self.engine.partition(PartitionId { topic: topic.id, index }).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// Tells the metrics what is held at this moment.
    pub(crate) fn show_budgets(&self) {
        self.metrics.in_flight(self.requests.in_use(), self.answers.in_use() + self.replays.in_use());
    }

    /// Whether so many more partitions are allowed.
    pub(crate) fn has_room_for(&self, partitions: i32) -> bool {
        let there: i64 = self.view().topics().map(|topic| i64::from(topic.partitions)).sum();
        there + i64::from(partitions) <= i64::from(self.settings().max_partitions)
    }

    /// What clients call this broker.
    pub(crate) fn id(&self) -> i32 {
        self.engine.options().broker.0
    }

    /// What clients call the cluster.
    pub(crate) fn cluster(&self) -> StrBytes {
        self.engine.cluster().to_string().into()
    }

    /// Appends, and waits a while where the log has no room: a short overload slows producers and no more. Once waiting
    /// was in vain, nobody waits until something was appended again: the others learn at once that they have to come
    /// back later.
    pub(crate) async fn append(&self, partition: &Arc<Partition>, batch: &Bytes, header: &BatchHeader) -> Result<Appended, AppendError> {
        let give_up = self.env.monotonic() + ROOM_WAIT;
        loop {
            match partition.append(batch, header) {
                Err(AppendError::Overloaded) if !self.full.load(Relaxed) => {}
                Ok(appended) => {
                    self.full.store(false, Relaxed);
                    return Ok(appended);
                }
                Err(error) => return Err(error),
            }
            if self.env.monotonic() >= give_up {
                self.full.store(true, Relaxed);
            }
            self.engine.wait_for_room(ROOM_CHECK).await;
        }
    }

    /// Runs something that must not stop half way, even if whoever waits for it goes away or gives up at `limit`.
    pub(crate) async fn run_to_end<T: Send + 'static>(
        &self,
        name: &'static str,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.env.run_to_end(name, limit, work).await
    }
}

/// Whether a topic is the broker's own.
pub(crate) fn is_internal(topic: &str) -> bool {
    matches!(topic, OFFSETS_TOPIC | "__transaction_state")
}

/// Finds the topic that a request names: by id where its version has ids, by name before.
pub(crate) fn find_topic(view: &View, name: &str, id: Uuid, by_id: bool) -> Result<Arc<Topic>, ErrorCode> {
    if by_id {
        topic_id(id).and_then(|id| view.by_id(id)).cloned().ok_or(ErrorCode::UnknownTopicId)
    } else {
        view.by_name(name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

/// Compares the epoch that a client knows with the one a partition is led under (KIP-320). -1 is "does not know".
pub(crate) fn check_leader_epoch(partition: &Partition, known: i32) -> Result<(), ErrorCode> {
    match known {
        ..0 => Ok(()),
        known if known < partition.leader_epoch() => Err(ErrorCode::FencedLeaderEpoch),
        known if known > partition.leader_epoch() => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}
