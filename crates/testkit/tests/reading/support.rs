//! A broker over a shaped store in memory, with history to read.

use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_env::{Disk, Env};
use floe_log::{Durability, Ended, Engine, EngineOptions, NewTopic, Partition, ReadRequest};
use floe_objstore::{MemoryBackend, Store, StoreOptions};
use floe_records::{BatchBuilder, BatchHeader, Codec};
use floe_testkit::shaped::{LogNormal, Shape, Shaped};
use floe_types::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one batch's value.
pub(crate) const VALUE: usize = 250_000;

pub(crate) struct Room {
    pub(crate) env: Env,
    pub(crate) backend: Arc<Shaped<MemoryBackend>>,
    pub(crate) disk: SimDisk,
}

pub(crate) struct Broker {
    pub(crate) env: Env,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
}

pub(crate) fn run(seed: u64, shape: Shape, test: impl AsyncFnOnce(&Room)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let env = Env::simulated(seed);
        let backend = Arc::new(Shaped::new(&env, MemoryBackend::new(), shape, seed));
        let disk = SimDisk::new(&env);
        Box::pin(test(&Room { env, backend, disk })).await;
    });
}

/// First byte after 30 ms, always; 80 MB/s on each connection.
pub(crate) fn steady() -> Shape {
    let constant = |ms| LogNormal::from_quantiles(Duration::from_millis(ms), Duration::from_millis(ms));
    Shape { read: constant(30), create: constant(60), list: constant(40), delete: constant(30), bytes_per_second: 80_000_000 }
}

/// Blocks as they come: what is read is what the store holds.
pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        durability: Durability::Object,
        block_codec: floe_formats::BlockCodec::None,
        own_pack_bytes: 64 << 20,
        pack_bytes: 64 << 20,
        flush_bytes: 64 << 20,
        ..EngineOptions::default()
    }
}

impl Room {
    pub(crate) async fn start(&self, options: EngineOptions) -> Broker {
        self.start_with(options, StoreOptions::default()).await
    }

    pub(crate) async fn start_with(&self, options: EngineOptions, store: StoreOptions) -> Broker {
        let env = self.env.process();
        let store = Store::new(env.clone(), self.backend.clone(), store);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let engine = Engine::open(env.clone(), store.clone(), disk, options).await.expect("starts");
        Broker { env, engine, store }
    }

    pub(crate) async fn stop(&self, broker: Broker) {
        assert_eq!(broker.engine.drain().await, Ended::Drained);
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        self.disk.process_died();
    }

    /// Power loss.
    pub(crate) async fn kill(&self, broker: Broker) {
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        self.disk.crash();
    }

    /// Partitions with so many batches each, in packs of `per_pack`; and a broker that has read none of it.
    pub(crate) async fn history(&self, partitions: i32, batches: i64, per_pack: i64, options: EngineOptions) -> (Broker, Vec<PartitionId>) {
        let broker = self.start(options.clone()).await;
        let ids = broker.topic("history", partitions).await;
        let mut appended = 0;
        while appended < batches {
            for id in &ids {
                for n in 0..per_pack {
                    append(&broker.partition(*id), &value(appended + n));
                }
            }
            appended += per_pack;
            for id in &ids {
                broker.partition(*id).committed(appended).await.expect("acknowledged");
            }
        }
        self.stop(broker).await;
        (self.start(options).await, ids)
    }

    /// Requests to read, and what they brought, since the last call.
    pub(crate) fn reads(&self, since: &mut (u64, u64)) -> (u64, u64) {
        let stats = self.backend.stats().snapshot();
        let now = (stats.requests.get(&floe_testkit::store_faults::StoreOp::Read).copied().unwrap_or(0), stats.bytes_out);
        let news = (now.0 - since.0, now.1 - since.1);
        *since = now;
        news
    }
}

impl Broker {
    pub(crate) async fn topic(&self, name: &str, partitions: i32) -> Vec<PartitionId> {
        let topic = NewTopic { name: name.into(), partitions, configs: BTreeMap::new() };
        let topic = self.engine.create_topic(topic).await.expect("created").id;
        (0..partitions).map(|index| PartitionId { topic, index }).collect()
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Arc<Partition> {
        self.engine.partition(id).expect("led here")
    }
}

/// Not to be compressed by anybody, and told from its neighbours.
pub(crate) fn value(n: i64) -> Vec<u8> {
    let mut state = n as u64 + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(VALUE).collect()
}

pub(crate) fn append(partition: &Arc<Partition>, value: &[u8]) -> Offset {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1, None, Some(value)).expect("it fits");
    let batch: Bytes = builder.build();
    partition.append(&batch, &BatchHeader::parse(&batch).expect("well formed")).expect("appended").end_offset
}

/// Reads a partition as a consumer does, 1 MiB at a time, who takes so long for each; bytes read.
pub(crate) async fn replay(env: &Env, partition: &Partition, from: Offset, end: Offset, think: Duration) -> u64 {
    let (mut offset, mut bytes) = (from, 0);
    while offset < end {
        let read = partition.read(ReadRequest::new(offset, 1 << 20)).await.expect("readable");
        for batch in &read.batches {
            let header = BatchHeader::parse(batch).expect("well formed");
            assert_eq!(header.base_offset, offset, "offsets are contiguous");
            offset = header.end_offset();
        }
        bytes += read.bytes as u64;
        if !think.is_zero() {
            env.sleep(think).await;
        }
    }
    bytes
}
