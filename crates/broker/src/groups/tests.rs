//! Groups in simulation: brokers that are killed, lose power, drain, or are taken over by another disk while offsets are
//! being committed, on a store that misbehaves. Whatever happens, no offset whose commit was acknowledged, and none that a
//! fetch has shown, is missing or has gone back. Deliberate faults show that it can tell.
//!
//! Is not: the members' side of groups, whose random lives are in `crates/coordinator/tests`; nor the log's own simulation.

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::testing::World;
use bytes::Bytes;
use floe_coordinator::{Commit, CommitPartition, Fetch, GroupError, Join, OFFSETS_TOPIC, Reply, Request, Sync};
use floe_env::{Mutant, set_mutant};
use floe_log::{Durability, EngineOptions};
use floe_testkit::sim_store::SimFaults;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SEEDS: u64 = 40;
const ROUNDS: usize = 12;
const GROUPS: usize = 4;

/// The greatest offset of each group that anybody outside knows of.
type Known = Arc<Mutex<BTreeMap<usize, i64>>>;

struct Life {
    world: World,
    durability: Durability,
    known: Known,
    next: i64,
    committed: usize,
    /// The log start of a partition of groups has moved.
    checkpoints: usize,
}

fn group(index: usize) -> floe_coordinator::Name {
    format!("group-{index}").into()
}

fn commit(index: usize, offset: i64) -> Request {
    let partition = CommitPartition { index: 0, offset, leader_epoch: -1, metadata: format!("note {offset}").into() };
    Request::Commit(Commit {
        group: group(index),
        generation: -1,
        member: "".into(),
        instance: None,
        retention_ms: None,
        tells_missing_group: true,
        topics: vec![("orders".into(), vec![partition])],
    })
}

/// Commits one offset after the other, until the broker refuses.
async fn commits(broker: Arc<Broker>, index: usize, offsets: std::ops::Range<i64>, known: Known) {
    for offset in offsets {
        match broker.groups.call(&group(index), commit(index, offset)).await {
            Ok(Reply::Committed(_)) => {
                let mut known = known.lock();
                let before = known.entry(index).or_default();
                *before = (*before).max(offset);
            }
            Ok(other) => panic!("not of a commit: {other:?}"),
            // It may have been written all the same.
            Err(_) => return,
        }
    }
}

/// What the group has committed, as a client learns it that asks until it is told.
async fn committed(broker: &Broker, index: usize) -> i64 {
    let fetch = || Request::Fetch(Fetch { group: group(index), topics: None });
    loop {
        match broker.groups.call(&group(index), fetch()).await {
            Ok(Reply::Fetched(topics)) => {
                let found = topics.into_iter().flat_map(|(_, partitions)| partitions).find_map(|(_, committed)| committed);
                let Some(found) = found else { return 0 };
                assert_eq!(*found.metadata, *format!("note {}", found.offset), "metadata of another commit");
                return found.offset;
            }
            Ok(other) => panic!("not of a fetch: {other:?}"),
            Err(GroupError::CoordinatorLoadInProgress | GroupError::CoordinatorNotAvailable | GroupError::NotCoordinator) => {
                broker.env.sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Life {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let durability = if seed.is_multiple_of(2) { Durability::Object } else { Durability::Local };
        Self { world, durability, known: Known::default(), next: 1, committed: 0, checkpoints: 0 }
    }

    fn below(&self, n: u64) -> u64 {
        self.world.env.random_below(n)
    }

    fn options(&self) -> EngineOptions {
        EngineOptions { durability: self.durability, wal_file_bytes: 1 << 20, ..EngineOptions::default() }
    }

    async fn start(&self) -> Arc<Broker> {
        let config = BrokerConfig { offsets_topic_partitions: 2, ..BrokerConfig::default() };
        self.world.broker_with(config, self.options()).await
    }

    /// All groups commit at once, for a while.
    async fn load(&mut self, broker: &Arc<Broker>) {
        let offsets = self.next..self.next + 20;
        self.next = offsets.end;
        let all = (0..GROUPS).map(|index| commits(broker.clone(), index, offsets.clone(), self.known.clone()));
        let patience = Duration::from_millis(self.below(400));
        // Who is cut off in the middle knows nothing of its last commit.
        let _in_time = broker.env.timeout(patience, futures::future::join_all(all)).await;
    }

    async fn check(&mut self, broker: &Broker) {
        for index in 0..GROUPS {
            let found = committed(broker, index).await;
            let mut known = self.known.lock();
            let before = known.insert(index, found).unwrap_or_default();
            assert!(found >= before, "{}: {found} after {before}", group(index));
        }
        let topic = broker.view().by_name(OFFSETS_TOPIC).cloned();
        let partitions = topic.iter().flat_map(|topic| (0..topic.partitions).filter_map(|index| broker.partition(topic, index).ok()));
        self.checkpoints += partitions.filter(|partition| partition.offsets().log_start > 0).count();
        self.committed = self.known.lock().values().filter(|offset| **offset > 0).count();
    }

    /// One life of a broker and its end; the next one begins.
    async fn round(&mut self, broker: Arc<Broker>) -> Arc<Broker> {
        self.load(&broker).await;
        if self.below(3) == 0 {
            self.check(&broker).await;
        }
        match self.below(if self.durability == Durability::Object { 5 } else { 4 }) {
            0 => return broker,
            1 => self.world.kill(broker).await,
            2 => self.world.lose_power(broker).await,
            3 => self.world.stop(broker).await,
            _ => return self.take_over(broker).await,
        }
        self.start().await
    }

    /// Another broker on another disk takes the store over while this one goes on committing.
    async fn take_over(&mut self, broker: Arc<Broker>) -> Arc<Broker> {
        self.world.change_disk();
        let known = self.known.clone();
        let first = self.next;
        self.next += 100;
        let loads = (0..GROUPS).map(|index| commits(broker.clone(), index, first..first + 100, known.clone()));
        let (successor, _) = futures::future::join(self.start(), futures::future::join_all(loads)).await;
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        successor
    }
}

async fn live(seed: u64) -> (usize, usize) {
    let mut life = Life::new(seed);
    if seed.is_multiple_of(3) {
        life.world.store.set_faults(SimFaults::rough());
    }
    let mut broker = life.start().await;
    for _ in 0..ROUNDS {
        broker = Box::pin(life.round(broker)).await;
        life.check(&broker).await;
    }
    (life.committed, life.checkpoints)
}

/// Groups that have committed, and how often a partition was seen that a checkpoint had made shorter.
fn run(seed: u64) -> (usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(live(seed))
}

#[test]
fn no_committed_offset_is_lost_or_goes_back_whatever_happens_to_brokers() {
    let seeds = match std::env::var("FLOE_GROUPS_SEED") {
        Ok(seed) => seed.parse().map_or(1..=SEEDS, |seed| seed..=seed),
        Err(_) => 1..=SEEDS,
    };
    for seed in seeds {
        println!("FLOE_GROUPS_SEED={seed}");
        let (committed, checkpoints) = run(seed);
        assert_eq!(committed, GROUPS, "a group never got anything committed");
        assert!(checkpoints > 0, "no checkpoint was ever seen");
    }
}

/// After how many seeds the simulation finds a fault.
fn found_after(mutant: Mutant) -> Option<u64> {
    (1..=SEEDS).find(|seed| {
        set_mutant(Some(mutant));
        let found = std::panic::catch_unwind(|| run(*seed)).is_err();
        set_mutant(None);
        found
    })
}

#[test]
fn a_commit_that_is_answered_before_its_records_are_durable_is_found() {
    let seeds = found_after(Mutant::AnsweredBeforeCommit).expect("the simulation finds it");
    println!("found after {seeds} seeds");
}

#[test]
fn a_log_that_begins_where_its_checkpoint_ends_is_found() {
    let seeds = found_after(Mutant::CheckpointFromItsEnd).expect("the simulation finds it");
    println!("found after {seeds} seeds");
}

#[test]
fn an_ack_before_fdatasync_is_found_by_its_groups() {
    let seeds = found_after(Mutant::AckBeforeSync).expect("the simulation finds it");
    println!("found after {seeds} seeds");
}

/// A static member joins, gets its assignment, and is not heard of again. When it was heard of last.
async fn comes_and_falls_silent(broker: &Broker, session: Duration) -> Duration {
    let session_timeout_ms = i32::try_from(session.as_millis()).expect("short");
    let instance = Some("static".into());
    let join = Join {
        group: group(0),
        member: "".into(),
        instance: instance.clone(),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms,
        rebalance_timeout_ms: session_timeout_ms,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::new())],
        member_id_required: false,
        can_skip_assignment: false,
        fresh: 1,
    };
    let joined = match broker.groups.call(&group(0), Request::Join(join)).await {
        Ok(Reply::Joined(joined)) => joined,
        other => panic!("not joined: {other:?}"),
    };
    let assignments = vec![(joined.member.clone(), Bytes::new())];
    let (generation, member) = (joined.generation, joined.member);
    let sync = Sync { group: group(0), generation, member, instance, protocol_type: None, protocol: None, assignments };
    let heard = broker.env.monotonic();
    let synced = broker.groups.call(&group(0), Request::Sync(sync)).await;
    assert!(matches!(synced, Ok(Reply::Synced(_))), "{synced:?}");
    heard
}

#[test]
fn a_group_whose_sessions_are_over_is_empty_however_late_the_clock_is() {
    const SESSION: Duration = Duration::from_secs(6);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    for seed in 0..20 {
        runtime().block_on(async {
            let broker = Life::new(seed).start().await;
            // Until the group's partition is loaded.
            committed(&broker, 0).await;
            let over = comes_and_falls_silent(&broker, SESSION).await + SESSION;
            let delete = async || broker.groups.call(&group(0), Request::Delete { group: group(0) }).await;
            broker.env.sleep((over - broker.env.monotonic()).saturating_sub(Duration::from_millis(2))).await;
            assert_eq!(delete().await.expect_err("it has a member"), GroupError::NonEmptyGroup, "seed {seed}");
            broker.env.sleep(over.saturating_sub(broker.env.monotonic())).await;
            assert!(matches!(delete().await, Ok(Reply::Deleted)), "seed {seed}");
        });
    }
}
