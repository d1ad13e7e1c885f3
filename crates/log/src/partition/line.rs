//! What certain slots say of one partition: the part of its state that survives without any disk. The owner keeps it
//! up to date slot by slot, and recovery derives it from the same footers with the same code.

use super::producers;
use floe_formats::{EpochStart, PartitionEvent, PartitionIndex, ProducerUpdate, Segment, SegmentRef};
use floe_types::{LeaderEpoch, Offset, PartitionId};
use std::collections::BTreeMap;

/// A partition's line of the index, open for changes.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) epochs: Vec<EpochStart>,
    pub(crate) log_start: Offset,
    pub(crate) end: Offset,
    pub(crate) segments: Vec<SegmentRef>,
    pub(crate) producers: BTreeMap<i64, ProducerUpdate>,
    pub(crate) manifest: Option<u64>,
    /// Set when stored state contradicts itself; the partition is not served, the others are (T23).
    pub(crate) broken: Option<String>,
}

impl Line {
    pub(crate) fn empty(partition: PartitionId) -> Self {
        Self {
            partition,
            epoch: 0,
            epochs: Vec::new(),
            log_start: 0,
            end: 0,
            segments: Vec::new(),
            producers: BTreeMap::new(),
            manifest: None,
            broken: None,
        }
    }

    pub(crate) fn from_index(index: PartitionIndex) -> Self {
        let broken = find_contradiction(&index);
        Self {
            partition: index.partition,
            epoch: index.epoch,
            epochs: index.epochs,
            log_start: index.log_start,
            end: index.end,
            segments: index.segments,
            producers: index.producers.into_iter().map(|update| (update.producer_id, update)).collect(),
            manifest: index.manifest,
            broken,
        }
    }

    pub(crate) fn to_index(&self) -> PartitionIndex {
        PartitionIndex {
            partition: self.partition,
            epoch: self.epoch,
            epochs: self.epochs.clone(),
            log_start: self.log_start,
            end: self.end,
            segments: self.segments.clone(),
            producers: self.producers.values().cloned().collect(),
            manifest: self.manifest,
        }
    }

    /// Takes in one more segment of a certain slot, or of a recovery pack. One that does not start where the line
    /// ends breaks the line: nothing behind it can be trusted. It stays listed all the same, so that every later
    /// reader of an index finds the contradiction again.
    pub(crate) fn apply(&mut self, segment: &Segment, stored: SegmentRef) {
        // Events from before a manifest that the line begins with: what they say only grows.
        if self.broken.is_none() && segment.base_offset == segment.end_offset && segment.base_offset < self.end {
            segment.events.iter().for_each(|event| self.apply_event(event));
            return self.drop_below_log_start();
        }
        let reaches_below = segment.base_offset < segment.end_offset && segment.base_offset < self.end;
        if reaches_below && self.broken.is_none() && !self.is_cut_by_the_log_start(segment) {
            // Where a line began with a manifest, this is news of producers that wrote behind it, too.
            segment.producers.iter().for_each(|update| producers::merge(&mut self.producers, update));
            return self.apply_merge(stored);
        }
        let follows = segment.base_offset == self.end || reaches_below;
        if self.broken.is_none() && (!follows || segment.end_offset < segment.base_offset) {
            self.broken = Some(contradiction(self.end, &stored));
        }
        if self.broken.is_some() {
            self.segments.push(stored);
            return;
        }
        for event in &segment.events {
            self.apply_event(event);
        }
        for update in &segment.producers {
            producers::merge(&mut self.producers, update);
        }
        self.epoch = self.epoch.max(segment.epoch);
        if segment.end_offset > segment.base_offset {
            self.end = segment.end_offset;
            self.segments.push(stored);
        }
        if self.log_start > self.end {
            self.broken = Some(format!("its log starts at {}, behind its end at {}", self.log_start, self.end));
            self.log_start = self.end;
        }
        self.drop_below_log_start();
    }

    /// A line that begins with a manifest may begin where the log start is, in the middle of a segment of which nothing is in any pack of its own: it lists nothing of it, and
    /// goes on with the rest of it.
    fn is_cut_by_the_log_start(&self, segment: &Segment) -> bool {
        let lists_some = self.segments.last().is_some_and(|last| last.end_offset > segment.base_offset);
        self.end == self.log_start && self.end < segment.end_offset && !lists_some
    }

    /// A segment that was merged from earlier ones: the later counts (R6). It says nothing new of the partition's state. What
    /// of its sources is listed no more - deleted, or settled meanwhile - comes back in no harm: it holds the same records.
    fn apply_merge(&mut self, stored: SegmentRef) {
        let first = self.segments.partition_point(|segment| segment.end_offset <= stored.base_offset);
        let end = self.segments.partition_point(|segment| segment.base_offset < stored.end_offset);
        let replaced = self.segments.get(first..end).unwrap_or_default();
        let whole = replaced.iter().all(|segment| stored.base_offset <= segment.base_offset && segment.end_offset <= stored.end_offset);
        if !whole || stored.end_offset > self.end {
            self.broken = Some(contradiction(self.end, &stored));
            return self.segments.push(stored);
        }
        if !replaced.is_empty() {
            self.segments.splice(first..end, [stored]);
        }
    }

    /// Segments that lie wholly below the log start are placed no more.
    fn drop_below_log_start(&mut self) {
        let gone = self.segments.partition_point(|segment| segment.end_offset <= self.log_start);
        self.segments.drain(..gone);
    }

    fn apply_event(&mut self, event: &PartitionEvent) {
        match event {
            PartitionEvent::EpochStart { epoch, start } => {
                if self.epochs.last().is_none_or(|last| last.epoch < *epoch) {
                    self.epochs.push(EpochStart { epoch: *epoch, start: *start });
                }
            }
            PartitionEvent::LogStart { offset } => self.log_start = self.log_start.max(*offset),
            // It allows its own incarnation something, and nobody else.
            PartitionEvent::Compaction { .. } => {}
        }
    }
}

fn contradiction(end: Offset, stored: &SegmentRef) -> String {
    format!("segment {}..{} in {} does not follow the end at {end}", stored.base_offset, stored.end_offset, stored.pack.key())
}

/// Segments that do not follow one another up to the line's end.
fn find_contradiction(index: &PartitionIndex) -> Option<String> {
    let mut end = index.segments.first().map_or(index.end, |first| first.base_offset);
    for stored in &index.segments {
        if stored.base_offset != end || stored.end_offset > index.end {
            return Some(contradiction(end, stored));
        }
        end = stored.end_offset;
    }
    (end != index.end).then(|| format!("its segments end at {end}, the partition at {}", index.end))
}

#[cfg(test)]
mod tests;
