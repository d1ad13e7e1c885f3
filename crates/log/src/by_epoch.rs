//! Each partition's line in a store where several chains are written at once, found without asking who owns what: of all that chains say of a partition, what was said
//! under the greatest leader epoch counts.
//!
//! | what a chain says | counts |
//! |---|---|
//! | its `end`, or while it has none its newest index | the line with the greatest epoch of all chains |
//! | slots behind that index, of a chain without an `end` | segments of that epoch, and of later ones behind them |
//!
//! * An epoch has one owner, and a partition moves only after all that its owner had is in a manifest (R13): where the segments of a later epoch begin behind the line's end,
//!   the newest manifest places what lies between.
//! * A dead owner's records lie in its `end` before anybody opens its partitions (R8, R9). So whoever reads chains one after the other has to look again when one has got
//!   an `end` meanwhile.

use crate::partition::Line;
use floe_formats::{PartitionIndex, Segment, SegmentRef};
use floe_types::PartitionId;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct ByEpoch<'a> {
    lines: BTreeMap<PartitionId, Line>,
    tails: Vec<(&'a Segment, SegmentRef)>,
}

impl<'a> ByEpoch<'a> {
    /// What one chain's `end`, or newest index, lists.
    pub(crate) fn index(&mut self, listed: &[PartitionIndex]) {
        for line in listed {
            if self.lines.get(&line.partition).is_none_or(|known| known.epoch < line.epoch) {
                self.lines.insert(line.partition, Line::from_index(line.clone()));
            }
        }
    }

    /// A segment in a certain slot behind the index of its chain, which has no `end`; those of one chain in the order of its slots.
    pub(crate) fn tail(&mut self, segment: &'a Segment, stored: SegmentRef) {
        self.tails.push((segment, stored));
    }

    pub(crate) fn finish(mut self) -> BTreeMap<PartitionId, Line> {
        // Stable: what one owner wrote stays in its order.
        self.tails.sort_by_key(|(segment, _)| (segment.partition, segment.epoch));
        for (segment, stored) in self.tails {
            let line = self.lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
            if segment.epoch < line.epoch {
                continue;
            }
            if segment.epoch > line.epoch && segment.base_offset > line.end {
                // It was moved: the manifest has all before.
                line.segments.clear();
                line.end = segment.base_offset;
            }
            line.apply(segment, stored);
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_formats::PackRef;
    use floe_types::{Incarnation, LeaderEpoch, Offset, SlotNumber, TopicId};

    const ID: PartitionId = PartitionId { topic: TopicId(5), index: 0 };

    fn segment(epoch: LeaderEpoch, base_offset: Offset, end_offset: Offset) -> Segment {
        Segment {
            partition: ID,
            epoch,
            base_offset,
            end_offset,
            max_timestamp: -1,
            log_start: 0,
            bytes: 10,
            records: 1,
            blocks: Vec::new(),
            events: Vec::new(),
            producers: Vec::new(),
        }
    }

    fn stored(segment: &Segment, incarnation: u64, slot: u64) -> SegmentRef {
        segment.to_ref(PackRef::Slot { incarnation: Incarnation(incarnation), slot: SlotNumber(slot) }, 100, 20)
    }

    /// What the index of an incarnation lists: segments in its first slots.
    fn listed(epoch: LeaderEpoch, incarnation: u64, segments: &[Segment]) -> PartitionIndex {
        let segments: Vec<SegmentRef> = segments.iter().zip(0..).map(|(segment, slot)| stored(segment, incarnation, slot)).collect();
        let end = segments.last().map_or(0, |last| last.end_offset);
        PartitionIndex { partition: ID, epoch, epochs: Vec::new(), log_start: 0, end, segments, producers: Vec::new(), manifest: None }
    }

    fn found(by_epoch: ByEpoch<'_>) -> (Offset, Vec<(u64, Offset, Offset)>) {
        let line = by_epoch.finish().remove(&ID).expect("the partition has a line");
        assert_eq!(line.broken, None);
        let incarnation = |segment: &SegmentRef| match segment.pack {
            PackRef::Slot { incarnation, .. } => incarnation.0,
            _ => 0,
        };
        (line.end, line.segments.iter().map(|segment| (incarnation(segment), segment.base_offset, segment.end_offset)).collect())
    }

    #[test]
    fn what_was_said_under_the_greatest_epoch_counts_whoever_said_it() {
        let (old, new) = ([segment(1, 0, 10)], [segment(1, 0, 10), segment(3, 10, 20)]);
        let mut by_epoch = ByEpoch::default();
        by_epoch.index(&[listed(3, 1, &new)]);
        by_epoch.index(&[listed(1, 2, &old)]);
        assert_eq!(found(by_epoch), (20, vec![(1, 0, 10), (1, 10, 20)]));
    }

    #[test]
    fn slots_behind_an_index_go_on_under_its_epoch_and_a_successors_behind_them() {
        let (own, next) = (segment(1, 10, 20), segment(2, 20, 30));
        let mut by_epoch = ByEpoch::default();
        // The successor has opened on a lower incarnation.
        by_epoch.tail(&next, stored(&next, 3, 9));
        by_epoch.tail(&own, stored(&own, 7, 1));
        by_epoch.index(&[listed(1, 7, &[segment(1, 0, 10)])]);
        assert_eq!(found(by_epoch), (30, vec![(7, 0, 10), (7, 10, 20), (3, 20, 30)]));
    }

    #[test]
    fn what_an_earlier_owner_still_lists_adds_nothing() {
        let late = segment(1, 10, 20);
        let mut by_epoch = ByEpoch::default();
        by_epoch.index(&[listed(4, 2, &[segment(1, 0, 10), segment(4, 10, 15)])]);
        by_epoch.tail(&late, stored(&late, 1, 5));
        assert_eq!(found(by_epoch), (15, vec![(2, 0, 10), (2, 10, 15)]));
    }

    #[test]
    fn behind_a_move_the_manifest_has_what_no_line_lists() {
        let behind = segment(2, 50, 60);
        let mut by_epoch = ByEpoch::default();
        by_epoch.index(&[listed(1, 1, &[segment(1, 0, 10)])]);
        by_epoch.tail(&behind, stored(&behind, 2, 0));
        assert_eq!(found(by_epoch), (60, vec![(2, 50, 60)]));
    }
}
