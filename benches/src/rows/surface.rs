//! Requests beside produce and fetch, and the smallest of produces: S2 commits, S4 metadata, S5 topics, S6 one record a request.

use super::Bench;
use crate::candidate::{self, Broker, Candidate};
use crate::requests::{self, Connection};
use crate::{load, wire};
use anyhow::{Context, bail};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const GROUPS: usize = 50;
const PARTITIONS: i32 = 8;
/// Requests of one connection under way at once: librdkafka's default for idempotent producers.
const WINDOW: usize = 5;
/// Kafka's controller refuses requests that make more than 10,000 records.
const AT_ONCE: u64 = 900;

/// S2.
pub(crate) fn commits(bench: &mut Bench) -> anyhow::Result<()> {
    of_each(bench, |bench, candidate, broker| {
        load::create_topic(&broker.bootstrap(), "commits", 1, &[])?;
        let seconds = bench.sized(5, 2);
        let groups: Vec<String> = (0..GROUPS).map(|number| format!("group-{number}")).collect();
        let mut connection = Connection::open(broker.address)?;
        for group in &groups {
            requests::until_coordinated(&mut connection, group, "commits")?;
        }
        let commits = load_of(broker, candidate, bench, ("S2", seconds, GROUPS), |worker, address, until| {
            let mut connection = Connection::open(address)?;
            let mut done = 0;
            while Instant::now() < until {
                let request = requests::offset_commit(&groups[worker], "commits", i64::try_from(done)?)?;
                match requests::committed(&connection.call(&request)?)? {
                    0 => done += 1,
                    code => bail!("a commit was refused: Kafka error {code}"),
                }
            }
            Ok(done)
        })?;
        bench.add("S2", candidate.name(), "commits/s", commits);
        Ok(())
    })
}

/// S5, one topic after another, and S4 on what that has made; then S5 with all in one request.
pub(crate) fn topics(bench: &mut Bench) -> anyhow::Result<()> {
    of_each(bench, |bench, candidate, broker| {
        let mut connection = Connection::open(broker.address)?;
        let began = Instant::now();
        let count = bench.sized(1_000, 100);
        for number in 0..count {
            let request = requests::create_topics(&[format!("topic-{number}")], 10)?;
            requests::all_created(&connection.call(&request)?)?;
        }
        bench.add("S5", &format!("{}, one after another", candidate.name()), "topics/s", count as f64 / began.elapsed().as_secs_f64());
        let (seconds, request) = (bench.sized(5, 2), requests::all_metadata()?);
        let size = connection.call(&request)?.len() as u64;
        let rate = load_of(broker, candidate, bench, ("S4", seconds, 2), |_, address, until| {
            let mut connection = Connection::open(address)?;
            let mut done = 0;
            while Instant::now() < until {
                let answer = connection.call(&request)?.len() as u64;
                if answer < size {
                    bail!("an answer of {answer} bytes, after one of {size}");
                }
                done += 1;
            }
            Ok(done)
        })?;
        bench.add("S4", candidate.name(), "requests/s", rate);
        Ok(())
    })?;
    of_each(bench, |bench, candidate, broker| {
        let count = bench.sized(AT_ONCE, 100);
        let names: Vec<String> = (0..count).map(|number| format!("topic-{number}")).collect();
        let mut connection = Connection::open(broker.address)?;
        let (request, began) = (requests::create_topics(&names, 10)?, Instant::now());
        requests::all_created(&connection.call(&request)?)?;
        bench.add("S5", &format!("{}, in one request", candidate.name()), "topics/s", count as f64 / began.elapsed().as_secs_f64());
        Ok(())
    })
}

/// S6.
pub(crate) fn small_requests(bench: &mut Bench) -> anyhow::Result<()> {
    of_each(bench, |bench, candidate, broker| {
        load::create_topic(&broker.bootstrap(), "small", PARTITIONS, &[])?;
        wire::first_ack(broker.address, "small", Instant::now(), Duration::from_secs(60))?;
        let (seconds, workers) = (bench.sized(5, 2), usize::try_from(PARTITIONS)?);
        let rate = load_of(broker, candidate, bench, ("S6", seconds, workers), |worker, address, until| {
            let mut connection = Connection::open(address)?;
            let request = wire::produce_request("small", i32::try_from(worker)?)?;
            let (mut under_way, mut done) = (VecDeque::new(), 0);
            while Instant::now() < until || !under_way.is_empty() {
                while under_way.len() < WINDOW && Instant::now() < until {
                    connection.send(&request)?;
                    under_way.push_back(());
                }
                if under_way.pop_front().is_some() {
                    match wire::produce_error(&connection.receive()?)? {
                        0 => done += 1,
                        code => bail!("a record was refused: Kafka error {code}"),
                    }
                }
            }
            Ok(done)
        })?;
        bench.add("S6", candidate.name(), "requests/s", rate);
        Ok(())
    })
}

/// Starts each candidate on an empty disk, and ends it.
pub(super) fn of_each(bench: &mut Bench, measure: impl Fn(&mut Bench, Candidate, &Broker) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for candidate in bench.programs.candidates() {
        let data = bench.fresh(candidate.name())?;
        let broker = candidate::start(candidate, &bench.programs, &data)?;
        measure(bench, candidate, &broker).with_context(|| candidate.name().to_owned())?;
        broker.process.terminate()?;
        std::fs::remove_dir_all(data)?;
    }
    Ok(())
}

/// For a row: lets `workers` threads ask for `seconds`, a fifth of that unmeasured before. Requests per second; adds the broker's CPU for each.
fn load_of(
    broker: &Broker,
    candidate: Candidate,
    bench: &mut Bench,
    (row, seconds, workers): (&str, u64, usize),
    work: impl Fn(usize, SocketAddr, Instant) -> anyhow::Result<u64> + Sync,
) -> anyhow::Result<f64> {
    let run = |length: Duration| -> anyhow::Result<u64> {
        let until = Instant::now() + length;
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|worker| {
                    scope.spawn({
                        let work = &work;
                        move || work(worker, broker.address, until)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a worker panicked"))).sum()
        })
    };
    run(Duration::from_millis(seconds * 200))?;
    let (before, began) = (broker.process.usage()?, Instant::now());
    let done = run(Duration::from_secs(seconds))?;
    let (took, cpu) = (began.elapsed().as_secs_f64(), broker.process.usage()?.cpu_seconds - before.cpu_seconds);
    bench.add(row, &format!("{}: CPU", candidate.name()), "us/request", cpu * 1e6 / done.max(1) as f64);
    Ok(done as f64 / took)
}
