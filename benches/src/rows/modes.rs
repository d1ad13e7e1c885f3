//! Rows E12-E14 of the cluster's list, on the shaped store at 20 MB/s: C12 latency of `object`; C13 PUTs per GB, and C14 what a GB costs, by mode.

use super::Bench;
use crate::candidate::Candidate;
use crate::cluster::{BROKERS, Cluster, Store};
use crate::http;
use crate::load::{self, Load};
use anyhow::Context;
use std::process::Command;
use std::time::{Duration, Instant};

const RATE: u64 = 20_000;
const PARTITIONS: i32 = 8;
/// Merges go on after the last record; they belong to its cost.
const QUIET: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);
/// Dollars for a GB between zones: what both ends pay.
const CROSS_ZONE: f64 = 0.02;
/// The part of clients, and of standbys, that are in another zone than the leader: three zones, a broker in each.
const CLIENTS_ELSEWHERE: f64 = 2.0 / 3.0;

pub(crate) fn modes(bench: &mut Bench) -> anyhow::Result<()> {
    let cluster = Cluster::start(bench, Candidate::Floe, Store::Shaped, &[])?;
    for mode in ["object", "replicated"] {
        one(bench, &cluster, mode)?;
    }
    cluster.end()
}

fn one(bench: &mut Bench, cluster: &Cluster, mode: &str) -> anyhow::Result<()> {
    cluster.create_topic(mode, PARTITIONS, &[("floe.durability", mode)])?;
    until_quiet(cluster)?;
    http::post(cluster.store_url()?, "/_control", "\"reset_stats\"")?;
    let between = shipped(cluster)?;
    let records = RATE * bench.sized(60, 15);
    // librdkafka's default linger: single records at this rate would measure the client.
    let load = Load { topic: mode, partitions: PARTITIONS, records, codec: "none", settings: &[("linger.ms", "5")] };
    let times = load::paced(&cluster.bootstrap(), &load, RATE)?;
    for (quantile, of) in [("p50", 0.50), ("p99", 0.99)] {
        let name = if mode == "object" { format!("floe {quantile}") } else { format!("floe, {mode} {quantile}") };
        bench.add("C12", &name, "ms", times.value_at_quantile(of) as f64 / 1e3);
    }
    until_quiet(cluster)?;
    // The client sends a second more than it measures.
    let gigabytes = (records + RATE) as f64 * crate::values::VALUE_LEN as f64 / 1e9;
    let (requests, between) = (stats(cluster)?, (shipped(cluster)? - between) / 1e9);
    for (operation, count) in requests["requests"].as_object().context("no requests in the stats")? {
        bench.add("C13", &format!("floe, {mode}: {operation}"), "requests/GB", count.as_f64().unwrap_or(0.0) / gigabytes);
    }
    let puts = ["create", "put"].iter().filter_map(|operation| requests["requests"][operation].as_f64()).sum::<f64>();
    bench.add("C13", &format!("floe, {mode}"), "PUTs/GB", puts / gigabytes);
    let asked = requests["cost_dollars"].as_f64().context("no cost in the stats")? / gigabytes;
    let copies = CROSS_ZONE * between / gigabytes;
    bench.add("C14", &format!("floe, {mode}: requests to the store"), "$/GB", asked);
    bench.add("C14", &format!("floe, {mode}: bytes between brokers"), "bytes per value byte", between / gigabytes);
    bench.add("C14", &format!("floe, {mode}: between brokers"), "$/GB", copies);
    bench.add("C14", &format!("floe, {mode}: from clients in other zones"), "$/GB", CROSS_ZONE * CLIENTS_ELSEWHERE);
    bench.add("C14", &format!("floe, {mode}"), "$/GB", asked + copies + CROSS_ZONE * CLIENTS_ELSEWHERE);
    Ok(())
}

fn stats(cluster: &Cluster) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::from_str(&http::get(cluster.store_url()?, "/_stats")?)?)
}

/// Waits until the store has not been asked for anything for a while.
fn until_quiet(cluster: &Cluster) -> anyhow::Result<()> {
    let (began, mut last, mut since) = (Instant::now(), stats(cluster)?, Instant::now());
    while since.elapsed() < QUIET {
        anyhow::ensure!(began.elapsed() < PATIENCE, "the store is asked on and on");
        std::thread::sleep(Duration::from_millis(200));
        let now = stats(cluster)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Bytes that brokers have sent to one another, as the kernel counts them for every connection to a port on which they reach one another.
fn shipped(cluster: &Cluster) -> anyhow::Result<f64> {
    let ports = cluster.peer_ports();
    assert_eq!(ports.len(), BROKERS as usize, "every broker has one");
    let wanted = ports.iter().map(|port| format!("( sport = :{port} or dport = :{port} )")).collect::<Vec<_>>().join(" or ");
    let output = Command::new("ss").args(["-tinH", "state", "established"]).arg(&wanted).output().context("ss")?;
    let text = String::from_utf8(output.stdout)?;
    let sent = text.split_whitespace().filter_map(|word| word.strip_prefix("bytes_sent:")?.parse::<f64>().ok());
    Ok(sent.sum())
}
