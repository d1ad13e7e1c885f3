//! Groups of librdkafka consumers while the broker is killed again and again: no commit that succeeded is lost or goes back,
//! every record is seen by the group, and a consumer that takes over begins behind the last commit.

use crate::{alone, assert_clean};
use floe_e2e::broker::Setup;
use floe_e2e::history::History;
use floe_e2e::load::{Load, Topic, create_topics, read_everything};
use floe_e2e::wait;
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const GROUP: &str = "killers";

fn consumer(bootstrap: &str, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", GROUP).set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "earliest").set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "500");
    config.set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "100").set("log_level", "3");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

/// Waits until it is so.
fn becomes(mut so: impl FnMut() -> bool) -> bool {
    wait::until(LIMIT, || so().then_some(())).is_some()
}

/// What all members together have seen and committed.
#[derive(Default)]
struct Seen {
    records: BTreeSet<(i32, i64)>,
    /// Offsets whose commit succeeded.
    committed: BTreeMap<i32, i64>,
}

/// A member on a thread of its own: reads, and commits now and then.
struct Member {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Member {
    fn start(bootstrap: &str, topic: &str, seen: &Arc<Mutex<Seen>>, more: &[(&str, &str)]) -> Self {
        let (consumer, topic, seen) = (consumer(bootstrap, more), topic.to_owned(), seen.clone());
        let end = Arc::new(AtomicBool::new(false));
        let ends = end.clone();
        let thread = std::thread::spawn(move || {
            consumer.subscribe(&[&topic]).unwrap();
            let mut read: BTreeMap<i32, i64> = BTreeMap::new();
            while !ends.load(Ordering::Relaxed) {
                // Errors of a broker that is gone come and go; what counts is what is read.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    read.insert(message.partition(), message.offset() + 1);
                    seen.lock().records.insert((message.partition(), message.offset()));
                    if message.offset() % 40 != 0 {
                        continue;
                    }
                }
                commit(&consumer, &topic, &mut read, &seen);
            }
        });
        Self { end, thread }
    }

    fn stop(self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn commit(consumer: &BaseConsumer, topic: &str, read: &mut BTreeMap<i32, i64>, seen: &Mutex<Seen>) {
    if read.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::new();
    for (partition, offset) in &*read {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    if consumer.commit(&list, CommitMode::Sync).is_ok() {
        let mut seen = seen.lock();
        for (partition, offset) in &*read {
            let known = seen.committed.entry(*partition).or_default();
            *known = (*known).max(*offset);
        }
    }
    // Whatever the answer, who owns the partitions now commits what comes next.
    read.clear();
}

/// What the group has committed, as somebody sees it who is no member.
fn committed(bootstrap: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let asks = consumer(bootstrap, &[]);
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let found = asks.committed_offsets(list, Duration::from_secs(60)).unwrap();
    let offset = |offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    found.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect()
}

#[test]
fn t43_a_group_loses_no_commit_while_its_broker_is_killed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "groups").option("group.initial.rebalance.delay.ms=100");
    let mut broker = setup.start().unwrap();
    let topics = [Topic::new("orders", 4, "local")];
    create_topics(&setup.bootstrap(), &topics).unwrap();
    let load = Load::start(&setup.bootstrap(), &topics, 0..1).unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let cooperative = [("partition.assignment.strategy", "cooperative-sticky")];
    let mut members: Vec<Member> = (0..2).map(|_| Member::start(&setup.bootstrap(), "orders", &seen, &cooperative)).collect();
    for round in 0..3 {
        let before = seen.lock().records.len();
        assert!(load.wait(300, LIMIT), "round {round}: no acks\n{}", broker.log());
        assert!(becomes(|| seen.lock().records.len() > before + 200), "round {round}: the group reads nothing\n{}", broker.log());
        let acknowledged = seen.lock().committed.clone();
        broker.kill();
        broker = setup.start().unwrap();
        let found = committed(&setup.bootstrap(), "orders", 4);
        for (partition, offset) in acknowledged {
            assert!(found.get(&partition) >= Some(&offset), "partition {partition}: {found:?} after {offset} was acknowledged");
        }
        // One goes, another comes.
        members.remove(0).stop();
        members.push(Member::start(&setup.bootstrap(), "orders", &seen, &cooperative));
    }
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    read_everything(&setup.bootstrap(), &topics, &mut history).unwrap();
    assert_clean(&history);
    let count = history.acknowledgements();
    assert!(becomes(|| seen.lock().records.len() >= count), "the group saw {} of {count}", seen.lock().records.len());
    members.into_iter().for_each(Member::stop);
    assert_eq!(broker.stop().unwrap(), 0);
}

#[test]
fn a_static_member_that_restarts_with_its_broker_keeps_its_partitions() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "static").option("group.initial.rebalance.delay.ms=100");
    let broker = setup.start().unwrap();
    create_topics(&setup.bootstrap(), &[Topic::new("orders", 4, "local")]).unwrap();
    let member = |instance: &str| {
        let consumer = consumer(&setup.bootstrap(), &[("group.instance.id", instance), ("session.timeout.ms", "30000")]);
        consumer.subscribe(&["orders"]).unwrap();
        consumer
    };
    let owned = |consumer: &BaseConsumer| -> BTreeSet<i32> {
        consumer.poll(Duration::from_millis(50));
        consumer.assignment().unwrap().elements().iter().map(|element| element.partition()).collect()
    };
    let (one, two) = (member("one"), member("two"));
    let shared = |one: &BaseConsumer, two: &BaseConsumer| {
        becomes(|| {
            let (a, b) = (owned(one), owned(two));
            a.len() == 2 && b.len() == 2 && a.is_disjoint(&b)
        })
    };
    assert!(shared(&one, &two), "no assignment\n{}", broker.log());
    let (first, second) = (owned(&one), owned(&two));
    drop(two);
    broker.kill();
    let broker = setup.start().unwrap();
    let two = member("two");
    assert!(becomes(|| owned(&two) == second), "the member that came back has {:?}\n{}", owned(&two), broker.log());
    assert_eq!(owned(&one), first, "the other one went on");
    drop((one, two));
    assert_eq!(broker.stop().unwrap(), 0);
}
