//! Consumer groups amid all that happens: clients that look for their coordinator, join, commit, fetch, fall silent, come back as if nothing had been, and leave, through whichever broker
//! leads the partition of `__consumer_offsets` that keeps their group.
//!
//! What their answers forbid is in `history.rs`. In the end, when everything is whole, every client commits and fetches again, and the store alone has what they were told.

mod client;
mod history;
mod member;

pub(super) use client::Brokers;

use client::Client;
use floe_coordinator::{GroupConfig, Name, OFFSETS_TOPIC, Reply, Request, Shard};
use floe_env::{Env, Shutdown, Task};
use floe_groups::{Groups, GroupsOptions};
use floe_log::Engine;
use floe_log::stored::StoredLog;
use floe_records::records;
use floe_types::PartitionId;
use history::{History, Observed};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Of the topic that keeps the groups.
const PARTITIONS: i32 = 2;
/// Groups with members, of two clients each, in one of the partitions; and in the other one a client that is no member, so that no session ever ends there.
const WITH_MEMBERS: [&str; 2] = ["orders", "returns"];
const MEMBERS: usize = 2;
const ALONE: &str = "stock";
/// What is read at once from the store.
const READ_BYTES: usize = 64 << 10;
const BATCH_LIMIT: usize = 1 << 20;

/// The clients of all groups. Dropped, they are gone.
pub(super) struct GroupClients {
    pub(super) brokers: Brokers,
    history: Arc<Mutex<History>>,
    clients: Vec<Task<()>>,
}

impl GroupClients {
    pub(super) fn new(env: &Env) -> Self {
        let (brokers, history) = (Brokers::default(), Arc::new(Mutex::new(History::default())));
        let client = |group: &str, index| {
            let client = Client::new(env.process(), brokers.clone(), history.clone(), (group.into(), index));
            history.lock().expect_of(&client.group, index);
            client
        };
        let mut clients = vec![env.spawn("client", member::lives_alone(client(ALONE, 0)))];
        for group in WITH_MEMBERS {
            clients.extend((0..MEMBERS).map(|index| env.spawn("client", member::lives(client(group, index)))));
        }
        Self { brokers, history, clients }
    }

    /// What was observed that must not be.
    pub(super) fn check(&self) -> Result<(), String> {
        self.history.lock().broken().map_or(Ok(()), Err)
    }

    pub(super) fn observed(&self) -> Observed {
        self.history.lock().observed()
    }

    /// From now on everything is whole: whoever has committed and fetched before does so again.
    pub(super) fn begin_to_end(&self) {
        self.history.lock().begin_to_end();
    }

    /// Clients that have not committed or not fetched since.
    pub(super) fn waiting(&self) -> Vec<String> {
        self.history.lock().waiting()
    }

    pub(super) fn stop(&mut self) {
        self.clients.clear();
    }

    /// What the store alone tells of one partition of the topic.
    pub(super) async fn read_stored(&self, stored: &StoredLog, id: PartitionId) -> Result<(), String> {
        let mut partition = stored.partition(id).await.map_err(|error| format!("{id} in the store: {error}"))?;
        let (mut shard, mut offset) = (Shard::new(limits()), partition.log_start());
        while offset < partition.end() {
            let stretch = partition.read(offset, READ_BYTES).await.map_err(|error| format!("{id} in the store at {offset}: {error}"))?;
            for batch in &stretch.batches {
                for record in records(batch, BATCH_LIMIT).map_err(|error| error.to_string())? {
                    shard.replay(&record.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
                }
            }
            offset = stretch.next;
        }
        let mut history = self.history.lock();
        for group in history.groups() {
            if floe_coordinator::partition_of(&group, PARTITIONS) == id.index {
                history.stored(&group, &fetched(&mut shard, &group)?);
            }
        }
        history.broken().map_or(Ok(()), |broken| Err(format!("in the store: {broken}")))
    }
}

/// Everything that a group has committed, as its shard tells.
fn fetched(shard: &mut Shard, group: &Name) -> Result<history::Fetched, String> {
    let now = floe_coordinator::Now { monotonic: Duration::ZERO, wall_ms: 0 };
    let request = Request::Fetch(floe_coordinator::Fetch { group: group.clone(), topics: None });
    let answer = shard.handle(now, floe_coordinator::Waiter(0), request).answers.pop().ok_or("no answer")?;
    match answer.outcome {
        Ok(Reply::Fetched(topics)) => Ok(history::of_topic(&topics)),
        other => Err(format!("{group} in the store: {other:?}")),
    }
}

/// The coordinators of one broker, in which much happens in little.
pub(super) fn coordinate(env: &Env, engine: &Engine) -> Groups {
    let options = GroupsOptions {
        topic_partitions: PARTITIONS,
        commit_timeout: Duration::from_secs(2),
        load_bytes: 2_000,
        checkpoint_slack: 24,
        checkpoint_batch: 3,
        ..GroupsOptions::default()
    };
    let groups = Groups::new(env.clone(), engine.clone(), options, limits, Shutdown::new());
    env.spawn("groups", groups.clone().run()).detach_to_group();
    groups
}

fn limits() -> GroupConfig {
    GroupConfig { initial_rebalance_delay: Duration::from_millis(50), min_session_timeout_ms: 1_000, ..GroupConfig::default() }
}

/// The partitions that keep the groups, as a broker knows them.
pub(super) fn partitions(engine: &Engine) -> Vec<PartitionId> {
    let topic = engine.catalog().view().by_name(OFFSETS_TOPIC).cloned();
    topic.iter().flat_map(|topic| (0..topic.partitions).map(|index| PartitionId { topic: topic.id, index })).collect()
}
