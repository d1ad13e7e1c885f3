//! OffsetDelete: offsets of topics that the group does not consume go.

use super::join_group::{name, text};
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::{GroupError, Name, Reply, Request, TopicPartitions};
use floe_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use floe_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use floe_protocol::{ErrorCode, message};

pub(super) async fn handle(broker: &Broker, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let group = name(&request.group_id);
    let view = broker.view();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for topic in request.topics {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        let there = view.by_name(&topic.name).is_some();
        let topic = TopicPartitions { topic: name(&topic.name), partitions };
        if there { known.push(topic) } else { unknown.push(topic) }
    }
    match broker.groups.call(&group, Request::DeleteOffsets { group: group.clone(), topics: known }).await {
        Ok(Reply::DeletedOffsets(deleted)) => {
            let code = ErrorCode::UnknownTopicOrPartition.code();
            let unknown = unknown.into_iter().map(|t| (t.topic, t.partitions.into_iter().map(|index| (index, code)).collect()));
            let known = deleted.into_iter().map(|(topic, partitions)| {
                (topic, partitions.into_iter().map(|(index, error)| (index, errors::code_of_group(error))).collect())
            });
            let topics = known.chain(unknown).map(show).collect();
            message!(OffsetDeleteResponse { topics })
        }
        Ok(_) => message!(OffsetDeleteResponse { error_code: errors::of_group(GroupError::UnknownServerError).code() }),
        Err(error) => message!(OffsetDeleteResponse { error_code: errors::of_group(error).code() }),
    }
}

fn show((topic, partitions): (Name, Vec<(i32, i16)>)) -> OffsetDeleteResponseTopic {
    let partition = |(partition_index, error_code)| message!(OffsetDeleteResponsePartition { partition_index, error_code });
    message!(OffsetDeleteResponseTopic { name: text(&topic), partitions: partitions.into_iter().map(partition).collect() })
}
