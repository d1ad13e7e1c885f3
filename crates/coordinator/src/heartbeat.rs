//! Heartbeat: a member is there, and learns whether it has to join again.

use crate::rebalance::hear_of;
use crate::shard::{Groups, Step, Waiter};
use crate::{GroupError, GroupState, Heartbeat, Reply};

pub(crate) fn heartbeat(groups: &mut Groups, step: &mut Step<'_>, waiter: Waiter, request: &Heartbeat) {
    let outcome = heard(groups, step, request).map(|()| Reply::Heartbeat);
    step.answer(waiter, outcome);
}

fn heard(groups: &mut Groups, step: &mut Step<'_>, request: &Heartbeat) -> Result<(), GroupError> {
    if request.group.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let group = groups.get_mut(&request.group).ok_or(GroupError::UnknownMemberId)?;
    group.check_member(&request.member, request.instance.as_ref())?;
    if request.generation != group.generation {
        return Err(GroupError::IllegalGeneration);
    }
    let member = group.members.get_mut(&request.member).ok_or(GroupError::UnknownMemberId)?;
    let session = member.session();
    hear_of(&group.id, member, step, session);
    match group.state {
        GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
        GroupState::Empty | GroupState::Dead => Err(GroupError::UnknownMemberId),
    }
}
