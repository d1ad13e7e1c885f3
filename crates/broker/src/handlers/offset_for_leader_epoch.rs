//! OffsetForLeaderEpoch: where an epoch ended (KIP-320), from the same table that stamps epochs into batches (T44).

use crate::broker::{Broker, check_leader_epoch};
use floe_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use floe_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use floe_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use floe_protocol::{ErrorCode, message};

pub(super) fn handle(broker: &Broker, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let view = broker.view();
    let topics = request
        .topics
        .into_iter()
        .map(|asked| {
            let topic = view.by_name(&asked.topic).ok_or(ErrorCode::UnknownTopicOrPartition);
            let partitions = asked
                .partitions
                .iter()
                .map(|partition| {
                    let end = topic.and_then(|topic| end_of_epoch(broker, topic, partition));
                    let (code, (leader_epoch, end_offset)) = match end {
                        Ok(end) => (ErrorCode::None, end),
                        Err(code) => (code, (-1, -1)),
                    };
                    message!(EpochEndOffset { error_code: code.code(), partition: partition.partition, leader_epoch, end_offset })
                })
                .collect();
            message!(OffsetForLeaderTopicResult { topic: asked.topic, partitions })
        })
        .collect();
    message!(OffsetForLeaderEpochResponse { topics })
}

fn end_of_epoch(broker: &Broker, topic: &floe_formats::Topic, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
    let partition = broker.partition(topic, asked.partition)?;
    check_leader_epoch(&partition, asked.current_leader_epoch)?;
    Ok(partition.end_of_epoch(asked.leader_epoch).unwrap_or((-1, -1)))
}
