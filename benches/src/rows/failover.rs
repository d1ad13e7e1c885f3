//! Row E5 of the cluster's list: a broker that leads thousands of partitions is killed (C5); and A3: what etcd holds and is asked at ten thousand of
//! them (C15).

use super::Bench;
use crate::candidate::Candidate;
use crate::cluster::{BROKERS, Cluster, Store, sum};
use crate::load::{self, Load, config};
use crate::requests::{self, Connection};
use crate::{http, pair};
use anyhow::{Context, bail};
use rdkafka::Offset;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Of each topic.
const PARTITIONS: i32 = 1_000;
const VICTIM: i32 = 1;
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than it takes until what was written is in the store, and until leaders do not move any more.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// C5.
pub(crate) fn many_partitions(bench: &mut Bench) -> anyhow::Result<()> {
    let mut scene = Scene::new(bench, bench.sized(15, 3))?;
    let (led, seconds, used) = scene.kill()?;
    bench.add("C5", "floe: partitions that it led", "", led as f64);
    bench.add("C5", "floe: all led", "s", seconds);
    bench.add("C5", "floe: requests to the store", "", used.store);
    bench.add("C5", "floe: requests to etcd", "", used.etcd);
    bench.add("C5", "floe: requests to store and etcd", "", used.store + used.etcd);
    scene.cluster.end()
}

/// C15.
pub(crate) fn metadata(bench: &mut Bench) -> anyhow::Result<()> {
    let mut scene = Scene::new(bench, bench.sized(10, 2))?;
    let (keys, bytes) = scene.held()?;
    bench.add("C15", "etcd: keys", "", keys as f64);
    bench.add("C15", "etcd: bytes of keys and values", "bytes", bytes as f64);
    let (before, seconds) = (scene.used()?, bench.sized(60, 20));
    std::thread::sleep(Duration::from_secs(seconds));
    let idle = scene.used()?.since(&before);
    let a_minute = 60.0 / seconds as f64;
    bench.add("C15", "etcd: writes in an idle minute", "", idle.writes * a_minute);
    bench.add("C15", "etcd: requests in an idle minute", "", idle.etcd * a_minute);
    bench.add("C15", "etcd: renewals of leases in an idle minute", "", idle.renewals * a_minute);
    bench.add("C15", "store: requests in an idle minute", "", idle.store * a_minute);
    scene.cluster.create_topic("loaded", 8, &[])?;
    let (records, bootstrap) = (bench.sized(300_000, 100_000), scene.cluster.bootstrap());
    let paced = |seconds| pair::Load { topic: "loaded", partitions: 8, seconds, per_second: 500 };
    // The first group's partitions are made for it.
    pair::run(&bootstrap, &paced(1))?;
    std::thread::sleep(SETTLED_AFTER);
    let before = scene.used()?;
    load::produce(&bootstrap, &Load { topic: "loaded", partitions: 8, records, codec: "none", settings: &[] })?;
    load::consume(&bootstrap, "loaded", 8, records, Offset::Beginning)?;
    pair::run(&bootstrap, &paced(5))?;
    let loaded = scene.used()?.since(&before);
    bench.add("C15", "etcd: requests while records are produced and fetched", "", loaded.etcd);
    bench.add("C15", "etcd: writes while records are produced and fetched", "", loaded.writes);
    let (led, seconds, used) = scene.kill()?;
    bench.add("C15", "etcd: partitions of the failover", "", led as f64);
    bench.add("C15", "etcd: failover", "s", seconds);
    bench.add("C15", "etcd: writes of a failover", "", used.writes);
    bench.add("C15", "etcd: requests of a failover", "", used.etcd);
    scene.cluster.end()
}

/// A cluster with many partitions, each of which has been written to once.
struct Scene {
    cluster: Cluster,
    topics: Vec<String>,
}

/// Counted by those who ask, and by etcd itself.
#[derive(Debug, Clone, Copy)]
struct Used {
    store: f64,
    etcd: f64,
    renewals: f64,
    writes: f64,
}

impl Used {
    fn since(&self, before: &Self) -> Self {
        Self {
            store: self.store - before.store,
            etcd: self.etcd - before.etcd,
            renewals: self.renewals - before.renewals,
            writes: self.writes - before.writes,
        }
    }
}

impl Scene {
    fn new(bench: &Bench, topics: u64) -> anyhow::Result<Self> {
        let cluster = Cluster::start(bench, Candidate::Floe, Store::Seaweed, &[])?;
        let topics: Vec<String> = (0..topics).map(|number| format!("many-{number}")).collect();
        for topic in &topics {
            cluster.create_topic(topic, PARTITIONS, &[])?;
        }
        write_once(&cluster.bootstrap(), &topics, PARTITIONS)?;
        std::thread::sleep(SETTLED_AFTER);
        Ok(Self { cluster, topics })
    }

    /// Of all but the victim, which takes its counters along.
    fn used(&self) -> anyhow::Result<Used> {
        let mut store = 0.0;
        for node in self.cluster.nodes.iter().filter(|node| node.id != VICTIM) {
            store += self.cluster.metric(node, "floe_store_requests_total")?;
        }
        let page = http::get(self.cluster.etcd_url()?, "/metrics")?;
        Ok(Used {
            store,
            etcd: sum(&page, "grpc_server_started_total", "unary")?,
            renewals: sum(&page, "grpc_server_msg_received_total", "LeaseKeepAlive")?,
            writes: sum(&page, "etcd_mvcc_put_total", "")? + sum(&page, "etcd_mvcc_delete_total", "")?,
        })
    }

    /// Keys of the cluster in etcd, and bytes of keys and values.
    fn held(&self) -> anyhow::Result<(usize, usize)> {
        // Base64 of "/floe" and of the key behind all that begin so.
        let answer = http::post(self.cluster.etcd_url()?, "/v3/kv/range", r#"{"key":"L2Zsb2U=","range_end":"L2Zsb2Y="}"#)?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let kvs = answer["kvs"].as_array().context("etcd has no keys")?;
        let decoded = |text: &str| text.len() / 4 * 3 - text.bytes().rev().take_while(|byte| *byte == b'=').count();
        let bytes = |kv: &serde_json::Value| ["key", "value"].iter().filter_map(|part| kv[part].as_str()).map(decoded).sum::<usize>();
        Ok((kvs.len(), kvs.iter().map(bytes).sum()))
    }

    /// Kills one broker. What it led, seconds until the others lead all of it, and what that took of requests.
    fn kill(&mut self) -> anyhow::Result<(usize, f64, Used)> {
        let mut missing = Vec::new();
        for topic in &self.topics {
            let leaders = self.cluster.leaders(topic)?;
            missing.push(
                (0..).zip(leaders).filter(|(_, leader)| *leader == VICTIM).map(|(partition, _)| partition).collect::<BTreeSet<i32>>(),
            );
        }
        let led = missing.iter().map(BTreeSet::len).sum();
        let survivors = self.cluster.nodes.iter().filter(|node| node.id != VICTIM).map(|node| node.address);
        let mut survivors = survivors.map(Connection::open).collect::<anyhow::Result<Vec<_>>>()?;
        let (before, began) = (self.used()?, Instant::now());
        self.cluster.node(VICTIM)?.process()?.cut_off()?;
        while missing.iter().any(|missing| !missing.is_empty()) {
            if began.elapsed() > PATIENCE {
                bail!("{} of {led} partitions are not led again", missing.iter().map(BTreeSet::len).sum::<usize>());
            }
            std::thread::sleep(Duration::from_millis(20));
            for (topic, missing) in self.topics.iter().zip(&mut missing).filter(|(_, missing)| !missing.is_empty()) {
                for survivor in &mut survivors {
                    let wanted: Vec<i32> = missing.iter().copied().collect();
                    let told = requests::told_ends(&survivor.call(&requests::ends(topic, &wanted)?)?)?;
                    missing.retain(|partition| !told.contains(partition));
                }
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        anyhow::ensure!(led >= self.topics.len() * PARTITIONS as usize / BROKERS as usize / 2, "it led but {led} partitions");
        Ok((led, seconds, self.used()?.since(&before)))
    }
}

pub(super) fn write_once(bootstrap: &str, topics: &[String], partitions: i32) -> anyhow::Result<()> {
    let producer: BaseProducer = config(bootstrap).set("acks", "all").create()?;
    for (topic, partition) in topics.iter().flat_map(|topic| (0..partitions).map(move |partition| (topic, partition))) {
        loop {
            match producer.send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(b"once")) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(Duration::from_millis(10)),
                Err((error, _)) => return Err(error).context("send"),
            }
        }
    }
    Ok(producer.flush(PATIENCE)?)
}
