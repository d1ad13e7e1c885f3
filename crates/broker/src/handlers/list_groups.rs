//! ListGroups: all groups, or those in some states (version 4) and of some types (version 5).

use super::join_group::text;
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::Listed;
use floe_protocol::message;
use floe_protocol::messages::list_groups_response::ListedGroup;
use floe_protocol::messages::{ListGroupsRequest, ListGroupsResponse};

/// The one type of group that there is.
const CLASSIC: &str = "classic";

pub(super) async fn handle(broker: &Broker, request: ListGroupsRequest) -> ListGroupsResponse {
    if !request.types_filter.is_empty() && !request.types_filter.iter().any(|kind| kind.eq_ignore_ascii_case(CLASSIC)) {
        return ListGroupsResponse::default();
    }
    let states: Vec<String> = request.states_filter.iter().map(ToString::to_string).collect();
    match broker.groups.list(&states).await {
        Ok(groups) => message!(ListGroupsResponse { groups: groups.iter().map(show).collect() }),
        Err(error) => message!(ListGroupsResponse { error_code: errors::of_group(error).code() }),
    }
}

fn show(listed: &Listed) -> ListedGroup {
    message!(ListedGroup {
        group_id: text(&listed.group),
        protocol_type: text(&listed.protocol_type),
        group_state: listed.state.name().into(),
        group_type: CLASSIC.into(),
    })
}
