//! What of a partition is due to be compacted, and whether it may be: an event in the partition's own log, in a certain slot
//! of this incarnation's row, says so before any record is left out (R15). Its place is behind all that it allows, so that
//! every newer record for whose sake an older one goes is in a certain slot, too.

use super::{Partition, State};
use crate::history::compact::Compaction;
use floe_formats::{Manifest, PartitionEvent, Segment};
use floe_types::{LeaderEpoch, Offset};
use std::sync::Arc;

/// How far compaction is allowed.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// Asked for, in no segment yet.
    wanted: Option<Offset>,
    /// The greatest that a segment on its way holds.
    sent: Offset,
    /// The greatest that a certain slot of this row holds.
    certain: Offset,
}

/// What is to be compacted: segments in own packs, from `from` up to `end`.
#[derive(Debug)]
pub(crate) struct CompactionJob {
    /// Below it no key occurs twice.
    pub(crate) from: Offset,
    pub(crate) end: Offset,
    /// What places all of it, as it is now.
    pub(crate) manifest: Arc<Manifest>,
    /// The newest certain record: it stays, so that readers find where the log ends.
    pub(crate) newest: Offset,
}

/// What is next.
#[derive(Debug)]
pub(crate) enum NextCompaction {
    /// Nothing: look again at the next check.
    Nothing,
    /// Something is on its way that has to come before: look again soon.
    Waits,
    /// The manifest has to be read first.
    Unread,
    Job(CompactionJob),
}

impl Allowance {
    /// The event for the segment that is being planned.
    pub(super) fn take(&mut self) -> Option<PartitionEvent> {
        let before = self.wanted.take()?;
        self.sent = before;
        Some(PartitionEvent::Compaction { before })
    }

    /// Whether something was asked for that is not certain yet.
    pub(super) fn is_under_way(&self) -> bool {
        self.wanted.is_some() || self.sent > self.certain
    }

    /// A slot of this row with this segment is certain. What an owner before this one was allowed counts no more.
    pub(super) fn certain(&mut self, segment: &Segment, epoch: LeaderEpoch) {
        for event in segment.events.iter().filter(|_| segment.epoch == epoch) {
            if let PartitionEvent::Compaction { before } = event {
                self.certain = self.certain.max(*before);
            }
        }
    }
}

impl Partition {
    /// What is to be compacted now. Asks for what has to come before: that records move to own packs, and the event that
    /// allows it.
    pub(crate) fn next_compaction(self: &Arc<Self>, settings: &Compaction, now_ms: i64) -> NextCompaction {
        let mut state = self.state.lock();
        if state.check_appendable().is_err() {
            return NextCompaction::Nothing;
        }
        if !state.history_is_newest {
            // A partition that never had an own pack, and has little, needs none.
            let looks = state.line.manifest.is_some() || state.line_bytes() >= self.shared.options.settle_least_bytes;
            return if looks || settings.max_lag_ms < i64::MAX { NextCompaction::Unread } else { NextCompaction::Nothing };
        }
        let Some(end) = state.cleanable_end(settings, now_ms, self.shared.options.settle_least_bytes) else {
            return NextCompaction::Nothing;
        };
        // What is in slots is settled first, by its own task.
        if state.history.end() < end {
            state.settle_before = state.settle_before.max(end);
            self.shared.history.want_settle();
        }
        let (from, end) = (state.compacted(), end.min(state.history.end()));
        if end <= from {
            return NextCompaction::Waits;
        }
        let allowed = end.min(state.allowance.certain);
        // Where only a page tells where segments end, as far as a whole page.
        let pages = state.history.pages().iter().map(|page| page.end_offset);
        let ends = pages.chain(state.history.segments().iter().map(|segment| segment.end_offset));
        let Some(end_now) = ends.take_while(|end| *end <= allowed).last().filter(|end| *end > from) else {
            self.allow(&mut state, end);
            return NextCompaction::Waits;
        };
        let Some(manifest) = state.history.manifest().cloned() else { return NextCompaction::Nothing };
        NextCompaction::Job(CompactionJob { from, end: end_now, manifest, newest: state.line.end - 1 })
    }

    fn allow(self: &Arc<Self>, state: &mut State, end: Offset) {
        if state.allowance.sent >= end || state.allowance.wanted.is_some_and(|wanted| wanted >= end) {
            return;
        }
        state.allowance.wanted = Some(end);
        if !state.dirty {
            state.dirty = true;
            self.shared.dirty.insert(self);
        }
        self.shared.dirty.mark(false);
    }
}

impl State {
    /// Below it no key occurs twice.
    fn compacted(&self) -> Offset {
        self.history.manifest().map_or(0, |manifest| manifest.compacted).max(self.line.log_start)
    }

    fn line_bytes(&self) -> u64 {
        self.line.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How far compaction is to go, if it is due: the part that is not compacted yet, and old enough to be, is large
    /// enough, or has waited for too long.
    fn cleanable_end(&self, settings: &Compaction, now_ms: i64, least_bytes: u64) -> Option<Offset> {
        let compacted = self.compacted();
        let (mut clean, mut dirty, mut end, mut waits_since) = (0_u64, 0_u64, None, None);
        // A page is taken as a whole: it is clean when all of it is, and may be compacted when its newest segment may.
        let pages = self.pages().map(|page| (page.end_offset, page.bytes, page.max_timestamp, page.min_timestamp));
        let segments = self.placed_behind_pages().map(|one| (one.end_offset, one.bytes, one.max_timestamp, one.max_timestamp));
        for (end_offset, bytes, newest, oldest) in pages.chain(segments) {
            if end_offset <= compacted {
                clean = clean.saturating_add(bytes);
                continue;
            }
            if settings.min_lag_ms > 0 && newest > now_ms.saturating_sub(settings.min_lag_ms) {
                break;
            }
            dirty = dirty.saturating_add(bytes);
            waits_since = waits_since.or((oldest >= 0).then_some(oldest));
            end = Some(end_offset);
        }
        let too_long = waits_since.is_some_and(|since| now_ms.saturating_sub(since) > settings.max_lag_ms);
        let enough = dirty >= least_bytes && dirty as f64 >= settings.ratio * clean.saturating_add(dirty) as f64;
        end.filter(|_| dirty > 0 && (too_long || enough))
    }
}
