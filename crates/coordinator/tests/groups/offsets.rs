//! Who may commit when, and what is read back.

use crate::support::{World, commit_of, fetch_of, name};
use floe_coordinator::{Commit, CommitPartition, GroupConfig, GroupError, GroupState, Reply, Request, TopicPartitions, WriteFailed};

#[test]
fn t43_an_unknown_group_has_no_offsets_and_that_is_no_error() {
    let mut world = World::new();
    assert_eq!(world.offset(), None);
    assert_eq!(world.call(fetch_of(None)), Ok(Reply::Fetched(vec![])));
    assert_eq!(world.state(), GroupState::Dead, "asking creates nothing");
}

#[test]
fn t43_metadata_and_epoch_come_back_as_they_were_committed() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 42), Ok(()));
    world.restart();
    let Ok(Reply::Fetched(topics)) = world.call(fetch_of(Some(&[("orders", &[0, 1]), ("other", &[0])]))) else { panic!("no answer") };
    let committed = topics[0].1[0].1.clone().expect("an offset");
    assert_eq!((committed.offset, committed.leader_epoch, &*committed.metadata), (42, 5, "note"));
    assert_eq!((topics[0].1[1].clone(), topics[1].clone()), ((1, None), (name("other"), vec![(0, None)])));
    let Ok(Reply::Fetched(all)) = world.call(fetch_of(None)) else { panic!("no answer") };
    assert_eq!(all, vec![(name("orders"), vec![(0, Some(committed))])]);
}

#[test]
fn t43_a_stale_generation_is_refused_and_so_is_a_commit_while_assignments_are_awaited() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let first = &members[0];
    assert_eq!(world.commit_offset(first, generation, 1), Ok(()));
    assert_eq!(world.commit_offset(first, generation - 1, 2), Err(GroupError::IllegalGeneration));
    assert_eq!(world.commit_offset(first, generation + 1, 2), Err(GroupError::IllegalGeneration));
    assert_eq!(world.commit_offset("nobody", generation, 2), Err(GroupError::UnknownMemberId));
    assert_eq!(world.commit_offset("", -1, 2), Err(GroupError::UnknownMemberId), "who is no member must not disturb members");
    let again = world.rejoin(first);
    let joined = world.joined(again);
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    assert_eq!(world.commit_offset(first, joined.generation, 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(world.offset(), Some(1));
}

#[test]
fn t43_a_member_that_is_still_in_time_commits_in_on_partitions_revoked() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    let (_, _newcomer) = world.join();
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    assert_eq!(world.commit_offset(&members[0], generation, 7), Ok(()));
    assert_eq!(world.offset(), Some(7));
}

#[test]
fn a_commit_keeps_its_member_alive() {
    let mut world = World::new();
    let (members, generation) = world.stable(1);
    for offset in 0..5 {
        world.pass(9_000);
        assert_eq!(world.commit_offset(&members[0], generation, offset), Ok(()));
    }
}

#[test]
fn a_group_that_is_not_there_takes_simple_commits_alone() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("m", 3, 1), Err(GroupError::GroupIdNotFound));
    let old = Commit { tells_missing_group: false, ..commit_of("m", 3, 1) };
    assert_eq!(world.call(Request::Commit(old)), Err(GroupError::IllegalGeneration));
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    assert_eq!(world.state(), GroupState::Empty);
    // The group may have members later, and none again: offsets stay.
    let (members, _) = world.stable(1);
    assert_eq!(world.offset(), Some(1));
    world.leave(&members[0], None);
    assert_eq!(world.commit_offset("", -1, 2), Ok(()));
    assert_eq!(world.offset(), Some(2));
}

#[test]
fn metadata_that_is_too_long_refuses_its_partition_alone() {
    let mut world = World::with(GroupConfig { max_offset_metadata: 4, ..GroupConfig::default() });
    let partition = |index, metadata: &str| CommitPartition { index, offset: 1, leader_epoch: -1, metadata: name(metadata) };
    let partitions = vec![partition(0, "1234"), partition(1, "12345"), partition(2, "äöüß")];
    let commit = Commit { topics: vec![(name("orders"), partitions)], ..commit_of("", -1, 0) };
    let Ok(Reply::Committed(told)) = world.call(Request::Commit(commit)) else { panic!("refused") };
    assert_eq!(told[0].1, vec![(0, None), (1, Some(GroupError::OffsetMetadataTooLarge)), (2, None)]);
    assert_eq!(world.end(), 2, "two records");
}

#[test]
fn a_commit_is_answered_and_seen_once_it_is_durable_and_never_if_it_was_refused() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    world.commits = false;
    let waiter = world.ask(Request::Commit(commit_of("", -1, 2)));
    assert_eq!(world.outcome(waiter), None);
    let seen = world.ask(fetch_of(None));
    assert_eq!(world.outcome(seen), None, "an offset that may be lost is not shown");
    let elsewhere = world.ask(fetch_of(Some(&[("other", &[0])])));
    assert!(world.outcome(elsewhere).is_some());
    world.commit();
    assert!(matches!(world.outcome(waiter), Some(Ok(Reply::Committed(_)))));
    assert!(world.outcome(seen).is_some());
    for (refusal, told) in [
        (WriteFailed::NoRoom, GroupError::CoordinatorNotAvailable),
        (WriteFailed::NotOwner, GroupError::NotCoordinator),
        (WriteFailed::TooLarge, GroupError::InvalidCommitOffsetSize),
    ] {
        world.refuses = Some(refusal);
        assert_eq!(world.commit_offset("", -1, 3), Err(told));
    }
    assert_eq!(world.offset(), Some(2));
}

#[test]
fn offsets_of_topics_that_are_consumed_are_not_deleted() {
    let mut world = World::new();
    let delete = |topic: &str| Request::DeleteOffsets {
        group: name("g"),
        topics: vec![TopicPartitions { topic: name(topic), partitions: vec![0, 1] }],
    };
    assert_eq!(world.call(delete("orders")), Err(GroupError::GroupIdNotFound));
    let (members, generation) = world.stable(1);
    assert_eq!(world.commit_offset(&members[0], generation, 1), Ok(()));
    let subscribed = Some(GroupError::GroupSubscribedToTopic);
    let told = |error| Ok(Reply::DeletedOffsets(vec![(name("orders"), vec![(0, error), (1, error)])]));
    assert_eq!(world.call(delete("orders")), told(subscribed));
    assert_eq!(world.offset(), Some(1));
    world.leave(&members[0], None);
    assert_eq!(world.call(delete("orders")), told(None));
    assert_eq!(world.offset(), None);
    world.restart();
    assert_eq!(world.offset(), None);
}

#[test]
fn groups_with_members_are_not_deleted_and_deleted_ones_stay_so() {
    let mut world = World::new();
    let delete = || Request::Delete { group: name("g") };
    assert_eq!(world.call(delete()), Err(GroupError::GroupIdNotFound));
    let (members, generation) = world.stable(1);
    assert_eq!(world.commit_offset(&members[0], generation, 1), Ok(()));
    assert_eq!(world.call(delete()), Err(GroupError::NonEmptyGroup));
    world.leave(&members[0], None);
    world.commits = false;
    let late = world.ask(Request::Commit(commit_of("", -1, 9)));
    let deleted = world.ask(delete());
    assert_eq!((world.outcome(late), world.outcome(deleted)), (None, None));
    world.commit();
    assert_eq!(world.outcome(deleted), Some(Ok(Reply::Deleted)));
    for _ in 0..2 {
        assert_eq!((world.state(), world.offset()), (GroupState::Dead, None), "with the commit that came just before");
        world.restart();
    }
}

#[test]
fn deleting_a_topic_takes_its_offsets_along() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    world.forget_topic("other");
    assert_eq!(world.offset(), Some(1));
    world.forget_topic("orders");
    assert_eq!(world.offset(), None);
    world.restart();
    assert_eq!(world.offset(), None);
}

#[test]
fn groups_are_listed_by_state() {
    let mut world = World::new();
    assert_eq!(world.commit_offset("", -1, 1), Ok(()));
    let list =
        |world: &mut World, states: &[&str]| match world.call(Request::List { states: states.iter().map(|s| s.to_string()).collect() }) {
            Ok(Reply::Listed(groups)) => groups.into_iter().map(|g| (g.group.to_string(), g.protocol_type.to_string(), g.state)).collect(),
            other => panic!("{other:?}"),
        };
    let all: Vec<_> = list(&mut world, &[]);
    assert_eq!(all, [("g".to_owned(), String::new(), GroupState::Empty)]);
    assert_eq!(list(&mut world, &["stable", "dead"]), vec![]);
    world.stable(1);
    assert_eq!(list(&mut world, &["STABLE"]), vec![("g".to_owned(), "consumer".to_owned(), GroupState::Stable)]);
}
