//! From memory and the WAL into slots: what is on its way, and who waits for it.

use crate::room::{append, batch, options, run};
use floe_formats::{keys, verify_pack};
use floe_log::{AppendError, Durability, EngineOptions};
use floe_testkit::sim_store::SimFaults;
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::{Incarnation, SlotNumber};
use futures::future::join_all;
use std::time::Duration;

fn slot(number: u64) -> String {
    keys::slot(Incarnation(1), SlotNumber(number))
}

#[test]
fn t01_every_producer_gets_the_fate_of_its_own_bytes() {
    run(3, async |room| {
        let broker = room.start(Durability::Object).await;
        let id = broker.topic("t", 1).await;
        room.creates("chain/", StoreFault::Lost, 4);
        let (first, second) = (broker.append(id, "first").expect("appended"), broker.append(id, "second").expect("appended"));
        let partition = broker.partition(id);
        partition.committed(first).await.expect("the upload is tried again with the same bytes");
        partition.committed(second).await.expect("and carries both");
        assert_eq!(broker.values(id).await, ["first", "second"]);
    });
}

#[test]
fn t10_a_slow_attempt_that_lands_late_carries_the_bytes_that_it_was_sent_with() {
    run(10, async |room| {
        let small = EngineOptions { tail_bytes: 1, flush_age: Duration::from_millis(50), ..options(Durability::Local) };
        let broker = room.open(&room.env.process(), &room.disk, small).await.expect("starts");
        let id = broker.topic("t", 1).await;
        room.creates(&slot(0), StoreFault::Late { by_ms: 60_000 }, 1);
        room.creates(&slot(0), StoreFault::Lost, u64::MAX);
        let expected: Vec<String> = (0..500).map(|n| format!("{n:0>1000}")).collect();
        for value in &expected {
            broker.append(id, value).expect("appended");
        }
        room.pass(1_000).await;
        assert!(room.store.peek(&slot(0)).is_none(), "its first attempt is under way, and no other gets through");
        // Meanwhile all memory that it could share is let go of, and used again.
        for n in 0..10_000 {
            broker.append(id, &format!("{n:x>1000}")).expect("appended");
            if n % 100 == 0 {
                room.pass(20).await;
            }
        }
        room.pass(60_000).await;
        verify_pack(&room.store.peek(&slot(0)).expect("it has landed")).expect("every checksum holds");
        room.store.clear_rules();
        room.stop(broker).await;
        let broker = room.start(Durability::Local).await;
        let values = broker.values(id).await;
        assert_eq!(values.len(), 10_500);
        assert!(values.starts_with(&expected));
    });
}

#[test]
fn t11_a_broker_that_fails_leaves_nobody_waiting() {
    run(5, async |room| {
        let broker = room.start(Durability::Local).await;
        let id = broker.topic("t", 1).await;
        room.disk.fail_syncs("wal", 1);
        let end = broker.append(id, "value").expect("appended");
        let answer = room.env.timeout(Duration::from_secs(60), broker.partition(id).committed(end)).await;
        assert!(matches!(answer, Ok(Err(AppendError::Ended(_)))), "{answer:?}");
        assert!(broker.append(id, "more").is_err());
    });
}

#[test]
fn t12_appends_of_one_partition_do_not_wait_for_the_one_before() {
    run(6, async |room| {
        let broker = room.start(Durability::Object).await;
        let id = broker.topic("t", 1).await;
        room.store.set_faults(SimFaults { way_ms: 100..101, ..SimFaults::none() });
        let began = room.env.monotonic();
        let ends: Vec<_> = (0..1000).map(|_| broker.append(id, "value").expect("appended")).collect();
        broker.partition(id).committed(ends[999]).await.expect("committed");
        let took = room.env.monotonic() - began;
        assert!(took < Duration::from_secs(1), "a thousand records shared a few round trips of 200 ms: {took:?} of simulated time");
    });
}

#[test]
fn t33_a_flush_that_does_not_get_on_starves_neither_produce_nor_readers_of_the_tail() {
    run(33, async |room| {
        let broker = room.start(Durability::Local).await;
        let id = broker.topic("t", 1).await;
        broker.produce(id, "before").await.expect("acknowledged");
        // Nothing that is sent to the store arrives any more.
        room.store.set_faults(SimFaults { way_ms: 10_000_000..10_000_001, ..SimFaults::none() });
        let mut slowest = Duration::ZERO;
        for n in 0..2000 {
            let began = room.env.monotonic();
            broker.produce(id, &format!("{n:0>2000}")).await.expect("acknowledged");
            slowest = slowest.max(room.env.monotonic() - began);
        }
        assert!(slowest < Duration::from_millis(200), "an acknowledgement took {slowest:?}; the disk's worst sync takes 64 ms");
        assert_eq!(broker.values(id).await.len(), 2001);
        assert!(broker.engine.status().unflushed_batches >= 2000, "nothing was flushed meanwhile");
    });
}

#[test]
fn t33_readers_of_history_that_wait_for_the_store_hold_up_no_flush() {
    run(34, async |room| {
        let broker = room.start(Durability::Object).await;
        let id = broker.topic("t", 1).await;
        for n in 0..300 {
            broker.produce(id, &format!("{n:0>1000}")).await.expect("acknowledged");
        }
        room.stop(broker).await;
        let broker = room.start(Durability::Object).await;
        room.store.add_rule(FaultRule { op: Some(StoreOp::Read), prefix: slot(0)[..20].into(), fault: StoreFault::Hang, count: u64::MAX });
        let partition = broker.partition(id);
        let readers = (0..300).map(|from| {
            let partition = partition.clone();
            broker.env.spawn("reader", async move { partition.read(floe_log::ReadRequest::new(from, 1000)).await.is_ok() })
        });
        let readers: Vec<_> = readers.collect();
        room.pass(100).await;
        for n in 0..20 {
            let began = room.env.monotonic();
            broker.produce(id, &format!("meanwhile {n}")).await.expect("acknowledged");
            assert!(room.env.monotonic() - began < Duration::from_secs(1), "replaying consumers slow the flush");
        }
        room.store.clear_rules();
        let read = join_all(readers.into_iter().map(floe_env::Task::join)).await;
        assert_eq!(read.len(), 300, "and every reader got an answer, though an error it may be");
        assert_eq!(broker.values(id).await.len(), 320);
    });
}

#[test]
fn t35_ten_thousand_idle_partitions_make_no_request_in_an_hour() {
    run(1, async |room| {
        let broker = room.start(Durability::Local).await;
        for number in 0..10 {
            broker.topic(&format!("t{number}"), 1000).await;
        }
        let before = room.store.counts().total_requests();
        room.env.sleep(Duration::from_secs(3600)).await;
        assert_eq!(room.store.counts().total_requests() - before, 0);
        room.kill(broker).await;
    });
}

#[test]
fn t49_a_slot_behind_a_hole_is_neither_acknowledged_nor_kept() {
    run(2, async |room| {
        let broker = room.start(Durability::Object).await;
        let id = broker.topic("t", 1).await;
        room.creates(&slot(0), StoreFault::Lost, u64::MAX);
        broker.append(id, "a").expect("appended");
        room.pass(100).await;
        broker.append(id, "b").expect("appended");
        room.pass(100).await;
        assert!(room.store.peek(&slot(0)).is_none() && room.store.peek(&slot(1)).is_some());
        assert_eq!(broker.partition(id).offsets().committed, 0, "the slot behind the hole counts for nothing");
        room.kill(broker).await;
        room.store.clear_rules();
        let broker = room.start(Durability::Object).await;
        assert_eq!(broker.partition(id).offsets().end, 0, "what lies behind the stop is void");
    });
}

#[test]
fn t54_records_behind_a_stretch_that_only_the_store_has_are_behind_no_hole() {
    run(54, async |room| {
        let broker = room.start(Durability::Local).await;
        let id = broker.topic("t", 1).await;
        let quiet = broker.topic("quiet", 1).await;
        broker.produce(quiet, "first").await.expect("acknowledged");
        let mut expected = Vec::new();
        // Local, object, local again, within one incarnation: the WAL has the first and the last stretch.
        for (durability, stretch) in [("local", 0..10), ("object", 10..20), ("local", 20..30)] {
            broker.engine.set_topic_config(id.topic, floe_log::DURABILITY, Some(durability.into())).await.expect("set");
            for n in stretch {
                expected.push(n.to_string());
                broker.produce(id, &n.to_string()).await.expect("acknowledged");
            }
        }
        // No flush gets there any more: the last stretch, and this, are in the WAL alone.
        room.creates("chain/", StoreFault::Lost, u64::MAX);
        expected.push("last".into());
        broker.produce(id, "last").await.expect("acknowledged");
        broker.produce(quiet, "second").await.expect("acknowledged");
        room.kill(broker).await;
        room.store.clear_rules();
        let broker = room.start(Durability::Local).await;
        assert_eq!(broker.values(id).await, expected);
        assert_eq!(broker.values(quiet).await, ["first", "second"]);
    });
}

#[test]
fn t69_a_disk_that_hangs_is_told_and_the_store_vouches_for_what_it_does_not() {
    run(69, async |room| {
        let broker = room.start(Durability::Local).await;
        let local = broker.topic("local", 1).await;
        let object = broker.topic_with("object", 1, Durability::Object).await;
        for n in 0..40 {
            broker.produce(local, &format!("{n:0>60000}")).await.expect("acknowledged");
        }
        assert_eq!(broker.engine.status().disk_stalled_ms, 0);
        // With files of the WAL that are to be given back when what they hold is flushed.
        room.disk.hang_syncs();
        room.pass(60_000).await;
        assert_eq!(broker.engine.status().disk_stalled_ms, 0, "nothing was asked of it");
        let began = room.env.monotonic();
        broker.produce(local, "in a slot").await.expect("acknowledged");
        broker.produce(object, "needs no disk").await.expect("acknowledged");
        assert!(room.env.monotonic() - began < Duration::from_secs(5), "the age that starts a flush, and the flush");
        room.pass(30_000).await;
        let stalled = broker.engine.status().disk_stalled_ms;
        assert!((30_000..35_000).contains(&stalled), "the broker knows that its disk has not answered for {stalled} ms");
        // Without the store as well nothing is acknowledged, and what waits in memory is bounded.
        room.creates("chain/", StoreFault::Lost, u64::MAX);
        let (partition, large) = (broker.partition(local), batch(&"x".repeat(900_000)));
        let taken = (0..1000).take_while(|_| append(&partition, &large).is_ok()).count();
        assert!((20..100).contains(&taken), "{taken} batches of 0.9 MB were taken by a disk that hangs");
        room.pass(30_000).await;
        assert_eq!(partition.offsets().committed, 41);
        room.disk.release_syncs();
        partition.committed(partition.offsets().end).await.expect("acknowledged");
        assert_eq!(broker.engine.status().disk_stalled_ms, 0);
        assert_eq!(broker.values(object).await, ["needs no disk"]);
        room.kill(broker).await;
        room.store.clear_rules();
        let broker = room.start(Durability::Local).await;
        assert_eq!(broker.values(local).await.len(), 41 + taken);
    });
}
