//! SyncGroup: the leader hands in the assignments, everybody gets its own, as the bytes they are (T46).

use super::join_group::{name, text};
use crate::broker::Broker;
use crate::errors;
use bytes::Bytes;
use floe_coordinator::{Reply, Request, Sync, Synced};
use floe_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use floe_protocol::{ErrorCode, message};

pub(super) async fn handle(broker: &Broker, request: SyncGroupRequest) -> SyncGroupResponse {
    let group = name(&request.group_id);
    let sync = Sync {
        group: group.clone(),
        generation: request.generation_id,
        member: name(&request.member_id),
        instance: request.group_instance_id.as_ref().map(name),
        protocol_type: request.protocol_type.as_ref().map(name),
        protocol: request.protocol_name.as_ref().map(name),
        assignments: request.assignments.into_iter().map(|given| (name(&given.member_id), given.assignment)).collect(),
    };
    match broker.groups.call(&group, Request::Sync(sync)).await {
        Ok(Reply::Synced(Synced { protocol_type, protocol, assignment })) => message!(SyncGroupResponse {
            protocol_type: protocol_type.as_ref().map(text),
            protocol_name: protocol.as_ref().map(text),
            assignment,
        }),
        Ok(_) => refuse(ErrorCode::UnknownServerError),
        Err(error) => refuse(errors::of_group(error)),
    }
}

fn refuse(code: ErrorCode) -> SyncGroupResponse {
    message!(SyncGroupResponse { error_code: code.code(), protocol_type: None, protocol_name: None, assignment: Bytes::new() })
}
