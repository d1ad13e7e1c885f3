//! A machine room: a store that does as it is told, disks, and brokers that come and go.

use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_env::{Disk, Env};
use floe_log::{AppendError, Durability, Ended, Engine, EngineOptions, NewTopic, Partition, ReadRequest};
use floe_objstore::{Store, StoreOptions};
use floe_records::{BatchBuilder, BatchHeader, Codec};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_types::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Room {
    pub(crate) env: Env,
    pub(crate) store: SimStore,
    pub(crate) disk: SimDisk,
}

/// A living broker process.
pub(crate) struct Broker {
    pub(crate) env: Env,
    pub(crate) engine: Engine,
}

impl Room {
    pub(crate) fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        Self { store: SimStore::new(&env, SimFaults::none()), disk: SimDisk::new(&env), env }
    }

    /// The same store, and an empty disk.
    pub(crate) fn with_new_disk(&self) -> Self {
        Self { env: self.env.clone(), store: self.store.clone(), disk: SimDisk::new(&self.env) }
    }

    pub(crate) async fn start(&self, options: EngineOptions) -> Broker {
        let env = self.env.process();
        let store = Store::new(env.clone(), self.store.backend(), StoreOptions::default());
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let engine = Engine::open(env.clone(), store, disk, options).await.expect("starts");
        Broker { env, engine }
    }

    pub(crate) async fn crash(&self, broker: Broker) {
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        drop(broker);
        self.disk.crash();
    }

    pub(crate) async fn stop(&self, broker: Broker) {
        assert_eq!(broker.engine.drain().await, Ended::Drained);
        broker.env.abort_all();
        broker.env.tasks_ended().await;
    }

    pub(crate) async fn pass(&self, time: Duration) {
        self.env.sleep(time).await;
    }

    pub(crate) async fn assert_clean(&self) {
        let store = Store::new(self.env.process(), self.store.backend(), StoreOptions::default());
        let report = floe_log::verify::verify(&store, |_, _| {}).await.expect("the store answers");
        assert!(report.is_clean(), "{:#?}", report.problems);
    }
}

impl Broker {
    pub(crate) async fn topic(&self, name: &str, configs: &[(&str, &str)]) -> PartitionId {
        let configs: BTreeMap<_, _> = configs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let new = NewTopic { name: name.into(), partitions: 1, configs };
        PartitionId { topic: self.engine.create_topic(new).await.expect("created").id, index: 0 }
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Arc<Partition> {
        self.engine.partition(id).expect("it is led here")
    }

    pub(crate) fn log_start(&self, id: PartitionId) -> Offset {
        self.partition(id).offsets().log_start
    }
}

pub(crate) fn local() -> EngineOptions {
    EngineOptions { wal_file_bytes: 1 << 20, ..EngineOptions::default() }
}

pub(crate) fn object() -> EngineOptions {
    EngineOptions { durability: Durability::Object, object_flush_age: Duration::from_millis(5), ..local() }
}

/// A batch of records with these timestamps and values.
pub(crate) fn batch(records: &[(i64, &str)]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (timestamp, value) in records {
        builder.append(*timestamp, None, Some(value.as_bytes())).expect("it fits");
    }
    builder.build()
}

/// Appends one batch and waits for its commit; its end offset.
pub(crate) async fn append(partition: &Arc<Partition>, batch: &Bytes) -> Result<Offset, AppendError> {
    let appended = partition.append(batch, &BatchHeader::parse(batch).expect("well formed"))?;
    partition.committed(appended.end_offset).await?;
    Ok(appended.end_offset)
}

/// Appends these values one batch each, flushed apart from each other.
pub(crate) async fn flush_each(room: &Room, partition: &Arc<Partition>, values: &[&str]) {
    for value in values {
        append(partition, &batch(&[(1000, value)])).await.expect("appended");
        room.pass(Duration::from_secs(2)).await;
    }
}

/// Everything from `from` on.
pub(crate) async fn values(partition: &Partition, from: Offset) -> Vec<(Offset, String)> {
    let (mut all, mut offset) = (Vec::new(), from);
    loop {
        let read = partition.read(ReadRequest::new(offset, 1 << 20)).await.expect("readable");
        if read.batches.is_empty() {
            assert_eq!(offset, read.committed, "everything committed is readable");
            return all;
        }
        for batch in &read.batches {
            let header = floe_records::verify(batch).expect("sound");
            for record in floe_records::records(batch, 1 << 20).expect("readable") {
                let record = record.expect("sound");
                if record.offset >= from {
                    all.push((record.offset, String::from_utf8(record.value.expect("a value").to_vec()).expect("text")));
                }
            }
            offset = header.end_offset();
        }
    }
}

pub(crate) fn numbered(from: Offset, values: &[&str]) -> Vec<(Offset, String)> {
    (from..).zip(values).map(|(offset, value)| (offset, value.to_string())).collect()
}

pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(test);
}
