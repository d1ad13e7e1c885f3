//! A broker on a simulated disk and store, topics to export, and a target. Time is tokio's paused clock.

use async_trait::async_trait;
use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_env::{Disk, Env};
use floe_export::{Export, ExportError, ExportOptions, Exporter, ExporterOptions, Latest, Merged, Places, Report};
use floe_formats::CatalogChange;
use floe_log::{Durability, Engine, EngineOptions, NewTopic, Partition};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_records::{BatchBuilder, BatchHeader, Codec, Record};
use floe_testkit::sim_store::{SimFaults, SimStore};
use floe_types::{Offset, PartitionId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) source: SimStore,
    pub(crate) target: SimStore,
    /// None: stopped, or crashed.
    engine: Option<Engine>,
    /// Its own exports, where it has some.
    exporter: Option<Exporter>,
    disk: Arc<SimDisk>,
    process: Env,
    /// What was acknowledged, by partition and offset.
    pub(crate) acknowledged: BTreeMap<i32, BTreeMap<Offset, Record>>,
}

/// What brokers call the target.
const LAKE: &str = "s3://lake/floe";

#[derive(Debug)]
struct Lake(Env, SimStore);

#[async_trait]
impl Places for Lake {
    async fn open(&self, place: &StoreUrl) -> Result<Store, String> {
        assert_eq!(place.to_string(), LAKE);
        Ok(Store::new(self.0.clone(), self.1.backend(), StoreOptions::default()))
    }
}

pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(test);
}

pub(crate) fn options() -> EngineOptions {
    let export_targets = vec![LAKE.parse().expect("a URL")];
    EngineOptions { durability: Durability::Object, wal_file_bytes: 1 << 20, export_targets, ..EngineOptions::default() }
}

/// Files that end after some batches.
pub(crate) fn small_files() -> ExportOptions {
    ExportOptions { file_bytes: 3_000, ..ExportOptions::default() }
}

pub(crate) fn record(key: Option<&str>, value: Option<&str>) -> Record {
    let bytes = |text: Option<&str>| text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Record { offset: 0, timestamp: 1000, key: bytes(key), value: bytes(value), headers: Vec::new() }
}

impl World {
    pub(crate) async fn new(seed: u64) -> Self {
        Self::with(seed, options()).await
    }

    pub(crate) async fn with(seed: u64, options: EngineOptions) -> Self {
        let env = Env::simulated(seed);
        let disk = Arc::new(SimDisk::new(&env));
        let (source, target) = (SimStore::new(&env, SimFaults::none()), SimStore::new(&env, SimFaults::none()));
        let process = env.process();
        let engine = Some(start(&process, &source, &disk, options).await);
        Self { env, source, target, engine, exporter: None, disk, process, acknowledged: BTreeMap::new() }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it runs")
    }

    /// The broker exports by itself, until it ends.
    pub(crate) fn export_by_broker(&mut self) {
        let places = Arc::new(Lake(self.process.clone(), self.target.clone()));
        let options = ExporterOptions { memory_bytes: 64 << 20, registry: None };
        let exporter = Exporter::new(self.process.clone(), self.engine().clone(), places, options);
        self.process.spawn("exporter", exporter.clone().run()).detach_to_group();
        self.exporter = Some(exporter);
    }

    /// The broker's wall clock is set.
    pub(crate) fn jump_clock(&self, by_ms: i64) {
        self.process.jump_clock(by_ms);
    }

    pub(crate) fn exporter(&self) -> &Exporter {
        self.exporter.as_ref().expect("it exports")
    }

    /// Another broker takes the store over from one that is stopped in the middle of whatever it does (SIGSTOP): that one.
    pub(crate) async fn take_over(&mut self, options: EngineOptions) -> Env {
        let old = std::mem::replace(&mut self.process, self.env.process());
        old.freeze();
        self.disk = Arc::new(SimDisk::new(&self.env));
        (self.engine, self.exporter) = (None, None);
        self.engine = Some(start(&self.process, &self.source, &self.disk, EngineOptions { take_over: true, ..options }).await);
        old
    }

    pub(crate) async fn more_partitions(&self, id: TopicId, partitions: i32) {
        let change = CatalogChange::SetPartitions { id, count: partitions };
        self.engine().change_catalog(|_| (vec![change.clone()], ())).await.expect("changed");
    }

    /// Another broker on the same store, where the one before has ended.
    pub(crate) async fn restart(&mut self, options: EngineOptions) {
        assert!(self.engine.is_none());
        self.process = self.env.process();
        self.engine = Some(start(&self.process, &self.source, &self.disk, options).await);
    }

    /// SIGTERM: drains, and the process is gone.
    pub(crate) async fn stop(&mut self) {
        self.engine().drain().await;
        self.process.abort_all();
        self.process.tasks_ended().await;
        (self.engine, self.exporter) = (None, None);
    }

    /// kill -9.
    pub(crate) async fn crash(&mut self) {
        self.process.abort_all();
        self.process.tasks_ended().await;
        (self.engine, self.exporter) = (None, None);
        self.disk.crash();
    }

    pub(crate) async fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> TopicId {
        let configs: BTreeMap<_, _> = configs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        self.engine().create_topic(NewTopic { name: name.into(), partitions, configs }).await.expect("created").id
    }

    pub(crate) fn partition(&self, topic: TopicId, index: i32) -> Arc<Partition> {
        self.engine().partition(PartitionId { topic, index }).expect("it is led here")
    }

    /// Appends one batch, and waits until it is acknowledged.
    pub(crate) async fn produce(&mut self, topic: TopicId, index: i32, codec: Codec, records: &[Record]) {
        let base_offset = self.append(topic, index, codec, records).await;
        let known = self.acknowledged.entry(index).or_default();
        for (at, record) in records.iter().enumerate() {
            let offset = base_offset + at as Offset;
            known.insert(offset, Record { offset, ..record.clone() });
        }
    }

    /// The same of a topic that nobody looks at.
    pub(crate) async fn append(&self, topic: TopicId, index: i32, codec: Codec, records: &[Record]) -> Offset {
        let mut builder = BatchBuilder::new(codec);
        for record in records {
            builder.push(&Record { offset: builder.next_offset(), ..record.clone() }).expect("it fits");
        }
        self.append_batch(topic, index, builder).await
    }

    /// What a builder has, also what no client may write.
    pub(crate) async fn append_batch(&self, topic: TopicId, index: i32, builder: BatchBuilder) -> Offset {
        let batch = builder.build();
        let partition = self.partition(topic, index);
        let appended = partition.append(&batch, &BatchHeader::parse(&batch).expect("well formed")).expect("appended");
        partition.committed(appended.end_offset).await.expect("committed");
        appended.base_offset
    }

    /// So many batches of three records with values of some size.
    pub(crate) async fn produce_some(&mut self, topic: TopicId, index: i32, batches: usize) {
        for _ in 0..batches {
            let text = |n: u64| format!("{:x}", n).repeat(8);
            let records: Vec<Record> =
                (0..3).map(|_| record(Some(&text(self.env.random_below(50))), Some(&text(self.env.random_u64())))).collect();
            self.produce(topic, index, Codec::None, &records).await;
        }
    }

    pub(crate) async fn export(&self, options: ExportOptions) -> Result<Report, ExportError> {
        export(self.env.process(), self.source.clone(), self.target.clone(), options).await
    }

    pub(crate) async fn latest(&self, options: ExportOptions) -> Result<Latest, ExportError> {
        open(self.env.process(), self.source.clone(), self.target.clone(), options).await?.latest().await
    }

    pub(crate) async fn merge(&self, options: ExportOptions) -> Result<Merged, ExportError> {
        merge(self.env.process(), self.source.clone(), self.target.clone(), options).await
    }
}

/// Exports the topic `t`, as a process of its own would.
pub(crate) async fn export(env: Env, source: SimStore, target: SimStore, options: ExportOptions) -> Result<Report, ExportError> {
    open(env, source, target, options).await?.run(|_| {}).await
}

/// Merges what was exported of it.
pub(crate) async fn merge(env: Env, source: SimStore, target: SimStore, options: ExportOptions) -> Result<Merged, ExportError> {
    open(env, source, target, options).await?.merge().await
}

pub(crate) async fn open(env: Env, source: SimStore, target: SimStore, options: ExportOptions) -> Result<Export, ExportError> {
    let store = |store: &SimStore| Store::new(env.clone(), store.backend(), StoreOptions::default());
    Export::open(env.clone(), &store(&source), "t", store(&target), options).await
}

async fn start(process: &Env, source: &SimStore, disk: &Arc<SimDisk>, options: EngineOptions) -> Engine {
    let store = Store::new(process.clone(), source.backend(), StoreOptions::default());
    let disk: Arc<dyn Disk> = disk.clone();
    Engine::open(process.clone(), store, disk, options).await.expect("starts")
}
