//! DescribeProducers: the idempotent producers that a partition remembers (KIP-664).

use crate::broker::Broker;
use floe_formats::{ProducerUpdate, Topic};
use floe_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use floe_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use floe_protocol::{ErrorCode, message};
use std::sync::Arc;

/// Producers of one answer: a partition remembers up to 20,000, and a request may name it again and again.
const MAX_PRODUCERS: usize = 100_000;

pub(super) fn handle(broker: &Broker, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let view = broker.view();
    let mut left = MAX_PRODUCERS;
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = view.by_name(&asked.name);
            let partitions = asked.partition_indexes.into_iter().map(|index| partition(broker, topic, index, &mut left)).collect();
            message!(TopicResponse { name: asked.name, partitions })
        })
        .collect();
    message!(DescribeProducersResponse { topics })
}

fn partition(broker: &Broker, topic: Option<&Arc<Topic>>, index: i32, left: &mut usize) -> PartitionResponse {
    let refuse = |code: ErrorCode, why: Option<&str>| {
        let (error_code, error_message) = (code.code(), why.map(Into::into));
        message!(PartitionResponse { partition_index: index, error_code, error_message })
    };
    let too_many = || refuse(ErrorCode::PolicyViolation, Some("more producers than one answer holds; ask for fewer partitions at once"));
    if *left == 0 {
        return too_many();
    }
    let found = topic.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|topic| broker.partition(topic, index));
    let partition = match found {
        Ok(partition) => partition,
        Err(code) => return refuse(code, None),
    };
    let producers = partition.producers();
    let fits = producers.len() <= *left;
    *left = left.saturating_sub(producers.len());
    if !fits {
        return too_many();
    }
    message!(PartitionResponse { partition_index: index, active_producers: producers.iter().map(show).collect() })
}

fn show(producer: &ProducerUpdate) -> ProducerState {
    message!(ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: i32::from(producer.epoch),
        last_sequence: producer.batches.last().map_or(-1, |batch| batch.last_sequence),
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    })
}
