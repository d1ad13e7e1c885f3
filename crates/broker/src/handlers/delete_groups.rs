//! DeleteGroups: groups without members go, with their offsets.

use super::join_group::name;
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::Request;
use floe_protocol::message;
use floe_protocol::messages::delete_groups_response::DeletableGroupResult;
use floe_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(super) async fn handle(broker: &Broker, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let group = name(&group_id);
        let deleted = broker.groups.call(&group, Request::Delete { group: group.clone() }).await;
        let error_code = errors::code_of_group(deleted.err());
        results.push(message!(DeletableGroupResult { group_id, error_code }));
    }
    message!(DeleteGroupsResponse { results })
}
