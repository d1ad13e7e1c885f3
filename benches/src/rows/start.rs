//! From the start of the process to the first acknowledgement: E8 with an empty log, E9 with history, E10 with a WAL to replay.

use super::Bench;
use crate::candidate::{self, Candidate, Programs};
use crate::load::{self, Load};
use crate::process::Process;
use crate::wire;
use std::path::Path;
use std::time::{Duration, Instant};

const TOPIC: &str = "start";
const PATIENCE: Duration = Duration::from_secs(60);

/// E8.
pub(crate) fn empty(bench: &mut Bench) -> anyhow::Result<()> {
    for candidate in bench.programs.candidates() {
        let data = bench.fresh(candidate.name())?;
        let broker = candidate::start(candidate, &bench.programs, &data)?;
        load::create_topic(&broker.bootstrap(), TOPIC, 8, &[])?;
        broker.process.terminate()?;
        let times = if candidate == Candidate::Floe { 5 } else { 1 };
        for _ in 0..times {
            let (process, took) = timed(candidate, &bench.programs, &data, &[], TOPIC)?;
            bench.add("E8", candidate.name(), "s", took.as_secs_f64());
            process.terminate()?;
        }
        std::fs::remove_dir_all(data)?;
    }
    Ok(())
}

fn timed(candidate: Candidate, programs: &Programs, data: &Path, settings: &[String], topic: &str) -> anyhow::Result<(Process, Duration)> {
    let address = candidate::free_port()?;
    let mut command = match candidate {
        Candidate::Floe => candidate::floe_command(programs, data, address, settings)?,
        Candidate::Kafka => candidate::kafka_command(programs, data, address)?,
    };
    let began = Instant::now();
    let process = Process::spawn(&mut command)?;
    let took = wire::first_ack(address, topic, began, PATIENCE)?;
    Ok((process, took))
}

/// E9.
pub(crate) fn history(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let broker = candidate::start_floe(&bench.programs, &data, &[])?;
    load::create_topic(&broker.bootstrap(), TOPIC, 8, &[])?;
    let records = bench.sized(1_073_742, 1_073_742);
    load::produce(&broker.bootstrap(), &Load { topic: TOPIC, partitions: 8, records, codec: "none", settings: &[] })?;
    broker.process.terminate()?;
    for _ in 0..3 {
        let (process, took) = timed(Candidate::Floe, &bench.programs, &data, &[], TOPIC)?;
        bench.add("E9", "floe", "s", took.as_secs_f64());
        process.terminate()?;
    }
    std::fs::remove_dir_all(data)?;
    Ok(())
}

/// E10: the store stands still while 256 MiB are produced, then the broker is killed.
pub(crate) fn replay(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = candidate::start_store(&bench.programs, false)?;
    let mut settings = candidate::store_settings(&url);
    settings.push("floe.durability=local".to_owned());
    let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
    load::create_topic(&broker.bootstrap(), TOPIC, 8, &[])?;
    store.pause()?;
    let records = (256 << 20) / 1_000;
    let produced = load::produce(&broker.bootstrap(), &Load { topic: TOPIC, partitions: 8, records, codec: "none", settings: &[] });
    broker.process.kill()?;
    store.resume()?;
    produced?;
    let (process, took) = timed(Candidate::Floe, &bench.programs, &data, &settings, TOPIC)?;
    bench.add("E10", "floe", "s", took.as_secs_f64());
    process.kill()?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}
