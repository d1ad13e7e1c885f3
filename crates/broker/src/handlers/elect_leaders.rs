//! ElectLeaders: every partition is led by the broker that leads it, preferred and only; there is nothing to elect.

use crate::broker::Broker;
use floe_protocol::messages::elect_leaders_request::TopicPartitions;
use floe_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use floe_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use floe_protocol::{ErrorCode, message};

/// Kinds of election: the preferred leader, and an unclean one. Version 0 knows the first alone.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(super) fn handle(broker: &Broker, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if !matches!(request.election_type, PREFERRED | UNCLEAN) {
        return message!(ElectLeadersResponse { error_code: ErrorCode::InvalidRequest.code() });
    }
    // For all partitions, those that need no election are not named: that is all of them.
    let topics = request.topic_partitions.unwrap_or_default();
    message!(ElectLeadersResponse { replica_election_results: topics.into_iter().map(|topic| elect(broker, topic)).collect() })
}

fn elect(broker: &Broker, asked: TopicPartitions) -> ReplicaElectionResult {
    let view = broker.view();
    let topic = view.by_name(&asked.topic);
    let partition_result = asked.partitions.into_iter().map(|index| {
        let (code, why) = match topic {
            None => (ErrorCode::UnknownTopicOrPartition, format!("No such topic as {}", asked.topic.as_str())),
            Some(topic) if !(0..topic.partitions).contains(&index) => {
                (ErrorCode::UnknownTopicOrPartition, format!("No such partition as {}-{index}", topic.name))
            }
            Some(_) => (ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned()),
        };
        message!(PartitionResult { partition_id: index, error_code: code.code(), error_message: Some(why.into()) })
    });
    let partition_result = partition_result.collect();
    message!(ReplicaElectionResult { topic: asked.topic, partition_result })
}
