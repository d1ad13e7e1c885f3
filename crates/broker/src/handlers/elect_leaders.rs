//! ElectLeaders: a partition that should be led by another broker (AlterPartitionReassignments, `floe partition move`) is moved there, and the answer waits for it. One
//! that nobody asked for is led by whoever leads it, and there is nothing to elect.

use crate::broker::Broker;
use crate::nodes::Wish;
use floe_protocol::messages::elect_leaders_request::TopicPartitions;
use floe_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use floe_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use floe_protocol::{ErrorCode, message};
use floe_types::PartitionId;
use std::time::Duration;

/// Kinds of election: the preferred leader, and an unclean one. Version 0 knows the first alone.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Between two looks at what moves.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait, whatever the client asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) async fn handle(broker: &Broker, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if !matches!(request.election_type, PREFERRED | UNCLEAN) {
        return message!(ElectLeadersResponse { error_code: ErrorCode::InvalidRequest.code() });
    }
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(MAX_TIMEOUT);
    let deadline = broker.env.monotonic() + timeout;
    let is_preferred = request.election_type == PREFERRED;
    // For all partitions, those that need no election are not named.
    let topics = request.topic_partitions.unwrap_or_else(|| if is_preferred { under_way(broker) } else { Vec::new() });
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        results.push(elect(broker, topic, is_preferred, deadline).await);
    }
    message!(ElectLeadersResponse { replica_election_results: results })
}

fn under_way(broker: &Broker) -> Vec<TopicPartitions> {
    let view = broker.view();
    let named = |(id, wish): (PartitionId, Wish)| Some((view.by_id(id.topic).filter(|_| wish.is_under_way())?.name.clone(), id.index));
    let wishes = broker.wishes().into_iter().filter_map(named);
    wishes.map(|(name, index)| message!(TopicPartitions { topic: name.as_str().into(), partitions: vec![index] })).collect()
}

async fn elect(broker: &Broker, asked: TopicPartitions, is_preferred: bool, deadline: Duration) -> ReplicaElectionResult {
    let view = broker.view();
    let topic = view.by_name(&asked.topic);
    let mut partition_result = Vec::with_capacity(asked.partitions.len());
    for index in asked.partitions {
        let (code, why) = match topic {
            None => (ErrorCode::UnknownTopicOrPartition, Some(format!("No such topic as {}", asked.topic.as_str()))),
            Some(topic) if !(0..topic.partitions).contains(&index) => {
                (ErrorCode::UnknownTopicOrPartition, Some(format!("No such partition as {}-{index}", topic.name)))
            }
            Some(topic) if is_preferred => moved(broker, PartitionId { topic: topic.id, index }, deadline).await,
            Some(_) => not_needed(),
        };
        partition_result.push(message!(PartitionResult {
            partition_id: index,
            error_code: code.code(),
            error_message: why.map(Into::into)
        }));
    }
    message!(ReplicaElectionResult { topic: asked.topic, partition_result })
}

fn not_needed() -> (ErrorCode, Option<String>) {
    (ErrorCode::ElectionNotNeeded, Some("Leader election not needed for topic partition.".to_owned()))
}

/// Waits until the partition is led where it should be: its owner moves it by itself.
async fn moved(broker: &Broker, id: PartitionId, deadline: Duration) -> (ErrorCode, Option<String>) {
    match broker.wish(id) {
        None => return not_needed(),
        Some(wish) if wish.leader == Some(wish.preferred) => return not_needed(),
        Some(_) => {}
    }
    loop {
        match broker.wish(id) {
            Some(wish) if !wish.is_alive => {
                let why = format!("Broker {}, which should lead the partition, is not alive.", wish.preferred);
                return (ErrorCode::PreferredLeaderNotAvailable, Some(why));
            }
            Some(wish) if wish.leader != Some(wish.preferred) => {}
            _ => return (ErrorCode::None, None),
        }
        if broker.env.monotonic() >= deadline || broker.shutdown.is_triggered() {
            return (ErrorCode::RequestTimedOut, Some("The partition is being moved still.".to_owned()));
        }
        broker.env.sleep(LOOK).await;
    }
}
