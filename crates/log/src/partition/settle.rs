//! What of a partition is due to be settled.

use super::{Partition, State};
use crate::history::pages::{Draft, Opened};
use crate::history::publish;
use crate::history::settle::{Job, Merged};
use crate::history::stopped::Work;
use crate::shared::Shared;
use floe_formats::{Manifest, SegmentRef};
use floe_types::Offset;
use std::sync::Arc;

impl Partition {
    /// Whether the manifest is known that a new version is to be built on.
    pub(crate) fn knows_newest(&self) -> bool {
        self.state.lock().history_is_newest
    }

    pub(crate) fn manifest(&self) -> Option<Arc<Manifest>> {
        self.state.lock().history.manifest().cloned()
    }

    /// Waits until nobody else of this incarnation publishes this partition's manifest.
    pub(crate) async fn alone_to_publish(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.publishing.lock().await
    }

    /// Waits until nobody else of this incarnation settles this partition.
    pub(crate) async fn alone_to_settle(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.settling.lock().await
    }

    /// Whether what owners before this one have left has been swept.
    pub(crate) fn is_swept(&self) -> bool {
        self.state.lock().swept
    }

    pub(crate) fn set_swept(&self) {
        self.state.lock().swept = true;
    }

    /// Whether the log start has moved since the manifest was made.
    pub(crate) fn has_passed_records(&self) -> bool {
        let state = self.state.lock();
        state.history.manifest().is_some_and(|manifest| manifest.log_start < state.line.log_start)
    }

    /// What is to be settled next; without sources where only the log start has to be told. None where nothing is due:
    /// that takes enough in slots, or a part of it for long enough, or an own pack that is wholly deleted.
    pub(crate) fn settle_job(&self) -> Option<Job> {
        let mut state = self.state.lock();
        if state.closed.is_some() {
            return None;
        }
        let log_start = state.line.log_start;
        let from = state.history.end().max(log_start);
        // Where settling has stopped, a later log start is told all the same.
        let stopped = self.shared.stopped.waits(Work::Settling, self.id, log_start, self.shared.env.monotonic());
        let sources =
            if !stopped && state.merge_is_due(&self.shared) { state.sources(self.shared.options.settle_bytes) } else { Vec::new() };
        if sources.is_empty() && !state.drops_a_pack() {
            return None;
        }
        Some(Job { from, log_start, sources })
    }

    /// The next version of the manifest on top of `before`, of which `opened` is opened. None if what was merged does not fit it.
    pub(crate) fn next_manifest(&self, before: Option<&Manifest>, opened: Opened, merged: Option<&Merged>) -> Option<Draft> {
        let state = {
            let state = self.state.lock();
            state.closed.is_none().then(|| floe_formats::PartitionIndex { segments: Vec::new(), ..state.line.to_index() })?
        };
        publish::next(before, opened, merged, state, self.shared.incarnation)
    }
}

impl State {
    fn merge_is_due(&mut self, shared: &Shared) -> bool {
        let (options, now) = (&shared.options, shared.env.monotonic());
        let bytes: u64 = self.unsettled().map(|segment| segment.bytes).sum();
        self.unsettled_since = if bytes == 0 { None } else { Some(self.unsettled_since.unwrap_or(now)) };
        let old = self.unsettled_since.is_some_and(|since| now.saturating_sub(since) >= options.settle_age);
        let wanted = self.unsettled().next().is_some_and(|first| first.base_offset < self.settle_before);
        wanted || bytes >= options.settle_bytes || (old && bytes >= options.settle_least_bytes)
    }

    /// The oldest unsettled segments, of `target` bytes together.
    fn sources(&self, target: u64) -> Vec<SegmentRef> {
        let (mut sources, mut bytes) = (Vec::new(), 0);
        for source in self.unsettled() {
            if !sources.is_empty() && bytes + source.bytes > target {
                break;
            }
            bytes += source.bytes;
            sources.push(source.clone());
        }
        sources
    }

    /// The segments in slots that hold something to keep and that no own pack holds.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &SegmentRef> {
        let from: Offset = self.history.end().max(self.line.log_start);
        self.line.segments.iter().filter(move |segment| segment.end_offset > from)
    }

    /// Whether the manifest names a pack that lies wholly below the log start.
    fn drops_a_pack(&self) -> bool {
        let log_start = self.line.log_start;
        match (self.history.pages().first(), self.history.manifest()) {
            (Some(first), Some(manifest)) => {
                // In a page that is cut, packs end where the one begins that the log start lies in.
                let passed = self.oldest().is_some_and(|oldest| oldest.segment.base_offset > manifest.log_start.max(first.base_offset));
                first.end_offset <= log_start || passed
            }
            _ => self.history.segments().first().is_some_and(|first| first.end_offset <= log_start),
        }
    }
}
