//! LeaveGroup: members go; many at once, or by instance id, from version 3 on.

use super::join_group::{name, text};
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::{GroupError, Leave, LeavingMember, Reply, Request};
use floe_protocol::message;
use floe_protocol::messages::leave_group_response::MemberResponse;
use floe_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

/// First version with many members.
const BATCHED: i16 = 3;

pub(super) async fn handle(broker: &Broker, version: i16, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let group = name(&request.group_id);
    let members = if version < BATCHED {
        vec![LeavingMember { member: name(&request.member_id), instance: None }]
    } else {
        let leaving = |member: &floe_protocol::messages::leave_group_request::MemberIdentity| LeavingMember {
            member: name(&member.member_id),
            instance: member.group_instance_id.as_ref().map(name),
        };
        request.members.iter().map(leaving).collect()
    };
    match broker.groups.call(&group, Request::Leave(Leave { group: group.clone(), members })).await {
        Ok(Reply::Left(left)) => {
            let members = left.into_iter().map(|(member, error)| show(&member, error)).collect();
            message!(LeaveGroupResponse { members })
        }
        Ok(_) => message!(LeaveGroupResponse { error_code: errors::code_of_group(Some(GroupError::UnknownServerError)) }),
        Err(error) => message!(LeaveGroupResponse { error_code: errors::code_of_group(Some(error)) }),
    }
}

fn show(member: &LeavingMember, error: Option<GroupError>) -> MemberResponse {
    message!(MemberResponse {
        member_id: text(&member.member),
        group_instance_id: member.instance.as_ref().map(text),
        error_code: errors::code_of_group(error),
    })
}
