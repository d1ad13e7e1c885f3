//! The store goes away under load, and comes back.

use crate::{alone, assert_clean};
use floe_e2e::broker::{Setup, verify};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::seaweed::{self, Seaweed};
use std::time::Duration;

const ACK_LIMIT: Duration = Duration::from_secs(120);
/// Without an ack for so long, the WAL's budget is full. On a slow machine it may be less than full: then less is tested.
const NO_MORE: Duration = Duration::from_secs(3);
const BUDGET: u64 = 16 << 20;

#[test]
fn producing_goes_on_without_the_store_until_the_wal_is_full_and_nothing_is_lost_when_it_is_back() {
    let _alone = alone();
    let program = match seaweed::program() {
        Ok(program) => program,
        Err(reason) => return println!("SKIP store gone: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut server = Seaweed::start(&program, folder.path()).unwrap();
    let setup = server.store(Setup::new(folder.path(), "broker"), "gone");
    let setup = setup.option(&format!("floe.wal.budget.bytes={BUDGET}")).option("floe.wal.file.bytes=2MiB").option("floe.flush.bytes=1MiB");
    let broker = setup.start().unwrap();
    let topics = [Topic::new("local", 4, "local")];
    create_topics(&setup.bootstrap(), &topics).unwrap();
    let load = Load::start(&setup.bootstrap(), &topics, 0..2).unwrap();
    let follower = Follower::start(&setup.bootstrap(), &topics).unwrap();
    assert!(load.wait(1000, ACK_LIMIT));
    server.kill();
    let (before, memory) = (load.acknowledged(), broker.memory().unwrap());
    assert!(load.wait(1000, ACK_LIMIT), "local records need no store\n{}", broker.log());
    while load.wait(1, NO_MORE) {
        assert!(load.acknowledged() < before + 1_000_000, "the WAL takes more than its budget");
    }
    let (full, grown) = (load.acknowledged(), broker.memory().unwrap().saturating_sub(memory));
    assert!(grown < 8 * BUDGET, "memory grew by {grown}");
    server.restart().unwrap();
    assert!(load.wait(1000, ACK_LIMIT), "it goes on with the store\n{}", broker.log());
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    read_everything(&setup.bootstrap(), &topics, &mut history).unwrap();
    println!("{before} acks with the store, {} without, memory grew by {grown}, {} in all", full - before, history.acknowledgements());
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(&setup).unwrap();
}
