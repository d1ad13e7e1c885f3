//! Groups of librdkafka consumers while the broker is killed again and again: no commit that succeeded is lost or goes back,
//! every record is seen by the group, and a consumer that takes over begins behind the last commit.

use crate::{alone, assert_clean};
use floe_e2e::broker::Setup;
use floe_e2e::group::{Member, Seen, Watch, committed, consumer};
use floe_e2e::history::History;
use floe_e2e::load::{Load, Topic, create_topics, read_everything};
use floe_e2e::wait;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const GROUP: &str = "killers";

/// Waits until it is so.
fn becomes(mut so: impl FnMut() -> bool) -> bool {
    wait::until(LIMIT, || so().then_some(())).is_some()
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
    let mut members: Vec<Member> =
        (0..2).map(|_| Member::start((&setup.bootstrap(), GROUP), "orders", &seen, &cooperative).unwrap()).collect();
    for round in 0..3 {
        let before = seen.lock().records.len();
        assert!(load.wait(300, LIMIT), "round {round}: no acks\n{}", broker.log());
        assert!(becomes(|| seen.lock().records.len() > before + 200), "round {round}: the group reads nothing\n{}", broker.log());
        let acknowledged = seen.lock().committed.clone();
        broker.kill();
        broker = setup.start().unwrap();
        let found = committed((&setup.bootstrap(), GROUP), "orders", 4).unwrap();
        for (partition, offset) in acknowledged {
            assert!(found.get(&partition) >= Some(&offset), "partition {partition}: {found:?} after {offset} was acknowledged");
        }
        // One goes, another comes.
        members.remove(0).stop();
        members.push(Member::start((&setup.bootstrap(), GROUP), "orders", &seen, &cooperative).unwrap());
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
        let consumer = consumer(&setup.bootstrap(), GROUP, &[("group.instance.id", instance), ("session.timeout.ms", "30000")]).unwrap();
        consumer.subscribe(&["orders"]).unwrap();
        consumer
    };
    let owned = |consumer: &BaseConsumer<Watch>| -> BTreeSet<i32> {
        consumer.poll(Duration::from_millis(50));
        consumer.assignment().unwrap().elements().iter().map(|element| element.partition()).collect()
    };
    let (one, two) = (member("one"), member("two"));
    let shared = |one: &BaseConsumer<Watch>, two: &BaseConsumer<Watch>| {
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
