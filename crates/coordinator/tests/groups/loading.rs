//! A start from the log: what was stored is there again, and whoever does not come back is noticed.

use crate::support::{World, name};
use bytes::Bytes;
use floe_coordinator::{GroupConfig, GroupError, GroupState, Reply, Request};
use floe_records::Record;
use std::time::Duration;

#[test]
fn a_stable_group_goes_on_in_its_generation() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    assert_eq!(world.commit_offset(&members[1], generation, 3), Ok(()));
    let before = world.call(Request::Describe { group: name("g") });
    world.restart();
    assert_eq!(world.call(Request::Describe { group: name("g") }), before);
    for member in &members {
        assert_eq!(world.heartbeat(member, generation), Ok(Reply::Heartbeat));
    }
    assert_eq!(world.commit_offset(&members[0], generation, 4), Ok(()));
    let again = world.rejoin(&members[0]);
    assert_eq!(world.outcome(again), None, "the leader was remembered: it begins a rebalance");
}

#[test]
fn a_checkpoint_says_all_that_the_log_before_it_said() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    for offset in 1..50 {
        assert_eq!(world.commit_offset(&members[1], generation, offset), Ok(()));
    }
    let before = (world.call(Request::Describe { group: name("g") }), world.offset());
    let records = world.records();
    world.checkpoint();
    world.commit();
    assert_eq!((records >= 50, world.records()), (true, 2), "a group and its offset are left");
    world.restart();
    assert_eq!((world.call(Request::Describe { group: name("g") }), world.offset()), before);
    assert_eq!(world.heartbeat(&members[0], generation), Ok(Reply::Heartbeat));
}

#[test]
fn a_checkpoint_in_the_middle_of_a_rebalance_keeps_the_generation_before_it() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let (_, newcomer) = world.join();
    let first = world.rejoin(&members[0]);
    assert_eq!((world.joined(first).generation, world.joined(newcomer).generation), (generation + 1, generation + 1));
    world.checkpoint();
    world.commit();
    world.restart();
    assert_eq!(world.heartbeat(&members[0], generation), Ok(Reply::Heartbeat));
    assert_eq!(world.state(), GroupState::Stable);
}

#[test]
fn deleted_groups_and_offsets_do_not_come_back_with_a_checkpoint() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 3), Ok(()));
    assert!(world.call(Request::Delete { group: name("g") }).is_ok());
    world.checkpoint();
    assert_eq!(world.commit_offset("", -1, 9), Ok(()));
    world.commit();
    world.restart();
    assert_eq!(world.offset(), Some(9));
    assert!(world.call(Request::Delete { group: name("g") }).is_ok());
    world.checkpoint();
    world.commit();
    world.restart();
    assert_eq!(world.offset(), None);
}

#[test]
fn members_that_do_not_come_back_after_a_start_are_out_after_their_session() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    world.restart();
    world.pass(5_000);
    assert_eq!(world.heartbeat(&members[0], generation), Ok(Reply::Heartbeat));
    world.pass(5_000);
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_generation_that_was_not_stored_is_forgotten_and_its_members_join_again() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let (newcomer, waiter) = world.join();
    let first = world.rejoin(&members[0]);
    assert_eq!((world.joined(first).generation, world.joined(waiter).generation), (generation + 1, generation + 1));
    world.restart();
    assert_eq!(world.heartbeat(&members[0], generation + 1), Err(GroupError::IllegalGeneration));
    assert_eq!(world.heartbeat(&newcomer, generation + 1), Err(GroupError::UnknownMemberId));
}

#[test]
fn an_empty_group_that_could_not_be_stored_empties_itself_again() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    world.refuses = Some(floe_coordinator::WriteFailed::NoRoom);
    assert_eq!(world.leave(&members[0], None), None);
    world.refuses = None;
    assert_eq!(world.state(), GroupState::Empty);
    world.restart();
    assert_eq!(world.state(), GroupState::Stable);
    world.pass(10_000);
    assert_eq!(world.state(), GroupState::Empty);
    let (_, waiter) = world.join();
    assert!(world.joined(waiter).generation > generation);
}

#[test]
fn a_group_that_a_lowered_limit_makes_too_large_is_rebalanced() {
    let mut world = World::new();
    let (members, generation) = world.stable(3);
    world.config = GroupConfig { max_size: 2, ..world.config.clone() };
    world.restart();
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
    let waiters: Vec<_> = members.iter().map(|member| world.rejoin(member)).collect();
    assert_eq!(world.outcome(waiters[2]), Some(Err(GroupError::GroupMaxSizeReached)));
    assert_eq!((world.joined(waiters[0]).members.len(), world.joined(waiters[1]).generation), (2, generation + 1));
}

#[test]
fn records_of_other_kinds_are_skipped_and_damaged_ones_are_told() {
    let mut world = World::with(GroupConfig { initial_rebalance_delay: Duration::ZERO, ..GroupConfig::default() });
    let record = |key: Option<&'static [u8]>, value: &'static [u8]| Record {
        key: key.map(Bytes::from_static),
        value: Some(Bytes::from_static(value)),
        ..Record::default()
    };
    assert_eq!(world.shard.replay(&record(Some(b"\0\x06\0\x01g"), b"whatever")), Ok(()));
    for damaged in [record(None, b"x"), record(Some(b"\0\x02\0\x01g"), b"\0"), record(Some(b"\0\x01\0\x05g"), b"\0")] {
        assert!(world.shard.replay(&damaged).is_err());
    }
    assert_eq!(world.state(), GroupState::Dead);
}
