//! DescribeCluster: the brokers that are listed as alive; clients may take any of them for the controller.

use super::metadata::CLUSTER_OPERATIONS;
use crate::broker::Broker;
use crate::peer::Peer;
use floe_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use floe_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use floe_protocol::{ErrorCode, message};

/// What a client may ask about.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(broker: &Broker, peer: &Peer, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let refusal = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((ErrorCode::MismatchedEndpointType, "this is a broker")),
        _ => Some((ErrorCode::UnsupportedEndpointType, "no such type of endpoint")),
    };
    if let Some((code, why)) = refusal {
        let error_message = Some(why.into());
        return message!(DescribeClusterResponse { error_code: code.code(), error_message, endpoint_type: request.endpoint_type });
    }
    let brokers = broker
        .endpoints(peer)
        .into_iter()
        .map(|node| message!(DescribeClusterBroker { broker_id: node.node_id, host: node.host, port: node.port, rack: node.rack }));
    let operations = if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { i32::MIN };
    message!(DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: broker.cluster(),
        controller_id: broker.controller(),
        brokers: brokers.collect(),
        cluster_authorized_operations: operations,
    })
}
