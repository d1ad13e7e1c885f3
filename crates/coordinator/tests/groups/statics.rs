//! Static members (KIP-345): restarts without a rebalance, fencing, a leader that need not assign again (KIP-814).

use crate::support::{World, commit_of, name};
use floe_coordinator::{Commit, GroupError, GroupState, Heartbeat, Join, Joined, Reply, Request, Sync, WriteFailed};

/// A stable group of static members `a` (the leader) and `b`.
fn pair(world: &mut World) -> (Joined, Joined) {
    let join = world.static_join("a", "");
    let first = world.ask(Request::Join(join));
    let first = world.joined(first);
    let join = world.static_join("b", "");
    let second = world.ask(Request::Join(join));
    let join = world.static_join("a", &first.member);
    let again = world.ask(Request::Join(join));
    let (first, second) = (world.joined(again), world.joined(second));
    let sync = world.sync_of(&first, &[(&first.member, "one"), (&second.member, "two")]);
    world.call(Request::Sync(sync)).unwrap();
    let sync = world.sync_of(&second, &[]);
    assert_eq!(world.call(Request::Sync(sync)).map(|_| ()), Ok(()));
    (first, second)
}

#[test]
fn a_static_member_joins_at_once_and_comes_back_without_a_rebalance() {
    let mut world = World::new();
    let (first, second) = pair(&mut world);
    assert!(second.member.starts_with("b-"), "{}", second.member);
    let join = world.static_join("b", "");
    let waiter = world.ask(Request::Join(join));
    let back = world.joined(waiter);
    assert_ne!(back.member, second.member);
    assert_eq!((back.generation, back.leader.clone(), back.skip_assignment), (first.generation, first.member.clone(), false));
    assert_eq!(world.state(), GroupState::Stable);
    let sync = Sync { instance: Some(name("b")), ..world.sync_of(&back, &[]) };
    let waiter = world.ask(Request::Sync(sync));
    assert_eq!(&world.synced(waiter).assignment[..], b"two", "what it had before");
    assert_eq!(world.heartbeat(&first.member, first.generation), Ok(Reply::Heartbeat));
}

#[test]
fn the_member_before_is_fenced() {
    let mut world = World::new();
    let (_, second) = pair(&mut world);
    let join = world.static_join("b", "");
    let back = world.ask(Request::Join(join));
    world.joined(back);
    let instance = Some(name("b"));
    let fenced = Err(GroupError::FencedInstanceId);
    let heartbeat =
        Heartbeat { group: name("g"), generation: second.generation, member: second.member.clone(), instance: instance.clone() };
    assert_eq!(world.call(Request::Heartbeat(heartbeat)), fenced);
    let sync = Sync { instance: instance.clone(), ..world.sync_of(&second, &[]) };
    assert_eq!(world.call(Request::Sync(sync)), fenced);
    let commit = Commit { instance: instance.clone(), ..commit_of(&second.member, second.generation, 1) };
    assert_eq!(world.call(Request::Commit(commit)), fenced);
    let join = world.static_join("b", &second.member);
    assert_eq!(world.call(Request::Join(join)), fenced);
    assert_eq!(world.leave(&second.member, Some("b")), Some(GroupError::FencedInstanceId));
    let join = world.static_join("c", &second.member);
    assert_eq!(world.call(Request::Join(join)), Err(GroupError::UnknownMemberId), "an instance that is not there");
}

#[test]
fn a_leader_that_comes_back_sees_the_members_and_is_told_not_to_assign() {
    let mut world = World::new();
    let (first, _) = pair(&mut world);
    let join = world.static_join("a", "");
    let waiter = world.ask(Request::Join(join));
    let back = world.joined(waiter);
    assert_eq!((back.leader.clone(), back.skip_assignment, back.members.len()), (back.member.clone(), true, 2));
    // An older client must not take itself for the leader, or it would assign for nothing.
    let join = Join { can_skip_assignment: false, ..world.static_join("a", "") };
    let waiter = world.ask(Request::Join(join));
    let old = world.joined(waiter);
    assert_eq!((old.leader.clone(), old.skip_assignment, old.members.len()), (back.member.clone(), false, 0));
    assert_ne!((old.member.clone(), old.generation), (old.leader, first.generation + 1));
}

#[test]
fn a_new_id_counts_once_it_is_stored_and_the_old_one_comes_back_if_it_cannot_be() {
    let mut world = World::new();
    let (first, second) = pair(&mut world);
    world.refuses = Some(WriteFailed::NoRoom);
    let join = world.static_join("a", "");
    assert_eq!(world.call(Request::Join(join)), Err(GroupError::CoordinatorNotAvailable));
    world.refuses = None;
    for (member, generation) in [(&first.member, first.generation), (&second.member, second.generation)] {
        assert_eq!(world.heartbeat(member, generation), Ok(Reply::Heartbeat));
    }
    world.commits = false;
    let join = world.static_join("a", "");
    let waiter = world.ask(Request::Join(join));
    assert_eq!(world.outcome(waiter), None);
    world.commit();
    assert_eq!(world.joined(waiter).generation, first.generation);
}

#[test]
fn a_change_of_protocol_or_a_group_without_assignments_rebalances_even_so() {
    let mut world = World::new();
    let (first, _) = pair(&mut world);
    let protocols = vec![(name("sticky"), "x".into()), (name("range"), "y".into())];
    let join = Join { protocols, ..world.static_join("b", "") };
    let waiter = world.ask(Request::Join(join));
    assert!(world.outcome(waiter).is_some(), "range is still what all support");
    // While the leader is asked for assignments, a restart begins a rebalance: it has been told of the old id.
    let leader = world.static_join("a", &first.member);
    world.ask(Request::Join(leader));
    let join = world.static_join("b", "");
    let one = world.ask(Request::Join(join));
    let joined = world.joined(one);
    assert_eq!(joined.generation, first.generation + 1);
    let join = world.static_join("b", "");
    let two = world.ask(Request::Join(join));
    assert_eq!((world.outcome(two), world.state()), (None, GroupState::PreparingRebalance));
}

#[test]
fn who_waited_under_the_old_id_is_told() {
    let mut world = World::new();
    let (first, _) = pair(&mut world);
    let join = world.static_join("a", &first.member);
    let before = world.ask(Request::Join(join));
    let join = world.static_join("a", "");
    let after = world.ask(Request::Join(join));
    assert_eq!(world.outcome(before), Some(Err(GroupError::FencedInstanceId)));
    assert_eq!(world.outcome(after), None);
}

#[test]
fn a_static_member_that_is_down_stays_for_its_session_and_others_go_on() {
    let mut world = World::new();
    let (first, second) = pair(&mut world);
    // The leader wants a rebalance; the other is down, and its place is kept.
    let join = world.static_join("a", &first.member);
    let leader = world.ask(Request::Join(join));
    world.pass(9_999);
    assert_eq!(world.outcome(leader), None);
    world.pass(1);
    let joined = world.joined(leader);
    assert_eq!((joined.generation, joined.members.len()), (first.generation + 1, 1), "its session is over");
    assert_eq!(world.heartbeat(&second.member, second.generation), Err(GroupError::UnknownMemberId));
}

#[test]
fn administrators_remove_static_members_by_instance() {
    let mut world = World::new();
    let (first, _) = pair(&mut world);
    assert_eq!(world.leave("", Some("c")), Some(GroupError::UnknownMemberId));
    assert_eq!(world.leave("", Some("b")), None);
    assert_eq!(world.heartbeat(&first.member, first.generation), Err(GroupError::RebalanceInProgress));
    assert_eq!(world.leave("", None), Some(GroupError::UnknownMemberId));
}
