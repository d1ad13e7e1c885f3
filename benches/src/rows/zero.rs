//! From nothing but an activator to the first acknowledgement through it: Z1 on SeaweedFS, Z2 on the shaped store; Z6 what the activator holds meanwhile.

use super::Bench;
use super::s3::start_seaweed;
use crate::candidate;
use crate::load;
use crate::process::Process;
use crate::wire;
use anyhow::bail;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const TOPIC: &str = "zero";
const PATIENCE: Duration = Duration::from_secs(60);
const WAKES: u64 = 30;

/// Z1, Z6.
pub(crate) fn on_a_server(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = start_seaweed(bench, &data)?;
    wakes(bench, "Z1", &data, &url)?;
    drop(store);
    Ok(std::fs::remove_dir_all(data)?)
}

/// Z2.
pub(crate) fn on_the_shaped_store(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = candidate::start_store(&bench.programs, true)?;
    wakes(bench, "Z2", &data, &url)?;
    drop(store);
    Ok(std::fs::remove_dir_all(data)?)
}

fn wakes(bench: &mut Bench, row: &str, data: &Path, url: &str) -> anyhow::Result<()> {
    let address = candidate::free_port()?;
    let mut settings = candidate::store_settings(url);
    settings.push("floe.idle.exit.ms=100".to_owned());
    let broker = candidate::floe_command(&bench.programs, data, address, &settings)?;
    let mut command = Command::new(broker.get_program());
    command.args(["activator", "--listen", &address.to_string(), "--"]).arg(broker.get_program()).args(broker.get_args());
    command.envs(broker.get_envs().filter_map(|(name, value)| Some((name, value?)))).stderr(std::process::Stdio::null());
    let (activator, _) = Process::spawn_and_read_line(&mut command)?;
    load::create_topic(&address.to_string(), TOPIC, 8, &[])?;
    for _ in 0..bench.sized(WAKES, 5) {
        until_alone(&activator)?;
        // The broker's disk is of no use to it: what it needs is in the store.
        std::fs::remove_dir_all(data.join("floe"))?;
        let took = wire::first_ack(address, TOPIC, Instant::now(), PATIENCE)?;
        bench.add(row, "floe", "s", took.as_secs_f64());
    }
    until_alone(&activator)?;
    bench.add("Z6", "activator", "MiB", activator.resident()? as f64 / f64::from(1 << 20));
    activator.terminate()
}

/// Waits until the activator has no broker.
fn until_alone(activator: &Process) -> anyhow::Result<()> {
    let began = Instant::now();
    while Command::new("pgrep").args(["-P", &activator.id().to_string()]).stdout(std::process::Stdio::null()).status()?.success() {
        if began.elapsed() > PATIENCE {
            bail!("the broker does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
