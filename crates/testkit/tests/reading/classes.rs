//! One class of work takes all it can get at the store, or what it asks for never comes: the others go on (P9, T33).

use crate::support::{Broker, Room, append, options, replay, run, steady, value};
use floe_formats::keys;
use floe_log::verify::{Depth, verify_at};
use floe_log::{EngineOptions, ReadRequest};
use floe_objstore::{Class, Op, Store, StoreOptions};
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::PartitionId;
use std::time::Duration;

const HISTORY: i32 = 5;
const BATCHES: i64 = 48;
/// Of one flush, and of one own pack.
const PER_PACK: i64 = 4;
/// The last flush is less than a pack's worth, and stays in its slot.
const OWN_PACKS: usize = (BATCHES / PER_PACK) as usize - 1;
const CONSUMERS: usize = 100;

/// What a partition has in slots is settled by the MiB, and soon.
fn settling() -> EngineOptions {
    EngineOptions {
        settle_bytes: 1 << 20,
        settle_least_bytes: 1 << 18,
        settle_check: Duration::from_millis(100),
        index_every_slots: 8,
        ..options()
    }
}

async fn own_packs(broker: &Broker, id: PartitionId) -> usize {
    broker.store.for_class(Class::Recovery).list(&keys::own_packs_prefix(id), None, 1000).await.expect("listed").len()
}

async fn wait_for_own_packs(room: &Room, broker: &Broker, id: PartitionId, count: usize) {
    while own_packs(broker, id).await < count {
        room.env.sleep(Duration::from_millis(100)).await;
    }
}

/// A history in own packs; and a broker that has read none of it.
async fn settled_history(room: &Room, options: EngineOptions) -> (Broker, Vec<PartitionId>) {
    let (broker, ids) = room.history(HISTORY, BATCHES, PER_PACK, options).await;
    for id in &ids {
        wait_for_own_packs(room, &broker, *id, OWN_PACKS).await;
    }
    (broker, ids)
}

/// Consumers that read the first own packs of these partitions, and begin again whatever they got.
fn consume(broker: &Broker, ids: &[PartitionId]) {
    for (consumer, id) in (0..CONSUMERS).zip(ids.iter().cycle()) {
        let (env, partition) = (broker.env.clone(), broker.partition(*id));
        let offset = PER_PACK * (consumer % OWN_PACKS) as i64;
        let read = async move {
            loop {
                let request = ReadRequest::new(offset, 1 << 20);
                // Whether it came or not; what is in memory comes at once.
                let _read = partition.read(request).await;
                env.sleep(Duration::from_millis(5)).await;
            }
        };
        broker.env.spawn("consume", read).detach_to_group();
    }
}

/// The tail of a new topic: the longest time from an append to where it is read back; and how long it takes until all of it but
/// the last pack is settled.
async fn tail_and_settling(room: &Room, broker: &Broker, name: &str) -> (Duration, Duration) {
    let began = room.env.monotonic();
    let id = broker.topic(name, 1).await[0];
    let mut slowest = room.env.monotonic() - began;
    let partition = broker.partition(id);
    let began = room.env.monotonic();
    for n in 0..16 {
        let sent = room.env.monotonic();
        let end = append(&partition, &value(n));
        partition.committed(end).await.expect("acknowledged");
        let read = partition.read(ReadRequest::new(end - 1, 1)).await.expect("readable");
        assert_eq!(read.batches.len(), 1);
        slowest = slowest.max(room.env.monotonic() - sent);
    }
    wait_for_own_packs(room, broker, id, 2).await;
    (slowest, room.env.monotonic() - began)
}

#[test]
fn t33_consumers_whose_reads_never_come_hold_up_nobody_else() {
    run(8, steady(), async |room| {
        let (broker, ids) = settled_history(room, settling()).await;
        let (hanging, sound) = (&ids[1..], ids[0]);
        let alone = tail_and_settling(room, &broker, "alone").await;
        for id in hanging {
            let prefix = keys::own_packs_prefix(*id);
            room.backend.rules().add(FaultRule { op: Some(StoreOp::Read), prefix, fault: StoreFault::Hang, count: u64::MAX });
        }
        consume(&broker, hanging);
        room.env.sleep(Duration::from_millis(100)).await;
        let request = ReadRequest::new(0, 1);
        let partition = broker.partition(sound);
        let one_more = room.env.timeout(Duration::from_secs(2), Box::pin(partition.read(request))).await;
        assert!(one_more.is_err(), "all places of consumers are taken");
        let at_start = room.env.timeout(Duration::from_millis(200), Box::pin(partition.read_at_start(request))).await;
        assert!(at_start.expect("in time").is_ok(), "what a start has to know does not stand in line with them");
        let beside = tail_and_settling(room, &broker, "beside").await;
        assert!(beside.0 <= alone.0 + Duration::from_millis(10), "the tail: {alone:?} alone, {beside:?} beside them");
        assert!(beside.1 <= alone.1 + Duration::from_secs(1), "settling: {alone:?} alone, {beside:?} beside them");
        // Until the first of them have given up, and those behind them have had their turn.
        room.env.sleep(Duration::from_secs(6)).await;
        assert!(broker.store.metrics().seconds_waited(Class::Replay) > 10.0);
        assert_eq!(broker.store.metrics().seconds_waited(Class::Tail), 0.0);
        room.kill(broker).await;
    });
}

#[test]
fn t33_settling_goes_on_beside_as_many_consumers_as_the_store_can_take_and_verify_beside_both() {
    run(9, steady(), async |room| {
        // Next to nothing of history stays in memory.
        let options = EngineOptions { cache_bytes: 4 << 20, ..settling() };
        let (broker, ids) = settled_history(room, options).await;
        let alone = tail_and_settling(room, &broker, "alone").await;
        let waited = broker.store.metrics().seconds_waited(Class::Replay);
        consume(&broker, &ids);
        let verify = {
            let store = Store::new(broker.env.clone(), room.backend.clone(), StoreOptions::default());
            broker.env.spawn("verify", async move { verify_at(&store, Depth::Records, |_| {}).await })
        };
        let beside = tail_and_settling(room, &broker, "beside").await;
        assert!(beside.0 <= alone.0 + Duration::from_millis(10), "the tail: {alone:?} alone, {beside:?} beside them");
        assert!(beside.1 <= alone.1 + Duration::from_secs(1), "settling: {alone:?} alone, {beside:?} beside them");
        assert!(broker.store.metrics().seconds_waited(Class::Replay) > waited + 1.0, "consumers ask for more than there is");
        let report = verify.join().await.expect("it ends").expect("the store answers");
        assert!(report.is_clean() && report.records >= (BATCHES * i64::from(HISTORY)) as u64, "{report:?}");
        // A consumer gets what it asks for all the same.
        let bytes = replay(&room.env, &broker.partition(ids[0]), 0, BATCHES, Duration::ZERO).await;
        assert!(bytes > 48 * 250_000);
        room.kill(broker).await;
    });
}

#[test]
fn t33_deletes_that_never_end_hold_up_no_flush() {
    run(10, steady(), async |room| {
        // One place each for the tail, for merging and for a start, and two for everybody.
        let few = StoreOptions { writes_at_once: 5, ..StoreOptions::default() };
        let broker = room.start_with(settling(), few).await;
        let doomed = broker.topic("doomed", 1).await[0];
        append(&broker.partition(doomed), &value(0));
        room.backend.rules().add(FaultRule { op: Some(StoreOp::Delete), prefix: String::new(), fault: StoreFault::Hang, count: u64::MAX });
        // Sweeping the row, pruning manifests, and cleaning up after a topic: each waits for a delete.
        let id = broker.topic("t", 1).await[0];
        let partition = broker.partition(id);
        for n in 0..24 {
            let end = append(&partition, &value(n));
            partition.committed(end).await.expect("acknowledged");
        }
        broker.engine.delete_topic(doomed.topic).await.expect("deleted");
        room.env.sleep(Duration::from_secs(3)).await;
        let deletes = |class| broker.store.metrics().requests_of(class, Op::Delete);
        assert!(deletes(Class::Merging) >= 2, "{}", deletes(Class::Merging));
        assert_eq!(deletes(Class::Tail), 0);
        let mut slowest = Duration::ZERO;
        for n in 0..16 {
            let sent = room.env.monotonic();
            let end = append(&partition, &value(n));
            partition.committed(end).await.expect("acknowledged");
            slowest = slowest.max(room.env.monotonic() - sent);
        }
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
        room.kill(broker).await;
    });
}

#[test]
fn pages_of_manifests_are_read_for_the_class_that_waits_for_them_and_nobody_waits_for_another_to_get_one() {
    run(12, steady(), async |room| {
        let options = EngineOptions { manifest_segments: 4, ..settling() };
        let first = room.start(options.clone()).await;
        let id = first.topic("t", 1).await[0];
        for n in 0..BATCHES {
            let end = append(&first.partition(id), &value(n));
            first.partition(id).committed(end).await.expect("acknowledged");
        }
        wait_for_own_packs(room, &first, id, OWN_PACKS).await;
        room.env.sleep(Duration::from_secs(1)).await;
        room.kill(first).await;
        let broker = room.start(options).await;
        let of = |class| broker.store.metrics().requests_of(class, Op::Get);
        let (partition, started) = (broker.partition(id), of(Class::Recovery));
        let request = |offset| ReadRequest::new(offset, 1);
        assert!(!partition.read_at_start(request(0)).await.expect("readable").batches.is_empty());
        assert_eq!((of(Class::Recovery) - started, of(Class::Replay)), (2, 0), "the manifest, and the first page");
        assert!(!partition.read(request(PER_PACK * 3)).await.expect("readable").batches.is_empty());
        assert_eq!((of(Class::Recovery) - started, of(Class::Replay)), (2, 1), "another page");

        let prefix = keys::pages_prefix(id);
        room.backend.rules().add(FaultRule { op: Some(StoreOp::Read), prefix, fault: StoreFault::Hang, count: 1 });
        let consumer = {
            let partition = partition.clone();
            broker.env.spawn("consume", async move { partition.read(request(PER_PACK * 7)).await })
        };
        room.env.sleep(Duration::from_millis(50)).await;
        let at_start = partition.read_at_start(request(PER_PACK * 7));
        let at_start = room.env.timeout(Duration::from_millis(200), Box::pin(at_start)).await.expect("in time");
        assert!(!at_start.expect("readable").batches.is_empty());
        assert_eq!((of(Class::Recovery) - started, of(Class::Replay)), (3, 2), "one for each, and one of them hangs");

        let (merging, cut) = (of(Class::Merging), PER_PACK * 5);
        assert_eq!(partition.delete_records(Some(cut)).await, Ok(cut));
        room.env.sleep(Duration::from_secs(2)).await;
        assert!(of(Class::Merging) > merging, "the page that the log start cuts, to see which packs go");
        assert_eq!(of(Class::Replay), 2);
        drop(consumer);
        room.kill(broker).await;
    });
}

#[test]
fn every_request_is_made_for_the_class_that_waits_for_it() {
    run(11, steady(), async |room| {
        let first = room.start(settling()).await;
        let id = first.topic("t", 1).await[0];
        for n in 0..20 {
            let end = append(&first.partition(id), &value(n));
            first.partition(id).committed(end).await.expect("acknowledged");
        }
        wait_for_own_packs(room, &first, id, 2).await;
        room.kill(first).await;

        let broker = room.start(settling()).await;
        let of = |class, ops: &[Op]| ops.iter().map(|op| broker.store.metrics().requests_of(class, *op)).sum::<u64>();
        let reads = [Op::Get, Op::GetRange, Op::GetStart, Op::GetTail, Op::List, Op::ListFolders];
        for class in [Class::Tail, Class::Replay, Class::Merging] {
            assert_eq!(of(class, &Op::ALL), 0, "{class:?} at a start that recovers a chain");
        }
        assert!(of(Class::Recovery, &[Op::Create]) >= 3, "claims, stops, the end");
        let (partition, before) = (broker.partition(id), own_packs(&broker, id).await);
        for n in 0..40 {
            let end = append(&partition, &value(n));
            partition.committed(end).await.expect("acknowledged");
        }
        wait_for_own_packs(room, &broker, id, before + 4).await;
        room.env.sleep(Duration::from_secs(5)).await;
        assert!(of(Class::Tail, &[Op::Create]) >= 40, "slots and indexes");
        assert_eq!(of(Class::Tail, &reads) + of(Class::Tail, &[Op::Delete]), 0, "the tail only writes");
        assert!(of(Class::Merging, &[Op::Create]) >= 8, "own packs and manifests");
        assert!(of(Class::Merging, &reads) > 0 && of(Class::Merging, &[Op::Delete]) > 0);
        assert_eq!(of(Class::Replay, &Op::ALL), 0, "nobody has read history");
        replay(&room.env, &partition, 0, 60, Duration::ZERO).await;
        assert!(of(Class::Replay, &reads) > 0);
        assert_eq!(of(Class::Tail, &reads), 0);
        room.kill(broker).await;
    });
}
