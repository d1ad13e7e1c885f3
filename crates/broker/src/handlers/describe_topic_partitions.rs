//! DescribeTopicPartitions: Metadata's partitions in pages, topics by name, with a cursor to go on from (KIP-966).

use super::metadata::{TOPIC_OPERATIONS, describe_partition};
use crate::broker::Broker;
use crate::broker::is_internal;
use floe_formats::Topic;
use floe_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition as Partition, DescribeTopicPartitionsResponseTopic as TopicResult,
};
use floe_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, uuid};
use floe_protocol::{ErrorCode, message};
use floe_types::{PartitionId, check_topic_name};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most partitions of one answer, whatever the client asks for (`max.request.partition.size.limit`).
const MAX_PARTITIONS: i32 = 2_000;

pub(super) fn handle(broker: &Broker, request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    if !is_valid(request) {
        let refused = |name: &str| message!(TopicResult { error_code: ErrorCode::InvalidRequest.code(), name: Some(name.into()) });
        let topics = request.topics.iter().map(|topic| refused(&topic.name)).collect();
        return message!(DescribeTopicPartitionsResponse { topics, next_cursor: None });
    }
    let view = broker.view();
    let (start, first) = request.cursor.as_ref().map_or(("", 0), |cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    let limit = request.response_partition_limit.clamp(1, MAX_PARTITIONS);
    let mut page = Page { broker, left: limit, topics: Vec::new(), next: None };
    if request.topics.is_empty() {
        for topic in view.topics().filter(|topic| topic.name.as_str() >= start) {
            page.add(&topic.name, Some(topic), if topic.name == start { first } else { 0 });
        }
    } else {
        let names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= start).collect();
        for name in names {
            page.add(name, view.by_name(name), if name == start { first } else { 0 });
        }
    }
    message!(DescribeTopicPartitionsResponse { topics: page.topics, next_cursor: page.next })
}

/// A cursor names one of the topics asked for, and a partition that can be.
fn is_valid(request: &DescribeTopicPartitionsRequest) -> bool {
    let Some(cursor) = &request.cursor else { return true };
    let named = request.topics.is_empty() || request.topics.iter().any(|topic| topic.name == cursor.topic_name);
    named && cursor.partition_index >= 0
}

/// An answer that is being filled.
struct Page<'a> {
    broker: &'a Broker,
    /// Partitions that it still takes.
    left: i32,
    topics: Vec<TopicResult>,
    /// Where the next page starts, once this one is full.
    next: Option<Cursor>,
}

impl Page<'_> {
    fn add(&mut self, name: &str, topic: Option<&Arc<Topic>>, first: i32) {
        if self.next.is_some() {
            return;
        }
        if self.left == 0 {
            self.next = Some(message!(Cursor { topic_name: name.into(), partition_index: first }));
            return;
        }
        let Some(topic) = topic else {
            let code = if check_topic_name(name).is_err() { ErrorCode::InvalidTopicException } else { ErrorCode::UnknownTopicOrPartition };
            let is_internal = is_internal(name);
            self.topics.push(message!(TopicResult { error_code: code.code(), name: Some(name.into()), is_internal }));
            return;
        };
        let end = first.saturating_add(self.left).min(topic.partitions);
        let partitions: Vec<_> = (first..end).map(|index| partition(self.broker, PartitionId { topic: topic.id, index })).collect();
        self.left -= i32::try_from(partitions.len()).unwrap_or(self.left);
        if end < topic.partitions {
            self.next = Some(message!(Cursor { topic_name: name.into(), partition_index: end }));
        }
        self.topics.push(message!(TopicResult {
            name: Some(name.into()),
            topic_id: uuid(topic.id),
            is_internal: is_internal(name),
            partitions,
            topic_authorized_operations: TOPIC_OPERATIONS,
        }));
    }
}

fn partition(broker: &Broker, id: PartitionId) -> Partition {
    let known = describe_partition(broker, id);
    message!(Partition {
        error_code: known.error_code,
        partition_index: known.partition_index,
        leader_id: known.leader_id,
        leader_epoch: known.leader_epoch,
        replica_nodes: known.replica_nodes,
        isr_nodes: known.isr_nodes,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: known.offline_replicas,
    })
}
