//! The steps between a change of members and a new generation: prepare (everybody joins again), complete (the generation
//! begins, the leader is asked for assignments).

use crate::group::{Group, Initial};
use crate::member::Member;
use crate::shard::{Step, Then};
use crate::timers::Timer;
use crate::{GroupError, GroupState, Name, Reply};
use bytes::Bytes;
use std::time::Duration;

/// Lets a member's session begin anew.
pub(crate) fn hear_of(group: &Name, member: &mut Member, step: &mut Step<'_>, session: Duration) {
    let timer = |member: &Member| Timer::Session { group: group.clone(), member: member.id.clone() };
    member.session_ends = step.now.monotonic + session;
    match member.armed {
        Some(at) if at <= member.session_ends => return,
        Some(at) => step.timers.remove(at, timer(member)),
        None => {}
    }
    member.armed = Some(member.session_ends);
    step.timers.add(member.session_ends, timer(member));
}

/// Lets a member go: nobody waits for it, and what it waits for is refused.
pub(crate) fn remove(group: &mut Group, step: &mut Step<'_>, id: &Name, error: GroupError) {
    let Some(member) = group.remove(id) else { return };
    if let Some(at) = member.armed {
        step.timers.remove(at, Timer::Session { group: group.id.clone(), member: member.id.clone() });
    }
    for waiter in member.awaiting_join.into_iter().chain(member.awaiting_sync) {
        step.refuse(waiter, error);
    }
}

/// After a change of members: a rebalance is begun, or one that is under way may be complete.
pub(crate) fn prepare_or_complete(group: &mut Group, step: &mut Step<'_>) {
    match group.state {
        GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => prepare(group, step),
        GroupState::PreparingRebalance | GroupState::Dead => maybe_complete(group, step),
    }
}

/// Asks everybody to join again.
pub(crate) fn prepare(group: &mut Group, step: &mut Step<'_>) {
    if group.state == GroupState::CompletingRebalance {
        fail_syncs(group, step, GroupError::RebalanceInProgress);
    }
    group.pending_sync.clear();
    end_sync_wait(group, step);
    let is_initial = group.state == GroupState::Empty;
    group.enter(GroupState::PreparingRebalance, step.now);
    if is_initial {
        let delay = step.config.initial_rebalance_delay;
        let remaining = group.rebalance_timeout().saturating_sub(delay);
        group.initial = Some(Initial { delay, remaining, has_grown: false });
        wait_for_joins(group, step, delay);
    } else if group.has_all_joined() {
        complete(group, step);
    } else {
        let timeout = group.rebalance_timeout();
        wait_for_joins(group, step, timeout);
    }
}

/// Completes a rebalance for which everybody is there. The first one of a group ends with its delay instead.
pub(crate) fn maybe_complete(group: &mut Group, step: &mut Step<'_>) {
    if group.state == GroupState::PreparingRebalance && group.initial.is_none() && group.has_all_joined() {
        complete(group, step);
    }
}

pub(crate) fn wait_for_joins(group: &mut Group, step: &mut Step<'_>, wait: Duration) {
    end_join_wait(group, step);
    let at = step.now.monotonic + wait;
    group.join_ends = Some(at);
    step.timers.add(at, Timer::Join { group: group.id.clone() });
}

fn end_join_wait(group: &mut Group, step: &mut Step<'_>) {
    if let Some(at) = group.join_ends.take() {
        step.timers.remove(at, Timer::Join { group: group.id.clone() });
    }
}

pub(crate) fn end_sync_wait(group: &mut Group, step: &mut Step<'_>) {
    if let Some(at) = group.sync_ends.take() {
        step.timers.remove(at, Timer::Sync { group: group.id.clone() });
    }
}

/// Ends the wait for joins: who has not joined is out, unless it is static; the next generation begins.
pub(crate) fn complete(group: &mut Group, step: &mut Step<'_>) {
    end_join_wait(group, step);
    let late = |member: &&Member| member.awaiting_join.is_none() && member.instance.is_none();
    let late: Vec<Name> = group.members.values().filter(late).map(|member| member.id.clone()).collect();
    for id in &late {
        remove(group, step, id, GroupError::UnknownMemberId);
    }
    if !group.elect_leader() && !group.members.is_empty() {
        // Static members alone, none of which is there: wait for one of them, or for the ends of their sessions.
        let timeout = group.rebalance_timeout();
        group.initial = None;
        wait_for_joins(group, step, timeout);
        return;
    }
    group.next_generation(step.now);
    tracing::debug!(group = %group.id, generation = group.generation, members = group.members.len(), "a generation begins");
    if group.state == GroupState::Empty {
        let record = group.to_record(|_| Bytes::new());
        step.write(vec![record], Then::Emptied { group: group.id.clone(), told: Vec::new() });
    } else {
        begin_generation(group, step);
    }
}

/// Tells everybody of the generation, and waits for them to ask for their assignments.
fn begin_generation(group: &mut Group, step: &mut Step<'_>) {
    let members: Vec<Name> = group.members.keys().cloned().collect();
    for id in &members {
        if let Some(waiter) = group.take_joining(id) {
            let joined = group.joined(id, group.is_leader(id));
            step.answer(waiter, Ok(Reply::Joined(joined)));
        }
        if let Some(member) = group.members.get_mut(id) {
            member.is_new = false;
            let session = member.session();
            hear_of(&group.id, member, step, session);
        }
    }
    group.pending_sync = members.into_iter().collect();
    end_sync_wait(group, step);
    let at = step.now.monotonic + group.rebalance_timeout();
    group.sync_ends = Some(at);
    step.timers.add(at, Timer::Sync { group: group.id.clone() });
}

/// Takes assignments away, and refuses who waits for one.
pub(crate) fn fail_syncs(group: &mut Group, step: &mut Step<'_>, error: GroupError) {
    for member in group.members.values_mut() {
        member.assignment = Bytes::new();
        if let Some(waiter) = member.awaiting_sync.take() {
            step.refuse(waiter, error);
            let session = member.session();
            hear_of(&group.id, member, step, session);
        }
    }
}
