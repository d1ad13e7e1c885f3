//! `cargo xtask chaos`: a cluster of three brokers, etcd and an S3 server meets faults at random, under load; nothing acknowledged may be lost,
//! doubled or reordered, no commit of a group may go back, and within two minutes after a fault everything is served again.

#![expect(clippy::print_stdout, reason = "a run says what happens")]
#![expect(clippy::disallowed_methods, reason = "this is outside the broker: real processes, threads, files and clocks")]

mod plan;
mod world;

use anyhow::{Context, bail, ensure};
use floe_e2e::etcd;
use floe_e2e::group::{Member, Seen, committed};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use parking_lot::Mutex;
use plan::{KINDS, PARTITIONS, Round};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use world::World;

/// After everything is healed, all of it is served within this.
const HEAL_LIMIT: Duration = Duration::from_secs(120);
/// The topic whose durability changes.
const CHANGING: &str = "changing";
const GROUP: &str = "chaos";
/// What the group reads.
const GROUPS: &str = "replicated";

struct Arguments {
    length: Duration,
    seed: u64,
}

fn arguments() -> anyhow::Result<Arguments> {
    let (mut length, mut seed) = (Duration::from_secs(120), 1);
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().with_context(|| format!("{name} needs a number"))?;
        match name.as_str() {
            "--minutes" => length = Duration::from_secs_f64(60.0 * value.parse::<f64>()?),
            "--seed" => seed = value.parse()?,
            _ => bail!("--minutes N --seed S, not {name}"),
        }
    }
    Ok(Arguments { length, seed })
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    etcd::is_here().map_err(anyhow::Error::msg)?;
    let folder = tempfile::Builder::new().prefix("floe-chaos-").tempdir()?;
    println!("seed {}, {} s, in {}", arguments.seed, arguments.length.as_secs(), folder.path().display());
    let done = chaos(folder.path(), &arguments);
    if done.is_err() {
        println!("data and logs are kept in {}", folder.keep().display());
    }
    done
}

fn chaos(folder: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let mut world = World::start(folder, arguments.seed)?;
    let topics = ["object", GROUPS, CHANGING].map(|name| Topic::new(name, PARTITIONS, if name == "object" { name } else { "replicated" }));
    create_topics(&world.bootstrap(), &topics)?;
    let mut run = Run::start(&world, &topics)?;
    let (mut random, began) = (StdRng::seed_from_u64(arguments.seed), Instant::now());
    let mut met: BTreeMap<_, usize> = KINDS.iter().map(|kind| (*kind, 0)).collect();
    let mut rounds = 0;
    while began.elapsed() < arguments.length {
        let round = plan::round(&mut random, world.has_network());
        rounds += 1;
        world.say(&format!("round {rounds}: {:?}", round.kinds));
        run.round(&mut world, &round, &topics).with_context(|| format!("round {rounds}: {:?}", round.kinds))?;
        round.kinds.iter().for_each(|kind| *met.entry(*kind).or_default() += 1);
    }
    println!("faults: {met:?}\nends: {:?}; requests that met trouble: {}", world.ends, world.proxy.met());
    run.finish(&mut world, &topics)?;
    println!("{rounds} rounds, {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Load, readers and a group, and what they told.
struct Run {
    load: Load,
    follower: Follower,
    seen: Arc<Mutex<Seen>>,
    members: Vec<Member>,
    /// The longest that a partition took to be served again after a round.
    slowest: Duration,
}

impl Run {
    fn start(world: &World, topics: &[Topic]) -> anyhow::Result<Self> {
        let bootstrap = world.bootstrap();
        let load = Load::start(&bootstrap, topics, 0..2)?;
        load.pace(Duration::from_millis(50));
        let follower = Follower::start(&bootstrap, topics)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let member = |_| Member::start((&bootstrap, GROUP), GROUPS, &seen, &[]);
        let members = (0..2).map(member).collect::<Result<_, _>>()?;
        Ok(Self { load, follower, seen, members, slowest: Duration::ZERO })
    }

    fn round(&mut self, world: &mut World, round: &Round, topics: &[Topic]) -> anyhow::Result<()> {
        if round.loses_disk() {
            world.has_copies()?;
        }
        self.load.pace(round.pace);
        let began = Instant::now();
        for (at, act) in &round.acts {
            world.sleep_until(began + *at)?;
            world.act(*act, topics)?;
        }
        let healed = Instant::now();
        let load = &self.load;
        let what = "every partition acknowledges again";
        let waited = world.until(what, HEAL_LIMIT, |_| load.without_acks(healed).is_empty());
        waited.with_context(|| format!("without acks: {:?}", load.without_acks(healed)))?;
        self.slowest = self.slowest.max(healed.elapsed());
        world.say(&format!("healed, and all acknowledged after {:.1} s; {} acks", healed.elapsed().as_secs_f64(), load.acknowledged()));
        world.runs()?;
        self.group(world)?;
        ensure!(world.findings.is_empty(), "{:?}", world.findings);
        Ok(())
    }

    /// The group reads on, and no commit has gone back.
    fn group(&self, world: &mut World) -> anyhow::Result<()> {
        let (before, known) = {
            let seen = self.seen.lock();
            (seen.records.len(), seen.committed.clone())
        };
        let seen = &self.seen;
        world.until("the group reads on", HEAL_LIMIT, |_| seen.lock().records.len() > before)?;
        let found = committed((&world.bootstrap(), GROUP), GROUPS, PARTITIONS)?;
        for (partition, offset) in known {
            ensure!(found.get(&partition) >= Some(&offset), "partition {partition}: {found:?} after {offset} was committed");
        }
        Ok(())
    }

    fn finish(self, world: &mut World, topics: &[Topic]) -> anyhow::Result<()> {
        let mut history = History::default();
        self.load.finish(&mut history)?;
        let count = {
            let mut own = History::default();
            read_everything(&world.bootstrap(), &topics[1..2], &mut own)?
        };
        let seen = self.seen.clone();
        world.until("the group has seen every record", HEAL_LIMIT, |_| seen.lock().records.len() >= count)?;
        self.members.into_iter().for_each(Member::stop);
        let followed = self.follower.finish(&mut history)?;
        world.renew()?;
        let read = read_everything(&world.bootstrap(), topics, &mut history)?;
        println!("{} acknowledged, {followed} followed, {read} read at last, from brokers with empty disks", history.acknowledgements());
        println!("served again after at most {:.1} s; {} records seen by the group", self.slowest.as_secs_f64(), seen.lock().records.len());
        let findings = history.check();
        ensure!(findings.is_empty(), "{} findings, the first: {:#?}", findings.len(), findings.iter().take(10).collect::<Vec<_>>());
        world.end()?;
        ensure!(world.findings.is_empty(), "{:?}", world.findings);
        for log in world.logs() {
            let told = std::fs::read_to_string(&log)?;
            ensure!(!told.contains("panicked at"), "a panic in {}", log.display());
        }
        Ok(())
    }
}
