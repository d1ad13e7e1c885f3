//! From join to assignment, and what a rebalance does to everybody.

use crate::support::{World, name};
use bytes::Bytes;
use floe_coordinator::{GroupConfig, GroupError, GroupState, Join, Reply, Request, WriteFailed};
use std::time::Duration;

#[test]
fn a_member_without_an_id_gets_one_and_is_waited_for_under_it() {
    let mut world = World::new();
    let (id, waiter) = world.join();
    assert!(id.starts_with("c-") && id.len() == 2 + 36, "{id}");
    let joined = world.joined(waiter);
    assert_eq!((joined.generation, joined.leader.clone(), joined.members.len()), (1, id.clone(), 1));
    assert_eq!((joined.protocol_type, joined.protocol), (Some(name("consumer")), Some(name("range"))));
    assert_eq!(world.state(), GroupState::CompletingRebalance);
}

#[test]
fn an_id_that_does_not_come_back_is_given_up_and_nothing_is_left_of_it() {
    let mut world = World::new();
    let first = world.join_of("");
    assert!(matches!(world.call(Request::Join(first)), Ok(Reply::MemberIdRequired(_))));
    assert_eq!(world.state(), GroupState::Empty);
    world.pass(10_000);
    assert_eq!(world.state(), GroupState::Dead);
    assert_eq!(world.log.len(), 0);
}

#[test]
fn old_clients_join_at_once() {
    let mut world = World::new();
    let join = Join { member_id_required: false, ..world.join_of("") };
    let waiter = world.ask(Request::Join(join));
    assert_eq!(world.joined(waiter).generation, 1);
}

#[test]
fn the_first_members_are_waited_for_and_latecomers_extend_the_wait_up_to_the_rebalance_timeout() {
    let delay = Duration::from_secs(3);
    let mut world = World::with(GroupConfig { initial_rebalance_delay: delay, ..GroupConfig::default() });
    let (_, first) = world.join();
    world.pass(2_000);
    let (_, second) = world.join();
    world.pass(2_000);
    assert_eq!(world.outcome(first), None, "the second one began the delay anew");
    world.pass(2_000);
    assert_eq!((world.joined(first).generation, world.joined(second).generation), (1, 1));
    // Somebody new all the time: the end comes all the same.
    let mut world = World::with(GroupConfig { initial_rebalance_delay: delay, ..GroupConfig::default() });
    let (_, first) = world.join();
    for _ in 0..30 {
        world.pass(2_000);
        world.join();
    }
    assert_eq!(world.joined(first).generation, 1);
}

#[test]
fn t46_assignments_are_the_leaders_own_bytes_whatever_the_protocol() {
    let mut world = World::new();
    let protocols = vec![(name("sr"), Bytes::from_static(b"\xff\xfe opaque"))];
    let join = Join { protocol_type: name("connect"), protocols, member_id_required: false, ..world.join_of("") };
    let waiter = world.ask(Request::Join(join));
    let joined = world.joined(waiter);
    assert_eq!(&joined.members[0].metadata[..], b"\xff\xfe opaque");
    let bytes = Bytes::from_static(b"\x00\xff not a consumer's assignment");
    let sync = floe_coordinator::Sync { assignments: vec![(joined.member.clone(), bytes.clone())], ..world.sync_of(&joined, &[]) };
    let waiter = world.ask(Request::Sync(sync));
    let synced = world.synced(waiter);
    assert_eq!((synced.assignment, synced.protocol_type), (bytes, Some(name("connect"))));
}

#[test]
fn only_the_leader_sees_the_members_and_everybody_gets_its_own_part() {
    let mut world = World::new();
    let (members, generation) = world.stable(3);
    assert_eq!(generation, 3);
    for member in &members {
        assert_eq!(world.heartbeat(member, generation), Ok(Reply::Heartbeat));
    }
    let joined = world.rejoin(&members[1]);
    let joined = world.joined(joined);
    assert_eq!((joined.generation, joined.members.len(), joined.leader), (generation, 0, members[0].clone()), "nothing changed");
}

#[test]
fn a_leader_that_joins_again_begins_a_rebalance() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let leader = world.rejoin(&members[0]);
    assert_eq!(world.heartbeat(&members[1], generation), Err(GroupError::RebalanceInProgress));
    let other = world.rejoin(&members[1]);
    assert_eq!((world.joined(leader).generation, world.joined(other).generation), (generation + 1, generation + 1));
}

#[test]
fn a_follower_with_other_metadata_begins_a_rebalance() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let join = Join { protocols: vec![(name("range"), Bytes::from_static(b"other"))], ..world.join_of(&members[1]) };
    let changed = world.ask(Request::Join(join));
    assert_eq!(world.outcome(changed), None);
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
}

#[test]
fn who_does_not_join_again_within_the_rebalance_timeout_is_out() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    let leader = world.rejoin(&members[0]);
    for _ in 0..7 {
        // It is alive, and busy with its records.
        assert_eq!(world.heartbeat(&members[1], generation), Err(GroupError::RebalanceInProgress));
        world.pass(8_000);
    }
    world.pass(4_000);
    let joined = world.joined(leader);
    assert_eq!((joined.generation, joined.members.len()), (generation + 1, 1));
    assert_eq!(world.heartbeat(&members[1], generation), Err(GroupError::UnknownMemberId));
}

#[test]
fn who_does_not_ask_for_its_assignment_in_time_is_out() {
    let mut world = World::new();
    let (first, one) = world.join();
    let joined = world.joined(one);
    let sync = world.sync_of(&joined, &[(&first, "all")]);
    let (second, two) = world.join();
    let one = world.rejoin(&first);
    let (one, _two) = (world.joined(one), world.joined(two));
    let leader = world.ask(Request::Sync(floe_coordinator::Sync { generation: one.generation, ..sync }));
    world.synced(leader);
    for _ in 0..7 {
        world.heartbeat(&first, one.generation).ok();
        world.heartbeat(&second, one.generation).ok();
        world.pass(8_000);
    }
    world.heartbeat(&first, one.generation).ok();
    world.pass(5_000);
    assert_eq!(world.heartbeat(&first, one.generation), Err(GroupError::RebalanceInProgress));
    assert_eq!(world.heartbeat(&second, one.generation), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_silent_member_is_out_after_its_session_and_the_others_join_again() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    world.pass(6_000);
    assert_eq!(world.heartbeat(&members[0], generation), Ok(Reply::Heartbeat));
    world.pass(4_000);
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
    let waiter = world.rejoin(&members[0]);
    assert_eq!(world.joined(waiter).members.len(), 1);
}

#[test]
fn a_waiting_member_is_not_silent_but_a_new_one_is_not_waited_for_for_ever() {
    let mut world = World::new();
    let join = Join { rebalance_timeout_ms: 900_000, member_id_required: false, ..world.join_of("") };
    let first = world.ask(Request::Join(join.clone()));
    let one = world.joined(first);
    let sync = world.sync_of(&one, &[]);
    world.call(Request::Sync(sync)).unwrap();
    // A new member waits for the first, which is alive and does not join again.
    let new = world.ask(Request::Join(Join { fresh: 77, ..join }));
    for _ in 0..37 {
        world.pass(8_000);
        assert_eq!(world.heartbeat(&one.member, one.generation), Err(GroupError::RebalanceInProgress));
        assert_eq!(world.outcome(new), None);
    }
    world.pass(4_000);
    assert_eq!(world.outcome(new), Some(Err(GroupError::UnknownMemberId)), "five minutes are over");
}

#[test]
fn sync_before_the_leader_waits_and_sync_of_another_generation_is_refused() {
    let mut world = World::new();
    let (first, one) = world.join();
    world.joined(one);
    let (_, two) = world.join();
    let one = world.rejoin(&first);
    let (one, two) = (world.joined(one), world.joined(two));
    let stale = floe_coordinator::Sync { generation: one.generation - 1, ..world.sync_of(&one, &[]) };
    assert_eq!(world.call(Request::Sync(stale)), Err(GroupError::IllegalGeneration));
    let other = floe_coordinator::Sync { protocol: Some(name("roundrobin")), ..world.sync_of(&one, &[]) };
    assert_eq!(world.call(Request::Sync(other)), Err(GroupError::InconsistentGroupProtocol));
    let follower = world.sync_of(&two, &[]);
    let follower = world.ask(Request::Sync(follower));
    assert_eq!(world.outcome(follower), None);
    let leader = world.sync_of(&one, &[(&one.member, "a"), (&name("a stranger"), "b")]);
    let leader = world.ask(Request::Sync(leader));
    assert_eq!(&world.synced(leader).assignment[..], b"a");
    assert!(world.synced(follower).assignment.is_empty(), "the leader left it out");
}

#[test]
fn a_join_while_assignments_are_awaited_sends_everybody_back() {
    let mut world = World::new();
    let (first, one) = world.join();
    world.joined(one);
    let (second, two) = world.join();
    let one = world.rejoin(&first);
    let (_one, two) = (world.joined(one), world.joined(two));
    let follower = world.sync_of(&two, &[]);
    let follower = world.ask(Request::Sync(follower));
    let (_, third) = world.join();
    assert_eq!(world.outcome(follower), Some(Err(GroupError::RebalanceInProgress)));
    let (one, two) = (world.rejoin(&first), world.rejoin(&second));
    let generations = [one, two, third].map(|waiter| world.joined(waiter).generation);
    assert_eq!(generations, [3, 3, 3]);
}

#[test]
fn members_without_a_protocol_in_common_are_refused() {
    let mut world = World::new();
    world.stable(1);
    let wrong_kind = Join { protocol_type: name("connect"), ..world.join_of("") };
    assert_eq!(world.call(Request::Join(wrong_kind)), Err(GroupError::InconsistentGroupProtocol));
    let wrong_name = Join { protocols: vec![(name("sticky"), Bytes::new())], ..world.join_of("") };
    assert_eq!(world.call(Request::Join(wrong_name)), Err(GroupError::InconsistentGroupProtocol));
    let none = Join { group: name("other"), protocols: vec![], ..world.join_of("") };
    assert_eq!(world.call(Request::Join(none)), Err(GroupError::InconsistentGroupProtocol));
}

#[test]
fn the_protocol_is_one_that_all_support_and_most_prefer() {
    let mut world = World::new();
    let protocols = |names: &[&str]| names.iter().map(|n| (name(n), Bytes::from(format!("for {n}")))).collect::<Vec<_>>();
    let mut joins = Vec::new();
    for names in [&["sticky", "range"][..], &["range", "sticky"], &["range", "roundrobin", "sticky"]] {
        let join = Join { protocols: protocols(names), member_id_required: false, ..world.join_of("") };
        let waiter = world.ask(Request::Join(join));
        joins.push((names, waiter, None));
        // Those that are there join again.
        for at in 0..joins.len() {
            if let Some(Ok(Reply::Joined(joined))) = world.outcome(joins[at].1) {
                joins[at].2 = Some(joined.member);
            }
            if at + 1 < joins.len() {
                let member = joins[at].2.clone().expect("it has joined before");
                let join = Join { protocols: protocols(joins[at].0), ..world.join_of(&member) };
                joins[at].1 = world.ask(Request::Join(join));
            }
        }
        let at = joins.len() - 1;
        if joins[at].2.is_none() {
            let joined = world.joined(joins[at].1);
            joins[at].2 = Some(joined.member);
        }
    }
    let leader = world.joined(joins[0].1);
    assert_eq!(leader.protocol, Some(name("range")));
    assert!(leader.members.iter().all(|member| &member.metadata[..] == b"for range"), "{leader:?}");
}

#[test]
fn limits_of_sessions_sizes_and_names_are_kept() {
    let mut world = World::with(GroupConfig { max_size: 2, initial_rebalance_delay: Duration::ZERO, ..GroupConfig::default() });
    for timeout in [5_999, 1_800_001, -1] {
        let join = Join { session_timeout_ms: timeout, ..world.join_of("") };
        assert_eq!(world.call(Request::Join(join)), Err(GroupError::InvalidSessionTimeout));
    }
    let join = Join { group: name(""), ..world.join_of("") };
    assert_eq!(world.call(Request::Join(join)), Err(GroupError::InvalidGroupId));
    let join = Join { group: name(&"g".repeat(40_000)), ..world.join_of("") };
    assert_eq!(world.call(Request::Join(join)), Err(GroupError::InvalidGroupId));
    let join = Join { protocols: vec![(name("range"), vec![0; (1 << 20) + 1].into())], ..world.join_of("") };
    assert_eq!(world.call(Request::Join(join)), Err(GroupError::InvalidRequest));
    let stranger = world.rejoin(&name("nobody"));
    assert_eq!(world.outcome(stranger), Some(Err(GroupError::UnknownMemberId)));
    world.stable(2);
    let third = world.join_of("");
    assert_eq!(world.call(Request::Join(third)), Err(GroupError::GroupMaxSizeReached));
    assert_eq!(world.state(), GroupState::Stable);
}

#[test]
fn members_leave_and_the_last_one_empties_the_group() {
    let mut world = World::new();
    let (members, generation) = world.stable(2);
    assert_eq!(world.leave("nobody", None), Some(GroupError::UnknownMemberId));
    assert_eq!(world.leave(&members[1], None), None);
    assert_eq!(world.heartbeat(&members[0], generation), Err(GroupError::RebalanceInProgress));
    let joined = world.rejoin(&members[0]);
    let joined = world.joined(joined);
    assert_eq!(joined.generation, generation + 1);
    assert_eq!(world.leave(&members[0], None), None);
    assert_eq!(world.state(), GroupState::Empty);
    let (_, waiter) = world.join();
    assert_eq!(world.joined(waiter).generation, generation + 3, "an empty generation counts");
}

#[test]
fn leaving_is_answered_once_the_empty_group_is_stored() {
    let mut world = World::new();
    let (members, _) = world.stable(1);
    world.commits = false;
    let members = vec![floe_coordinator::LeavingMember { member: members[0].clone(), instance: None }];
    let waiter = world.ask(Request::Leave(floe_coordinator::Leave { group: name("g"), members }));
    assert_eq!(world.outcome(waiter), None);
    world.commit();
    assert!(matches!(world.outcome(waiter), Some(Ok(Reply::Left(_)))));
}

#[test]
fn assignments_are_given_once_they_are_stored() {
    let mut world = World::new();
    let (first, one) = world.join();
    let joined = world.joined(one);
    world.commits = false;
    let sync = world.sync_of(&joined, &[(&first, "all")]);
    let waiter = world.ask(Request::Sync(sync.clone()));
    assert_eq!(world.outcome(waiter), None);
    // It asks again on another connection: the same holds.
    let again = world.ask(Request::Sync(sync));
    assert_eq!(world.outcome(again), None);
    world.commit();
    assert_eq!(&world.synced(waiter).assignment[..], b"all");
    assert_eq!(&world.synced(again).assignment[..], b"all");
}

#[test]
fn assignments_that_cannot_be_stored_are_not_given_and_everybody_joins_again() {
    for (refusal, told) in [
        (WriteFailed::NoRoom, GroupError::CoordinatorNotAvailable),
        (WriteFailed::NotOwner, GroupError::NotCoordinator),
        (WriteFailed::TooLarge, GroupError::UnknownServerError),
    ] {
        let mut world = World::new();
        let (first, one) = world.join();
        let joined = world.joined(one);
        world.refuses = Some(refusal);
        let sync = world.sync_of(&joined, &[(&first, "all")]);
        assert_eq!(world.call(Request::Sync(sync.clone())), Err(told));
        assert_eq!(world.state(), GroupState::PreparingRebalance);
        assert_eq!(world.call(Request::Sync(sync)), Err(GroupError::RebalanceInProgress));
        world.refuses = None;
        let again = world.rejoin(&first);
        assert_eq!(world.joined(again).generation, 2);
    }
}
