//! LeaveGroup: members go, by their id or, removed by an administrator, by their instance id.

use crate::group::Group;
use crate::rebalance;
use crate::shard::{Groups, Step, Then, Waiter};
use crate::timers::Timer;
use crate::{GroupError, GroupState, Leave, LeavingMember, Reply};

pub(crate) fn leave(groups: &mut Groups, step: &mut Step<'_>, waiter: Waiter, request: Leave) {
    if request.group.is_empty() {
        return step.refuse(waiter, GroupError::InvalidGroupId);
    }
    let Some(group) = groups.get_mut(&request.group) else { return step.refuse(waiter, GroupError::UnknownMemberId) };
    let mut left = Vec::with_capacity(request.members.len());
    for member in request.members {
        let outcome = let_go(group, step, &member);
        left.push((member, outcome.err()));
    }
    if left.iter().any(|(_, error)| error.is_none()) {
        match group.state {
            GroupState::Stable | GroupState::CompletingRebalance => rebalance::prepare(group, step),
            GroupState::PreparingRebalance => rebalance::maybe_complete(group, step),
            GroupState::Empty | GroupState::Dead => {}
        }
    }
    let reply = Reply::Left(left);
    if let Some(write) = &mut step.effects.write
        && let Then::Emptied { told, .. } = &mut write.then
    {
        // The last one has left: said once that is stored.
        told.push((waiter, reply));
    } else {
        step.answer(waiter, Ok(reply));
    }
}

fn let_go(group: &mut Group, step: &mut Step<'_>, leaving: &LeavingMember) -> Result<(), GroupError> {
    let id = if leaving.member.is_empty() {
        let instance = leaving.instance.as_ref().ok_or(GroupError::UnknownMemberId)?;
        group.statics.get(instance).cloned().ok_or(GroupError::UnknownMemberId)?
    } else if let Some(at) = group.pending.remove(&leaving.member) {
        step.timers.remove(at, Timer::Pending { group: group.id.clone(), member: leaving.member.clone() });
        return Ok(());
    } else {
        group.check_member(&leaving.member, leaving.instance.as_ref())?;
        leaving.member.clone()
    };
    rebalance::remove(group, step, &id, GroupError::UnknownMemberId);
    Ok(())
}
