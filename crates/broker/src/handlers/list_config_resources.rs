//! ListConfigResources: everything that has settings, by kind (KIP-1142). Version 0 asks for client metrics alone, of
//! which there are none.

use crate::broker::Broker;
use crate::config_change::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use floe_protocol::messages::list_config_resources_response::ConfigResource;
use floe_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse, StrBytes};
use floe_protocol::{ErrorCode, message};

/// First version that asks by kind.
const KINDS: i16 = 1;
const ALL: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub(super) fn handle(broker: &Broker, version: i16, request: &ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    let asked = &request.resource_types;
    if asked.iter().any(|kind| !ALL.contains(kind)) {
        return message!(ListConfigResourcesResponse { error_code: ErrorCode::UnsupportedVersion.code() });
    }
    let wanted = |kind: &i8| if version < KINDS { *kind == CLIENT_METRICS } else { asked.is_empty() || asked.contains(kind) };
    let mut config_resources = Vec::new();
    for kind in ALL.into_iter().filter(wanted) {
        let mut add = |name: StrBytes| config_resources.push(message!(ConfigResource { resource_name: name, resource_type: kind }));
        match kind {
            TOPIC => broker.view().topics().for_each(|topic| add(topic.name.as_str().into())),
            BROKER | BROKER_LOGGER => add(broker.id().to_string().into()),
            // No group and no subscription to metrics has settings of its own.
            _ => {}
        }
    }
    message!(ListConfigResourcesResponse { config_resources })
}
