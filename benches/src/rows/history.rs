//! Reading history back from the shaped store: H1 one partition, H2 eight, H6 what it takes of requests, H4 the tail beside 64 consumers of
//! history, H7 memory meanwhile. History is settled before it is read. H3: from a directory.

use super::Bench;
use super::compaction::at_rest;
use crate::candidate::{self, Broker};
use crate::http;
use crate::load::{self, Load};
use crate::process::{MemoryPeak, Process};
use crate::replay::{self, Crowd, Follower, Portion};
use crate::values::VALUE_LEN;
use anyhow::Context;
use floe_env::Env;
use floe_objstore::{Backend, S3Backend, S3Options};
use futures::stream::{StreamExt, TryStreamExt};
use hdrhistogram::Histogram;
use rdkafka::Offset;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const TOPIC: &str = "history";
const PARTITIONS: i32 = 8;
/// Raw GETs: so many at once, of so many bytes.
const RAW_AT_ONCE: usize = 16;
const RAW_BYTES: u64 = 8 << 20;
const CROWD: i32 = 64;
/// Pairs of alone and beside the crowd.
const PAIRS: u32 = 5;
/// Of the tail, and of each consumer in the crowd: 64 MB/s in all.
const TAIL_RATE: u64 = 1_000;
const CROWD_RATE: u64 = 1_000;

/// A store with history in it, and a broker that has read none of it.
struct Scene {
    store: Process,
    url: String,
    broker: Broker,
    data: PathBuf,
    records: u64,
    settings: Vec<String>,
}

/// How the bytes of history lie in the store, for H1 and H2.
struct Stored {
    /// What its figures are called.
    name: &'static str,
    /// The client's compression, and the packs'.
    codec: &'static str,
    packs: &'static str,
}

/// The first is what comes of defaults: the broker compresses blocks, and a GET moves half the bytes that a consumer gets. With the others a GET moves what a
/// consumer gets.
const STORED: [Stored; 3] = [
    Stored { name: "", codec: "none", packs: "lz4" },
    Stored { name: ", lz4 by the client", codec: "lz4", packs: "lz4" },
    Stored { name: ", not compressed", codec: "none", packs: "none" },
];

impl Scene {
    /// History is produced without the store's latency, which is on afterwards.
    fn new(bench: &Bench, partitions: i32, records: u64, stored: &Stored) -> anyhow::Result<Self> {
        let data = bench.fresh("floe")?;
        let (store, url) = candidate::start_store(&bench.programs, true)?;
        http::post(&url, "/_control", r#"{"shaped": false}"#)?;
        let mut settings = candidate::store_settings(&url);
        // What is measured is the store: nothing may come from the disk.
        settings.push("floe.disk.cache.bytes=0".to_owned());
        settings.push(format!("floe.pack.compression={}", stored.packs));
        let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
        load::create_topic(&broker.bootstrap(), TOPIC, partitions, &[])?;
        load::produce(&broker.bootstrap(), &Load { topic: TOPIC, partitions, records, codec: stored.codec, settings: &[] })?;
        // History has been settled long ago when somebody replays it.
        at_rest(&broker.process)?;
        broker.process.terminate()?;
        let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
        http::post(&url, "/_control", r#"{"shaped": true}"#)?;
        http::post(&url, "/_control", r#""reset_stats""#)?;
        Ok(Self { store, url, broker, data, records, settings })
    }

    /// The same with another broker, which has read none of it either.
    fn with_cold_broker(self, bench: &Bench) -> anyhow::Result<Self> {
        self.broker.process.terminate()?;
        let broker = candidate::start_floe(&bench.programs, &self.data, &self.settings)?;
        Ok(Self { broker, ..self })
    }

    fn portion(&self, partition: i32, start: Offset) -> Portion {
        Portion { bootstrap: self.broker.bootstrap(), topic: TOPIC.to_owned(), partition, start }
    }

    /// Requests to read, so far.
    fn gets(&self) -> anyhow::Result<u64> {
        let stats: serde_json::Value = serde_json::from_str(&http::get(&self.url, "/_stats")?)?;
        let reads = stats["requests"].as_object().context("no requests")?.get("read");
        Ok(reads.and_then(serde_json::Value::as_u64).unwrap_or(0))
    }

    fn end(self) -> anyhow::Result<()> {
        self.broker.process.terminate()?;
        drop(self.store);
        std::fs::remove_dir_all(self.data)?;
        Ok(())
    }
}

/// H1, H2, H6.
pub(crate) fn speed(bench: &mut Bench) -> anyhow::Result<()> {
    for (row, partitions) in [("H1", 1), ("H2", PARTITIONS)] {
        if bench.wants(&[row]) || row == "H1" && bench.wants(&["H6"]) {
            STORED.iter().try_for_each(|stored| speed_of(bench, (row, partitions), stored))?;
        }
    }
    Ok(())
}

fn speed_of(bench: &mut Bench, (row, partitions): (&str, i32), stored: &Stored) -> anyhow::Result<()> {
    let name = stored.name;
    let scene = Scene::new(bench, partitions, bench.sized(4_000_000, 200_000), stored)?;
    let (gets, before) = (scene.gets()?, scene.broker.process.usage()?);
    let portions = (0..partitions).map(|partition| scene.portion(partition, Offset::Beginning)).collect();
    let of_each = scene.records / u64::from(partitions.unsigned_abs());
    let seconds = replay::all(portions, of_each)?;
    let after = scene.broker.process.usage()?;
    let megabytes = scene.records as f64 * VALUE_LEN as f64 / 1e6;
    bench.add(row, &format!("floe{name}"), "MB/s", megabytes / seconds);
    bench.add(row, &format!("floe: CPU{name}"), "CPU s/GB", (after.cpu_seconds - before.cpu_seconds) / (megabytes / 1e3));
    if row == "H1" {
        bench.add("H6", &format!("floe{name}"), "GETs/GB", (scene.gets()? - gets) as f64 / (megabytes / 1e3));
    }
    let scene = scene.with_cold_broker(bench)?;
    let seconds = replay::all_plainly(scene.broker.address, TOPIC, partitions, of_each)?;
    bench.add(row, &format!("floe by plain Fetch{name}"), "MB/s", megabytes / seconds);
    bench.add(row, &format!("raw GET{name}"), "MB/s", megabytes / raw_get(&scene.url)?);
    scene.end()
}

/// The client that Floe uses, on a shaped store's bucket.
pub(super) async fn store_of(url: &str) -> anyhow::Result<S3Backend> {
    let options = S3Options {
        endpoint: Some(url.to_owned()),
        region: Some("us-east-1".to_owned()),
        path_style: Some(true),
        access_key_id: Some("bench".to_owned()),
        secret_access_key: Some("bench".to_owned()),
        ..S3Options::default()
    };
    Ok(S3Backend::open(&Env::real(), "bench", "floe", &options).await?)
}

/// Seconds for all objects with records, by many requests at once of the client that Floe uses.
fn raw_get(url: &str) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let backend = store_of(url).await?;
        let mut ranges = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = backend.list("", after.as_deref(), 1000).await?;
            for object in page.iter().filter(|object| object.key.contains("/slot/") || object.key.contains("/pack/")) {
                let starts = (0..object.size).step_by(usize::try_from(RAW_BYTES)?);
                ranges.extend(starts.map(|start| (object.key.clone(), start..object.size.min(start + RAW_BYTES))));
            }
            match page.last() {
                Some(last) if page.len() == 1000 => after = Some(last.key.clone()),
                _ => break,
            }
        }
        let began = Instant::now();
        futures::stream::iter(ranges)
            .map(|(key, range)| {
                let backend = &backend;
                async move { backend.get_range(&key, range).await.map(drop) }
            })
            .buffer_unordered(RAW_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(began.elapsed().as_secs_f64())
    })
}

/// H3: the same records out of packs in a directory, and out of memory.
pub(crate) fn directory(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let broker = candidate::start_floe(&bench.programs, &data, &[])?;
    load::create_topic(&broker.bootstrap(), TOPIC, PARTITIONS, &[])?;
    let records = bench.sized(1_000_000, 300_000);
    load::produce(&broker.bootstrap(), &Load { topic: TOPIC, partitions: PARTITIONS, records, codec: "none", settings: &[] })?;
    broker.process.terminate()?;
    let broker = candidate::start_floe(&bench.programs, &data, &[])?;
    bench.add("H3", "cold packs", "MB/s", load::consume(&broker.bootstrap(), TOPIC, PARTITIONS, records, Offset::Beginning)?);
    load::create_topic(&broker.bootstrap(), "tail", PARTITIONS, &[])?;
    let tail = 40_000;
    load::produce(&broker.bootstrap(), &Load { topic: "tail", partitions: PARTITIONS, records: tail, codec: "none", settings: &[] })?;
    let mut inverse = 0.0;
    for _ in 0..5 {
        inverse += 1.0 / load::consume(&broker.bootstrap(), "tail", PARTITIONS, tail, Offset::Beginning)?;
    }
    bench.add("H3", "tail", "MB/s", 5.0 / inverse);
    broker.process.terminate()?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}

/// H4 and H7.
pub(crate) fn beside(bench: &mut Bench) -> anyhow::Result<()> {
    let scene = Scene::new(bench, PARTITIONS, bench.sized(1_000_000, 200_000), &STORED[0])?;
    let bootstrap = scene.broker.bootstrap();
    let of_partition = i64::try_from(scene.records)? / i64::from(PARTITIONS);
    // Eight on each partition, spread over its length.
    let crowd = |scene: &Scene| -> Vec<Portion> {
        let at = |n: i32| Offset::Offset(of_partition * i64::from(n / PARTITIONS) / i64::from(CROWD / PARTITIONS));
        (0..CROWD).map(|n| scene.portion(n % PARTITIONS, at(n))).collect()
    };
    if bench.wants(&["H4"]) {
        load::create_topic(&bootstrap, "tail", 1, &[])?;
        let (mut alone, mut beside, mut rates) = (Times::new()?, Times::new()?, Vec::new());
        for _ in 0..PAIRS {
            alone.measure(bench, &bootstrap)?;
            let mut crowd = Crowd::start(crowd(&scene), of_partition, Some(CROWD_RATE));
            std::thread::sleep(Duration::from_secs(3));
            crowd.rate();
            beside.measure(bench, &bootstrap)?;
            rates.push(crowd.rate());
            crowd.stop()?;
        }
        for (name, times) in [("alone", &alone), ("beside 64 consumers", &beside)] {
            bench.add("H4", &format!("ack p99 {name}"), "ms", times.acks.value_at_quantile(0.99) as f64 / 1e3);
            bench.add("H4", &format!("end to end p99 {name}"), "ms", times.arrivals.value_at_quantile(0.99) as f64 / 1e3);
        }
        bench.add("H4", "replayed meanwhile", "MB/s", rates.iter().sum::<f64>() / rates.len() as f64);
    }
    if bench.wants(&["H7"]) {
        let memory = MemoryPeak::watch(&scene.broker.process);
        let mut crowd = Crowd::start(crowd(&scene), of_partition, None);
        std::thread::sleep(Duration::from_secs(bench.sized(20, 8)));
        let rate = crowd.rate();
        crowd.stop()?;
        bench.add("H7", "floe", "MiB", memory.end() as f64 / f64::from(1 << 20));
        bench.add("H7", "replayed meanwhile", "MB/s", rate);
    }
    scene.end()
}

/// Pooled over all pairs of a round.
struct Times {
    acks: Histogram<u64>,
    arrivals: Histogram<u64>,
}

impl Times {
    fn new() -> anyhow::Result<Self> {
        let empty = || Histogram::new_with_bounds(1, 60_000_000, 3);
        Ok(Self { acks: empty()?, arrivals: empty()? })
    }

    /// Produces at a fixed rate and follows it.
    fn measure(&mut self, bench: &Bench, bootstrap: &str) -> anyhow::Result<()> {
        let portion = Portion { bootstrap: bootstrap.to_owned(), topic: "tail".to_owned(), partition: 0, start: Offset::End };
        let follower = Follower::start(portion);
        std::thread::sleep(Duration::from_secs(1));
        let load = Load { topic: "tail", partitions: 1, records: TAIL_RATE * bench.sized(10, 4), codec: "none", settings: &[] };
        self.acks.add(load::paced(bootstrap, &load, TAIL_RATE)?)?;
        std::thread::sleep(Duration::from_millis(500));
        self.arrivals.add(follower.stop()?)?;
        Ok(())
    }
}
