//! What every implementation has to do, as one suite: etcd, memory, and memory embedded in a single broker are asked the same.
//!
//! Panics at the first answer that breaks the contract of [`super::Backend`], or a promise of [`Cluster`], with the implementation's name. Each question has a prefix of
//! its own. Restarts, compactions and set-backs are the [`World`]'s, so that they are the real thing where there is a server.

mod faults;
mod lives;
mod owners;
mod server;
mod watches;

use super::{Backend, Cluster, ClusterOptions, MarkRow, Owned};
use async_trait::async_trait;
use faults::Flaky;
use floe_env::Env;
use floe_formats::etcd::{BrokerEntry, IncarnationEntry, OwnerEntry};
use floe_types::{BrokerId, DiskId, Incarnation, PartitionId, TopicId, WriteId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An implementation, and what may happen to it.
#[async_trait]
pub trait World: Send + Sync {
    /// Its name in messages.
    fn name(&self) -> &str;
    /// One more process's way to it.
    fn client(&self) -> Arc<dyn Backend>;
    /// Nothing answers any more.
    async fn stop(&self);
    /// It answers again, with all that it had.
    async fn start(&self);
    /// Forgets what was before the newest revision.
    async fn compact(&self);
    /// Keeps a copy of all that it has. It may restart.
    async fn snapshot(&self);
    /// Has again what it had then, and nothing else. It may restart.
    async fn set_back(&self);
}

/// Runs the whole suite.
///
/// # Panics
/// A promise is broken.
pub async fn conforms(env: &Env, world: &dyn World) {
    let suite = Suite { env, world, prefixes: Mutex::new(0) };
    suite.a_cluster_is_named_once().await;
    suite.announcements_only_grow().await;
    suite.incarnations_only_go_forward().await;
    suite.what_is_closed_and_unnamed_is_forgotten().await;
    suite.a_number_belongs_to_one_life().await;
    suite.a_broker_id_belongs_to_one_disk().await;
    suite.leases_are_kept_and_run_out_and_begin_again().await;
    suite.one_of_many_takes_each_partition_over().await;
    suite.a_partition_changes_only_from_what_stands().await;
    suite.nothing_is_given_to_who_is_not_open().await;
    suite.wishes_are_told_and_taken_back().await;
    suite.t55_a_late_hand_over_fails_once_the_partition_was_taken_back().await;
    suite.lost_answers_are_known_again().await;
    suite.thousands_of_partitions_change_within_the_limits().await;
    suite.what_is_too_large_is_refused().await;
    suite.a_watch_tells_every_change().await;
    suite.a_watch_goes_on_after_a_restart_and_a_compaction().await;
    suite.a_view_that_is_relied_on_is_one_revision().await;
    suite.calls_end_while_nothing_answers_and_go_on_afterwards().await;
    suite.t57_a_lower_revision_freezes().await;
    suite.t57_a_mark_tells_what_revisions_do_not().await;
}

struct Suite<'a> {
    env: &'a Env,
    world: &'a dyn World,
    prefixes: Mutex<u32>,
}

/// Two processes of one cluster, and what loses the answers of the first.
struct Pair {
    flaky: Arc<Flaky>,
    one: Cluster,
    other: Cluster,
}

impl Suite<'_> {
    fn options(&self) -> ClusterOptions {
        let mut prefixes = self.prefixes.lock();
        *prefixes += 1;
        ClusterOptions {
            prefix: format!("/conformance/{:032x}/{prefixes}", self.env.random_u128()),
            lease_ttl: Duration::from_secs(2),
            attempt_timeout: Duration::from_millis(400),
            deadline: Duration::from_secs(4),
            watch_check: Duration::from_secs(1),
            page: 100,
            ..ClusterOptions::default()
        }
    }

    fn pair(&self) -> Pair {
        self.pair_with(self.options())
    }

    fn pair_with(&self, options: ClusterOptions) -> Pair {
        let flaky = Arc::new(Flaky::new(self.world.client()));
        let one = Cluster::new(self.env.clone(), Arc::clone(&flaky) as Arc<dyn Backend>, options.clone());
        let other = Cluster::new(self.env.clone(), self.world.client(), options);
        Pair { flaky, one, other }
    }

    /// What a call answered.
    fn ok<T, E: std::fmt::Debug>(&self, what: &str, answer: Result<T, E>) -> T {
        answer.unwrap_or_else(|error| panic!("{}: {what}: {error:?}", self.world.name()))
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, found: T, wanted: T) {
        assert!(found == wanted, "{}: {what}: {found:?}, not {wanted:?}", self.world.name());
    }

    fn holds(&self, what: &str, holds: bool) {
        assert!(holds, "{}: {what}", self.world.name());
    }

    async fn open(&self, cluster: &Cluster, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.ok("open", cluster.open_incarnation(Incarnation(number), &entry(number)).await);
        }
    }

    async fn close(&self, cluster: &Cluster, number: u64) {
        self.ok("mark sealing", cluster.mark_sealing(Incarnation(number)).await);
        self.ok("mark closed", cluster.mark_closed(Incarnation(number)).await);
    }

    /// Gives incarnation `number` partitions `0..count` in epoch 0.
    async fn seeded(&self, cluster: &Cluster, number: u64, count: i32) -> Vec<Owned> {
        let owned: Vec<Owned> = (0..count).map(|index| owned(index, number, 0, None)).collect();
        self.ok("seed", cluster.seed(&owned).await);
        owned
    }
}

fn entry(number: u64) -> IncarnationEntry {
    IncarnationEntry { broker: BrokerId(i32::try_from(number).unwrap_or(0)), disk: DiskId(u128::from(number)), started_ms: 0 }
}

fn broker(number: u64, disk: u128) -> BrokerEntry {
    BrokerEntry {
        incarnation: Incarnation(number),
        disk: DiskId(disk),
        rack: "r".into(),
        host: "localhost".into(),
        port: 9092,
        peer: "localhost:9093".into(),
    }
}

fn partition(index: i32) -> PartitionId {
    PartitionId { topic: TopicId(1), index }
}

fn owned(index: i32, number: u64, epoch: i32, base: Option<u64>) -> Owned {
    Owned { partition: partition(index), owner: OwnerEntry { incarnation: Incarnation(number), epoch, base: base.map(Incarnation) } }
}

/// The row of marks, in memory: create-only.
#[derive(Debug, Default)]
struct Row(Mutex<BTreeMap<u64, WriteId>>);

#[async_trait]
impl MarkRow for Row {
    async fn ensure(&self, number: u64, nonce: WriteId) -> Result<WriteId, String> {
        Ok(*self.0.lock().entry(number).or_insert(nonce))
    }
}
