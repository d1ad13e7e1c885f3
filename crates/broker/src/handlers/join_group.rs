//! JoinGroup: becomes a member, and waits for the generation to begin.

use crate::broker::Broker;
use crate::errors;
use crate::peer::Peer;
use floe_coordinator::{GroupError, Join, Joined, JoinedMember, Name, Reply, Request};
use floe_protocol::messages::join_group_response::JoinGroupResponseMember;
use floe_protocol::messages::{JoinGroupRequest, JoinGroupResponse, StrBytes};
use floe_protocol::{ErrorCode, RequestHeader, message};

/// First versions with: a rebalance timeout of its own, ids given ahead of joining, and `skip_assignment`.
const REBALANCE_TIMEOUT: i16 = 1;
const MEMBER_ID_REQUIRED: i16 = 4;
const SKIP_ASSIGNMENT: i16 = 9;

pub(super) async fn handle(broker: &Broker, header: &RequestHeader, peer: &Peer, request: JoinGroupRequest) -> JoinGroupResponse {
    let (member, join) = (request.member_id.clone(), to_join(broker, header, peer, request));
    let group = join.group.clone();
    match broker.groups.call(&group, Request::Join(join)).await {
        Ok(Reply::Joined(joined)) => show(joined),
        Ok(Reply::MemberIdRequired(id)) => refuse(ErrorCode::MemberIdRequired, text(&id)),
        Ok(_) => refuse(ErrorCode::UnknownServerError, member),
        // Who is turned away is no member.
        Err(error @ GroupError::GroupMaxSizeReached) => refuse(errors::of_group(error), StrBytes::default()),
        Err(error) => refuse(errors::of_group(error), member),
    }
}

fn to_join(broker: &Broker, header: &RequestHeader, peer: &Peer, request: JoinGroupRequest) -> Join {
    let version = header.version;
    Join {
        group: name(&request.group_id),
        member: name(&request.member_id),
        instance: request.group_instance_id.as_ref().map(name),
        client_id: header.client_id.as_ref().map_or_else(|| "".into(), name),
        // As Java prints an address without a name.
        client_host: format!("/{}", peer.ip).into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if version < REBALANCE_TIMEOUT { request.session_timeout_ms } else { request.rebalance_timeout_ms },
        protocol_type: name(&request.protocol_type),
        protocols: request.protocols.into_iter().map(|protocol| (name(&protocol.name), protocol.metadata)).collect(),
        member_id_required: version >= MEMBER_ID_REQUIRED,
        can_skip_assignment: version >= SKIP_ASSIGNMENT,
        fresh: broker.env.random_u128(),
    }
}

pub(super) fn name(text: &StrBytes) -> Name {
    text.as_str().into()
}

pub(super) fn text(name: &Name) -> StrBytes {
    (&**name).into()
}

fn show(joined: Joined) -> JoinGroupResponse {
    let member = |JoinedMember { member, instance, metadata }: JoinedMember| {
        message!(JoinGroupResponseMember { member_id: text(&member), group_instance_id: instance.as_ref().map(text), metadata: metadata })
    };
    message!(JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_ref().map(text),
        protocol_name: joined.protocol.as_ref().map(text),
        leader: text(&joined.leader),
        skip_assignment: joined.skip_assignment,
        member_id: text(&joined.member),
        members: joined.members.into_iter().map(member).collect(),
    })
}

fn refuse(code: ErrorCode, member_id: StrBytes) -> JoinGroupResponse {
    message!(JoinGroupResponse {
        error_code: code.code(),
        generation_id: -1,
        protocol_type: None,
        protocol_name: None,
        member_id,
        members: Vec::new(),
    })
}
