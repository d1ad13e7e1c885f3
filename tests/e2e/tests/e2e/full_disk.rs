//! The disk fills up under load, with the WAL and the store on it, and is given room again.

use crate::{alone, assert_clean};
use floe_e2e::broker::{Setup, verify};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::volume::Volume;
use std::time::Duration;

const ACK_LIMIT: Duration = Duration::from_secs(120);
/// Without an ack for so long, the disk is full.
const NO_MORE: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;

#[test]
fn a_full_disk_is_clean_back_pressure_and_everything_goes_on_when_there_is_room() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), "broker");
    let volume = match Volume::mount(&setup.data, 32 * MIB) {
        Ok(volume) => volume,
        Err(reason) => return println!("SKIP full disk: {reason}"),
    };
    let setup = setup.option("floe.wal.file.bytes=2MiB").option("floe.flush.bytes=1MiB").option("floe.tail.bytes=8MiB");
    let broker = setup.start().unwrap();
    let topics = [Topic::new("local", 4, "local")];
    create_topics(&setup.bootstrap(), &topics).unwrap();
    let load = Load::start(&setup.bootstrap(), &topics, 0..2).unwrap();
    let follower = Follower::start(&setup.bootstrap(), &topics).unwrap();
    assert!(load.wait(1000, ACK_LIMIT));
    let memory = broker.memory().unwrap();
    while load.wait(1, NO_MORE) {
        assert!(load.acknowledged() < 10_000_000, "32 MiB hold no such log");
    }
    let (full, room) = (load.acknowledged(), volume.free().unwrap());
    let grown = broker.memory().unwrap().saturating_sub(memory);
    assert!(room < 8 * MIB, "it stands still with {room} bytes of room");
    assert!(grown < 64 * MIB, "memory grew by {grown}");
    volume.resize(1024 * MIB).unwrap();
    assert!(load.wait(1000, ACK_LIMIT), "it goes on with room\n{}", broker.log());
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    read_everything(&setup.bootstrap(), &topics, &mut history).unwrap();
    println!("{full} acks until the disk was full ({room} bytes of room), memory grew by {grown}, {} in all", history.acknowledgements());
    assert_clean(&history);
    assert_eq!(broker.stop().unwrap(), 0);
    verify(&setup).unwrap();
}
