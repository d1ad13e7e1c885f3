//! What a group has committed, and committing for one that has no members.

use crate::commands::topic::{self, LATEST};
use crate::exit::Failure;
use crate::kafka::{Kafka, check};
use floe_protocol::message;
use floe_protocol::messages::{
    MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
    metadata_request::MetadataRequestTopic,
    offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch_request::OffsetFetchRequestGroup,
};
use std::collections::BTreeMap;

/// First version of OffsetFetch that asks for many groups.
const BATCHED: i16 = 8;

/// Everything that the group has committed, by topic and partition.
pub(crate) async fn committed(kafka: &mut Kafka, group: &str) -> Result<BTreeMap<(String, i32), i64>, Failure> {
    let address = kafka.coordinator(group).await?;
    let make = |version| {
        if version < BATCHED {
            return message!(OffsetFetchRequest { group_id: group.into(), topics: None });
        }
        let of = message!(OffsetFetchRequestGroup { group_id: group.into(), member_id: None, member_epoch: -1, topics: None });
        message!(OffsetFetchRequest { groups: vec![of], topics: Some(Vec::new()) })
    };
    let answer = kafka.ask_at(&address, make).await?;
    let what = format!("offsets of group {group}");
    check(&what, answer.error_code, None)?;
    let old = answer
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p.partition_index, p.error_code, p.committed_offset)));
    let mut found: Vec<_> = old.collect();
    for group in &answer.groups {
        check(&what, group.error_code, None)?;
        found.extend(
            group
                .topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p.partition_index, p.error_code, p.committed_offset))),
        );
    }
    let mut committed = BTreeMap::new();
    for (topic, partition, code, offset) in found {
        check(&format!("{what}: {} {partition}", topic.as_str()), code, None)?;
        if offset >= 0 {
            committed.insert((topic.to_string(), partition), offset);
        }
    }
    Ok(committed)
}

/// Commits for a group that has no members.
pub(crate) async fn commit(kafka: &mut Kafka, group: &str, offsets: &BTreeMap<(String, i32), i64>) -> Result<(), Failure> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition_index), offset) in offsets {
        let partition = message!(OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: None,
        });
        topics.entry(topic).or_default().push(partition);
    }
    let topics =
        topics.into_iter().map(|(name, partitions)| message!(OffsetCommitRequestTopic { name: name.into(), partitions })).collect();
    let request = message!(OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        group_instance_id: None,
        retention_time_ms: -1_i64,
        topics,
    });
    let address = kafka.coordinator(group).await?;
    let answer = kafka.ask_at(&address, |_| request).await?;
    for (topic, partition) in answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition))) {
        let what = format!("group {group}, {} {}", topic.name.as_str(), partition.partition_index);
        if partition.error_code == UNKNOWN_MEMBER {
            return Err(Failure::error(format!("group {group}: it has members; its offsets are theirs while they are there")));
        }
        check(&what, partition.error_code, None)?;
    }
    Ok(())
}

/// What a coordinator says to who is no member of a group that has some.
const UNKNOWN_MEMBER: i16 = 25;

/// Where each partition of a topic ends; nothing for a topic that is not there any more.
pub(super) async fn ends(kafka: &mut Kafka, name: &str) -> Result<BTreeMap<i32, i64>, Failure> {
    let asked = message!(MetadataRequestTopic { name: Some(name.into()) });
    let request = message!(MetadataRequest { topics: Some(vec![asked]), allow_auto_topic_creation: false });
    let answer = kafka.ask(|_| request).await?;
    if answer.topics.iter().any(|topic| topic.error_code == UNKNOWN_TOPIC) {
        return Ok(BTreeMap::new());
    }
    let topic = kafka.topic(name, false).await?;
    topic::offsets(kafka, &topic, LATEST).await
}

const UNKNOWN_TOPIC: i16 = 3;
