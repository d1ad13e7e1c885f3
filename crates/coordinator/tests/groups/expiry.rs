//! Offsets that nobody uses any more (KIP-211).

use crate::support::{World, commit_of, name, subscription};
use floe_coordinator::{Commit, GroupState, Join, Request};

const DAY: u64 = 24 * 3_600_000;

#[test]
fn simple_commits_expire_by_themselves_and_take_their_group_along() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    world.pass(7 * DAY - 1);
    world.clean();
    assert_eq!(world.offset(), Some(1));
    world.pass(1);
    world.clean();
    assert_eq!((world.offset(), world.state()), (None, GroupState::Dead));
    world.restart();
    assert_eq!(world.state(), GroupState::Dead);
}

#[test]
fn offsets_of_a_group_expire_once_it_has_been_empty_long_enough() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    assert_eq!(world.commit_offset(&members[0], generation, 1), Ok(()));
    for _ in 0..10 {
        // Ten days later it still is in the group.
        for _ in 0..(DAY / 9_000) {
            world.pass(9_000);
            world.heartbeat(&members[0], generation).unwrap();
        }
        world.clean();
    }
    assert_eq!(world.offset(), Some(1));
    world.leave(&members[0], None);
    world.pass(6 * DAY);
    world.restart();
    world.clean();
    assert_eq!(world.offset(), Some(1), "a restart does not begin the time anew, nor end it");
    world.pass(DAY);
    world.clean();
    assert_eq!((world.offset(), world.state()), (None, GroupState::Dead));
}

#[test]
fn a_stable_group_loses_offsets_of_topics_that_it_left_and_of_no_other() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    let protocols = vec![(name("range"), subscription(&["payments"]))];
    let join = Join { protocols, session_timeout_ms: 1_800_000, member_id_required: false, ..world.join_of("") };
    let waiter = world.ask(Request::Join(join));
    let joined = world.joined(waiter);
    let sync = world.sync_of(&joined, &[]);
    world.call(Request::Sync(sync)).unwrap();
    let mut commit = commit_of(&joined.member, joined.generation, 5);
    commit.topics[0].0 = name("payments");
    world.call(Request::Commit(commit)).unwrap();
    for _ in 0..(7 * DAY / 1_500_000 + 1) {
        world.pass(1_500_000);
        world.heartbeat(&joined.member, joined.generation).unwrap();
    }
    world.clean();
    assert_eq!((world.offset(), world.state()), (None, GroupState::Stable));
    let other = world.call(crate::support::fetch_of(Some(&[("payments", &[0])])));
    assert!(format!("{other:?}").contains("offset: 5"), "{other:?}");
}

#[test]
fn nothing_expires_where_the_coordinator_cannot_read_what_members_want() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    let join = Join { protocol_type: name("connect"), session_timeout_ms: 1_800_000, member_id_required: false, ..world.join_of("") };
    let waiter = world.ask(Request::Join(join));
    let joined = world.joined(waiter);
    let sync = world.sync_of(&joined, &[]);
    world.call(Request::Sync(sync)).unwrap();
    for _ in 0..(8 * DAY / 1_500_000) {
        world.pass(1_500_000);
        world.heartbeat(&joined.member, joined.generation).unwrap();
    }
    world.clean();
    assert_eq!(world.offset(), Some(1));
}

#[test]
fn old_clients_say_themselves_how_long_their_offsets_are_kept() {
    let mut world = World::new();
    let commit = Commit { retention_ms: Some(60_000), ..commit_of("", -1, 1) };
    world.call(Request::Commit(commit)).unwrap();
    world.restart();
    world.pass(59_999);
    world.clean();
    assert_eq!(world.offset(), Some(1));
    world.pass(1);
    world.clean();
    assert_eq!(world.offset(), None);
}
