//! Many connections, and bad ones: a thousand that are idle, two hundred that are slow, floods of metadata requests, storms of clients that
//! connect and go. Memory stays flat, others are served, and no connection is left.

use crate::alone;
use crate::kill::rounds;
use floe_e2e::broker::{Broker, Setup};
use floe_e2e::load::{Topic, create_topics};
use floe_e2e::wait;
use floe_e2e::wire::{Connection, request};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

const IDLE: usize = 1_000;
const SLOW: usize = 200;
const STORM: usize = 1_500;
const FLOOD_THREADS: usize = 4;
const FLOOD: usize = 250;
/// Sent before an answer is looked at.
const AT_ONCE: usize = 10;
/// Of the topic whose metadata is asked for: one answer has some 13 KiB.
const PARTITIONS: i32 = 500;
const LIMIT: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
/// What 1,200 connections may cost while they are there, and what was there before and is not given back yet: the answers that slow
/// ones do not take are bounded, one each. In any of the rounds.
const HELD: u64 = 160 * MIB;
/// What all rounds may leave, each of 4,200 connections: 1.3 KiB that one leaves behind show in three.
const LEFT: u64 = 16 * MIB;

fn api_versions() -> Vec<u8> {
    request(18, 0, &[]).unwrap()
}

/// Metadata of all topics.
fn metadata() -> Vec<u8> {
    request(3, 1, &(-1_i32).to_be_bytes()).unwrap()
}

/// The broker's sockets. Its files come and go as it flushes.
fn descriptors(broker: &Broker) -> usize {
    let all = std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap();
    let is_socket = |path: &std::path::Path| std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
    all.filter(|entry| entry.as_ref().is_ok_and(|entry| is_socket(&entry.path()))).count()
}

fn idle(address: &str) -> Connection {
    let mut connection = Connection::open(address).unwrap();
    connection.send_bytes(&api_versions()).unwrap();
    connection.take().unwrap();
    connection
}

/// Every other one asks for much and takes nothing; the others announce a large request and send a little of it.
fn slow(address: &str, number: usize) -> Connection {
    let mut connection = Connection::open(address).unwrap();
    if number.is_multiple_of(2) {
        connection.send_bytes(&metadata().repeat(100)).unwrap();
    } else {
        connection.send_bytes(&(512_i32 << 10).to_be_bytes()).unwrap();
        connection.send_bytes(&metadata()[4..]).unwrap();
    }
    connection
}

fn flood(address: &str) {
    let mut connection = Connection::open(address).unwrap();
    let requests = metadata().repeat(AT_ONCE);
    for _ in 0..FLOOD / AT_ONCE {
        connection.send_bytes(&requests).unwrap();
        for _ in 0..AT_ONCE {
            let answer = connection.take().unwrap();
            assert!(answer.len() > PARTITIONS as usize * 16, "metadata of {} bytes", answer.len());
        }
    }
}

/// Clients that connect and go: at once, after an answer, in the middle of a request.
fn storm(address: &str) {
    for number in 0..STORM {
        let mut connection = Connection::open(address).unwrap();
        match number % 3 {
            0 => {}
            1 => drop(idle(address)),
            _ => connection.send_bytes(&metadata()[..9]).unwrap(),
        }
    }
}

/// Everything at once; memory while all of it is there, and when it is gone.
fn round(broker: &Broker, producer: &mut Connection) -> (u64, u64) {
    let (address, before) = (broker.setup.bootstrap(), descriptors(broker));
    let idles: Vec<_> = (0..IDLE).map(|_| idle(&address)).collect();
    let slows: Vec<_> = (0..SLOW).map(|number| slow(&address, number)).collect();
    std::thread::scope(|scope| {
        for _ in 0..FLOOD_THREADS {
            scope.spawn(|| flood(&address));
        }
        scope.spawn(|| storm(&address));
    });
    producer.send(*b"orde", "orders", 0, b"still served").unwrap();
    producer.answer().unwrap();
    let all_there = wait::until(LIMIT, || (descriptors(broker) == before + IDLE + SLOW).then_some(()));
    assert!(all_there.is_some(), "{} descriptors, {before} before", descriptors(broker));
    let held = broker.memory().unwrap();
    drop((idles, slows));
    let all_gone = wait::until(LIMIT, || (descriptors(broker) == before).then_some(()));
    assert!(all_gone.is_some(), "{} descriptors, {before} before", descriptors(broker));
    (held, broker.memory().unwrap())
}

#[test]
fn memory_stays_flat_under_idle_and_slow_connections_floods_and_reconnect_storms() {
    let _alone = alone();
    // Here and in the broker, which inherits it.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broker = Setup::new(folder.path(), "connections").start().unwrap();
    create_topics(&broker.setup.bootstrap(), &[Topic::new("orders", 1, "local"), Topic::new("many", PARTITIONS, "local")]).unwrap();
    let mut producer = Connection::open(&broker.setup.bootstrap()).unwrap();
    producer.send(*b"orde", "orders", 0, b"the first").unwrap();
    producer.answer().unwrap();
    let quiet = broker.memory().unwrap();
    for _ in 0..rounds(3, 20).min(20) {
        let (held, after) = round(&broker, &mut producer);
        println!("memory: {} MiB quiet, {} with {} connections, {} after", quiet / MIB, held / MIB, IDLE + SLOW, after / MIB);
        assert!(held.max(after) < quiet + HELD, "{held} and {after} bytes of memory, {quiet} before");
    }
    // The allocator keeps what was used for ten seconds; then all of it is given back.
    let is_back = wait::until(LIMIT, || (broker.memory().unwrap() < quiet + LEFT).then_some(()));
    assert!(is_back.is_some(), "{} bytes of memory after a while, {quiet} before", broker.memory().unwrap());
    assert_eq!(broker.stop().unwrap(), 0);
}
