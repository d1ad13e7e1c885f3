//! Retention: which segments are too old, or too many, by the topic's settings. It only asks for a later log start; what
//! that means for records is an event in the partition's own log (R15).
//!
//! Whole segments go, oldest first, and only those that certain slots hold. As in Kafka a segment is as old as its
//! greatest timestamp, so that one from the future is kept, and keeps what follows it (T25). A segment whose records
//! have no timestamps is as old as this broker has known it.

use super::stopped::Work;
use crate::ReadError;
use crate::partition::Partition;
use crate::shared::Shared;
use floe_formats::{SegmentRef, Topic};
use floe_types::{Offset, PartitionId};
use std::sync::Arc;

/// The topic setting for the age at which records go, in milliseconds; negative: never.
pub const RETENTION_MS: &str = "retention.ms";
/// The topic setting for the size at which records go, in bytes; negative: never.
pub const RETENTION_BYTES: &str = "retention.bytes";
/// The topic setting that says whether old records are deleted at all.
pub const CLEANUP_POLICY: &str = "cleanup.policy";

/// How long a topic keeps its records. None: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retention {
    pub(crate) ms: Option<i64>,
    pub(crate) bytes: Option<u64>,
}

impl Retention {
    /// What a topic's settings say; what cannot be read keeps everything.
    pub(crate) fn of(topic: &Topic) -> Self {
        let policy = topic.configs.get(CLEANUP_POLICY).map_or("delete", String::as_str);
        if !policy.split(',').any(|word| word.trim() == "delete") {
            return Self::default();
        }
        let number = |name| topic.configs.get(name).and_then(|text| text.trim().parse::<i64>().ok());
        Self { ms: number(RETENTION_MS).filter(|ms| *ms >= 0), bytes: number(RETENTION_BYTES).and_then(|bytes| u64::try_from(bytes).ok()) }
    }

    fn keeps_everything(&self) -> bool {
        self.ms.is_none() && self.bytes.is_none()
    }
}

/// What lies below `end` has been known for as long as this: since unix milliseconds `at_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) end: Offset,
    pub(crate) at_ms: i64,
}

/// How far the log may begin later: the end of the last segment, counted from the first, that is to go. `known`: for
/// segments without timestamps.
pub(crate) fn expired<'a>(
    segments: impl Iterator<Item = &'a SegmentRef> + Clone,
    retention: Retention,
    now_ms: i64,
    known: Option<Known>,
) -> Option<Offset> {
    let mut size = segments.clone().fold(0_u64, |sum, segment| sum.saturating_add(segment.bytes));
    let mut start = None;
    for segment in segments {
        let written_ms = match segment.max_timestamp {
            0.. => Some(segment.max_timestamp),
            _ => known.filter(|known| segment.end_offset <= known.end).map(|known| known.at_ms),
        };
        let old = retention.ms.zip(written_ms).is_some_and(|(ms, written)| now_ms.saturating_sub(written) > ms);
        let left = size.saturating_sub(segment.bytes);
        let surplus = retention.bytes.is_some_and(|bytes| left >= bytes);
        if !old && !surplus {
            break;
        }
        size = left;
        start = Some(segment.end_offset);
    }
    start
}

/// Looks through all partitions at every check, for as long as the incarnation lives.
pub(crate) async fn run(shared: Arc<Shared>, topics: Arc<floe_metadata::Catalog>) {
    loop {
        shared.env.sleep(shared.options.retention_check).await;
        if shared.ended.get().is_some() {
            return;
        }
        for topic in topics.view().topics() {
            let retention = Retention::of(topic);
            if retention.keeps_everything() {
                continue;
            }
            for index in 0..topic.partitions {
                if let Some(partition) = shared.partition(PartitionId { topic: topic.id, index }) {
                    check(&shared, &partition, retention).await;
                }
            }
        }
    }
}

async fn check(shared: &Shared, partition: &Arc<Partition>, retention: Retention) {
    if shared.stopped.waits(Work::Retention, partition.id(), partition.offsets().log_start, shared.env.monotonic()) {
        return;
    }
    match partition.ensure_newest().await {
        Ok(()) => shared.stopped.over(Work::Retention, partition.id()),
        Err(ReadError::Damaged(damage)) => return shared.stopped.stop(Work::Retention, *damage, shared.env.monotonic()),
        Err(error) => return tracing::debug!(partition = %partition.id(), %error, "retention waits for the manifest"),
    }
    if let Some(start) = partition.expired(retention, shared.env.now_ms()) {
        tracing::debug!(partition = %partition.id(), start, "retention moves the log start");
        partition.raise_log_start(start);
    }
}

#[cfg(test)]
mod tests;
