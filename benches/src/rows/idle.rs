//! What a broker costs that nobody uses: E11 memory, E13 requests to the store.

use super::Bench;
use crate::candidate::{self};
use crate::{http, load};
use anyhow::Context;
use std::time::Duration;

/// E11: one topic, nothing in it, ten seconds after the start.
pub(crate) fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    for candidate in bench.programs.candidates() {
        let data = bench.fresh(candidate.name())?;
        let broker = candidate::start(candidate, &bench.programs, &data)?;
        load::create_topic(&broker.bootstrap(), "idle", 8, &[])?;
        std::thread::sleep(Duration::from_secs(10));
        bench.add("E11", candidate.name(), "MiB", broker.process.resident()? as f64 / f64::from(1 << 20));
        broker.process.terminate()?;
        std::fs::remove_dir_all(data)?;
    }
    Ok(())
}

/// E13: counted by the store.
pub(crate) fn requests(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = candidate::start_store(&bench.programs, false)?;
    let broker = candidate::start_floe(&bench.programs, &data, &candidate::store_settings(&url))?;
    for number in 0..10 {
        load::create_topic(&broker.bootstrap(), &format!("idle-{number}"), 1_000, &[])?;
    }
    std::thread::sleep(Duration::from_secs(10));
    http::post(&url, "/_control", "\"reset_stats\"")?;
    let seconds = bench.sized(60, 20);
    std::thread::sleep(Duration::from_secs(seconds));
    let stats: serde_json::Value = serde_json::from_str(&http::get(&url, "/_stats")?)?;
    let requests: u64 =
        stats["requests"].as_object().context("no requests in the stats")?.values().filter_map(serde_json::Value::as_u64).sum();
    bench.add("E13", "floe", "requests/minute", requests as f64 * 60.0 / seconds as f64);
    bench.add("E13", "floe: memory", "MiB", broker.process.resident()? as f64 / f64::from(1 << 20));
    broker.process.terminate()?;
    drop(store);
    std::fs::remove_dir_all(data)?;
    Ok(())
}
