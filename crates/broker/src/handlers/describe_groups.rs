//! DescribeGroups: state, members, and what each member wants and has.

use super::join_group::{name, text};
use super::metadata::bits;
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::{DescribedMember, Description, GroupError, GroupState, Reply, Request};
use floe_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use floe_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, StrBytes};
use floe_protocol::{ErrorCode, message};

/// Everything Kafka knows of on a group, as bits of `AclOperation`: nobody is refused anything yet.
const GROUP_OPERATIONS: i32 = bits(&[3, 6, 8, 10, 11]);

/// First version that tells a group that is not there from one that is dead.
const NOT_FOUND: i16 = 6;

pub(super) async fn handle(broker: &Broker, version: i16, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { i32::MIN };
    let mut groups = Vec::with_capacity(request.groups.len());
    for id in request.groups {
        let group = name(&id);
        let mut described = match broker.groups.call(&group, Request::Describe { group: group.clone() }).await {
            Ok(Reply::Described(description)) => show(version, id, description),
            Ok(_) => refuse(id, GroupError::UnknownServerError),
            Err(error) => refuse(id, error),
        };
        described.authorized_operations = operations;
        groups.push(described);
    }
    message!(DescribeGroupsResponse { groups })
}

fn show(version: i16, group_id: StrBytes, description: Description) -> DescribedGroup {
    let Description { state, protocol_type, protocol, members } = description;
    let (code, why) = if state == GroupState::Dead && version >= NOT_FOUND {
        (ErrorCode::GroupIdNotFound, Some(format!("Group {} not found.", group_id.as_str()).into()))
    } else {
        (ErrorCode::None, None)
    };
    let member = |member: DescribedMember| {
        message!(DescribedGroupMember {
            member_id: text(&member.member),
            group_instance_id: member.instance.as_ref().map(text),
            client_id: text(&member.client_id),
            client_host: text(&member.client_host),
            member_metadata: member.metadata,
            member_assignment: member.assignment,
        })
    };
    message!(DescribedGroup {
        error_code: code.code(),
        error_message: why,
        group_id,
        group_state: state.name().into(),
        protocol_type: text(&protocol_type),
        protocol_data: text(&protocol),
        members: members.into_iter().map(member).collect(),
    })
}

fn refuse(group_id: StrBytes, error: GroupError) -> DescribedGroup {
    let error_message = Some(error.to_string().into());
    message!(DescribedGroup { error_code: errors::of_group(error).code(), error_message, group_id })
}
