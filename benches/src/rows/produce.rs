//! E1 produce, E2 its CPU, E12 its memory, E4 consume.

use super::Bench;
use crate::candidate::{self, Broker, Candidate};
use crate::load::{self, Load};
use crate::process::MemoryPeak;
use crate::raw;
use rdkafka::Offset;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 8;
/// Flushing, indexing and trimming that a produce run leaves behind belong to its cost: so long they are waited for.
const SETTLE: Duration = Duration::from_secs(3);
/// Fits in what Floe holds in memory by default, and in the page cache that Kafka reads.
const TAIL_RECORDS: u64 = 40_000;
const TAIL_LAPS: u64 = 5;

/// `none` is what clients do by default and the hardest on the disk; its bytes are written as they are.
const CODECS: [&str; 2] = ["none", "lz4"];

pub(crate) fn round(bench: &mut Bench) -> anyhow::Result<()> {
    for candidate in bench.programs.candidates() {
        let data = bench.fresh(candidate.name())?;
        let broker = candidate::start(candidate, &bench.programs, &data)?;
        if bench.wants(&["E1", "E2", "E12"]) {
            for codec in CODECS {
                produce(bench, candidate, &broker, codec)?;
            }
        }
        if bench.wants(&["E4"]) {
            consume(bench, candidate, &broker)?;
        }
        broker.process.terminate()?;
        std::fs::remove_dir_all(data)?;
    }
    Ok(())
}

fn produce(bench: &mut Bench, candidate: Candidate, broker: &Broker, codec: &str) -> anyhow::Result<()> {
    let (name, topic) = (candidate.name(), format!("produce-{codec}"));
    load::create_topic(&broker.bootstrap(), &topic, PARTITIONS, &[])?;
    let records = bench.sized(1_000_000, 300_000);
    let mut load = Load { topic: &topic, partitions: PARTITIONS, records: bench.sized(500_000, 200_000), codec, settings: &[] };
    load::produce(&broker.bootstrap(), &load)?;
    std::thread::sleep(SETTLE);
    load.records = records;
    let (before, memory, began) = (broker.process.usage()?, MemoryPeak::watch(&broker.process), Instant::now());
    let produced = load::produce(&broker.bootstrap(), &load)?;
    std::thread::sleep(SETTLE.saturating_sub(began.elapsed().saturating_sub(Duration::from_secs_f64(produced.seconds))));
    let after = broker.process.usage()?;
    let gigabytes = produced.value_bytes as f64 / 1e9;
    bench.add("E1", &format!("{name} {codec}"), "MB/s", produced.megabytes_per_second());
    bench.add(
        "E1",
        &format!("{name} {codec}: sent by the client"),
        "bytes per value byte",
        produced.sent_bytes as f64 / produced.value_bytes as f64,
    );
    let written = after.written_bytes - before.written_bytes;
    bench.add(
        "E1",
        &format!("{name} {codec}: written by the broker"),
        "bytes per value byte",
        written as f64 / produced.value_bytes as f64,
    );
    bench.add("E2", &format!("{name} {codec}"), "CPU s/GB", (after.cpu_seconds - before.cpu_seconds) / gigabytes);
    bench.add("E12", &format!("{name} {codec}"), "MiB", memory.end() as f64 / f64::from(1 << 20));
    if candidate == Candidate::Floe && bench.wants(&["E1"]) {
        let seconds = raw::sequential(&bench.folder, written)?;
        bench.add("E1", &format!("raw {codec}"), "MB/s", produced.value_bytes as f64 / 1e6 / seconds);
    }
    Ok(())
}

fn consume(bench: &mut Bench, candidate: Candidate, broker: &Broker) -> anyhow::Result<()> {
    let (name, bootstrap) = (candidate.name(), broker.bootstrap());
    load::create_topic(&bootstrap, "history", PARTITIONS, &[])?;
    let records = bench.sized(1_000_000, 300_000);
    load::produce(&bootstrap, &Load { topic: "history", partitions: PARTITIONS, records, codec: "none", settings: &[] })?;
    std::thread::sleep(SETTLE);
    // Twice: the first time is for the JIT.
    load::consume(&bootstrap, "history", PARTITIONS, records, Offset::Beginning)?;
    let before = broker.process.usage()?;
    let rate = load::consume(&bootstrap, "history", PARTITIONS, records, Offset::Beginning)?;
    let after = broker.process.usage()?;
    bench.add("E4", &format!("{name} history"), "MB/s", rate);
    bench.add("E4", &format!("{name} history: CPU"), "CPU s/GB", (after.cpu_seconds - before.cpu_seconds) / (records as f64 / 1e6));
    load::create_topic(&bootstrap, "tail", PARTITIONS, &[])?;
    load::produce(&bootstrap, &Load { topic: "tail", partitions: PARTITIONS, records: TAIL_RECORDS, codec: "none", settings: &[] })?;
    let before = broker.process.usage()?;
    let mut rates = Vec::new();
    for _ in 0..TAIL_LAPS {
        rates.push(load::consume(&bootstrap, "tail", PARTITIONS, TAIL_RECORDS, Offset::Beginning)?);
    }
    let after = broker.process.usage()?;
    // The mean of rates over equal amounts is the harmonic one.
    let rate = rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>();
    bench.add("E4", &format!("{name} tail"), "MB/s", rate);
    let gigabytes = (TAIL_RECORDS * TAIL_LAPS) as f64 / 1e6;
    bench.add("E4", &format!("{name} tail: CPU"), "CPU s/GB", (after.cpu_seconds - before.cpu_seconds) / gigabytes);
    Ok(())
}
