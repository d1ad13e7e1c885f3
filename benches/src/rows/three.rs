//! Rows E7-E11 of the cluster's list, three brokers under load: C7 produce, C8 its CPU, C11 memory meanwhile; C9 the time to an acknowledgement at 500
//! records a second, C10 to a consumer, beside fdatasyncs at the same rate.

use super::Bench;
use crate::candidate::Candidate;
use crate::cluster::{Cluster, Store};
use crate::load::{self, Load};
use crate::pair::{self, Times};
use crate::process::MemoryPeak;
use crate::raw;
use anyhow::bail;
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 8;
/// Flushing, indexing and trimming that a produce run leaves behind belong to its cost: so long they are waited for.
const SETTLE: Duration = Duration::from_secs(3);
const RATE: u64 = 500;
/// A batch of one 1,000-byte record and its WAL header, about.
const RAW_LEN: usize = 1_150;

/// C7, C8, C11.
pub(crate) fn produce(bench: &mut Bench) -> anyhow::Result<()> {
    for candidate in bench.programs.candidates() {
        let cluster = Cluster::start(bench, candidate, Store::Seaweed, &[])?;
        produce_to(bench, candidate, &cluster)?;
        cluster.end()?;
    }
    Ok(())
}

fn produce_to(bench: &mut Bench, candidate: Candidate, cluster: &Cluster) -> anyhow::Result<()> {
    let (name, bootstrap) = (candidate.name(), cluster.bootstrap());
    cluster.create_topic("produce", PARTITIONS, &[])?;
    let warm = bench.sized(300_000, 100_000);
    let mut load = Load { topic: "produce", partitions: PARTITIONS, records: warm, codec: "none", settings: &[] };
    load::produce(&bootstrap, &load)?;
    std::thread::sleep(SETTLE);
    load.records = bench.sized(1_000_000, 300_000);
    let (before, beside) = (cluster.usage()?, cluster.beside()?);
    let memory = MemoryPeak::watch_all(cluster.nodes.iter().map(|node| Ok(node.process()?.id())).collect::<anyhow::Result<_>>()?);
    let (began, produced) = (Instant::now(), load::produce(&bootstrap, &load)?);
    std::thread::sleep(SETTLE.saturating_sub(began.elapsed().saturating_sub(Duration::from_secs_f64(produced.seconds))));
    let (after, gigabytes) = (cluster.usage()?, produced.value_bytes as f64 / 1e9);
    bench.add("C7", name, "MB/s", produced.megabytes_per_second());
    let written = (after.written_bytes - before.written_bytes) as f64 / produced.value_bytes as f64;
    bench.add("C7", &format!("{name}: written by the brokers"), "bytes per value byte", written);
    bench.add("C8", name, "CPU s/GB", (after.cpu_seconds - before.cpu_seconds) / gigabytes);
    for ((what, before), (_, after)) in beside.into_iter().zip(cluster.beside()?) {
        bench.add("C8", &format!("{what} beside {name}"), "CPU s/GB", (after - before) / gigabytes);
    }
    bench.add("C11", name, "MiB", memory.end() as f64 / f64::from(1 << 20));
    Ok(())
}

/// C9, C10.
pub(crate) fn latency(bench: &mut Bench) -> anyhow::Result<()> {
    let seconds = bench.sized(20, 6);
    for candidate in bench.programs.candidates() {
        let (name, cluster) = (candidate.name(), Cluster::start(bench, candidate, Store::Seaweed, &[])?);
        cluster.create_topic("paced", PARTITIONS, &[])?;
        let load = pair::Load { topic: "paced", partitions: PARTITIONS, seconds, per_second: RATE };
        // What is compiled or allocated on first use is not measured.
        pair::run(&cluster.bootstrap(), &load)?;
        add(bench, name, &pair::run(&cluster.bootstrap(), &load)?);
        if candidate == Candidate::Floe {
            let beside = std::thread::scope(|scope| {
                let folder = &bench.folder;
                let probe = scope.spawn(move || raw::paced_syncs(folder, RAW_LEN, seconds * RATE, RATE));
                let loaded = pair::run(&cluster.bootstrap(), &load);
                let beside = probe.join().unwrap_or_else(|_| bail!("the probe panicked"));
                loaded.and(beside)
            })?;
            add_raw(bench, "raw fdatasync beside it", &beside);
        }
        cluster.end()?;
    }
    bench.fresh("raw")?;
    let alone = raw::paced_syncs(&bench.folder, RAW_LEN, seconds * RATE, RATE)?;
    add_raw(bench, "raw fdatasync", &alone);
    Ok(())
}

fn add(bench: &mut Bench, name: &str, times: &Times) {
    for (quantile, of) in [("p50", 0.50), ("p99", 0.99)] {
        bench.add("C9", &format!("{name} {quantile}"), "ms", times.acks.value_at_quantile(of) as f64 / 1e3);
        bench.add("C10", &format!("{name} end to end {quantile}"), "ms", times.arrivals.value_at_quantile(of) as f64 / 1e3);
    }
}

/// Both rows are judged by it.
fn add_raw(bench: &mut Bench, name: &str, times: &hdrhistogram::Histogram<u64>) {
    for row in ["C9", "C10"] {
        bench.add(row, &format!("{name} p50"), "ms", times.value_at_quantile(0.50) as f64 / 1e3);
        bench.add(row, &format!("{name} p99"), "ms", times.value_at_quantile(0.99) as f64 / 1e3);
    }
}
