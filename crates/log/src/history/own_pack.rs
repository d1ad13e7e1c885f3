//! An own pack in the making. Sources go in one by one, a segment for each leader epoch; what stays in memory of them is compressed, but
//! for the last few MiB: blocks are as large as if all had come at once.

use super::settle::condensed;
use floe_formats::{BatchSlice, BuiltPack, FormatError, PackBuilder, PartitionEvent, ProducerUpdate, SegmentMeta};
use floe_types::{LeaderEpoch, Offset, PartitionId, SlotNumber};
use std::collections::BTreeMap;

/// What is compressed together in a running broker.
const STEP_BYTES: usize = 4 << 20;

/// What one source segment brings; one batch at least.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) epoch: LeaderEpoch,
    pub(super) batches: Vec<BatchSlice>,
    pub(super) events: Vec<PartitionEvent>,
    pub(super) producers: Vec<ProducerUpdate>,
}

/// The segment that is being written.
#[derive(Debug)]
struct Growing {
    epoch: LeaderEpoch,
    /// Whether the pack has a part of it.
    begun: bool,
    events: Vec<PartitionEvent>,
    producers: BTreeMap<i64, ProducerUpdate>,
}

#[derive(Debug)]
pub(super) struct OwnPack {
    builder: PackBuilder,
    partition: PartitionId,
    log_start: Offset,
    growing: Option<Growing>,
    /// Bytes of batches that are compressed together.
    step: usize,
    /// Batches of the segment that are not in the pack yet.
    pending: Vec<BatchSlice>,
    pending_bytes: usize,
}

impl OwnPack {
    pub(super) fn new(builder: PackBuilder, partition: PartitionId, log_start: Offset) -> Self {
        Self { builder, partition, log_start, growing: None, step: STEP_BYTES, pending: Vec::new(), pending_bytes: 0 }
    }

    /// Adds what follows.
    ///
    /// # Errors
    /// `Unencodable` where it does not follow.
    pub(super) fn with(mut self, part: Part) -> Result<Self, FormatError> {
        if self.growing.as_ref().is_none_or(|growing| growing.epoch != part.epoch) {
            self.close_segment()?;
        }
        let new = || Growing { epoch: part.epoch, begun: false, events: Vec::new(), producers: BTreeMap::new() };
        let growing = self.growing.get_or_insert_with(new);
        growing.events.extend(part.events);
        part.producers.iter().for_each(|update| crate::partition::merge(&mut growing.producers, update));
        self.pending_bytes += part.batches.iter().map(|batch| batch.bytes.len()).sum::<usize>();
        self.pending.extend(part.batches);
        if self.pending_bytes >= self.step {
            self.compress()?;
        }
        Ok(self)
    }

    /// The whole pack. None if nothing was added.
    ///
    /// # Errors
    /// As [`OwnPack::with`].
    pub(super) fn finish(mut self) -> Result<Option<BuiltPack>, FormatError> {
        self.close_segment()?;
        if self.builder.is_empty() { Ok(None) } else { self.builder.finish(None, SlotNumber(0)).map(Some) }
    }

    fn close_segment(&mut self) -> Result<(), FormatError> {
        self.compress()?;
        if let Some(growing) = self.growing.take() {
            self.builder.tell_of_segment(condensed(growing.events), growing.producers.into_values().collect());
        }
        Ok(())
    }

    fn compress(&mut self) -> Result<(), FormatError> {
        let batches = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let (Some(growing), Some(first)) = (&mut self.growing, batches.first()) else { return Ok(()) };
        if growing.begun {
            return self.builder.continue_segment(&batches);
        }
        growing.begun = true;
        let meta = SegmentMeta {
            partition: self.partition,
            epoch: growing.epoch,
            base_offset: first.base_offset,
            log_start: self.log_start,
            events: Vec::new(),
            producers: Vec::new(),
        };
        self.builder.add_segment(meta, batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_formats::{PackKind, Writer};
    use floe_records::{BatchBuilder, Codec};
    use floe_types::{Incarnation, TopicId, WriteId};

    fn part(epoch: LeaderEpoch, offsets: std::ops::Range<Offset>) -> Part {
        let batches = offsets.map(|offset| {
            let mut builder = BatchBuilder::new(Codec::None).base_offset(offset);
            builder.append(offset, None, Some(&[7; 100])).unwrap();
            super::super::settle::slice_of(builder.build()).unwrap()
        });
        let events = vec![PartitionEvent::LogStart { offset: epoch.into() }];
        Part { epoch, batches: batches.collect(), events, producers: Vec::new() }
    }

    fn built(step: usize, parts: Vec<Part>) -> Option<BuiltPack> {
        let writer = Writer { write_id: WriteId(1), incarnation: Incarnation(1), revision: 0 };
        let builder = PackBuilder::new(writer, PackKind::Own, Incarnation(1), None);
        let mut pack = OwnPack { step, ..OwnPack::new(builder, PartitionId { topic: TopicId(1), index: 0 }, 2) };
        for part in parts {
            pack = pack.with(part).unwrap();
            assert!(pack.pending_bytes < step, "more than a step is held");
        }
        pack.finish().unwrap()
    }

    #[test]
    fn whatever_the_steps_are_the_segments_are_the_same() {
        let parts = || vec![part(3, 2..4), part(3, 4..9), part(5, 9..10), part(5, 12..20), part(6, 20..21)];
        let told = |step| {
            let segments = built(step, parts()).unwrap().footer.segments.into_iter();
            segments.map(|s| (s.epoch, s.base_offset, s.end_offset, s.bytes, s.records, s.events)).collect::<Vec<_>>()
        };
        let at_once = told(usize::MAX);
        let shape: Vec<_> = at_once.iter().map(|(epoch, base, end, _, records, _)| (*epoch, *base, *end, *records)).collect();
        assert_eq!(shape, [(3, 2, 9, 7), (5, 9, 20, 9), (6, 20, 21, 1)]);
        for step in [1, 150, 400, 1_000] {
            assert_eq!(told(step), at_once, "steps of {step} bytes");
        }
    }

    #[test]
    fn of_nothing_there_is_no_pack() {
        assert!(built(1, Vec::new()).is_none());
    }
}
