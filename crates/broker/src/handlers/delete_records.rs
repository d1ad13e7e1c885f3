//! DeleteRecords: moves a partition's log start. Answered once that is committed in the partition's own log.

use crate::broker::Broker;
use crate::errors;
use floe_formats::Topic;
use floe_protocol::messages::delete_records_request::DeleteRecordsPartition;
use floe_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use floe_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, StrBytes};
use floe_protocol::{ErrorCode, message};
use futures::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait, whatever the client asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// "Everything that is committed".
const HIGH_WATERMARK: i64 = -1;

pub(super) async fn handle(broker: &Broker, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(MAX_TIMEOUT);
    let view = broker.view();
    let doubled = doubled(&request);
    // All at once: they share the slots that their events need.
    let deletions = request.topics.iter().flat_map(|asked| {
        let topic = view.by_name(&asked.name);
        let doubled = &doubled;
        asked.partitions.iter().map(move |partition| async move {
            let index = partition.partition_index;
            if doubled.contains(&(asked.name.clone(), index)) {
                return (index, Err(ErrorCode::InvalidRequest));
            }
            (index, delete(broker, topic, partition, timeout).await)
        })
    });
    let mut answers = join_all(deletions.collect::<Vec<_>>()).await.into_iter();
    let topics = request
        .topics
        .iter()
        .map(|asked| {
            let partitions = answers.by_ref().take(asked.partitions.len()).map(|(index, result)| result_of(index, result)).collect();
            message!(DeleteRecordsTopicResult { name: asked.name.clone(), partitions })
        })
        .collect();
    message!(DeleteRecordsResponse { topics })
}

/// Partitions that are asked for more than once.
fn doubled(request: &DeleteRecordsRequest) -> BTreeSet<(StrBytes, i32)> {
    let mut seen = BTreeSet::new();
    let all = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.clone(), p.partition_index)));
    all.filter(|asked| !seen.insert(asked.clone())).collect()
}

fn result_of(index: i32, result: Result<i64, ErrorCode>) -> DeleteRecordsPartitionResult {
    let (code, low_watermark) = match result {
        Ok(low_watermark) => (ErrorCode::None, low_watermark),
        Err(code) => (code, -1),
    };
    message!(DeleteRecordsPartitionResult { partition_index: index, low_watermark, error_code: code.code() })
}

async fn delete(broker: &Broker, topic: Option<&Arc<Topic>>, asked: &DeleteRecordsPartition, timeout: Duration) -> Result<i64, ErrorCode> {
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = broker.partition(topic, asked.partition_index)?;
    if !deletes(topic) {
        return Err(ErrorCode::PolicyViolation);
    }
    let before = (asked.offset != HIGH_WATERMARK).then_some(asked.offset);
    match broker.env.timeout(timeout, partition.delete_records(before)).await {
        Ok(Ok(log_start)) => Ok(log_start),
        Ok(Err(error)) => Err(errors::of_delete(&error)),
        // It happens all the same, later.
        Err(_) => Err(ErrorCode::RequestTimedOut),
    }
}

/// A compacted topic keeps the last record of each key: only its `delete` policy lets records go.
fn deletes(topic: &Topic) -> bool {
    let policy = topic.configs.get(floe_log::CLEANUP_POLICY).map_or("delete", String::as_str);
    policy.split(',').any(|word| word.trim() == "delete")
}
