//! Traps of a single broker's write path that need a store which misbehaves on cue.

use floe_env::sim::SimDisk;
use floe_env::{Disk, Env};
use floe_formats::keys;
use floe_log::{AppendError, Durability, Engine, EngineOptions, NewTopic, Partition, ReadRequest};
use floe_objstore::{Store, StoreOptions};
use floe_records::{BatchBuilder, BatchHeader, Codec};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::{Incarnation, PartitionId, SlotNumber};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

struct Room {
    env: Env,
    store: SimStore,
    disk: SimDisk,
}

fn room(seed: u64) -> Room {
    let env = Env::simulated(seed);
    Room { store: SimStore::new(&env, SimFaults::none()), disk: SimDisk::new(&env), env }
}

impl Room {
    async fn start(&self, durability: Durability) -> (Env, Engine) {
        let env = self.env.process();
        let store = Store::new(env.clone(), self.store.backend(), StoreOptions::default());
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let options =
            EngineOptions { durability, wal_file_bytes: 1 << 20, object_flush_age: Duration::from_millis(5), ..EngineOptions::default() };
        let engine = Engine::open(env.clone(), store, disk, options).await.expect("starts");
        (env, engine)
    }

    async fn kill(&self, (env, engine): (Env, Engine)) {
        env.abort_all();
        env.tasks_ended().await;
        drop(engine);
        self.disk.crash();
    }
}

async fn topic(engine: &Engine, name: &str, partitions: i32) -> PartitionId {
    let topic = engine.create_topic(NewTopic { name: name.into(), partitions, configs: BTreeMap::new() }).await.expect("created");
    PartitionId { topic: topic.id, index: 0 }
}

/// Appends one record; its end offset.
fn append(partition: &Arc<Partition>) -> Result<i64, AppendError> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1, None, Some(b"value")).expect("it fits");
    let batch = builder.build();
    Ok(partition.append(&batch, &BatchHeader::parse(&batch).expect("well formed"))?.end_offset)
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(test);
}

#[test]
fn t35_ten_thousand_idle_partitions_make_no_request_in_an_hour() {
    run(async {
        let room = room(1);
        let broker = room.start(Durability::Local).await;
        for number in 0..10 {
            topic(&broker.1, &format!("t{number}"), 1000).await;
        }
        let before = room.store.counts().total_requests();
        room.env.sleep(Duration::from_secs(3600)).await;
        assert_eq!(room.store.counts().total_requests() - before, 0);
        room.kill(broker).await;
    });
}

#[test]
fn t49_a_slot_behind_a_hole_is_neither_acknowledged_nor_kept() {
    run(async {
        let room = room(2);
        let broker = room.start(Durability::Object).await;
        let id = topic(&broker.1, "t", 1).await;
        let hole = keys::slot(Incarnation(1), SlotNumber(0));
        room.store.add_rule(FaultRule { op: Some(StoreOp::Create), prefix: hole.clone(), fault: StoreFault::Lost, count: u64::MAX });
        let partition = broker.1.partition(id).expect("led here");
        append(&partition).expect("appended");
        room.env.sleep(Duration::from_millis(100)).await;
        append(&partition).expect("appended");
        room.env.sleep(Duration::from_millis(100)).await;
        assert!(room.store.peek(&hole).is_none() && room.store.peek(&keys::slot(Incarnation(1), SlotNumber(1))).is_some());
        assert_eq!(partition.offsets().committed, 0, "the slot behind the hole counts for nothing");
        drop(partition);
        room.kill(broker).await;
        room.store.clear_rules();
        let (_env, engine) = room.start(Durability::Object).await;
        assert_eq!(engine.partition(id).expect("led here").offsets().end, 0, "what lies behind the stop is void");
    });
}

#[test]
fn t01_every_producer_gets_the_fate_of_its_own_bytes() {
    run(async {
        let room = room(3);
        let (_env, engine) = room.start(Durability::Object).await;
        let id = topic(&engine, "t", 1).await;
        let partition = engine.partition(id).expect("led here");
        room.store.add_rule(FaultRule { op: Some(StoreOp::Create), prefix: "chain/".into(), fault: StoreFault::Lost, count: 4 });
        let first = append(&partition).expect("appended");
        let second = append(&partition).expect("appended");
        partition.committed(first).await.expect("the upload is tried again with the same bytes");
        partition.committed(second).await.expect("and carries both");
        let read = partition.read(ReadRequest { offset: 0, max_bytes: 1 << 20, at_least_one: true }).await.expect("readable");
        assert_eq!((read.batches.len(), read.committed), (2, 2));
    });
}

#[test]
fn t57_numbers_are_never_given_twice() {
    run(async {
        let room = room(4);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let broker = room.start(Durability::Local).await;
            assert!(seen.insert(i64::try_from(broker.1.incarnation().0).expect("small")), "an incarnation twice");
            for _ in 0..3 {
                assert!(seen.insert(broker.1.allocate_producer_id()), "a producer id twice");
            }
            room.kill(broker).await;
        }
    });
}

#[test]
fn t11_a_broker_that_fails_leaves_nobody_waiting() {
    run(async {
        let room = room(5);
        let (_env, engine) = room.start(Durability::Local).await;
        let id = topic(&engine, "t", 1).await;
        let partition = engine.partition(id).expect("led here");
        room.disk.fail_syncs("wal", 1);
        let end = append(&partition).expect("appended");
        let answer = room.env.timeout(Duration::from_secs(60), partition.committed(end)).await;
        assert!(matches!(answer, Ok(Err(AppendError::Ended(_)))), "{answer:?}");
        assert!(append(&partition).is_err());
    });
}

#[test]
fn t12_appends_of_one_partition_do_not_wait_for_the_one_before() {
    run(async {
        let room = room(6);
        let (_env, engine) = room.start(Durability::Object).await;
        room.store.set_faults(SimFaults { way_ms: 100..101, ..SimFaults::none() });
        let id = topic(&engine, "t", 1).await;
        let partition = engine.partition(id).expect("led here");
        let began = room.env.monotonic();
        let mut last = 0;
        for _ in 0..1000 {
            last = append(&partition).expect("appended");
        }
        partition.committed(last).await.expect("committed");
        let took = room.env.monotonic() - began;
        assert!(took < Duration::from_secs(1), "a thousand records shared a few round trips of 200 ms: {took:?} of simulated time");
    });
}
