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
use floe_formats::{PageRef, SegmentRef, Topic};
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

/// How far the log may begin later, as its segments are looked at one after the other from the first on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    retention: Retention,
    now_ms: i64,
    /// For segments without timestamps.
    known: Option<Known>,
    /// Bytes of this segment and of all that follow.
    size: u64,
    start: Option<Offset>,
}

impl Expiry {
    /// `size`: bytes of all segments.
    pub(crate) fn new(retention: Retention, now_ms: i64, known: Option<Known>, size: u64) -> Self {
        Self { retention, now_ms, known, size, start: None }
    }

    /// Whether the next segment is to go.
    pub(crate) fn takes(&self, segment: &SegmentRef) -> bool {
        let written_ms = match segment.max_timestamp {
            0.. => Some(segment.max_timestamp),
            _ => self.known.filter(|known| segment.end_offset <= known.end).map(|known| known.at_ms),
        };
        self.lets_go(written_ms, segment.bytes)
    }

    fn lets_go(&self, written_ms: Option<i64>, bytes: u64) -> bool {
        let old = self.retention.ms.zip(written_ms).is_some_and(|(ms, written)| self.now_ms.saturating_sub(written) > ms);
        let left = self.size.saturating_sub(bytes);
        old || self.retention.bytes.is_some_and(|most| left >= most)
    }

    /// The same, and goes on to the one behind if it is.
    pub(crate) fn take(&mut self, segment: &SegmentRef) -> bool {
        let taken = self.takes(segment);
        if taken {
            self.pass(segment.bytes, segment.end_offset);
        }
        taken
    }

    /// The same for all that a page names, where nobody can tell what that is: it goes when the newest of it is to go.
    pub(crate) fn take_page(&mut self, page: &PageRef) -> bool {
        let written_ms = (page.min_timestamp >= 0).then_some(page.max_timestamp);
        let taken = self.lets_go(written_ms, page.bytes);
        if taken {
            self.pass(page.bytes, page.end_offset);
        }
        taken
    }

    fn pass(&mut self, bytes: u64, end: Offset) {
        self.size = self.size.saturating_sub(bytes);
        self.start = Some(end);
    }

    /// The end of the last one that is to go.
    pub(crate) fn start(&self) -> Option<Offset> {
        self.start
    }
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
    match expired(shared, partition, retention).await {
        Ok(start) => {
            shared.stopped.over(Work::Retention, partition.id());
            if let Some(start) = start {
                tracing::debug!(partition = %partition.id(), start, "retention moves the log start");
                partition.raise_log_start(start);
            }
        }
        Err(ReadError::Damaged(damage)) => shared.stopped.stop(Work::Retention, *damage, shared.env.monotonic()),
        Err(error) => tracing::debug!(partition = %partition.id(), %error, "retention waits for the manifest, or a page of it"),
    }
}

async fn expired(shared: &Shared, partition: &Partition, retention: Retention) -> Result<Option<Offset>, ReadError> {
    partition.ensure_newest().await?;
    partition.expired(retention, shared.env.now_ms()).await
}

#[cfg(test)]
mod tests;
