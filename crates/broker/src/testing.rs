//! A broker in simulation, for unit tests: an engine over a simulated store and disk, and time that is tokio's paused
//! clock. Connections are pipes in memory, so that a test says what happens when.

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::connection::{self, Close};
use crate::metrics::BrokerMetrics;
use crate::peer::Peer;
use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_env::{Disk, Env, Shutdown, Task};
use floe_log::{Durability, Ended, Engine, EngineOptions, NewTopic, Partition};
use floe_objstore::{Store, StoreOptions};
use floe_protocol::client::{ClientRequest, decode_response, encode_request};
use floe_protocol::message;
use floe_protocol::messages::ProduceRequest;
use floe_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use floe_records::{BatchBuilder, Codec};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_types::PartitionId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) store: SimStore,
    disk: Mutex<Arc<SimDisk>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        Self { store: SimStore::new(&env, SimFaults::none()), disk: Mutex::new(Arc::new(SimDisk::new(&env))), env }
    }

    pub(crate) async fn broker(&self) -> Arc<Broker> {
        self.broker_with(BrokerConfig::default(), EngineOptions::default()).await
    }

    pub(crate) async fn broker_with(&self, config: BrokerConfig, options: EngineOptions) -> Arc<Broker> {
        let env = self.env.process();
        let store = Store::new(env.clone(), self.store.backend(), StoreOptions::default());
        let disk: Arc<dyn Disk> = self.disk.lock().clone();
        let engine = Engine::open(env.clone(), store, disk, options).await.expect("the engine opens");
        Arc::new(Broker::new(env, engine, config, BrokerMetrics::default(), Shutdown::new()))
    }

    /// Kill -9: the process is gone, its disk has all it wrote.
    pub(crate) async fn kill(&self, broker: Arc<Broker>) {
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        drop(broker);
        self.disk.lock().process_died();
    }

    /// The machine is gone, and what its disk had not synced.
    pub(crate) async fn lose_power(&self, broker: Arc<Broker>) {
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        drop(broker);
        self.disk.lock().crash();
    }

    /// From now on brokers start on another machine.
    pub(crate) fn change_disk(&self) {
        *self.disk.lock() = Arc::new(SimDisk::new(&self.env));
    }

    /// Drains, and the process is gone: everything is history afterwards.
    pub(crate) async fn stop(&self, broker: Arc<Broker>) {
        assert_eq!(broker.engine.drain().await, Ended::Drained);
        broker.env.abort_all();
        broker.env.tasks_ended().await;
    }
}

pub(crate) async fn create_topic(broker: &Broker, name: &str, partitions: i32, durability: Durability) -> Vec<Arc<Partition>> {
    let configs = BTreeMap::from([("floe.durability".to_owned(), durability.to_string())]);
    let topic = broker.engine.create_topic(NewTopic { name: name.into(), partitions, configs }).await.expect("created");
    let partition = |index| broker.engine.partition(PartitionId { topic: topic.id, index }).expect("led here");
    (0..partitions).map(partition).collect()
}

pub(crate) fn batch(env: &Env, len: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(env.now_ms(), None, Some(&vec![b'x'; len])).expect("it fits");
    builder.build()
}

pub(crate) fn produce_request(topic: &str, batch: &Bytes, timeout_ms: i32) -> ProduceRequest {
    let data = message!(PartitionProduceData { index: 0, records: Some(batch.clone()) });
    let topic = message!(TopicProduceData { name: topic.into(), partition_data: vec![data] });
    message!(ProduceRequest { acks: -1_i16, timeout_ms, topic_data: vec![topic] })
}

/// A connection whose other end is a broker.
pub(crate) struct Pipe {
    pub(crate) stream: DuplexStream,
    pub(crate) serving: Task<Close>,
}

impl Pipe {
    /// `capacity` is what the sockets' buffers hold.
    pub(crate) fn new(broker: &Arc<Broker>, capacity: usize) -> Self {
        let (near, far) = tokio::io::duplex(capacity);
        let (reader, writer) = tokio::io::split(far);
        Self { stream: near, serving: broker.env.spawn("connection", connection::serve(broker.clone(), Peer::for_tests(), reader, writer)) }
    }

    pub(crate) async fn send<R: ClientRequest>(&mut self, version: i16, correlation: i32, request: &R) {
        let frame = encode_request(request, version, correlation, None).expect("it fits its version");
        self.stream.write_all(&frame.to_bytes()).await.expect("open");
    }

    pub(crate) async fn receive<R: ClientRequest>(&mut self, version: i16) -> (i32, R::Response) {
        let size = self.stream.read_i32().await.expect("open");
        let mut frame = vec![0; usize::try_from(size).expect("not negative")];
        self.stream.read_exact(&mut frame).await.expect("open");
        decode_response::<R>(version, frame.into()).expect("a well-formed answer")
    }

    pub(crate) async fn call<R: ClientRequest>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, 0, request).await;
        self.receive::<R>(version).await.1
    }
}
