//! Brokers that end, and others that go on elsewhere with what is in the store.

use crate::{alone, assert_clean};
use floe_e2e::broker::{Broker, Setup, verify};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::seaweed::{self, Seaweed};
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

const ACK_LIMIT: Duration = Duration::from_secs(120);
/// The exit code of a broker that a newer one has stopped: docs/operations.md.
const SUPERSEDED: i32 = 3;

/// A broker with a disk of its own, and a store that all of `folder` share.
fn on_shared_store(folder: &Path, name: &str) -> Setup {
    Setup { store: Some(format!("file://{}", folder.join("shared").display())), ..Setup::new(folder, name) }
}

#[test]
fn after_a_clean_stop_the_disk_can_be_thrown_away() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let topics = [Topic::new("local", 3, "local"), Topic::new("object", 1, "object")];
    let first = on_shared_store(folder.path(), "first");
    let broker = first.start().unwrap();
    create_topics(&first.bootstrap(), &topics).unwrap();
    let mut history = History::default();
    let load = Load::start(&first.bootstrap(), &topics, 0..2).unwrap();
    assert!(load.wait(3000, ACK_LIMIT));
    load.finish(&mut history).unwrap();
    assert_eq!(broker.stop().unwrap(), 0);
    std::fs::remove_dir_all(&first.data).unwrap();

    let second = on_shared_store(folder.path(), "second");
    let broker = second.start().unwrap();
    let load = Load::start(&second.bootstrap(), &topics, 2..3).unwrap();
    assert!(load.wait(300, ACK_LIMIT));
    load.finish(&mut history).unwrap();
    read_everything(&second.bootstrap(), &topics, &mut history).unwrap();
    assert!(history.acknowledgements() >= 3300);
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(&second).unwrap();
}

#[test]
fn with_object_durability_a_killed_brokers_disk_can_be_lost() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let topics = [Topic::new("object", 4, "object")];
    let mut history = History::default();
    for (life, name) in ["first", "second", "third"].into_iter().enumerate() {
        // The port stays, so that the same clients go on; the disk does not.
        let setup = on_shared_store(folder.path(), name).option("floe.durability=object");
        let broker = setup.start().unwrap();
        if life == 0 {
            create_topics(&setup.bootstrap(), &topics).unwrap();
        }
        let number = u16::try_from(life).unwrap();
        let load = Load::start(&setup.bootstrap(), &topics, number..number + 1).unwrap();
        assert!(load.wait(1000, ACK_LIMIT));
        broker.kill();
        load.abandon(&mut history);
        std::fs::remove_dir_all(&setup.data).unwrap();
    }
    let last = on_shared_store(folder.path(), "last").option("floe.durability=object");
    let broker = last.start().unwrap();
    read_everything(&last.bootstrap(), &topics, &mut history).unwrap();
    assert!(history.acknowledgements() >= 3000);
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(&last).unwrap();
}

#[test]
fn an_idempotent_producer_goes_on_with_a_broker_that_has_another_disk() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let topics = [Topic::new("object", 3, "object")];
    let first = on_shared_store(folder.path(), "first").option("floe.durability=object");
    let broker = first.start().unwrap();
    create_topics(&first.bootstrap(), &topics).unwrap();
    let load = Load::start(&first.bootstrap(), &topics, 0..2).unwrap();
    let follower = Follower::start(&first.bootstrap(), &topics).unwrap();
    assert!(load.wait(1000, ACK_LIMIT));
    broker.kill();
    std::fs::remove_dir_all(&first.data).unwrap();
    let second = Setup { data: folder.path().join("second"), ..first.clone() };
    let broker = second.start().unwrap();
    assert!(load.wait(1000, ACK_LIMIT), "{}", broker.log());
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    read_everything(&second.bootstrap(), &topics, &mut history).unwrap();
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(&second).unwrap();
}

#[test]
fn a_broker_that_was_taken_over_while_paused_ends_and_nothing_it_does_counts() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let brokers = ["first", "second"].map(|name| on_shared_store(folder.path(), name));
    taken_over_while_paused(brokers, |paused| paused.signal(Signal::STOP), Duration::ZERO);
}

#[test]
fn t13_a_broker_paused_in_the_middle_of_a_put_ends_and_neither_the_put_nor_anything_else_counts() {
    let _alone = alone();
    let program = match seaweed::program() {
        Ok(program) => program,
        Err(reason) => return println!("SKIP paused in the middle of a PUT: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Seaweed::start(&program, folder.path()).unwrap();
    let brokers = ["first", "second"].map(|name| server.store(Setup::new(folder.path(), name), "shared"));
    let pause = if std::env::var_os("FLOE_TEST_FULL").is_some() { 60 } else { 3 };
    // The store takes requests and answers none: soon the broker waits in the middle of its PUTs.
    let in_the_middle = |paused: &Broker| {
        server.signal(Signal::STOP);
        std::thread::sleep(Duration::from_secs(1));
        paused.signal(Signal::STOP);
        server.signal(Signal::CONT);
    };
    taken_over_while_paused(brokers, in_the_middle, Duration::from_secs(pause));
}

/// The first broker is paused, the second takes over and serves; `pause` later the first goes on.
fn taken_over_while_paused([first, second]: [Setup; 2], stop: impl FnOnce(&Broker), pause: Duration) {
    let topics = [Topic::new("object", 3, "object")];
    // Its disk has a WAL with local records too, so the second must be told to take over.
    let given_up = [Topic::new("local", 2, "local")];
    let paused = first.start().unwrap();
    create_topics(&first.bootstrap(), &topics).unwrap();
    create_topics(&first.bootstrap(), &given_up).unwrap();
    let mut history = History::default();
    let old = Load::start(&first.bootstrap(), &topics, 0..2).unwrap();
    let old_local = Load::start(&first.bootstrap(), &given_up, 10..11).unwrap();
    let follower = Follower::start(&first.bootstrap(), &topics).unwrap();
    assert!(old.wait(1000, ACK_LIMIT) && old_local.wait(100, ACK_LIMIT));
    stop(&paused);

    let refused = second.spawn().unwrap().exit_code(Duration::from_secs(60)).unwrap();
    assert_eq!(refused, 4, "a local WAL on another disk is not given up unasked");
    let second = Setup { flags: vec!["--take-over".to_owned()], ..second };
    let broker = second.start().unwrap();
    let new = Load::start(&second.bootstrap(), &topics, 2..3).unwrap();
    assert!(new.wait(500, ACK_LIMIT), "{}", broker.log());
    std::thread::sleep(pause);

    paused.signal(Signal::CONT);
    let code = paused.exit_code(Duration::from_secs(60)).unwrap();
    assert_eq!(code, SUPERSEDED);
    assert!(new.wait(500, ACK_LIMIT), "{}", broker.log());
    // Whatever the first acknowledged, before its pause or after, and whatever its readers saw, has to be there.
    old.abandon(&mut history);
    old_local.abandon(&mut History::default());
    follower.finish(&mut history).unwrap();
    new.finish(&mut history).unwrap();
    read_everything(&second.bootstrap(), &topics, &mut history).unwrap();
    assert!(history.acknowledgements() >= 2000);
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(&second).unwrap();
}
