//! OffsetCommit: answered once the offsets are durable. Partitions that are not there are refused each by itself.

use super::join_group::{name, text};
use crate::broker::Broker;
use crate::errors;
use floe_coordinator::{Commit, CommitPartition, GroupError, Name, Reply, Request};
use floe_metadata::View;
use floe_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use floe_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use floe_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use floe_protocol::{ErrorCode, message};

/// First version that tells a group that is not there.
const GROUP_NOT_FOUND: i16 = 9;

pub(super) async fn handle(broker: &Broker, version: i16, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let view = broker.view();
    let plans: Vec<TopicPlan> = request.topics.into_iter().map(|topic| TopicPlan::new(&view, topic)).collect();
    let group = name(&request.group_id);
    let commit = Commit {
        group: group.clone(),
        generation: request.generation_id_or_member_epoch,
        member: name(&request.member_id),
        instance: request.group_instance_id.as_ref().map(name),
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms >= 0),
        tells_missing_group: version >= GROUP_NOT_FOUND,
        topics: plans.iter().map(|plan| (plan.name.clone(), plan.wanted())).collect(),
    };
    let outcome = match broker.groups.call(&group, Request::Commit(commit)).await {
        Ok(Reply::Committed(topics)) => Ok(topics),
        Ok(_) => Err(GroupError::UnknownServerError),
        Err(error) => Err(error),
    };
    let topics = match outcome {
        Ok(committed) => plans
            .into_iter()
            .zip(committed)
            .map(|(plan, (_, outcomes))| plan.show(&mut outcomes.into_iter().map(|(_, error)| error)))
            .collect(),
        Err(error) => plans.into_iter().map(|plan| plan.show(&mut std::iter::repeat(Some(error)))).collect(),
    };
    message!(OffsetCommitResponse { topics })
}

/// A topic of the request, and which of its partitions are there.
struct TopicPlan {
    name: Name,
    partitions: Vec<(i32, Option<CommitPartition>)>,
}

impl TopicPlan {
    fn new(view: &View, topic: OffsetCommitRequestTopic) -> Self {
        let count = view.by_name(&topic.name).map_or(0, |topic| topic.partitions);
        let plan = |partition: floe_protocol::messages::offset_commit_request::OffsetCommitRequestPartition| {
            let index = partition.partition_index;
            let wanted = (0..count).contains(&index).then(|| CommitPartition {
                index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
            });
            (index, wanted)
        };
        Self { name: name(&topic.name), partitions: topic.partitions.into_iter().map(plan).collect() }
    }

    fn wanted(&self) -> Vec<CommitPartition> {
        self.partitions.iter().filter_map(|(_, wanted)| wanted.clone()).collect()
    }

    /// The answer, from the outcomes of those partitions that are there.
    fn show(self, outcomes: &mut impl Iterator<Item = Option<GroupError>>) -> OffsetCommitResponseTopic {
        let partitions = self
            .partitions
            .into_iter()
            .map(|(partition_index, wanted)| {
                let error_code = match wanted {
                    Some(_) => errors::code_of_group(outcomes.next().unwrap_or(Some(GroupError::UnknownServerError))),
                    None => ErrorCode::UnknownTopicOrPartition.code(),
                };
                message!(OffsetCommitResponsePartition { partition_index, error_code })
            })
            .collect();
        message!(OffsetCommitResponseTopic { name: text(&self.name), partitions })
    }
}
