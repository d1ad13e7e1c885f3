//! A machine room: one store, one disk, brokers that come and go. When a test is done, its store has to verify clean.

use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_env::{Disk, Env};
use floe_log::{AppendError, Durability, Ended, Engine, EngineOptions, NewTopic, OpenError, Partition, ReadRequest};
use floe_objstore::{Store, StoreOptions};
use floe_records::{BatchBuilder, BatchHeader, Codec};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_testkit::store_faults::{FaultRule, StoreFault, StoreOp};
use floe_types::{Offset, PartitionId};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Room {
    pub(crate) env: Env,
    pub(crate) store: SimStore,
    pub(crate) disk: SimDisk,
    damaged: Cell<bool>,
}

/// A living broker process and its disk.
pub(crate) struct Broker {
    pub(crate) env: Env,
    pub(crate) engine: Engine,
    pub(crate) disk: SimDisk,
}

/// Runs a test in a room of its own, on a clock that jumps ahead when everybody waits.
pub(crate) fn run(seed: u64, test: impl AsyncFnOnce(&Room)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let env = Env::simulated(seed);
        let (store, disk) = (SimStore::new(&env, SimFaults::none()), SimDisk::new(&env));
        let room = Room { store, disk, env, damaged: Cell::new(false) };
        Box::pin(test(&room)).await;
        room.verify().await;
    });
}

/// Files and flushes small enough that little makes them happen.
pub(crate) fn options(durability: Durability) -> EngineOptions {
    EngineOptions { durability, wal_file_bytes: 1 << 20, object_flush_age: Duration::from_millis(5), ..EngineOptions::default() }
}

impl Room {
    pub(crate) async fn start(&self, durability: Durability) -> Broker {
        self.open(&self.env.process(), &self.disk, options(durability)).await.expect("starts")
    }

    /// Starts on another machine, which takes the store over.
    pub(crate) async fn take_over(&self, durability: Durability) -> Broker {
        let disk = SimDisk::new(&self.env);
        self.open(&self.env.process(), &disk, EngineOptions { take_over: true, ..options(durability) }).await.expect("takes over")
    }

    pub(crate) async fn open(&self, env: &Env, disk: &SimDisk, options: EngineOptions) -> Result<Broker, OpenError> {
        let store = Store::new(env.clone(), self.store.backend(), StoreOptions::default());
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        match Engine::open(env.clone(), store, shared, options).await {
            Ok(engine) => Ok(Broker { env: env.clone(), engine, disk: disk.clone() }),
            Err(error) => {
                env.abort_all();
                env.tasks_ended().await;
                disk.process_died();
                Err(error)
            }
        }
    }

    /// Power loss.
    pub(crate) async fn kill(&self, broker: Broker) {
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        broker.disk.crash();
    }

    /// SIGTERM.
    pub(crate) async fn stop(&self, broker: Broker) {
        assert_eq!(broker.engine.drain().await, Ended::Drained);
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        broker.disk.process_died();
    }

    /// What happens to the next `count` creates below `prefix`.
    pub(crate) fn creates(&self, prefix: &str, fault: StoreFault, count: u64) {
        self.store.add_rule(FaultRule { op: Some(StoreOp::Create), prefix: prefix.to_owned(), fault, count });
    }

    pub(crate) async fn pass(&self, milliseconds: u64) {
        self.env.sleep(Duration::from_millis(milliseconds)).await;
    }

    /// The store holds a damage that the test has put there: `floe verify` has to find it.
    pub(crate) fn expect_damage(&self) {
        self.damaged.set(true);
    }

    /// What was damaged is as it was, or needed no more.
    pub(crate) fn damage_is_mended(&self) {
        self.damaged.set(false);
    }

    async fn verify(&self) {
        self.store.clear_rules();
        self.store.set_faults(SimFaults::none());
        self.store.set_available(true);
        let store = Store::new(self.env.process(), self.store.backend(), StoreOptions::default());
        let report = floe_log::verify::verify(&store, |_, _| {}).await.expect("the store answers");
        assert_eq!(report.is_clean(), !self.damaged.get(), "{:#?}", report.problems);
    }
}

impl Broker {
    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> PartitionId {
        self.topic_with(name, partitions, self.engine.options().durability).await
    }

    pub(crate) async fn topic_with(&self, name: &str, partitions: i32, durability: Durability) -> PartitionId {
        let configs = BTreeMap::from([(floe_log::DURABILITY.to_owned(), durability.to_string())]);
        let topic = self.engine.create_topic(NewTopic { name: name.into(), partitions, configs }).await.expect("created");
        PartitionId { topic: topic.id, index: 0 }
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Arc<Partition> {
        self.engine.partition(id).expect("led here")
    }

    /// Appends one record; its end offset.
    pub(crate) fn append(&self, id: PartitionId, value: &str) -> Result<Offset, AppendError> {
        append(&self.partition(id), &batch(value))
    }

    /// Appends one record and waits until it is acknowledged; its offset.
    pub(crate) async fn produce(&self, id: PartitionId, value: &str) -> Result<Offset, AppendError> {
        let end = self.append(id, value)?;
        self.partition(id).committed(end).await?;
        Ok(end - 1)
    }

    /// All committed records.
    pub(crate) async fn values(&self, id: PartitionId) -> Vec<String> {
        let from = self.partition(id).offsets().log_start;
        values(&self.partition(id), from).await
    }
}

pub(crate) fn append(partition: &Arc<Partition>, batch: &Bytes) -> Result<Offset, AppendError> {
    Ok(partition.append(batch, &BatchHeader::parse(batch).expect("well formed"))?.end_offset)
}

pub(crate) fn batch(value: &str) -> Bytes {
    of_records(BatchBuilder::new(Codec::None), &[(1, value)])
}

/// The batch of an idempotent producer.
pub(crate) fn sequenced(producer: i64, sequence: i32, value: &str) -> Bytes {
    of_records(BatchBuilder::new(Codec::None).producer(producer, 0, sequence), &[(1, value)])
}

/// Timestamps and values.
pub(crate) fn of_records(mut builder: BatchBuilder, records: &[(i64, &str)]) -> Bytes {
    for (timestamp, value) in records {
        builder.append(*timestamp, None, Some(value.as_bytes())).expect("it fits");
    }
    builder.build()
}

/// All committed records from `from` on, contiguous.
pub(crate) async fn values(partition: &Partition, from: Offset) -> Vec<String> {
    let (mut all, mut offset) = (Vec::new(), from);
    loop {
        let read = partition.read(ReadRequest::new(offset, 64 << 10)).await.expect("readable");
        if read.batches.is_empty() {
            return all;
        }
        for batch in &read.batches {
            floe_records::verify(batch).expect("sound");
            for record in floe_records::records(batch, 1 << 20).expect("readable") {
                let record = record.expect("sound");
                assert_eq!(record.offset, offset, "offsets are contiguous");
                offset += 1;
                all.push(String::from_utf8(record.value.expect("a value").to_vec()).expect("text"));
            }
        }
    }
}
