//! What time does: members fall silent, joins and syncs do not come, offsets are used by nobody (KIP-211).

use crate::group::{CONSUMER, Group};
use crate::rebalance;
use crate::records::GroupRecord;
use crate::shard::{Effects, Groups, Now, Shard, Step, Then};
use crate::timers::Timer;
use crate::{CommittedOffset, GroupError, GroupState, Name};
use std::time::Duration;

/// Does what is due. Gives back whose it was.
pub(crate) fn expire(groups: &mut Groups, step: &mut Step<'_>, timer: Timer) -> Name {
    let (Timer::Session { group, .. } | Timer::Pending { group, .. } | Timer::Join { group } | Timer::Sync { group }) = &timer;
    let id = group.clone();
    let Some(group) = groups.get_mut(&id) else { return id };
    match timer {
        Timer::Session { member, .. } => session(group, step, &member),
        Timer::Pending { member, .. } => {
            group.pending.remove(&member);
            rebalance::maybe_complete(group, step);
        }
        Timer::Join { .. } => {
            group.join_ends = None;
            join(group, step);
        }
        Timer::Sync { .. } => {
            group.sync_ends = None;
            sync(group, step);
        }
    }
    id
}

fn session(group: &mut Group, step: &mut Step<'_>, id: &Name) {
    let Some(member) = group.members.get_mut(id) else { return };
    member.armed = None;
    if member.session_ends > step.now.monotonic {
        // It was heard of since: look again when that session ends.
        let session = member.session_ends.saturating_sub(step.now.monotonic);
        return rebalance::hear_of(&group.id, member, step, session);
    }
    // Who waits for us cannot be late. A new member's own limit holds even so: nobody knows whether it is there.
    if !member.is_new && (member.awaiting_join.is_some() || member.awaiting_sync.is_some()) {
        return;
    }
    tracing::info!(group = %group.id, member = %id, "a member was silent for its session and is out");
    rebalance::remove(group, step, id, GroupError::UnknownMemberId);
    match group.state {
        GroupState::Stable | GroupState::CompletingRebalance => rebalance::prepare(group, step),
        GroupState::PreparingRebalance => rebalance::maybe_complete(group, step),
        GroupState::Empty | GroupState::Dead => {}
    }
}

fn join(group: &mut Group, step: &mut Step<'_>) {
    if group.state != GroupState::PreparingRebalance {
        return;
    }
    match &mut group.initial {
        Some(initial) if initial.has_grown && !initial.remaining.is_zero() => {
            // Whoever comes late to a group that starts extends the wait, up to the rebalance timeout in all.
            initial.has_grown = false;
            let delay = step.config.initial_rebalance_delay.min(initial.remaining);
            initial.remaining = initial.remaining.saturating_sub(initial.delay);
            initial.delay = delay;
            rebalance::wait_for_joins(group, step, delay);
        }
        _ => rebalance::complete(group, step),
    }
}

fn sync(group: &mut Group, step: &mut Step<'_>) {
    if !matches!(group.state, GroupState::CompletingRebalance | GroupState::Stable) || group.pending_sync.is_empty() {
        return;
    }
    for id in std::mem::take(&mut group.pending_sync) {
        tracing::info!(group = %group.id, member = %id, "a member did not ask for its assignment in time and is out");
        rebalance::remove(group, step, &id, GroupError::UnknownMemberId);
    }
    rebalance::prepare(group, step);
}

impl Shard {
    /// Lets go of a group's offsets that nobody has used for the retention time, and of the group if nothing is left.
    pub fn clean(&mut self, now: Now, group: &Name) -> Effects {
        let mut step = Step::new(&self.config, &mut self.timers, now);
        if let Some(group) = self.groups.get(group) {
            let records = outlived(group, now.wall_ms, self.config.offsets_retention_ms);
            if !records.is_empty() {
                step.write(records, Then::Apply { told: None });
            }
        }
        step.effects
    }

    /// Lets go of all offsets of a topic that is deleted, in one group: a new topic of the name begins anew.
    pub fn forget_topic(&mut self, now: Now, group: &Name, topic: &str) -> Effects {
        let mut step = Step::new(&self.config, &mut self.timers, now);
        if let Some(group) = self.groups.get(group)
            && let Some((topic, partitions)) = group.offsets.get_key_value(topic)
        {
            let records = partitions.keys().map(|partition| tombstone(&group.id, topic, *partition)).collect();
            step.write(records, Then::Apply { told: None });
        }
        step.effects
    }
}

pub(crate) fn tombstone(group: &Name, topic: &Name, partition: i32) -> GroupRecord {
    GroupRecord::Offset { group: group.clone(), topic: topic.clone(), partition, committed: None }
}

/// Since when an offset is not used, where it can expire at all.
type UnusedSince = fn(&Group, &CommittedOffset) -> i64;

fn outlived(group: &Group, now_ms: i64, retention_ms: i64) -> Vec<GroupRecord> {
    let since: UnusedSince = match (&group.protocol_type, group.state) {
        // Offsets of consumers that assign themselves: nothing but the commit tells that they are used.
        (None, _) => |_, offset| offset.committed_ms,
        (Some(_), GroupState::Empty) => |group, offset| group.state_since_ms.unwrap_or(offset.committed_ms),
        (Some(kind), GroupState::Stable) if &**kind == CONSUMER && group.subscribed.is_some() => |_, offset| offset.committed_ms,
        (Some(_), _) => return Vec::new(),
    };
    let is_over = |offset: &CommittedOffset| match offset.expires_ms {
        Some(expires) => now_ms >= expires,
        None => now_ms.saturating_sub(since(group, offset)) >= retention_ms,
    };
    let (mut records, mut kept) = (Vec::new(), false);
    for (topic, partitions) in &group.offsets {
        let consumed = group.is_subscribed_to(topic);
        for (partition, offset) in partitions {
            if !consumed && is_over(&offset.committed) {
                records.push(tombstone(&group.id, topic, *partition));
            } else {
                kept = true;
            }
        }
    }
    if !kept && group.state == GroupState::Empty && group.pending.is_empty() {
        records.push(GroupRecord::Group { group: group.id.clone(), stored: None });
    }
    records
}

/// How long until `at`; nothing if that is past.
pub(crate) fn millis_until(at: Duration, now: Duration) -> Duration {
    at.saturating_sub(now)
}
