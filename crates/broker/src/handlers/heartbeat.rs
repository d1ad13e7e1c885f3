//! Heartbeat: a member is there.

use super::join_group::name;
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::{Heartbeat, Request};
use floe_protocol::message;
use floe_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

pub(super) async fn handle(broker: &Broker, request: HeartbeatRequest) -> HeartbeatResponse {
    let group = name(&request.group_id);
    let heartbeat = Heartbeat {
        group: group.clone(),
        generation: request.generation_id,
        member: name(&request.member_id),
        instance: request.group_instance_id.as_ref().map(name),
    };
    let error_code = errors::code_of_group(broker.groups.call(&group, Request::Heartbeat(heartbeat)).await.err());
    message!(HeartbeatResponse { error_code })
}
