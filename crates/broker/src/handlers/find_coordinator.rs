//! FindCoordinator: there are no coordinators yet, and that is said so that clients stop at once and show why.
//!
//! For groups, UNSUPPORTED_VERSION: not retriable in any client, shown with our message by librdkafka. For transactions,
//! CLUSTER_AUTHORIZATION_FAILED: of the codes that both Java and librdkafka take for fatal, the one with which both show
//! our message.

use crate::errors::NO_TRANSACTIONS;
use floe_protocol::messages::find_coordinator_response::Coordinator;
use floe_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use floe_protocol::{ErrorCode, message};

const NO_GROUPS: &str = "Floe does not serve groups yet; assign partitions to the consumer, and keep its offsets";

/// First version that asks for many at once.
const BATCHED: i16 = 4;

pub(super) fn handle(version: i16, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    let (code, why) = match request.key_type {
        0 => (ErrorCode::UnsupportedVersion, NO_GROUPS),
        1 => (ErrorCode::ClusterAuthorizationFailed, NO_TRANSACTIONS),
        _ => (ErrorCode::InvalidRequest, "no such type of coordinator"),
    };
    let keys = if version < BATCHED { std::slice::from_ref(&request.key) } else { &request.coordinator_keys };
    let coordinators = keys
        .iter()
        .map(|key| {
            message!(Coordinator { key: key.clone(), node_id: -1, port: -1, error_code: code.code(), error_message: Some(why.into()) })
        })
        .collect();
    message!(FindCoordinatorResponse { coordinators })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_transactions_are_refused_with_a_reason_for_each_key() {
        let request = message!(FindCoordinatorRequest { key_type: 1_i8, coordinator_keys: vec!["a".into(), "b".into()] });
        let response = handle(6, &request);
        let got: Vec<_> = response.coordinators.iter().map(|c| (c.key.as_str(), c.error_code)).collect();
        assert_eq!(got, [("a", 31), ("b", 31)]);
        let request = message!(FindCoordinatorRequest { key: "g".into() });
        let response = handle(2, &request);
        assert_eq!(response.coordinators[0].error_code, 35);
        assert_eq!(response.coordinators[0].error_message.as_deref(), Some(NO_GROUPS));
    }
}
