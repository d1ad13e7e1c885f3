//! S7: a broker that starts with a million committed offsets.

use super::Bench;
use crate::candidate::{self, Broker};
use crate::load;
use crate::requests::{self, Connection};
use anyhow::bail;
use std::time::{Duration, Instant};

const TOPIC: &str = "committed";
const PARTITIONS: i32 = 10_000;
const SETTINGS: &[&str] = &["group.initial.rebalance.delay.ms=0"];

/// From the start of the process until all groups are listed, which waits for everything to be loaded; and the same with one
/// group of one offset, so that what a start takes anyway can be told apart.
pub(crate) fn loading(bench: &mut Bench) -> anyhow::Result<()> {
    let groups = usize::try_from(bench.sized(100, 10))?;
    let settings: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
    for (name, groups, partitions) in [("floe", groups, PARTITIONS), ("floe, one offset", 1, 1)] {
        let data = bench.fresh("floe")?;
        let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
        fill(&broker, groups, partitions)?;
        broker.process.terminate()?;
        let began = Instant::now();
        let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
        until_listed(&broker, groups, began)?;
        bench.add("S7", name, "s", began.elapsed().as_secs_f64());
        check(&broker, groups, partitions)?;
        broker.process.terminate()?;
        std::fs::remove_dir_all(data)?;
    }
    Ok(())
}

fn group(number: usize) -> String {
    format!("group-{number}")
}

/// Every group commits every partition once.
fn fill(broker: &Broker, groups: usize, partitions: i32) -> anyhow::Result<()> {
    load::create_topic(&broker.bootstrap(), TOPIC, PARTITIONS, &[])?;
    let mut connection = Connection::open(broker.address)?;
    for number in 0..groups {
        requests::until_coordinated(&mut connection, &group(number), TOPIC)?;
        let request = requests::offset_commits(&group(number), TOPIC, partitions, i64::try_from(number)? + 7)?;
        match requests::committed(&connection.call(&request)?)? {
            0 => {}
            code => bail!("{partitions} offsets of {} were refused: Kafka error {code}", group(number)),
        }
    }
    Ok(())
}

fn until_listed(broker: &Broker, groups: usize, began: Instant) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker.address)?;
    loop {
        let (code, listed) = requests::listed(&connection.call(&requests::list_groups()?)?)?;
        if code == 0 && listed == groups {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(120) {
            bail!("{listed} of {groups} groups are listed after two minutes; Kafka error {code}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What was loaded is what was committed.
fn check(broker: &Broker, groups: usize, partitions: i32) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker.address)?;
    for number in 0..groups {
        let fetched = requests::fetched(&connection.call(&requests::offset_fetch(&group(number), TOPIC, partitions)?)?)?;
        let wanted = i64::try_from(number)? + 7;
        if fetched.len() != usize::try_from(partitions)? || fetched.iter().any(|offset| *offset != wanted) {
            bail!("{} has {} offsets, not all of them {wanted}", group(number), fetched.len());
        }
    }
    Ok(())
}
