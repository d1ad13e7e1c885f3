//! AlterPartitionReassignments and ListPartitionReassignments: a partition has one replica, its leader, since the store keeps the copies. An assignment to a broker is the wish
//! that it leads; under way is what somebody else leads still. A single broker has everything where it can be.

use crate::broker::Broker;
use crate::errors::Refusal;
use crate::nodes::Wish;
use floe_formats::Topic;
use floe_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use floe_protocol::messages::alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse};
use floe_protocol::messages::list_partition_reassignments_response::{OngoingPartitionReassignment, OngoingTopicReassignment};
use floe_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
};
use floe_protocol::{ErrorCode, message};
use floe_types::{BrokerId, ErrorKind, PartitionId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who should lead a partition; none: anybody.
type Asked = (PartitionId, Option<BrokerId>);

pub(super) async fn alter(broker: &Broker, request: AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse {
    let view = broker.view();
    let mut wishes = Vec::new();
    let responses = request.topics.into_iter().map(|asked| {
        let topic = view.by_name(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let answer = check(broker, topic, partition).map(|wish| wishes.extend(wish));
            let (code, why) = answer.map_or_else(|refusal| (refusal.code.code(), Some(refusal.message.into())), |()| (0, None));
            message!(ReassignablePartitionResponse { partition_index: partition.partition_index, error_code: code, error_message: why })
        });
        let partitions = partitions.collect();
        message!(ReassignableTopicResponse { name: asked.name, partitions })
    });
    let responses = responses.collect();
    let (error_code, error_message) = match broker.engine.prefer_leaders(&wishes).await {
        _ if wishes.is_empty() => (0, None),
        Ok(()) => (0, None),
        Err(error) => {
            let code = if error.kind() == ErrorKind::Retry { ErrorCode::RequestTimedOut } else { ErrorCode::UnknownServerError };
            (code.code(), Some(error.to_string().into()))
        }
    };
    message!(AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_code,
        error_message,
        responses,
    })
}

/// What is to be asked for; nothing, where there is nobody else.
fn check(broker: &Broker, topic: Option<&Arc<Topic>>, asked: &ReassignablePartition) -> Result<Option<Asked>, Refusal> {
    let refuse = |code, why: String| Err(Refusal::new(code, why));
    let Some(topic) = topic.filter(|topic| (0..topic.partitions).contains(&asked.partition_index)) else {
        return refuse(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned());
    };
    let id = PartitionId { topic: topic.id, index: asked.partition_index };
    let Some(replicas) = &asked.replicas else {
        if broker.wish(id).is_some_and(|wish| wish.is_under_way()) {
            return Ok(Some((id, None)));
        }
        return refuse(ErrorCode::NoReassignmentInProgress, "No partition reassignment is in progress.".to_owned());
    };
    let (mut seen, brokers) = (BTreeSet::new(), broker.node_ids());
    let bad = |why: String| refuse(ErrorCode::InvalidReplicaAssignment, why);
    if let Some(twice) = replicas.iter().find(|id| !seen.insert(**id)) {
        return bad(format!("The manual partition assignment includes the broker {twice} more than once."));
    }
    if let Some(other) = replicas.iter().find(|id| !brokers.contains(id)) {
        return bad(format!("The manual partition assignment includes broker {other}, but no such broker is registered."));
    }
    match replicas.as_slice() {
        [] => bad("The manual partition assignment includes an empty replica list.".to_owned()),
        [leader] => Ok(broker.engine.cluster_view().map(|_| (id, Some(BrokerId(*leader))))),
        _ => refuse(ErrorCode::InvalidReplicationFactor, "A partition has one replica, its leader: the store keeps the copies.".to_owned()),
    }
}

pub(super) fn list(broker: &Broker, request: &ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    let view = broker.view();
    let is_asked = |name: &str, index: i32| {
        let of = |topic: &&floe_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics| {
            topic.name.as_str() == name && topic.partition_indexes.contains(&index)
        };
        request.topics.as_ref().is_none_or(|topics| topics.iter().any(|topic| of(&topic)))
    };
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    for (id, Wish { preferred, leader, .. }) in broker.wishes().into_iter().filter(|(_, wish)| wish.is_under_way()) {
        let Some(topic) = view.by_id(id.topic).filter(|topic| is_asked(&topic.name, id.index)) else { continue };
        let removing: Vec<i32> = leader.into_iter().collect();
        let partition = message!(OngoingPartitionReassignment {
            partition_index: id.index,
            replicas: [vec![preferred], removing.clone()].concat(),
            adding_replicas: vec![preferred],
            removing_replicas: removing,
        });
        match topics.last_mut().filter(|last| last.name.as_str() == topic.name) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(message!(OngoingTopicReassignment { name: topic.name.as_str().into(), partitions: vec![partition] })),
        }
    }
    message!(ListPartitionReassignmentsResponse { error_message: None, topics })
}
