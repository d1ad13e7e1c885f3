//! FindCoordinator: who leads the partition that keeps the group. The topic of the groups is there when it is answered.
//!
//! For transactions, CLUSTER_AUTHORIZATION_FAILED: of the codes that both Java and librdkafka take for fatal, the one with
//! which both show our message. For share groups, INVALID_REQUEST, as Kafka where they are off.

use crate::broker::Broker;
use crate::errors::{self, NO_TRANSACTIONS, Refusal};
use crate::peer::Peer;
use floe_protocol::messages::find_coordinator_response::Coordinator;
use floe_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};
use floe_protocol::{ErrorCode, message};

/// First version that asks for many at once.
const BATCHED: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) async fn handle(broker: &Broker, version: i16, peer: &Peer, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let keys = if version < BATCHED { vec![request.key] } else { request.coordinator_keys };
    let refusal = match request.key_type {
        GROUP => {
            let refusal = |error| Refusal::new(errors::of_group(error), "the topic of the groups is not there yet");
            broker.groups.ensure_topic().await.err().map(refusal)
        }
        TRANSACTION => Some(Refusal::new(ErrorCode::ClusterAuthorizationFailed, NO_TRANSACTIONS)),
        _ => Some(Refusal::new(ErrorCode::InvalidRequest, "no such type of coordinator")),
    };
    let coordinators = keys.into_iter().map(|key| match &refusal {
        Some(refusal) => refuse(key, refusal),
        None => coordinator(broker, peer, key),
    });
    let coordinators = coordinators.collect();
    message!(FindCoordinatorResponse { coordinators })
}

/// The leader of the partition that keeps the group.
fn coordinator(broker: &Broker, peer: &Peer, key: StrBytes) -> Coordinator {
    let leader = broker.groups.partition_of(&key).and_then(|id| broker.leader(id));
    match leader.and_then(|leader| broker.endpoint_of(peer, leader.id)) {
        Some(node) => message!(Coordinator { key, node_id: node.node_id, host: node.host, port: node.port }),
        None => refuse(key, &Refusal::new(ErrorCode::CoordinatorNotAvailable, "the coordinator of the group is not known yet")),
    }
}

fn refuse(key: StrBytes, Refusal { code, message }: &Refusal) -> Coordinator {
    let error_message = Some(message.as_str().into());
    message!(Coordinator { key, node_id: -1, port: -1, error_code: code.code(), error_message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test(start_paused = true)]
    async fn groups_are_found_here_and_everything_else_is_refused_with_a_reason_for_each_key() {
        let broker = World::new(1).broker().await;
        let peer = Peer::for_tests();
        let ask = |key_type: i8| message!(FindCoordinatorRequest { key_type, coordinator_keys: vec!["a".into(), "b".into()] });
        let shown = |response: FindCoordinatorResponse| -> Vec<_> {
            response.coordinators.iter().map(|c| (c.key.to_string(), c.error_code, c.node_id, c.port)).collect()
        };
        let found = shown(handle(&broker, 6, &peer, ask(GROUP)).await);
        assert_eq!(found, [("a".into(), 0, 0, 9092), ("b".into(), 0, 0, 9092)]);
        let refused = shown(handle(&broker, 6, &peer, ask(TRANSACTION)).await);
        assert_eq!(refused, [("a".into(), 31, -1, -1), ("b".into(), 31, -1, -1)]);
        assert_eq!(shown(handle(&broker, 6, &peer, ask(2)).await)[0].1, 42);
        let one = handle(&broker, 2, &peer, message!(FindCoordinatorRequest { key: "g".into() })).await;
        assert_eq!(shown(one), [("g".into(), 0, 0, 9092)]);
    }
}
