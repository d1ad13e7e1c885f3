//! OffsetCommit, OffsetFetch, OffsetDelete: who may, and what is stored (T43).

use crate::expiry::tombstone;
use crate::group::{CONSUMER, Group, StoredOffset};
use crate::rebalance::hear_of;
use crate::records::{GroupRecord, MAX_TEXT};
use crate::shard::{Groups, Step, Then, Waiter};
use crate::{Commit, CommitPartition, CommittedOffset, Fetch, GroupError, GroupState, Name, Reply, TopicPartitions};

pub(crate) fn commit(groups: &mut Groups, step: &mut Step<'_>, waiter: Waiter, request: Commit) {
    if let Err(error) = check_commit(groups, step, &request) {
        return step.refuse(waiter, error);
    }
    let expires_ms = request.retention_ms.map(|ms| step.now.wall_ms.saturating_add(ms));
    let max_metadata = step.config.max_offset_metadata;
    let (mut records, mut told) = (Vec::new(), Vec::with_capacity(request.topics.len()));
    for (topic, partitions) in request.topics {
        let mut outcomes = Vec::with_capacity(partitions.len());
        for CommitPartition { index, offset, leader_epoch, metadata } in partitions {
            if metadata.len() > MAX_TEXT || metadata.encode_utf16().count() > max_metadata {
                outcomes.push((index, Some(GroupError::OffsetMetadataTooLarge)));
                continue;
            }
            let committed_ms = step.now.wall_ms;
            let committed = Some(CommittedOffset { offset, leader_epoch, metadata, committed_ms, expires_ms });
            records.push(GroupRecord::Offset { group: request.group.clone(), topic: topic.clone(), partition: index, committed });
            outcomes.push((index, None));
        }
        told.push((topic, outcomes));
    }
    let reply = Reply::Committed(told);
    if records.is_empty() {
        step.answer(waiter, Ok(reply));
    } else {
        step.write(records, Then::Apply { told: Some((waiter, reply)) });
    }
}

/// Whether who commits may: a member of this generation that is still in time, or anybody where there are no members.
fn check_commit(groups: &mut Groups, step: &mut Step<'_>, request: &Commit) -> Result<(), GroupError> {
    if request.group.len() > MAX_TEXT {
        return Err(GroupError::InvalidGroupId);
    }
    let Some(group) = groups.get_mut(&request.group) else {
        return match request.generation {
            ..0 => Ok(()),
            _ if request.tells_missing_group => Err(GroupError::GroupIdNotFound),
            _ => Err(GroupError::IllegalGeneration),
        };
    };
    if request.generation < 0 && group.state == GroupState::Empty {
        return Ok(());
    }
    if request.generation < 0 && request.member.is_empty() && request.instance.is_none() {
        return Err(GroupError::UnknownMemberId);
    }
    group.check_member(&request.member, request.instance.as_ref())?;
    if request.generation != group.generation {
        return Err(GroupError::IllegalGeneration);
    }
    if group.state == GroupState::CompletingRebalance {
        // Its partitions may go to another: it is told to join again, and commits then.
        return Err(GroupError::RebalanceInProgress);
    }
    if let Some(member) = group.members.get_mut(&request.member) {
        let session = member.session();
        hear_of(&group.id, member, step, session);
    }
    Ok(())
}

/// Takes over what was appended, or what the log holds.
pub(crate) fn apply(groups: &mut Groups, record: GroupRecord, until: i64) {
    match record {
        GroupRecord::Offset { group, topic, partition, committed: Some(committed) } => {
            let group = groups.entry(group).or_insert_with_key(|id| Group::new(id.clone()));
            group.is_stored = true;
            group.offsets.entry(topic).or_default().insert(partition, StoredOffset { committed, until });
        }
        GroupRecord::Offset { group, topic, partition, committed: None } => {
            if let Some(group) = groups.get_mut(&group)
                && let Some(partitions) = group.offsets.get_mut(&topic)
            {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    group.offsets.remove(&topic);
                }
            }
        }
        GroupRecord::Group { group: id, stored: None } => {
            // Offsets are deleted one by one; those that were not stay, without members.
            let offsets = groups.remove(&id).map(|group| group.offsets).unwrap_or_default();
            if !offsets.is_empty() {
                groups.insert(id.clone(), Group::with_offsets(id, offsets));
            }
        }
        GroupRecord::Group { group, stored: Some(stored) } => crate::replay::restore(groups, &group, stored, until),
    }
}

pub(crate) fn fetch(groups: &Groups, step: &mut Step<'_>, waiter: Waiter, request: Fetch) {
    let group = groups.get(&request.group);
    let mut until = 0;
    let mut show = |stored: &StoredOffset| {
        until = until.max(stored.until);
        stored.committed.clone()
    };
    let fetched = match request.topics {
        None => {
            let topics = group.map(|group| &group.offsets).into_iter().flatten();
            topics
                .map(|(topic, partitions)| (topic.clone(), partitions.iter().map(|(p, stored)| (*p, Some(show(stored)))).collect()))
                .collect()
        }
        Some(topics) => topics
            .into_iter()
            .map(|TopicPartitions { topic, partitions }| {
                let known = group.and_then(|group| group.offsets.get(&topic));
                let one = |index: i32| (index, known.and_then(|known| known.get(&index)).map(&mut show));
                let partitions = partitions.into_iter().map(one).collect();
                (topic, partitions)
            })
            .collect(),
    };
    step.answer_at(waiter, Ok(Reply::Fetched(fetched)), until);
}

pub(crate) fn delete(groups: &Groups, step: &mut Step<'_>, waiter: Waiter, id: &Name, topics: Vec<TopicPartitions>) {
    let Some(group) = groups.get(id) else { return step.refuse(waiter, GroupError::GroupIdNotFound) };
    let has_members = group.state != GroupState::Empty;
    if has_members && group.protocol_type.as_deref() != Some(CONSUMER) {
        return step.refuse(waiter, GroupError::NonEmptyGroup);
    }
    let (mut records, mut told) = (Vec::new(), Vec::with_capacity(topics.len()));
    for TopicPartitions { topic, partitions } in topics {
        let subscribed = has_members && group.is_subscribed_to(&topic);
        let known = group.offsets.get(&topic);
        let mut outcomes = Vec::with_capacity(partitions.len());
        for index in partitions {
            outcomes.push((index, subscribed.then_some(GroupError::GroupSubscribedToTopic)));
            if !subscribed && known.is_some_and(|known| known.contains_key(&index)) {
                records.push(tombstone(id, &topic, index));
            }
        }
        told.push((topic, outcomes));
    }
    let reply = Reply::DeletedOffsets(told);
    if records.is_empty() {
        step.answer(waiter, Ok(reply));
    } else {
        step.write(records, Then::Apply { told: Some((waiter, reply)) });
    }
}
