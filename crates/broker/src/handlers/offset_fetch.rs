//! OffsetFetch: what groups have committed. A group or partition that nobody committed for has none, and that is no error
//! (T43).

use super::join_group::{name, text};
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::{CommittedOffset, Fetch, GroupError, Name, Reply, Request, TopicPartitions};
use floe_protocol::message;
use floe_protocol::messages::offset_fetch_response::{OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics};
use floe_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, StrBytes};

/// First versions with: no topics meaning all of them, and many groups at once.
const NULL_IS_ALL: i16 = 2;
const BATCHED: i16 = 8;

pub(super) async fn handle(broker: &Broker, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let wanted = |topic: &StrBytes, partitions: Vec<i32>| TopicPartitions { topic: name(topic), partitions };
    let mut groups = Vec::new();
    if version < BATCHED {
        let topics = request.topics.map(|topics| topics.into_iter().map(|t| wanted(&t.name, t.partition_indexes)).collect());
        let topics = if version < NULL_IS_ALL { Some(topics.unwrap_or_default()) } else { topics };
        groups.push(fetch(broker, request.group_id, topics).await);
    } else {
        for group in request.groups {
            let topics = group.topics.map(|topics| topics.into_iter().map(|t| wanted(&t.name, t.partition_indexes)).collect());
            groups.push(fetch(broker, group.group_id, topics).await);
        }
    }
    message!(OffsetFetchResponse { groups })
}

async fn fetch(broker: &Broker, group_id: StrBytes, topics: Option<Vec<TopicPartitions>>) -> OffsetFetchResponseGroup {
    let group = name(&group_id);
    let asked = topics.clone().unwrap_or_default();
    let error = match broker.groups.call(&group, Request::Fetch(Fetch { group: group.clone(), topics })).await {
        Ok(Reply::Fetched(fetched)) => {
            let topics = fetched.into_iter().map(show).collect();
            return message!(OffsetFetchResponseGroup { group_id, topics });
        }
        Ok(_) => GroupError::UnknownServerError,
        Err(error) => error,
    };
    // Old clients look for the code at the partitions.
    let none =
        |TopicPartitions { topic, partitions }: TopicPartitions| (topic, partitions.into_iter().map(|index| (index, None)).collect());
    let topics = asked.into_iter().map(none).map(show).collect();
    message!(OffsetFetchResponseGroup { group_id, topics, error_code: errors::of_group(error).code() })
}

fn show((topic, partitions): (Name, Vec<(i32, Option<CommittedOffset>)>)) -> OffsetFetchResponseTopics {
    let partitions = partitions
        .into_iter()
        .map(|(partition_index, committed)| match committed {
            Some(committed) => message!(OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                metadata: Some(text(&committed.metadata)),
            }),
            None => message!(OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: -1,
                committed_leader_epoch: -1,
                metadata: Some(StrBytes::default()),
            }),
        })
        .collect();
    message!(OffsetFetchResponseTopics { name: text(&topic), partitions })
}
