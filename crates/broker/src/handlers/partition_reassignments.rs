//! AlterPartitionReassignments and ListPartitionReassignments: with one broker every partition is where it can be. An
//! assignment to this broker is what is there already, to any other it is refused; nothing is ever under way.

use crate::broker::Broker;
use crate::errors::Refusal;
use floe_formats::Topic;
use floe_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use floe_protocol::messages::alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse};
use floe_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ListPartitionReassignmentsResponse,
};
use floe_protocol::{ErrorCode, message};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn alter(broker: &Broker, request: AlterPartitionReassignmentsRequest) -> AlterPartitionReassignmentsResponse {
    let view = broker.view();
    let responses = request.topics.into_iter().map(|asked| {
        let topic = view.by_name(&asked.name);
        let partitions = asked.partitions.iter().map(|partition| {
            let answer = check(broker.id(), topic, partition);
            let (code, why) = answer.map_or_else(|refusal| (refusal.code.code(), Some(refusal.message.into())), |()| (0, None));
            message!(ReassignablePartitionResponse { partition_index: partition.partition_index, error_code: code, error_message: why })
        });
        let partitions = partitions.collect();
        message!(ReassignableTopicResponse { name: asked.name, partitions })
    });
    message!(AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        error_message: None,
        responses: responses.collect(),
    })
}

fn check(this: i32, topic: Option<&Arc<Topic>>, asked: &ReassignablePartition) -> Result<(), Refusal> {
    let refuse = |code, why: String| Err(Refusal::new(code, why));
    let topic = topic.filter(|topic| (0..topic.partitions).contains(&asked.partition_index));
    if topic.is_none() {
        return refuse(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned());
    }
    let Some(replicas) = &asked.replicas else {
        return refuse(ErrorCode::NoReassignmentInProgress, "No partition reassignment is in progress.".to_owned());
    };
    let mut seen = BTreeSet::new();
    let bad = |why: String| refuse(ErrorCode::InvalidReplicaAssignment, why);
    if replicas.is_empty() {
        return bad("The manual partition assignment includes an empty replica list.".to_owned());
    }
    if let Some(twice) = replicas.iter().find(|id| !seen.insert(**id)) {
        return bad(format!("The manual partition assignment includes the broker {twice} more than once."));
    }
    match replicas.iter().find(|id| **id != this) {
        Some(other) => bad(format!("The manual partition assignment includes broker {other}, but no such broker is registered.")),
        None => Ok(()),
    }
}

pub(super) fn list() -> ListPartitionReassignmentsResponse {
    message!(ListPartitionReassignmentsResponse { error_message: None })
}
