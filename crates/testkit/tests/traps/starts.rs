//! Starts that fail half way, and what a start costs.

use crate::room::{Broker, Room, options, run};
use floe_formats::keys;
use floe_log::Durability;
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_testkit::store_faults::StoreOp;
use floe_types::{ErrorKind, Generation, Incarnation, PartitionId};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Records in slots and in the WAL alone, and then no power any more.
async fn crash(room: &Room, broker: Broker, ids: [PartitionId; 2], expected: &mut Vec<String>) {
    for place in ["flushed", "in the WAL"] {
        let value = format!("{} {place}", expected.len());
        for id in ids {
            broker.produce(id, &value).await.expect("acknowledged");
        }
        expected.push(value);
        room.pass(if place == "flushed" { 3_000 } else { 0 }).await;
    }
    room.kill(broker).await;
}

/// A broker that has crashed so once, and what it promised.
async fn crashed(room: &Room) -> ([PartitionId; 2], Vec<String>) {
    let broker = room.start(Durability::Local).await;
    let ids = [broker.topic("local", 1).await, broker.topic_with("object", 1, Durability::Object).await];
    let mut expected = Vec::new();
    crash(room, broker, ids, &mut expected).await;
    (ids, expected)
}

async fn assert_all(broker: &Broker, ids: [PartitionId; 2], expected: &[String]) {
    for id in ids {
        assert_eq!(broker.values(id).await, expected);
    }
}

#[test]
fn t19_a_start_that_fails_anywhere_leaves_nothing_half_open_and_the_next_one_finds_everything() {
    run(19, async |room| {
        let (ids, mut expected) = crashed(room).await;
        let mut failed = 0;
        for requests in 0.. {
            // The store goes for good after so many requests of this start.
            let (store, gone) = (room.store.clone(), Arc::new(AtomicBool::new(false)));
            let told = gone.clone();
            room.store.then(None, "", requests, move || {
                told.store(true, Ordering::Relaxed);
                store.set_available(false);
            });
            let opened = room.open(&room.env.process(), &room.disk, options(Durability::Local)).await;
            room.store.clear_hooks();
            room.store.set_available(true);
            let broker = match opened {
                Ok(broker) => broker,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Retry, "after {requests} requests: {error}");
                    failed += 1;
                    room.start(Durability::Local).await
                }
            };
            assert_all(&broker, ids, &expected).await;
            if !gone.load(Ordering::Relaxed) {
                break;
            }
            crash(room, broker, ids, &mut expected).await;
        }
        assert!(failed > 10, "a start was cut short at {failed} requests only");
    });
}

#[test]
fn t19_a_topic_whose_creation_fails_half_way_is_there_whole_or_not_at_all() {
    run(119, async |room| {
        let broker = room.start(Durability::Object).await;
        // Local: its first use of the WAL needs a claim besides the catalog.
        for (name, fault) in
            [("lost", SimFaults { lost: 10_000, ..SimFaults::none() }), ("done", SimFaults { after: 10_000, ..SimFaults::none() })]
        {
            room.store.set_faults(fault);
            let new =
                floe_log::NewTopic { name: name.into(), partitions: 3, configs: [(floe_log::DURABILITY.into(), "local".into())].into() };
            assert!(broker.engine.create_topic(new.clone()).await.is_err() || name == "done");
            room.store.set_faults(SimFaults::none());
            let again = broker.engine.create_topic(new).await;
            assert!(again.is_ok() || matches!(again, Err(floe_log::TopicError::Exists(_))), "{again:?}");
            let topic = broker.engine.catalog().view().by_name(name).expect("it is there").id;
            for index in 0..3 {
                let id = PartitionId { topic, index };
                broker.produce(id, name).await.expect("every partition takes records");
                assert_eq!(broker.values(id).await, [name]);
            }
        }
    });
}

/// How a store may be bad for a minute.
#[derive(Debug, Clone, Copy)]
enum Bad {
    Gone,
    Silent,
    SlowLists,
}

fn set(store: &SimStore, bad: Option<Bad>) {
    store.set_available(!matches!(bad, Some(Bad::Gone)));
    store.set_faults(match bad {
        Some(Bad::Silent) => SimFaults { way_ms: 10_000_000..10_000_001, ..SimFaults::none() },
        // Twelve seconds each: longer than an attempt may take.
        Some(Bad::SlowLists) => SimFaults { way_ms: 60..61, slow_lists: 10_000, slow_factor: 200, ..SimFaults::none() },
        Some(Bad::Gone) | None => SimFaults::none(),
    });
}

#[test]
fn t22_a_store_that_is_bad_for_a_minute_in_the_middle_of_a_recovery_does_not_end_the_broker() {
    for bad in [Bad::Gone, Bad::Silent, Bad::SlowLists] {
        let met = Cell::new(true);
        for requests in (0..).take_while(|_| met.replace(false)) {
            run(2200 + requests, async |room| {
                let (ids, expected) = crashed(room).await;
                let (store, env) = (room.store.clone(), room.env.process());
                let became_bad = Arc::new(AtomicBool::new(false));
                let told = became_bad.clone();
                // From so many requests behind its claim on.
                room.store.then(Some(StoreOp::Create), &keys::claim(Incarnation(2), Generation(0)), 0, move || {
                    let again = store.clone();
                    again.then(None, "", requests, move || {
                        told.store(true, Ordering::Relaxed);
                        set(&store, Some(bad));
                        let heals = env.clone();
                        env.spawn("a minute", async move {
                            heals.sleep(Duration::from_secs(60)).await;
                            set(&store, None);
                        })
                        .detach_to_group();
                    });
                });
                let opened = room.open(&room.env.process(), &room.disk, options(Durability::Local)).await;
                let broker = opened.unwrap_or_else(|error| panic!("{bad:?} after {requests} requests: {error}"));
                room.store.clear_hooks();
                set(&room.store, None);
                assert_all(&broker, ids, &expected).await;
                assert_eq!(broker.engine.incarnation(), Incarnation(2), "no incarnation was begun in vain");
                met.set(became_bad.load(Ordering::Relaxed));
            });
        }
    }
}

#[test]
fn t21_a_start_asks_for_far_less_than_there_are_partitions_or_segments_and_does_not_queue_for_it() {
    run(21, async |room| {
        let broker = room.start(Durability::Local).await;
        let topics = [broker.topic("a", 1000).await.topic, broker.topic("b", 1000).await.topic];
        let ids = || topics.into_iter().flat_map(|topic| (0..1000).map(move |index| PartitionId { topic, index }));
        for _ in 0..20 {
            ids().for_each(|id| assert!(broker.append(id, "value").is_ok()));
            room.pass(1_500).await;
        }
        // And one more of each in the WAL alone.
        room.creates("chain/", floe_testkit::store_faults::StoreFault::Lost, u64::MAX);
        ids().for_each(|id| assert!(broker.append(id, "last").is_ok()));
        room.pass(500).await;
        room.kill(broker).await;
        room.store.clear_rules();
        room.store.set_faults(SimFaults { way_ms: 50..51, ..SimFaults::none() });
        let (before, began) = (room.store.counts().total_requests(), room.env.monotonic());
        let broker = room.start(Durability::Local).await;
        let (requests, took) = (room.store.counts().total_requests() - before, room.env.monotonic() - began);
        assert!(requests < 80, "{requests} requests for 2,000 partitions with 40,000 segments");
        assert!(took < Duration::from_secs(4), "{took:?}, with round trips of 100 ms");
        for id in ids().step_by(97) {
            assert_eq!(broker.partition(id).offsets().committed, 21);
        }
    });
}
