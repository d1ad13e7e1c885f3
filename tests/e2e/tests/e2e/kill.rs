//! kill -9 at any instant, under load, restarted on the same disk.

use crate::{alone, assert_clean};
use floe_e2e::broker::{Broker, Setup, verify};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::seaweed::{self, Seaweed};
use floe_env::Env;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// Acks that do not come in so long will not.
const ACK_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn rounds(quick: usize, full: usize) -> usize {
    let full = if std::env::var_os("FLOE_TEST_FULL").is_some() { full } else { quick };
    std::env::var("FLOE_E2E_ROUNDS").map_or(full, |rounds| rounds.parse().expect("FLOE_E2E_ROUNDS is a number"))
}

fn seed() -> u64 {
    let seed =
        std::env::var("FLOE_E2E_SEED").map_or_else(|_| Env::real().random_u64(), |seed| seed.parse().expect("FLOE_E2E_SEED is a number"));
    println!("FLOE_E2E_SEED={seed}");
    seed
}

/// Starts it; in every third round it is killed at some instant of its start first.
fn start(setup: &Setup, round: usize, random: &mut StdRng) -> Broker {
    if round % 3 == 2 {
        let broker = setup.spawn().unwrap();
        // Not a wait for something: the instant of the kill.
        std::thread::sleep(Duration::from_micros(random.random_range(0..80_000)));
        broker.kill();
    }
    setup.start().unwrap()
}

fn kill_and_check(setup: &Setup, topics: &[Topic], rounds: usize) {
    let mut random = StdRng::seed_from_u64(seed());
    let mut broker = setup.start().unwrap();
    create_topics(&setup.bootstrap(), topics).unwrap();
    let load = Load::start(&setup.bootstrap(), topics, 0..2).unwrap();
    let follower = Follower::start(&setup.bootstrap(), topics).unwrap();
    for round in 0..rounds {
        let acks = random.random_range(1..1500);
        assert!(load.wait(acks, ACK_LIMIT), "round {round}: {} acks, and no more\n{}", load.acknowledged(), broker.log());
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        broker.kill();
        broker = start(setup, round, &mut random);
    }
    assert!(load.wait(100, ACK_LIMIT), "no acks after the last kill\n{}", broker.log());
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    let followed = follower.finish(&mut history).unwrap();
    let read = read_everything(&setup.bootstrap(), topics, &mut history).unwrap();
    println!("{rounds} rounds: {} acknowledged, {followed} followed, {read} read at last", history.acknowledgements());
    assert!(history.acknowledgements() >= rounds && read >= history.acknowledgements());
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(setup).unwrap();
}

#[test]
fn kill_9_at_any_instant_loses_and_doubles_nothing_on_a_directory() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    // Small, so that flushes, new WAL files and trims fall into the rounds.
    let setup = Setup::new(folder.path(), "broker").option("floe.flush.bytes=256KiB").option("floe.wal.file.bytes=2MiB");
    let topics = [Topic::new("local", 4, "local"), Topic::new("object", 2, "object")];
    kill_and_check(&setup, &topics, rounds(10, 100));
}

#[test]
fn kill_9_at_any_instant_loses_and_doubles_nothing_on_s3() {
    let _alone = alone();
    let program = match seaweed::program() {
        Ok(program) => program,
        Err(reason) => return println!("SKIP kill -9 on S3: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Seaweed::start(&program, folder.path()).unwrap();
    let setup = server.store(Setup::new(folder.path(), "broker"), "kill");
    let topics = [Topic::new("object", 3, "object"), Topic::new("local", 2, "local")];
    kill_and_check(&setup, &topics, rounds(3, 100));
}
