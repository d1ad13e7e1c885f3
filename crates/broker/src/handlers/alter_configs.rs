//! AlterConfigs: the settings named are a resource's settings from now on, and no others. Superseded by
//! IncrementalAlterConfigs, and still what older tools send.

use crate::broker::Broker;
use crate::config_change::{self, Asked, Key, Operation};
use floe_protocol::message;
use floe_protocol::messages::alter_configs_request::AlterConfigsResource;
use floe_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use floe_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

pub(super) async fn handle(broker: &Broker, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let asked = request.resources.iter().map(asked).collect();
    let answers = config_change::alter(broker, asked, request.validate_only).await;
    let responses = request.resources.into_iter().zip(answers).map(|(resource, answer)| {
        let (code, message) = answer.map_or_else(|refusal| (refusal.code.code(), Some(refusal.message.into())), |()| (0, None));
        message!(AlterConfigsResourceResponse {
            error_code: code,
            error_message: message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        })
    });
    message!(AlterConfigsResponse { responses: responses.collect() })
}

fn asked(resource: &AlterConfigsResource) -> Asked {
    let keys = resource.configs.iter().map(|config| Key {
        name: config.name.to_string(),
        operation: Some(Operation::Set),
        value: config.value.as_ref().map(ToString::to_string),
    });
    Asked { kind: resource.resource_type, name: resource.resource_name.to_string(), keys: keys.collect(), replace: true }
}
