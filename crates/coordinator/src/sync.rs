//! SyncGroup: the leader says who gets what, everybody gets its own. The bytes are the members' (T46).

use crate::group::Group;
use crate::rebalance::{self, hear_of};
use crate::shard::{Groups, Step, Then, Waiter};
use crate::{GroupError, GroupState, Name, Reply, Sync, Synced, WriteFailed};
use bytes::Bytes;
use std::collections::BTreeMap;

pub(crate) fn sync(groups: &mut Groups, step: &mut Step<'_>, waiter: Waiter, request: Sync) {
    if request.group.is_empty() {
        return step.refuse(waiter, GroupError::InvalidGroupId);
    }
    let Some(group) = groups.get_mut(&request.group) else { return step.refuse(waiter, GroupError::UnknownMemberId) };
    if let Err(error) = check(group, &request) {
        return step.refuse(waiter, error);
    }
    match group.state {
        GroupState::Empty | GroupState::Dead => step.refuse(waiter, GroupError::UnknownMemberId),
        GroupState::PreparingRebalance => step.refuse(waiter, GroupError::RebalanceInProgress),
        GroupState::CompletingRebalance => {
            has_synced(group, step, &request.member);
            if let Some(member) = group.members.get_mut(&request.member)
                && let Some(before) = member.awaiting_sync.replace(waiter)
            {
                step.refuse(before, GroupError::RebalanceInProgress);
            }
            if group.is_leader(&request.member) {
                assign(group, step, request.assignments);
            }
        }
        GroupState::Stable => {
            has_synced(group, step, &request.member);
            let assignment = group.members.get(&request.member).map(|member| member.assignment.clone()).unwrap_or_default();
            let synced = synced(group, assignment);
            step.answer_at(waiter, Ok(synced), group.stored_until);
        }
    }
}

fn check(group: &Group, request: &Sync) -> Result<(), GroupError> {
    group.check_member(&request.member, request.instance.as_ref())?;
    if request.generation != group.generation {
        return Err(GroupError::IllegalGeneration);
    }
    let differs = |given: &Option<Name>, own: &Option<Name>| given.is_some() && own.is_some() && given != own;
    if differs(&request.protocol_type, &group.protocol_type) || differs(&request.protocol, &group.protocol) {
        return Err(GroupError::InconsistentGroupProtocol);
    }
    Ok(())
}

fn has_synced(group: &mut Group, step: &mut Step<'_>, member: &Name) {
    group.pending_sync.remove(member);
    if group.pending_sync.is_empty() {
        rebalance::end_sync_wait(group, step);
    }
}

/// Stores what the leader says. Members that it leaves out get nothing; of others than members nothing is kept.
fn assign(group: &mut Group, step: &mut Step<'_>, given: Vec<(Name, Bytes)>) {
    let assignments: BTreeMap<Name, Bytes> = given
        .into_iter()
        .filter(|(member, _)| group.members.contains_key(member))
        .map(|(member, assignment)| (member, Bytes::copy_from_slice(&assignment)))
        .collect();
    let record = group.to_record(|member| assignments.get(&member.id).cloned().unwrap_or_default());
    let (id, generation) = (group.id.clone(), group.generation);
    step.write(vec![record], Then::Assign { group: id, generation, assignments });
}

/// The assignments are stored, or not: then everybody joins again.
pub(crate) fn assigned(group: &mut Group, step: &mut Step<'_>, mut assignments: BTreeMap<Name, Bytes>, result: Result<i64, WriteFailed>) {
    if group.state != GroupState::CompletingRebalance {
        return;
    }
    let end = match result {
        Ok(end) => end,
        Err(error) => {
            rebalance::fail_syncs(group, step, error.of_group());
            return rebalance::prepare(group, step);
        }
    };
    group.is_stored = true;
    group.stored_until = end;
    group.enter(GroupState::Stable, step.now);
    let (protocol_type, protocol, id) = (group.protocol_type.clone(), group.protocol.clone(), group.id.clone());
    for member in group.members.values_mut() {
        member.assignment = assignments.remove(&member.id).unwrap_or_default();
        if let Some(waiter) = member.awaiting_sync.take() {
            let synced = Synced { protocol_type: protocol_type.clone(), protocol: protocol.clone(), assignment: member.assignment.clone() };
            step.answer_at(waiter, Ok(Reply::Synced(synced)), end);
            let session = member.session();
            hear_of(&id, member, step, session);
        }
    }
}

fn synced(group: &Group, assignment: Bytes) -> Reply {
    Reply::Synced(Synced { protocol_type: group.protocol_type.clone(), protocol: group.protocol.clone(), assignment })
}
