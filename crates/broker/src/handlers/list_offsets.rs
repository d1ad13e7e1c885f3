//! ListOffsets: the special offsets, and the first offset at or after a time.

use crate::broker::{Broker, check_leader_epoch};
use crate::errors;
use floe_formats::Topic;
use floe_log::Partition;
use floe_protocol::messages::list_offsets_request::ListOffsetsPartition;
use floe_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use floe_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, StrBytes};
use floe_protocol::{ErrorCode, message};
use futures::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a client may ask for instead of a time, and since which version.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: (i64, i16) = (-3, 7);
const EARLIEST_LOCAL: (i64, i16) = (-4, 8);
const LATEST_TIERED: (i64, i16) = (-5, 9);

/// Partitions looked up side by side: a look-up by time may have to read from the store.
const PARALLEL: usize = 16;

/// An answer: offset, its timestamp, the epoch of its record. -1 for what does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    offset: i64,
    timestamp: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found { offset: -1, timestamp: -1, leader_epoch: -1 };

pub(super) async fn handle(broker: &Broker, version: i16, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let view = broker.view();
    let doubled = doubled(&request);
    let mut look_ups = Vec::new();
    for asked in &request.topics {
        let topic = view.by_name(&asked.name);
        for partition in &asked.partitions {
            let doubled = doubled.contains(&(asked.name.clone(), partition.partition_index));
            look_ups.push(look_up(broker, version, topic, partition, doubled));
        }
    }
    let mut answers = stream::iter(look_ups).buffered(PARALLEL).collect::<Vec<_>>().await.into_iter();
    let topics = request
        .topics
        .iter()
        .map(|asked| {
            let partitions = answers.by_ref().take(asked.partitions.len()).collect();
            message!(ListOffsetsTopicResponse { name: asked.name.clone(), partitions })
        })
        .collect();
    message!(ListOffsetsResponse { topics })
}

async fn look_up(
    broker: &Broker,
    version: i16,
    topic: Option<&Arc<Topic>>,
    asked: &ListOffsetsPartition,
    doubled: bool,
) -> ListOffsetsPartitionResponse {
    let found = if doubled { Err(ErrorCode::InvalidRequest) } else { find(broker, version, topic, asked).await };
    response(asked.partition_index, found)
}

/// Partitions that are asked for more than once.
fn doubled(request: &ListOffsetsRequest) -> BTreeSet<(StrBytes, i32)> {
    let mut seen = BTreeSet::new();
    let all = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.clone(), p.partition_index)));
    all.filter(|asked| !seen.insert(asked.clone())).collect()
}

fn response(index: i32, found: Result<Found, ErrorCode>) -> ListOffsetsPartitionResponse {
    let (code, Found { offset, timestamp, leader_epoch }) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, NOTHING),
    };
    message!(ListOffsetsPartitionResponse { partition_index: index, error_code: code.code(), timestamp, offset, leader_epoch })
}

async fn find(broker: &Broker, version: i16, topic: Option<&Arc<Topic>>, asked: &ListOffsetsPartition) -> Result<Found, ErrorCode> {
    let partition = broker.partition(topic.ok_or(ErrorCode::UnknownTopicOrPartition)?, asked.partition_index)?;
    check_leader_epoch(&partition, asked.current_leader_epoch)?;
    let offsets = partition.offsets();
    let known = |(special, since): (i64, i16)| asked.timestamp == special && version >= since;
    match asked.timestamp {
        LATEST => Ok(Found { offset: offsets.committed, timestamp: -1, leader_epoch: partition.leader_epoch() }),
        EARLIEST => Ok(at(&partition, offsets.log_start)),
        _ if known(EARLIEST_LOCAL) => Ok(at(&partition, offsets.log_start)),
        // Kafka's tiers do not exist here.
        _ if known(LATEST_TIERED) => Ok(NOTHING),
        _ if known(MAX_TIMESTAMP) => by_time(broker, &partition, partition.offset_of_max_timestamp().await),
        timestamp @ 0.. => by_time(broker, &partition, partition.offset_for_time(timestamp).await),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn by_time(broker: &Broker, partition: &Partition, found: Result<Option<(i64, i64)>, floe_log::ReadError>) -> Result<Found, ErrorCode> {
    match found {
        Ok(Some((offset, timestamp))) => Ok(Found { timestamp, ..at(partition, offset) }),
        Ok(None) => Ok(NOTHING),
        Err(error) => {
            errors::log_read(broker, partition.id(), -1, &error);
            Err(errors::of_read(&error))
        }
    }
}

/// An offset, with the epoch that its record has or will have.
fn at(partition: &Partition, offset: i64) -> Found {
    let epochs = partition.epochs();
    let leader_epoch = epochs.iter().rev().find(|epoch| epoch.start <= offset).map_or(-1, |epoch| epoch.epoch);
    Found { offset, timestamp: -1, leader_epoch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_protocol::messages::list_offsets_request::ListOffsetsTopic;

    #[test]
    fn a_partition_asked_for_twice_is_found() {
        let partition = |index| message!(ListOffsetsPartition { partition_index: index });
        let topic = |name: &str, indexes: &[i32]| {
            message!(ListOffsetsTopic { name: name.into(), partitions: indexes.iter().map(|i| partition(*i)).collect() })
        };
        let request = message!(ListOffsetsRequest { topics: vec![topic("a", &[0, 1, 0]), topic("b", &[0, 1]), topic("b", &[1])] });
        let expected = BTreeSet::from([("a".into(), 0), ("b".into(), 1)]);
        assert_eq!(doubled(&request), expected);
    }
}
