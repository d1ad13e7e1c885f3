//! One engine on a simulated disk and an in-memory store: what is acknowledged is there after a crash, a drain, a lost
//! disk, a take-over. Time is tokio's paused clock.

use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_env::{Disk, Env};
use floe_log::{AppendError, Durability, Ended, Engine, EngineOptions, NewTopic, OpenError, Partition, ReadError, ReadRequest};
use floe_objstore::{Backend, MemoryBackend, Store, StoreOptions};
use floe_records::{BatchBuilder, BatchHeader, Codec};
use floe_types::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;

struct World {
    env: Env,
    backend: Arc<dyn Backend>,
    disk: Arc<SimDisk>,
}

struct Broker {
    env: Env,
    engine: Engine,
}

impl World {
    fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        let disk = Arc::new(SimDisk::new(&env));
        Self { backend: Arc::new(MemoryBackend::default()), disk, env }
    }

    fn with_new_disk(&self) -> Self {
        Self { env: self.env.clone(), backend: self.backend.clone(), disk: Arc::new(SimDisk::new(&self.env)) }
    }

    async fn start(&self, options: EngineOptions) -> Result<Broker, OpenError> {
        let env = self.env.process();
        let store = Store::new(env.clone(), self.backend.clone(), StoreOptions::default());
        let disk: Arc<dyn Disk> = self.disk.clone();
        let engine = Engine::open(env.clone(), store, disk, options).await?;
        Ok(Broker { env, engine })
    }

    async fn crash(&self, broker: Broker) {
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        drop(broker);
        self.disk.crash();
    }

    /// SIGTERM: drains, and the process is gone.
    async fn stop(&self, broker: Broker) {
        assert_eq!(broker.engine.drain().await, Ended::Drained);
        broker.env.abort_all();
        broker.env.tasks_ended().await;
    }

    async fn assert_clean(&self) {
        let store = Store::new(self.env.clone(), self.backend.clone(), StoreOptions::default());
        let report = floe_log::verify::verify(&store, |_, _| {}).await.expect("the store answers");
        assert!(report.is_clean(), "{:#?}", report.problems);
    }
}

impl Broker {
    async fn topic(&self, name: &str, configs: &[(&str, &str)]) -> PartitionId {
        let configs: BTreeMap<_, _> = configs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let new = NewTopic { name: name.into(), partitions: 1, configs };
        PartitionId { topic: self.engine.create_topic(new).await.expect("created").id, index: 0 }
    }

    fn partition(&self, id: PartitionId) -> Arc<Partition> {
        self.engine.partition(id).expect("it is led here")
    }
}

fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (at, value) in values.iter().enumerate() {
        builder.append(1000 + at as i64, None, Some(value.as_bytes())).expect("it fits");
    }
    builder.build()
}

fn sequenced(producer: i64, sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(producer, 0, sequence);
    builder.append(1000, None, Some(value.as_bytes())).expect("it fits");
    builder.build()
}

async fn append(partition: &Arc<Partition>, batch: &Bytes) -> Result<Offset, AppendError> {
    let header = BatchHeader::parse(batch).expect("well formed");
    let appended = partition.append(batch, &header)?;
    partition.committed(appended.end_offset).await?;
    Ok(appended.base_offset)
}

async fn values(partition: &Partition, from: Offset) -> Vec<(Offset, String)> {
    let (mut all, mut offset) = (Vec::new(), from);
    loop {
        let read = partition.read(ReadRequest::new(offset, 1 << 20)).await.expect("readable");
        if read.batches.is_empty() {
            return all;
        }
        for batch in &read.batches {
            let header = floe_records::verify(batch).expect("sound");
            offset = header.end_offset();
            for record in floe_records::records(batch, 1 << 20).expect("readable") {
                let record = record.expect("sound");
                all.push((record.offset, String::from_utf8(record.value.expect("a value").to_vec()).expect("text")));
            }
        }
    }
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(test);
}

fn local() -> EngineOptions {
    EngineOptions { wal_file_bytes: 1 << 20, ..EngineOptions::default() }
}

fn object() -> EngineOptions {
    EngineOptions { durability: Durability::Object, ..local() }
}

fn expected(values: &[&str]) -> Vec<(Offset, String)> {
    values.iter().enumerate().map(|(at, value)| (at as Offset, value.to_string())).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_on_the_same_disk() {
    run(async {
        let world = World::new(1);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        assert_eq!(append(&broker.partition(id), &batch(&["a", "b"])).await, Ok(0));
        assert_eq!(append(&broker.partition(id), &batch(&["c"])).await, Ok(2));
        world.crash(broker).await;
        let broker = world.start(local()).await.expect("starts again");
        assert_eq!(values(&broker.partition(id), 0).await, expected(&["a", "b", "c"]));
        assert_eq!(append(&broker.partition(id), &batch(&["d"])).await, Ok(3));
        world.assert_clean().await;
    });
}

#[test]
fn the_disk_can_be_thrown_away_after_a_drain() {
    run(async {
        let world = World::new(2);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&["a", "b"])).await.expect("appended");
        assert_eq!(broker.engine.drain().await, Ended::Drained);
        let header = BatchHeader::parse(&batch(&["x"])).expect("well formed");
        assert!(broker.partition(id).append(&batch(&["x"]), &header).is_err(), "a drained broker takes nothing");
        drop(broker);
        let elsewhere = world.with_new_disk();
        let broker = elsewhere.start(local()).await.expect("starts on another disk");
        assert_eq!(values(&broker.partition(id), 0).await, expected(&["a", "b"]));
        world.assert_clean().await;
    });
}

#[test]
fn object_records_survive_the_loss_of_the_disk() {
    run(async {
        let world = World::new(3);
        let broker = world.start(object()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        for value in ["a", "b", "c"] {
            append(&broker.partition(id), &batch(&[value])).await.expect("appended");
        }
        world.crash(broker).await;
        let broker = world.with_new_disk().start(object()).await.expect("starts on another disk");
        assert_eq!(values(&broker.partition(id), 0).await, expected(&["a", "b", "c"]));
        world.assert_clean().await;
    });
}

#[test]
fn t47_a_local_wal_on_another_disk_is_refused_unless_it_is_given_up() {
    run(async {
        let world = World::new(4);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&["a"])).await.expect("appended");
        world.env.sleep(std::time::Duration::from_secs(5)).await;
        let second = world.with_new_disk();
        let refused = second.start(local()).await.err().expect("refused");
        assert!(matches!(refused, OpenError::LocalElsewhere { .. }), "{refused}");
        assert_eq!(append(&broker.partition(id), &batch(&["b"])).await, Ok(1), "a refused start touches nothing");
        world.env.sleep(std::time::Duration::from_secs(5)).await;
        let taker = second.start(EngineOptions { take_over: true, ..local() }).await.expect("takes over");
        assert_eq!(values(&taker.partition(id), 0).await, expected(&["a", "b"]), "both were flushed");
        // The old one learns of it within a second of having something unflushed.
        let _lost_or_refused = append(&broker.partition(id), &batch(&["lost"])).await;
        assert!(matches!(broker.engine.ended().await, Ended::Fenced { .. }));
        assert!(append(&broker.partition(id), &batch(&["c"])).await.is_err());
        world.assert_clean().await;
    });
}

#[test]
fn t40_a_repeat_is_answered_with_its_first_offsets_across_crash_and_lost_disk() {
    run(async {
        let world = World::new(5);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        let producer = broker.engine.allocate_producer_id();
        for sequence in 0..7 {
            append(&broker.partition(id), &sequenced(producer, sequence, "v")).await.expect("appended");
        }
        world.crash(broker).await;
        let broker = world.start(local()).await.expect("starts again");
        assert_eq!(append(&broker.partition(id), &sequenced(producer, 4, "v")).await, Ok(4));
        assert_eq!(append(&broker.partition(id), &sequenced(producer, 7, "v")).await, Ok(7));
        assert_ne!(broker.engine.allocate_producer_id(), producer, "an id is never given twice (R23)");
        world.stop(broker).await;
        let broker = world.with_new_disk().start(local()).await.expect("starts on another disk");
        assert_eq!(append(&broker.partition(id), &sequenced(producer, 7, "v")).await, Ok(7));
        assert!(matches!(append(&broker.partition(id), &sequenced(producer, 9, "v")).await, Err(AppendError::OutOfOrderSequence { .. })));
    });
}

#[test]
fn t50_a_local_record_behind_an_object_record_waits_for_it() {
    run(async {
        let world = World::new(6);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[("floe.durability", "object")]).await;
        let partition = broker.partition(id);
        let first = batch(&["object"]);
        partition.append(&first, &BatchHeader::parse(&first).expect("well formed")).expect("appended");
        partition.set_durability(Durability::Local);
        let second = batch(&["local"]);
        partition.append(&second, &BatchHeader::parse(&second).expect("well formed")).expect("appended");
        // Long enough for a fsync, too short for a flush.
        world.env.sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(partition.offsets().committed, 0, "nothing is visible before what precedes it");
        world.crash(broker).await;
        let broker = world.start(local()).await.expect("starts again");
        assert_eq!(values(&broker.partition(id), 0).await, vec![], "the hole is not jumped over");
        assert_eq!(append(&broker.partition(id), &batch(&["next"])).await, Ok(0));
    });
}

#[test]
fn durability_is_switched_while_producing() {
    run(async {
        let world = World::new(7);
        let broker = world.start(object()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        let mut all = Vec::new();
        for round in 0..20 {
            let durability = if round % 2 == 0 { "local" } else { "object" };
            broker.engine.set_topic_config(id.topic, "floe.durability", Some(durability.into())).await.expect("set");
            for k in 0..3 {
                let value = format!("{round}-{k}");
                append(&broker.partition(id), &batch(&[&value])).await.expect("appended");
                all.push(value);
            }
        }
        world.crash(broker).await;
        let broker = world.start(object()).await.expect("starts again");
        let read: Vec<String> = values(&broker.partition(id), 0).await.into_iter().map(|(_, value)| value).collect();
        assert_eq!(read, all);
        world.assert_clean().await;
    });
}

#[test]
fn t36_an_offset_inside_a_batch_gives_that_whole_batch_from_memory_and_from_packs() {
    run(async {
        let world = World::new(8);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&["a", "b", "c"])).await.expect("appended");
        append(&broker.partition(id), &batch(&["d"])).await.expect("appended");
        assert_eq!(values(&broker.partition(id), 1).await, expected(&["a", "b", "c", "d"]));
        world.stop(broker).await;
        let broker = world.start(local()).await.expect("starts again");
        assert_eq!(values(&broker.partition(id), 1).await, expected(&["a", "b", "c", "d"]));
        let beyond = broker.partition(id).read(ReadRequest::new(5, 100)).await;
        assert!(matches!(beyond, Err(ReadError::OutOfRange { offset: 5, committed: 4, .. })));
    });
}

#[test]
fn t29_a_name_that_is_used_again_does_not_meet_old_data() {
    run(async {
        let world = World::new(9);
        let broker = world.start(local()).await.expect("starts");
        let old = broker.topic("t", &[]).await;
        append(&broker.partition(old), &batch(&["old"])).await.expect("appended");
        broker.engine.delete_topic(old.topic).await.expect("deleted");
        let new = broker.topic("t", &[]).await;
        assert_eq!(values(&broker.partition(new), 0).await, vec![]);
        world.crash(broker).await;
        let broker = world.start(local()).await.expect("starts again");
        assert!(broker.engine.partition(old).is_none());
        assert_eq!(values(&broker.partition(new), 0).await, vec![]);
        world.assert_clean().await;
    });
}

#[test]
fn offsets_are_found_by_time_and_epochs_by_number() {
    run(async {
        let world = World::new(10);
        let broker = world.start(local()).await.expect("starts");
        let id = broker.topic("t", &[]).await;
        append(&broker.partition(id), &batch(&["a", "b", "c"])).await.expect("appended");
        world.stop(broker).await;
        let broker = world.start(local()).await.expect("starts again");
        let partition = broker.partition(id);
        append(&partition, &batch(&["d"])).await.expect("appended");
        assert_eq!(partition.offset_for_time(1001).await.expect("readable"), Some((1, 1001)));
        assert_eq!(partition.offset_for_time(5000).await.expect("readable"), None);
        assert_eq!(partition.offset_of_max_timestamp().await.expect("readable"), Some((2, 1002)));
        assert_eq!(partition.end_of_epoch(1), Some((1, 3)));
        assert_eq!(partition.end_of_epoch(2), Some((2, 4)));
        assert_eq!(partition.end_of_epoch(3), None);
    });
}

/// Says yes to every create, as stores without conditional writes do.
#[derive(Debug)]
struct Overwriting(MemoryBackend);

#[async_trait::async_trait]
impl Backend for Overwriting {
    async fn create(&self, key: &str, body: floe_objstore::Payload) -> Result<(), floe_objstore::BackendError> {
        self.0.delete(key).await?;
        self.0.create(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Bytes, floe_objstore::BackendError> {
        self.0.get(key).await
    }
    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes, floe_objstore::BackendError> {
        self.0.get_range(key, range).await
    }
    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), floe_objstore::BackendError> {
        self.0.get_start(key, len).await
    }
    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), floe_objstore::BackendError> {
        self.0.get_tail(key, len).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<floe_objstore::ObjectInfo>, floe_objstore::BackendError> {
        self.0.list(prefix, after, limit).await
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, floe_objstore::BackendError> {
        self.0.list_folders(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), floe_objstore::BackendError> {
        self.0.delete(key).await
    }
}

#[test]
fn a_new_store_that_overwrites_is_refused() {
    run(async {
        let world = World { backend: Arc::new(Overwriting(MemoryBackend::default())), ..World::new(11) };
        let refused = world.start(local()).await.err().expect("refused");
        assert!(matches!(refused, OpenError::UnsafeStore(_)), "{refused}");
    });
}
