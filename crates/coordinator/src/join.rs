//! JoinGroup: who becomes a member, and what that sets off.

use crate::group::Group;
use crate::member::{Member, millis};
use crate::rebalance::{self, hear_of};
use crate::records::MAX_TEXT;
use crate::shard::{Groups, Step, Then, Waiter};
use crate::timers::Timer;
use crate::{GroupError, GroupState, Join, Name, Reply, WriteFailed};

/// Longest part of a member's id that the client chooses, in bytes.
const MAX_ID_PREFIX: usize = 255;

/// Most bytes of a member's metadata. All members of a group together have to fit into one record.
const MAX_METADATA: usize = 1 << 20;

/// Most ids of one group that were given and have not come back yet.
const MAX_PENDING: usize = 10_000;

/// A static member that goes on under a new id without a rebalance, once that is stored.
#[derive(Debug)]
pub(crate) struct Replaced {
    group: Name,
    /// As it was, to come back if the new id cannot be stored.
    before: Member,
    member: Name,
    /// The leader's id before, which clients that know no `skip_assignment` are told so that they do not assign.
    leader: Option<Name>,
    can_skip_assignment: bool,
}

pub(crate) fn join(groups: &mut Groups, step: &mut Step<'_>, waiter: Waiter, join: &Join) {
    match check(step, join) {
        Ok(()) => {}
        Err(error) => return step.refuse(waiter, error),
    }
    let is_new = join.member.is_empty();
    let group = match groups.get_mut(&join.group) {
        Some(group) => group,
        None if is_new => groups.entry(join.group.clone()).or_insert_with(|| Group::new(join.group.clone())),
        None => return step.refuse(waiter, GroupError::UnknownMemberId),
    };
    if !has_room(group, step.config.max_size, &join.member) {
        // Who is turned away is no member any more, so that the others need not wait for it.
        rebalance::remove(group, step, &join.member, GroupError::GroupMaxSizeReached);
        forget_pending(group, step, &join.member);
        step.refuse(waiter, GroupError::GroupMaxSizeReached);
        return rebalance::maybe_complete(group, step);
    }
    if !group.supports(join) {
        return step.refuse(waiter, GroupError::InconsistentGroupProtocol);
    }
    if is_new { new_member(group, step, waiter, join) } else { known_member(group, step, waiter, join) }
}

fn check(step: &Step<'_>, join: &Join) -> Result<(), GroupError> {
    if join.group.is_empty() || join.group.len() > MAX_TEXT {
        return Err(GroupError::InvalidGroupId);
    }
    if !(step.config.min_session_timeout_ms..=step.config.max_session_timeout_ms).contains(&join.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout);
    }
    if join.protocols.iter().map(|(_, metadata)| metadata.len()).sum::<usize>() > MAX_METADATA {
        return Err(GroupError::InvalidRequest);
    }
    let texts = join.protocols.iter().map(|(name, _)| name).chain([&join.protocol_type]).chain(&join.instance);
    if texts.into_iter().any(|text| text.len() > MAX_TEXT) || join.instance.as_ref().is_some_and(|id| id.is_empty()) {
        return Err(GroupError::InvalidRequest);
    }
    Ok(())
}

/// Whether the group takes the member: who is one already, or a new one up to the limit.
fn has_room(group: &Group, max_size: usize, member: &Name) -> bool {
    let known = group.members.get(member);
    match group.state {
        GroupState::Empty | GroupState::Dead => true,
        // Those who have joined count, not those who may not come back: a lowered limit turns the last ones away.
        GroupState::PreparingRebalance => known.is_some_and(|member| member.awaiting_join.is_some()) || group.joining() < max_size,
        GroupState::CompletingRebalance | GroupState::Stable => known.is_some() || group.members.len() < max_size,
    }
}

fn new_member(group: &mut Group, step: &mut Step<'_>, waiter: Waiter, join: &Join) {
    let prefix = join.instance.as_ref().unwrap_or(&join.client_id);
    let id = member_id(prefix, join.fresh);
    match join.instance.as_ref().and_then(|instance| group.statics.get(instance)).cloned() {
        Some(before) => replace(group, step, waiter, join, (&before, id)),
        None if join.instance.is_none() && join.member_id_required => {
            if group.pending.len() >= MAX_PENDING {
                return step.refuse(waiter, GroupError::GroupMaxSizeReached);
            }
            let at = step.now.monotonic + millis(join.session_timeout_ms);
            group.pending.insert(id.clone(), at);
            step.timers.add(at, Timer::Pending { group: group.id.clone(), member: id.clone() });
            step.answer(waiter, Ok(Reply::MemberIdRequired(id)));
        }
        None => add(group, step, waiter, join, id),
    }
}

/// The id of a new member: what the client calls itself, and randomness in the form of a UUID.
fn member_id(prefix: &str, fresh: u128) -> Name {
    let prefix = prefix.get(..prefix.floor_char_boundary(MAX_ID_PREFIX)).unwrap_or_default();
    let h = format!("{fresh:032x}");
    let (a, rest) = h.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{prefix}-{a}-{b}-{c}-{d}-{e}").into()
}

fn forget_pending(group: &mut Group, step: &mut Step<'_>, member: &Name) {
    if let Some(at) = group.pending.remove(member) {
        step.timers.remove(at, Timer::Pending { group: group.id.clone(), member: member.clone() });
    }
}

fn add(group: &mut Group, step: &mut Step<'_>, waiter: Waiter, join: &Join, id: Name) {
    forget_pending(group, step, &id);
    if let Some(initial) = &mut group.initial {
        initial.has_grown = true;
    }
    let mut member = Member::new(id, join);
    member.awaiting_join = Some(waiter);
    // It cannot send heartbeats before it has its answer, and a connection that is gone is not noticed meanwhile.
    let timeout = step.config.new_member_join_timeout;
    hear_of(&group.id, &mut member, step, timeout);
    group.add(member, &join.protocol_type);
    rebalance::prepare_or_complete(group, step);
}

fn known_member(group: &mut Group, step: &mut Step<'_>, waiter: Waiter, join: &Join) {
    let id = &join.member;
    if group.pending.contains_key(id) {
        return match join.instance {
            None => add(group, step, waiter, join, id.clone()),
            // Ids are given ahead of joining to members without an instance id alone.
            Some(_) => step.refuse(waiter, GroupError::UnknownMemberId),
        };
    }
    if let Err(error) = group.check_member(id, join.instance.as_ref()) {
        return step.refuse(waiter, error);
    }
    let is_leader = group.is_leader(id);
    let is_unchanged = group.members.get(id).is_some_and(|member| member.protocols == join.protocols);
    match group.state {
        GroupState::CompletingRebalance if is_unchanged => {
            // It may not have got the answer to its join: the generation has not changed.
            let joined = group.joined(id, is_leader);
            step.answer(waiter, Ok(Reply::Joined(joined)));
        }
        GroupState::Stable if is_unchanged && !is_leader => {
            let joined = group.joined(id, false);
            step.answer_at(waiter, Ok(Reply::Joined(joined)), group.stored_until);
        }
        // A leader that joins again asks for a rebalance: topics may have changed, of which members say nothing.
        GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
            if let Some(before) = group.update(id, join, waiter) {
                step.refuse(before, GroupError::RebalanceInProgress);
            }
            rebalance::prepare_or_complete(group, step);
        }
        GroupState::Empty | GroupState::Dead => step.refuse(waiter, GroupError::UnknownMemberId),
    }
}

/// A static member comes back without its id, after a restart (KIP-345).
fn replace(group: &mut Group, step: &mut Step<'_>, waiter: Waiter, join: &Join, (old, new): (&Name, Name)) {
    let leader = group.leader.clone();
    let Some(before) = group.members.get(old).cloned() else { return step.refuse(waiter, GroupError::UnknownMemberId) };
    disarm(group, step, old);
    for fenced in before.awaiting_join.into_iter().chain(before.awaiting_sync) {
        step.refuse(fenced, GroupError::FencedInstanceId);
    }
    group.take_joining(old);
    if let Some(member) = group.rename(old, new.clone()) {
        member.awaiting_sync = None;
        // Its id is known now, and its place is one that it had: it is not given up while it waits.
        member.is_new = false;
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
    }
    group.update(&new, join, waiter);
    if let Some(member) = group.members.get_mut(&new) {
        let session = member.session();
        hear_of(&group.id, member, step, session);
    }
    match group.state {
        GroupState::Stable if group.select_protocol() == group.protocol => {
            let (can_skip_assignment, group_id) = (join.can_skip_assignment, group.id.clone());
            let record = group.to_record(|member| member.assignment.clone());
            let before = Member { awaiting_join: None, awaiting_sync: None, ..before };
            let replaced = Replaced { group: group_id, before, member: new, leader, can_skip_assignment };
            step.write(vec![record], Then::Replace(Box::new(replaced)));
        }
        // The leader may have been told of the old id already: its assignments would miss the new one.
        GroupState::Stable | GroupState::CompletingRebalance => rebalance::prepare(group, step),
        GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => rebalance::maybe_complete(group, step),
    }
}

fn disarm(group: &mut Group, step: &mut Step<'_>, id: &Name) {
    if let Some(member) = group.members.get_mut(id)
        && let Some(at) = member.armed.take()
    {
        step.timers.remove(at, Timer::Session { group: group.id.clone(), member: id.clone() });
    }
}

/// The new id of a static member is stored, or not.
pub(crate) fn replaced(groups: &mut Groups, step: &mut Step<'_>, replaced: Replaced, result: Result<i64, WriteFailed>) {
    let Replaced { group, before, member, leader, can_skip_assignment } = replaced;
    let Some(group) = groups.get_mut(&group) else { return };
    let Some(waiter) = group.take_joining(&member) else { return };
    match result {
        Ok(end) => {
            group.is_stored = true;
            group.stored_until = end;
            let skips = can_skip_assignment && group.is_leader(&member);
            let mut joined = group.joined(&member, skips);
            joined.skip_assignment = skips;
            if !can_skip_assignment && let Some(leader) = leader {
                joined.leader = leader;
            }
            step.answer_at(waiter, Ok(Reply::Joined(joined)), end);
        }
        Err(error) => {
            disarm(group, step, &member);
            group.remove(&member);
            let protocol_type = group.protocol_type.clone().unwrap_or_else(|| "".into());
            let id = before.id.clone();
            group.add(Member { armed: None, ..before }, &protocol_type);
            group.leader = leader;
            if let Some(member) = group.members.get_mut(&id) {
                let session = member.session();
                hear_of(&group.id, member, step, session);
            }
            step.refuse(waiter, error.of_group());
        }
    }
}
