//! E3: produce with `local` acknowledgements while everything is flushed to SeaweedFS on the same cores; against PUTs of as many bytes by the
//! store's own client, while the load's client runs at full speed against a responder.

use super::Bench;
use crate::candidate;
use crate::load::{self, Load};
use crate::process::Process;
use crate::wire;
use anyhow::{Context, bail};
use bytes::Bytes;
use floe_env::Env;
use floe_objstore::{Backend, Payload, S3Backend, S3Options};
use futures::stream::{StreamExt, TryStreamExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 8;
/// What Floe does by default: objects of so many bytes, so many under way.
const PACK: usize = 16 << 20;
const WINDOW: usize = 4;
const BUCKET: &str = "bench";

pub(crate) fn round(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = start_seaweed(bench, &data)?;
    let mut settings = candidate::store_settings(&url);
    settings.push("floe.durability=local".to_owned());
    let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
    load::create_topic(&broker.bootstrap(), "flushed", PARTITIONS, &[])?;
    let records = bench.sized(1_000_000, 300_000);
    let mut load = Load { topic: "flushed", partitions: PARTITIONS, records: records / 4, codec: "none", settings: &[] };
    load::produce(&broker.bootstrap(), &load)?;
    std::thread::sleep(Duration::from_secs(5));
    load.records = records;
    let (before, began) = (broker.process.usage()?, Instant::now());
    let produced = load::produce(&broker.bootstrap(), &load)?;
    bench.add("E3", "floe acknowledged", "MB/s", produced.megabytes_per_second());
    // SIGTERM ends when everything is in the store: the drain belongs to the row.
    let usage = broker.process.terminate_and_measure()?;
    let seconds = began.elapsed().as_secs_f64();
    bench.add("E3", "floe until all is in the store", "MB/s", produced.value_bytes as f64 / 1e6 / seconds);
    bench.add("E3", "floe: CPU", "CPU s/GB", (usage.cpu_seconds - before.cpu_seconds) / (produced.value_bytes as f64 / 1e9));
    let seconds = raw_put(&url, produced.value_bytes)?;
    bench.add("E3", "raw PUT", "MB/s", produced.value_bytes as f64 / 1e6 / seconds);
    drop(store);
    std::fs::remove_dir_all(data)?;
    Ok(())
}

pub(crate) fn start_seaweed(bench: &Bench, folder: &Path) -> anyhow::Result<(Process, String)> {
    let program = bench.programs.seaweed.as_ref().context("SeaweedFS is not here: cargo xtask test installs it")?;
    let config = folder.join("s3.json");
    let identity =
        r#"{"name":"bench","credentials":[{"accessKey":"bench","secretKey":"bench"}],"actions":["Admin","Read","Write","List"]}"#;
    std::fs::write(&config, format!(r#"{{"identities":[{identity}]}}"#))?;
    let mut ports = [0; 4];
    for port in &mut ports {
        *port = candidate::free_port()?.port();
    }
    let mut command = Command::new(program);
    command.env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1").args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    command.arg(format!("-dir={}", folder.display())).arg(format!("-s3.config={}", config.display()));
    for (name, port) in ["master", "volume", "filer", "s3"].into_iter().zip(ports) {
        command.arg(format!("-{name}.port={port}"));
    }
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-master.electionTimeout=1s"]);
    command.args(["-master.heartbeatInterval=100ms", "-volume.preStopSeconds=1", "-master.volumeSizeLimitMB=1024", "-volume.max=0"]);
    command.stderr(Stdio::null());
    let process = Process::spawn(&mut command)?;
    let (filer, s3) = (format!("http://127.0.0.1:{}", ports[2]), format!("http://127.0.0.1:{}", ports[3]));
    // A bucket is a folder of the filer.
    until_answered(|| crate::http::post(&filer, &format!("/buckets/{BUCKET}/"), ""))?;
    until_answered(|| crate::http::get(&s3, "/healthz"))?;
    Ok((process, s3))
}

fn until_answered(ask: impl Fn() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let began = Instant::now();
    while let Err(error) = ask() {
        if began.elapsed() > Duration::from_secs(30) {
            return Err(error).context("SeaweedFS does not start");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Seconds for so many bytes, in objects and a window as Floe's, while the client produces to nobody.
fn raw_put(url: &str, bytes: u64) -> anyhow::Result<f64> {
    let done = Arc::new(AtomicBool::new(false));
    let responder = wire::start_responder("nobody", PARTITIONS)?;
    let ended = done.clone();
    let client = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            let load = Load { topic: "nobody", partitions: PARTITIONS, records: 200_000, codec: "none", settings: &[] };
            if load::produce(&responder.to_string(), &load).is_err() {
                return false;
            }
        }
        true
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seconds = runtime.block_on(put_all(url, bytes));
    done.store(true, Ordering::Relaxed);
    if !client.join().unwrap_or(false) {
        bail!("the client beside the PUTs failed");
    }
    seconds
}

async fn put_all(url: &str, bytes: u64) -> anyhow::Result<f64> {
    let options = S3Options {
        endpoint: Some(url.to_owned()),
        region: Some("us-east-1".to_owned()),
        path_style: Some(true),
        access_key_id: Some("bench".to_owned()),
        secret_access_key: Some("bench".to_owned()),
        ..S3Options::default()
    };
    let backend = S3Backend::open(&Env::real(), BUCKET, "raw", &options).await?;
    let mut values = crate::values::Values::new(bytes);
    let pack: Vec<u8> = (0..PACK / crate::values::VALUE_LEN).flat_map(|_| values.next_value().to_vec()).collect();
    let pack = Bytes::from(pack);
    let count = bytes.div_ceil(pack.len() as u64);
    let began = Instant::now();
    futures::stream::iter(0..count)
        .map(|number| {
            let (backend, body) = (&backend, Payload::from(pack.clone()));
            async move { backend.create(&format!("pack-{number:08}"), body).await }
        })
        .buffer_unordered(WINDOW)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(began.elapsed().as_secs_f64() * bytes as f64 / (count * pack.len() as u64) as f64)
}
