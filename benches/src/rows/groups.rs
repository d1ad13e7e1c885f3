//! Groups that are made: S1 by a hundred librdkafka consumers, S3 by a thousand members that only speak the protocol.

use super::Bench;
use super::surface::of_each;
use crate::load;
use crate::process::MemoryPeak;
use crate::requests::{self, Connection};
use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
const TOPIC: &str = "shared";
const PARTITIONS: i32 = 1_000;
const REBALANCE_IN_PROGRESS: i16 = 27;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const MEMBER_ID_REQUIRED: i16 = 79;
/// Between two heartbeats of a member: how soon it learns of a rebalance.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// S1: from the first subscription until every member has had a record, with one record in every partition.
pub(crate) fn rebalance(bench: &mut Bench) -> anyhow::Result<()> {
    of_each(bench, |bench, candidate, broker| {
        let bootstrap = broker.bootstrap();
        load::create_topic(&bootstrap, TOPIC, PARTITIONS, &[])?;
        one_record_each(&bootstrap)?;
        let members = usize::try_from(bench.sized(100, 20))?;
        for (name, assignor) in [("eager", "range"), ("cooperative", "cooperative-sticky")] {
            let took = until_all_consume(&bootstrap, name, assignor, members)?;
            bench.add("S1", &format!("{}, {name}", candidate.name()), "s", took.as_secs_f64());
        }
        Ok(())
    })
}

fn one_record_each(bootstrap: &str) -> anyhow::Result<()> {
    let producer: BaseProducer = load::config(bootstrap).set("acks", "all").create()?;
    for partition in 0..PARTITIONS {
        let record = BaseRecord::<(), _>::to(TOPIC).partition(partition).payload("one");
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(PATIENCE)?)
}

fn until_all_consume(bootstrap: &str, group: &str, assignor: &str, members: usize) -> anyhow::Result<Duration> {
    let (waiting, failed) = (AtomicUsize::new(members), AtomicBool::new(false));
    let began = Instant::now();
    let member = || -> anyhow::Result<()> {
        let mut config = load::config(bootstrap);
        config.set("group.id", group).set("partition.assignment.strategy", assignor);
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create()?;
        consumer.subscribe(&[TOPIC])?;
        let mut consumed = false;
        while waiting.load(Ordering::Relaxed) > 0 && !failed.load(Ordering::Relaxed) {
            if began.elapsed() > PATIENCE {
                bail!("{} of {members} members had no record in time", waiting.load(Ordering::Relaxed));
            }
            if let Some(message) = consumer.poll(Duration::from_millis(20))
                && message.is_ok()
                && !std::mem::replace(&mut consumed, true)
            {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..members)
            .map(|_| scope.spawn(|| member().inspect_err(|_| failed.store(true, Ordering::Relaxed)).map(|()| began.elapsed())))
            .collect();
        let took: Vec<Duration> =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a member panicked"))).collect::<Result<_, _>>()?;
        // All see the last record at the same time, but for a poll's length.
        took.into_iter().min().context("no members")
    })
}

/// S3.
pub(crate) fn many_members(bench: &mut Bench) -> anyhow::Result<()> {
    of_each(bench, |bench, candidate, broker| {
        load::create_topic(&broker.bootstrap(), TOPIC, 1, &[])?;
        requests::until_coordinated(&mut Connection::open(broker.address)?, "another", TOPIC)?;
        let before = broker.process.resident()?;
        let peak = MemoryPeak::watch(&broker.process);
        let took = until_stable(broker.address, usize::try_from(bench.sized(1_000, 100))?)?;
        let more = peak.end().saturating_sub(before) as f64 / f64::from(1 << 20);
        bench.add("S3", candidate.name(), "s", took.as_secs_f64());
        bench.add("S3", &format!("{}: memory", candidate.name()), "MiB", more);
        Ok(())
    })
}

/// How long until all members have their assignment in the same generation.
fn until_stable(address: SocketAddr, count: usize) -> anyhow::Result<Duration> {
    let generations: Vec<AtomicI32> = (0..count).map(|_| AtomicI32::new(-1)).collect();
    let (stable, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    let began = Instant::now();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for own in &generations {
            let (stable, failed) = (&stable, &failed);
            let member = move || {
                member(address, own, stable, began).inspect_err(|error| {
                    // The others may wait for their answers for long: the reason is told at once.
                    eprintln!("a member failed: {error:#}");
                    failed.store(true, Ordering::Relaxed);
                })
            };
            threads.push(std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, member)?);
        }
        let agreed = || {
            let first = generations[0].load(Ordering::Relaxed);
            first >= 0 && generations.iter().all(|generation| generation.load(Ordering::Relaxed) == first)
        };
        while !agreed() && !failed.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        let (took, agreed) = (began.elapsed(), agreed());
        stable.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap_or_else(|_| bail!("a member panicked"))?;
        }
        if agreed { Ok(took) } else { bail!("the members agreed on no generation in {took:?}") }
    })
}

/// Joins, syncs and sends heartbeats, as often as the group is rebalanced.
fn member(address: SocketAddr, own: &AtomicI32, stable: &AtomicBool, began: Instant) -> anyhow::Result<()> {
    let (group, mut id) = ("many", String::new());
    let mut connection = Connection::open(address)?;
    while !stable.load(Ordering::Relaxed) {
        if began.elapsed() > PATIENCE {
            bail!("a member never became stable");
        }
        own.store(-1, Ordering::Relaxed);
        let joined = requests::joined(&connection.call(&requests::join_group(group, &id)?)?)?;
        match joined.code {
            0 => {}
            MEMBER_ID_REQUIRED => {
                id.clone_from(&joined.member);
                continue;
            }
            // It took too long for its group, and begins anew, as clients do.
            UNKNOWN_MEMBER_ID => {
                id.clear();
                continue;
            }
            code => bail!("JoinGroup: Kafka error {code}"),
        }
        id.clone_from(&joined.member);
        let sync = requests::sync_group(group, joined.generation, &id, &joined.members)?;
        let mut code = requests::error_of(&connection.call(&sync)?)?;
        while code == 0 && !stable.load(Ordering::Relaxed) {
            own.store(joined.generation, Ordering::Relaxed);
            std::thread::sleep(HEARTBEAT);
            code = requests::error_of(&connection.call(&requests::heartbeat(group, joined.generation, &id)?)?)?;
        }
        match code {
            0 | REBALANCE_IN_PROGRESS | ILLEGAL_GENERATION => {}
            UNKNOWN_MEMBER_ID => id.clear(),
            code => bail!("the group said Kafka error {code}"),
        }
    }
    Ok(())
}
