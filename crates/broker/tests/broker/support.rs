//! A broker to test, and a client that speaks frames.

use bytes::Bytes;
use floe_broker::{BrokerConfig, BrokerMetrics, Server};
use floe_env::{Disk, Env, RealDisk, Shutdown, Task, net};
use floe_log::{Durability, Ended, Engine, EngineOptions};
use floe_objstore::{Backend, MemoryBackend, Store, StoreOptions};
use floe_protocol::client::{ClientRequest, decode_response, encode_request};
use floe_protocol::message;
use floe_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use floe_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use floe_protocol::messages::fetch_response::PartitionData;
use floe_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use floe_protocol::messages::produce_response::PartitionProduceResponse;
use floe_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest, Uuid};
use floe_records::{BatchBuilder, Batches, Codec};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A test that waits longer than this has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What outlives a broker: its store and its disk.
pub(crate) struct World {
    backend: Arc<dyn Backend>,
    folder: TempDir,
}

pub(crate) struct TestBroker {
    pub(crate) addr: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) shutdown: Shutdown,
    env: Env,
    serving: Task<()>,
    _world: Option<World>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { backend: Arc::new(MemoryBackend::new()), folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The same store, and a disk that is empty.
    pub(crate) fn on_another_disk(&self) -> Self {
        Self { backend: self.backend.clone(), ..Self::new() }
    }

    pub(crate) async fn start(&self, config: BrokerConfig, durability: Durability) -> TestBroker {
        let options = EngineOptions { durability, wal_file_bytes: 1 << 20, ..EngineOptions::default() };
        self.start_with(config, options).await
    }

    pub(crate) async fn start_with(&self, config: BrokerConfig, options: EngineOptions) -> TestBroker {
        let env = Env::real();
        let server = Server::bind(env.clone(), "127.0.0.1:0", None, config).await.expect("a free port");
        self.start_on(env, server, options).await
    }

    /// With listeners of the test's own; the client dials the first.
    pub(crate) async fn start_on(&self, env: Env, server: Server, options: EngineOptions) -> TestBroker {
        let (addr, metrics) = (server.local_addrs().expect("bound")[0].1, server.metrics().clone());
        let store = Store::new(env.clone(), self.backend.clone(), StoreOptions::default());
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(self.folder.path().to_path_buf()));
        let engine = Engine::open(env.clone(), store, disk, options).await.expect("the engine opens");
        let shutdown = Shutdown::new();
        let serving = env.spawn("server", server.run(engine.clone(), shutdown.clone()));
        TestBroker { addr, engine, metrics, shutdown, env, serving, _world: None }
    }
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        Self::with(BrokerConfig::default()).await
    }

    pub(crate) async fn with(config: BrokerConfig) -> Self {
        let world = World::new();
        Self { _world: None, ..world.start(config, Durability::Local).await }.keeping(world)
    }

    fn keeping(mut self, world: World) -> Self {
        self._world = Some(world);
        self
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_of(self.addr).await
    }

    /// A client that comes in by another listener than the first.
    pub(crate) async fn client_of(&self, addr: SocketAddr) -> Client {
        let stream = net::connect(&addr.to_string()).await.expect("the broker listens");
        Client { stream, correlation: 0, env: self.env.clone() }
    }

    /// SIGTERM: connections end, the log is drained.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.serving.join().await.expect("no panic");
        assert_eq!(self.engine.drain().await, Ended::Drained);
        self.env.abort_all();
        self.env.tasks_ended().await;
    }

    /// The process dies.
    pub(crate) async fn kill(self) {
        self.env.abort_all();
        self.env.tasks_ended().await;
    }

    /// Waits until so many connections were closed for this reason.
    pub(crate) async fn closed(&self, reason: &'static str, count: u64) {
        let wait = async {
            while self.metrics.connections_closed(reason) < count {
                tokio::task::yield_now().await;
            }
        };
        self.env.timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no connection was closed as {reason}"));
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    correlation: i32,
    env: Env,
}

impl Client {
    /// One request, one answer.
    pub(crate) async fn call<R: ClientRequest>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (correlation, response) = self.receive::<R>(version).await;
        assert_eq!(correlation, sent);
        response
    }

    pub(crate) async fn send<R: ClientRequest>(&mut self, version: i16, request: &R) -> i32 {
        self.correlation += 1;
        let frame = encode_request(request, version, self.correlation, Some("test")).expect("the request fits its version");
        self.raw(&frame.to_bytes()).await;
        self.correlation
    }

    pub(crate) async fn receive<R: ClientRequest>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.frame().await.expect("the connection is open");
        decode_response::<R>(version, frame).expect("a well-formed answer")
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let written = self.env.clone().timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the broker reads");
        written.expect("the connection is open");
    }

    /// The next frame without its size; none if the broker has closed the connection.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let size = self.stream.read_i32().await.ok()?;
            let mut frame = vec![0; usize::try_from(size).expect("not negative")];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        self.env.clone().timeout(PATIENCE, read).await.expect("the broker answers or closes")
    }

    pub(crate) async fn assert_closed(&mut self) {
        assert_eq!(self.frame().await, None, "the connection is closed without an answer");
    }

    pub(crate) async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let configs = configs.iter().map(|(k, v)| message!(CreatableTopicConfig { name: (*k).into(), value: Some((*v).into()) })).collect();
        let topic = message!(CreatableTopic { name: name.into(), num_partitions: partitions, replication_factor: 1_i16, configs });
        let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000 });
        let response = self.call(7, &request).await;
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
        response.topics[0].topic_id
    }

    /// Produces one batch to partition 0 with acks=all.
    pub(crate) async fn produce(&mut self, topic: &str, batch: &Bytes) -> PartitionProduceResponse {
        let response = self.call(9, &produce_request(topic, 0, -1, batch)).await;
        response.responses[0].partition_responses[0].clone()
    }

    /// Fetches partition 0 without waiting.
    pub(crate) async fn fetch(&mut self, topic: &str, offset: i64) -> PartitionData {
        // All that there is, however many packs hold it.
        let mut request = fetch_request(topic, &[(0, offset)], 0);
        request.min_bytes = i32::MAX;
        let response = self.call(12, &request).await;
        response.responses[0].partitions[0].clone()
    }
}

pub(crate) fn produce_request(topic: &str, partition: i32, acks: i16, batch: &Bytes) -> ProduceRequest {
    let data = message!(PartitionProduceData { index: partition, records: Some(batch.clone()) });
    let topic = message!(TopicProduceData { name: topic.into(), partition_data: vec![data] });
    message!(ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic] })
}

/// Partitions with their offsets, 1 MiB each, 50 MiB in all, at least one byte.
pub(crate) fn fetch_request(topic: &str, partitions: &[(i32, i64)], max_wait_ms: i32) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(partition, fetch_offset)| {
            message!(FetchPartition { partition: *partition, fetch_offset: *fetch_offset, partition_max_bytes: 1 << 20 })
        })
        .collect();
    let topic = message!(FetchTopic { topic: topic.into(), partitions });
    message!(FetchRequest { replica_id: -1, max_wait_ms, min_bytes: 1, max_bytes: 50 << 20, session_epoch: -1, topics: vec![topic] })
}

pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_of(Codec::None, values)
}

/// Records with timestamps of now and the values given.
pub(crate) fn batch_of(codec: Codec, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let now = Env::real().now_ms();
    for (at, value) in values.iter().enumerate() {
        builder.append(now + at as i64, Some(b"key"), Some(value.as_bytes())).expect("it fits");
    }
    builder.build()
}

/// A batch of an idempotent producer, one record.
pub(crate) fn sequenced(producer: i64, epoch: i16, sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).producer(producer, epoch, sequence);
    builder.append(Env::real().now_ms(), None, Some(value.as_bytes())).expect("it fits");
    builder.build()
}

/// (offset, value) of every record.
pub(crate) fn values(records: &Option<Bytes>) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for batch in Batches::new(records.clone().unwrap_or_default()) {
        let (_, batch) = batch.expect("whole batches");
        floe_records::verify(&batch).expect("an intact batch");
        for record in floe_records::records(&batch, 64 << 20).expect("readable") {
            let record = record.expect("a whole record");
            all.push((record.offset, String::from_utf8(record.value.unwrap_or_default().to_vec()).expect("text")));
        }
    }
    all
}
