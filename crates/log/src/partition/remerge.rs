//! Which segments in slots are small enough, and many enough, to be merged within the chain.

use super::{Partition, State};
use floe_formats::SegmentRef;
use std::ops::Range;

/// How segments are told to be of one size: within a factor of 2 to the power of `bits`. As many of one size are merged, so
/// that they are of the next size then: each byte is rewritten once for each size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) bits: u32,
    pub(crate) most_bytes: u64,
}

impl Sizes {
    fn fan_in(self) -> usize {
        1 << self.bits
    }

    fn class(self, segment: &SegmentRef) -> u32 {
        (u64::BITS - segment.bytes.leading_zeros()) / self.bits.max(1)
    }
}

impl Partition {
    /// Segments in slots that no own pack holds, and how many of them would be merged together now.
    pub(crate) fn unsettled_count(&self, sizes: Sizes) -> (usize, usize) {
        let state = self.state.lock();
        let count = state.unsettled().count();
        // Most have too few, and are not looked at any closer.
        let due = if count < sizes.fan_in() { None } else { state.run_to_merge(sizes) };
        (count, due.map_or(0, |run| run.len()))
    }

    /// A run of segments that follow one another, with enough of one size and none that is larger, the smallest size first.
    pub(crate) fn run_to_merge(&self, sizes: Sizes) -> Option<Vec<SegmentRef>> {
        let state = self.state.lock();
        let run = state.run_to_merge(sizes)?;
        Some(state.unsettled().skip(run.start).take(run.len()).cloned().collect())
    }
}

impl State {
    fn run_to_merge(&self, sizes: Sizes) -> Option<Range<usize>> {
        if self.closed.is_some() {
            return None;
        }
        let unsettled: Vec<&SegmentRef> = self.unsettled().collect();
        due(&unsettled, sizes)
    }
}

/// Which of these segments are to be merged into one.
fn due(segments: &[&SegmentRef], sizes: Sizes) -> Option<Range<usize>> {
    let largest = segments.iter().map(|segment| sizes.class(segment)).max()?;
    (0..=largest).find_map(|class| {
        let mut at = 0;
        segments.chunk_by(|a, b| sizes.class(a) <= class && sizes.class(b) <= class).find_map(|run| {
            let start = at;
            at += run.len();
            let mut bytes = 0;
            let fits = run.iter().take_while(|segment| {
                bytes += segment.bytes;
                bytes <= sizes.most_bytes
            });
            let run = &run[..fits.count()];
            let of_class = run.iter().filter(|segment| sizes.class(segment) == class).count();
            // Each epoch stays a segment of its own: merging has to make them fewer.
            let epochs = run.chunk_by(|a, b| a.epoch == b.epoch).count();
            (of_class >= sizes.fan_in() && epochs * 2 <= run.len()).then_some(start..start + run.len())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_formats::PackRef;
    use floe_types::{Incarnation, SlotNumber};

    const SIZES: Sizes = Sizes { bits: 5, most_bytes: 4 << 20 };
    const FAN_IN: usize = 32;

    fn segment(bytes: u64) -> SegmentRef {
        let pack = PackRef::Slot { incarnation: Incarnation(1), slot: SlotNumber(0) };
        SegmentRef { pack, pack_len: 0, footer_len: 0, base_offset: 0, end_offset: 1, epoch: 1, max_timestamp: 0, bytes }
    }

    #[test]
    fn enough_of_one_size_are_merged_and_none_that_is_larger() {
        let of = |sizes: &[u64]| {
            let segments: Vec<SegmentRef> = sizes.iter().map(|bytes| segment(*bytes)).collect();
            due(&segments.iter().collect::<Vec<_>>(), SIZES)
        };
        assert_eq!(of(&[100; FAN_IN - 1]), None);
        assert_eq!(of(&[100; FAN_IN]), Some(0..FAN_IN));
        let large = [&[200_000], [100; FAN_IN].as_slice(), &[200_000]].concat();
        assert_eq!(of(&large), Some(1..FAN_IN + 1));
        let apart = [[100; FAN_IN - 1].as_slice(), &[200_000], &[100; FAN_IN - 1]].concat();
        assert_eq!(of(&apart), None, "few small ones wait, also beside a large one");
        let mixed = [[4_000; FAN_IN - 1].as_slice(), &[100; 8], &[4_000]].concat();
        assert_eq!(of(&mixed), Some(0..mixed.len()), "smaller ones between go along");
        assert_eq!(of(&[200_000; FAN_IN]), None, "so much is to be settled");
    }

    #[test]
    fn a_byte_is_rewritten_once_for_each_size() {
        let (mut segments, mut appended, mut rewritten, mut most) = (Vec::<SegmentRef>::new(), 0, 0, 0);
        for n in 0..20_000_u64 {
            let bytes = 60 + n * 7 % 300;
            segments.push(segment(bytes));
            appended += bytes;
            while let Some(run) = due(&segments.iter().collect::<Vec<_>>(), SIZES) {
                let bytes = segments[run.clone()].iter().map(|segment| segment.bytes).sum();
                rewritten += bytes;
                segments.splice(run, [segment(bytes)]);
            }
            most = most.max(segments.len());
        }
        // From some hundred bytes to 4 MiB it takes three sizes.
        assert!(rewritten <= 3 * appended, "{rewritten} of {appended}");
        assert!(most <= 4 * FAN_IN, "{most} listed at most");
    }
}
