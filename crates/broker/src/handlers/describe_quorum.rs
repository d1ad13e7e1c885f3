//! DescribeQuorum: who decides on metadata. Clients know it as a log of one partition, `__cluster_metadata`; here that
//! is the catalog, its offsets are the catalog's versions, and its only voter is this broker.

use crate::broker::Broker;
use crate::peer::Peer;
use floe_protocol::messages::describe_quorum_request::TopicData as Asked;
use floe_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use floe_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use floe_protocol::{ErrorCode, message};

const METADATA: &str = "__cluster_metadata";

pub(super) fn handle(broker: &Broker, peer: &Peer, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    if !asks_for_metadata(&request) {
        return message!(DescribeQuorumResponse { error_message: None, topics: request.topics.into_iter().map(unknown).collect() });
    }
    let end = i64::try_from(broker.view().version).unwrap_or(i64::MAX);
    let now = broker.env.now_ms();
    let voter =
        message!(ReplicaState { replica_id: broker.id(), log_end_offset: end, last_fetch_timestamp: now, last_caught_up_timestamp: now });
    let partition = message!(PartitionData {
        error_message: None,
        leader_id: broker.id(),
        leader_epoch: i32::try_from(broker.engine.incarnation().0).unwrap_or(i32::MAX),
        high_watermark: end,
        current_voters: vec![voter],
    });
    let endpoint = broker.endpoint(peer);
    let listener = message!(Listener { name: peer.door.name.as_str().into(), host: endpoint.host, port: peer.door.advertised.port });
    message!(DescribeQuorumResponse {
        error_message: None,
        topics: vec![message!(TopicData { topic_name: METADATA.into(), partitions: vec![partition] })],
        nodes: vec![message!(Node { node_id: endpoint.node_id, listeners: vec![listener] })],
    })
}

fn asks_for_metadata(request: &DescribeQuorumRequest) -> bool {
    let [topic] = &request.topics[..] else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    topic.topic_name.as_str() == METADATA && partition.partition_index == 0
}

fn unknown(asked: Asked) -> TopicData {
    let partitions = asked.partitions.iter().map(|partition| {
        message!(PartitionData {
            partition_index: partition.partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition.code(),
            error_message: None,
            leader_id: -1,
            leader_epoch: -1,
            high_watermark: -1,
        })
    });
    message!(TopicData { topic_name: asked.topic_name, partitions: partitions.collect() })
}
