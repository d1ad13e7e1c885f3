//! A broker that has lost its place can neither acknowledge nor change anything that its successor has to care about,
//! however long it stood still, and whatever the clocks say (P3).

use crate::room::{Broker, Room, options, run};
use floe_env::sim::SimDisk;
use floe_formats::{Stop, keys};
use floe_log::{AppendError, Durability, Ended, EngineOptions, NewTopic, OpenError, TopicError};
use floe_testkit::store_faults::StoreFault;
use floe_types::{Incarnation, PartitionId, SlotNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

fn slot(number: u64) -> String {
    keys::slot(Incarnation(1), SlotNumber(number))
}

/// What stands in the row of the first incarnation.
fn first_row(room: &Room) -> BTreeMap<String, Option<bytes::Bytes>> {
    let keys = room.store.peek_keys(&keys::slots_prefix(Incarnation(1)));
    keys.into_iter().map(|key| (key.clone(), room.store.peek(&key))).collect()
}

fn is_stop(room: &Room, key: &str) -> bool {
    room.store.peek(key).is_some_and(|bytes| floe_formats::decode::<Stop>(&bytes).is_ok())
}

async fn assert_fenced(room: &Room, broker: &Broker) {
    let ended = room.env.timeout(Duration::from_secs(120), broker.engine.ended()).await;
    assert!(matches!(ended, Ok(Ended::Fenced { .. })), "{ended:?}");
}

#[test]
fn t13_a_put_that_lands_a_minute_after_the_take_over_counts_for_nothing() {
    run(13, async |room| {
        let old = room.start(Durability::Object).await;
        let id = old.topic("t", 1).await;
        old.produce(id, "a").await.expect("acknowledged");
        room.creates(&slot(1), StoreFault::Late { by_ms: 60_000 }, 1);
        room.creates(&slot(1), StoreFault::Lost, u64::MAX);
        let end = old.append(id, "lost").expect("appended");
        room.pass(20).await;
        assert_eq!(room.store.counts().faults.get("late"), Some(&1), "its PUT is on its way");
        old.env.freeze();
        room.store.clear_rules();
        let new = room.take_over(Durability::Object).await;
        new.produce(id, "b").await.expect("acknowledged");
        assert!(is_stop(room, &slot(1)));
        let row = first_row(room);
        room.pass(60_000).await;
        assert_eq!(first_row(room), row, "it lands in a slot that is taken");
        old.env.thaw();
        assert!(old.partition(id).committed(end).await.is_err(), "what it had on its way is not acknowledged");
        assert_fenced(room, &old).await;
        assert_eq!(first_row(room), row, "nothing that it does afterwards changes its row");
        new.produce(id, "c").await.expect("acknowledged");
        assert_eq!(new.values(id).await, ["a", "b", "c"]);
    });
}

#[test]
fn t13_a_put_that_landed_just_before_the_take_over_counts_whenever_its_writer_wakes() {
    run(113, async |room| {
        let old = room.start(Durability::Object).await;
        let id = old.topic("t", 1).await;
        room.creates(&slot(0), StoreFault::Hang, 1);
        let end = old.append(id, "a").expect("appended");
        room.pass(20).await;
        old.env.freeze();
        let new = room.take_over(Durability::Object).await;
        assert_eq!(new.values(id).await, ["a"], "its slot stood before the stop");
        new.produce(id, "b").await.expect("acknowledged");
        room.pass(60_000).await;
        old.env.thaw();
        // It may say so: the record is there, where the answer says.
        old.partition(id).committed(end).await.expect("acknowledged");
        let late = old.append(id, "lost").expect("it does not know yet");
        assert!(old.partition(id).committed(late).await.is_err());
        assert_fenced(room, &old).await;
        assert_eq!(new.values(id).await, ["a", "b"]);
    });
}

#[test]
fn t14_a_row_that_is_lost_between_the_decision_to_write_and_the_write_acknowledges_nothing() {
    run(14, async |room| {
        let slow = EngineOptions { object_flush_age: Duration::from_millis(900), ..options(Durability::Object) };
        let old = room.open(&room.env.process(), &room.disk, slow).await.expect("starts");
        let id = old.topic("t", 1).await;
        let end = old.append(id, "lost").expect("appended");
        room.pass(10).await;
        assert_eq!(old.engine.has_ended(), None, "whoever asks now is told that all is well");
        old.env.freeze();
        let new = room.take_over(Durability::Object).await;
        // The store says neither yes nor no to the write itself.
        room.creates(&slot(0), StoreFault::After, 1);
        old.env.thaw();
        let answer = old.partition(id).committed(end).await;
        assert!(matches!(answer, Err(AppendError::Ended(Ended::Fenced { .. }))), "{answer:?}");
        assert_eq!(room.store.counts().faults.get("after"), Some(&1), "it did write");
        assert_eq!(new.values(id).await, Vec::<String>::new());
    });
}

#[test]
fn t15_whoever_came_last_owns_the_log_whatever_the_clocks_say() {
    run(15, async |room| {
        let ahead = room.env.process().with_clock_skew(YEAR_MS);
        let old = room.open(&ahead, &room.disk, options(Durability::Object)).await.expect("starts");
        let id = old.topic("t", 1).await;
        old.produce(id, "a year ahead").await.expect("acknowledged");
        let (behind, disk) = (room.env.process().with_clock_skew(-YEAR_MS), SimDisk::new(&room.env));
        let new = room.open(&behind, &disk, options(Durability::Object)).await.expect("starts");
        assert_eq!((old.engine.incarnation(), new.engine.incarnation()), (Incarnation(1), Incarnation(2)));
        new.produce(id, "a year behind").await.expect("acknowledged");
        assert!(old.produce(id, "lost").await.is_err());
        assert_fenced(room, &old).await;
        room.kill(new).await;
        room.kill(old).await;
        let last = room.start(Durability::Object).await;
        assert_eq!(last.values(id).await, ["a year ahead", "a year behind"]);
        assert_eq!(last.partition(id).leader_epoch(), 3);
    });
}

async fn create(broker: &Broker, name: &str) -> Result<(), TopicError> {
    let new = NewTopic { name: name.into(), partitions: 1, configs: BTreeMap::new() };
    broker.engine.create_topic(new).await.map(|_| ())
}

#[test]
fn t16_a_deposed_broker_changes_no_topic() {
    for change in ["create", "configure", "delete"] {
        run(16, async |room| {
            let old = room.start(Durability::Object).await;
            let id = old.topic("t", 1).await;
            old.produce(id, "a").await.expect("acknowledged");
            let new = room.take_over(Durability::Object).await;
            new.produce(id, "b").await.expect("acknowledged");
            let changed = match change {
                "create" => create(&old, "another").await,
                "configure" => old.engine.set_topic_config(id.topic, floe_log::DURABILITY, Some("object".into())).await,
                _ => old.engine.delete_topic(id.topic).await,
            };
            assert!(matches!(changed, Err(TopicError::Ended(Ended::Fenced { .. }))), "{change}: {changed:?}");
            assert_fenced(room, &old).await;
            new.produce(id, "c").await.expect("acknowledged");
            create(&new, "another").await.expect("the name is free");
            room.kill(new).await;
            let last = room.take_over(Durability::Object).await;
            assert_eq!(last.values(id).await, ["a", "b", "c"]);
            assert_eq!(last.engine.catalog().view().topics().count(), 2);
        });
    }
}

#[test]
fn t18_what_a_disk_remembers_of_a_log_that_others_went_on_with_is_not_taken_up_again() {
    run(18, async |room| {
        let first = room.start(Durability::Local).await;
        let id = first.topic("t", 1).await;
        first.produce(id, "kept").await.expect("acknowledged");
        room.pass(3_000).await;
        room.creates("chain/", StoreFault::Lost, u64::MAX);
        for n in 0..5 {
            first.produce(id, &format!("given up {n}")).await.expect("acknowledged");
        }
        room.kill(first).await;
        room.store.clear_rules();
        let second = room.take_over(Durability::Local).await;
        assert_eq!(second.produce(id, "b").await, Ok(1), "the offset is free: the first disk's word was given up");
        room.stop(second).await;
        // Ownership comes back to the first disk, with its WAL and its producers' state of then.
        let third = room.start(Durability::Local).await;
        assert_eq!(third.values(id).await, ["kept", "b"]);
        assert_eq!(third.produce(id, "c").await, Ok(2));
        room.kill(third).await;
        let fourth = room.start(Durability::Local).await;
        assert_eq!(fourth.values(id).await, ["kept", "b", "c"]);
    });
}

#[test]
fn t56_a_broker_that_comes_back_with_an_empty_disk_is_not_the_one_that_was_named() {
    run(56, async |room| {
        let broker = room.start(Durability::Local).await;
        let id = broker.topic("t", 1).await;
        broker.produce(id, "a").await.expect("acknowledged");
        room.kill(broker).await;
        // The same broker id, the same settings, and nothing on the disk.
        let empty = SimDisk::new(&room.env);
        let refused = room.open(&room.env.process(), &empty, options(Durability::Local)).await.err();
        assert!(matches!(refused, Some(OpenError::LocalElsewhere { incarnation: Incarnation(1), .. })), "{refused:?}");
        let broker = room.start(Durability::Local).await;
        assert_eq!(broker.values(id).await, ["a"], "and the disk that was named still has it");
    });
}

#[test]
fn t57_numbers_are_never_given_twice() {
    run(4, async |room| {
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let broker = room.start(Durability::Local).await;
            assert!(seen.insert(i64::try_from(broker.engine.incarnation().0).expect("small")), "an incarnation twice");
            for _ in 0..3 {
                assert!(seen.insert(broker.engine.allocate_producer_id()), "a producer id twice");
            }
            room.kill(broker).await;
        }
    });
}

#[test]
fn t65_a_disk_that_is_gone_blocks_nobody_once_everything_of_it_is_in_the_store() {
    run(65, async |room| {
        let lost = SimDisk::new(&room.env);
        let first = room.open(&room.env.process(), &lost, options(Durability::Local)).await.expect("starts");
        let id: PartitionId = first.topic("t", 1).await;
        first.produce(id, "a").await.expect("acknowledged");
        room.kill(first).await;
        // Recovered on its own disk, and drained: two incarnations whose claims name a disk that is then thrown away.
        let second = room.open(&room.env.process(), &lost, options(Durability::Local)).await.expect("starts");
        second.produce(id, "b").await.expect("acknowledged");
        room.stop(second).await;
        drop(lost);
        let third = room.start(Durability::Local).await;
        third.produce(id, "c").await.expect("acknowledged");
        room.kill(third).await;
        let fourth = room.start(Durability::Local).await;
        assert_eq!(fourth.values(id).await, ["a", "b", "c"]);
    });
}
