//! DescribeGroups, ListGroups, DeleteGroups: what administrators see and remove.

use crate::expiry::tombstone;
use crate::group::Group;
use crate::records::GroupRecord;
use crate::shard::{Groups, Step, Then, Waiter};
use crate::{DescribedMember, Description, GroupError, GroupState, Listed, Name, Reply};
use bytes::Bytes;

/// A group that is not there is dead.
pub(crate) fn describe(group: Option<&Group>) -> Reply {
    let Some(group) = group else {
        let none: Name = "".into();
        let dead = Description { state: GroupState::Dead, protocol_type: none.clone(), protocol: none, members: Vec::new() };
        return Reply::Described(dead);
    };
    let is_stable = group.state == GroupState::Stable;
    let own = |bytes: Bytes| if is_stable { bytes } else { Bytes::new() };
    let members = group
        .members
        .values()
        .map(|member| DescribedMember {
            member: member.id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: own(member.metadata(group.protocol.as_ref())),
            assignment: own(member.assignment.clone()),
        })
        .collect();
    Reply::Described(Description {
        state: group.state,
        protocol_type: group.protocol_type.clone().unwrap_or_else(|| "".into()),
        protocol: group.protocol.clone().filter(|_| is_stable).unwrap_or_else(|| "".into()),
        members,
    })
}

pub(crate) fn list(groups: &Groups, states: &[String]) -> Reply {
    let wanted = |group: &&Group| states.is_empty() || states.iter().any(|state| state.eq_ignore_ascii_case(group.state.name()));
    let listed = groups.values().filter(wanted).map(|group| Listed {
        group: group.id.clone(),
        protocol_type: group.protocol_type.clone().unwrap_or_else(|| "".into()),
        state: group.state,
    });
    Reply::Listed(listed.collect())
}

/// Deletes a group without members, and its offsets.
pub(crate) fn delete(groups: &Groups, step: &mut Step<'_>, waiter: Waiter, id: &Name) {
    let Some(group) = groups.get(id) else { return step.refuse(waiter, GroupError::GroupIdNotFound) };
    if group.state != GroupState::Empty {
        return step.refuse(waiter, GroupError::NonEmptyGroup);
    }
    let mut records = Vec::new();
    for (topic, partitions) in &group.offsets {
        records.extend(partitions.keys().map(|partition| tombstone(id, topic, *partition)));
    }
    records.push(GroupRecord::Group { group: id.clone(), stored: None });
    step.write(records, Then::Apply { told: Some((waiter, Reply::Deleted)) });
}
