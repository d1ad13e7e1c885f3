//! Which segments in slots are small enough, and many enough, to be merged within the chain.

use super::Partition;
use floe_formats::SegmentRef;

/// Segments whose sizes lie within a factor of 2^6 are of one size.
const SIZE_BITS: u32 = 6;

fn size_class(segment: &SegmentRef) -> u32 {
    (u64::BITS - segment.bytes.leading_zeros()) / SIZE_BITS
}

impl Partition {
    /// Segments in slots that no own pack holds.
    pub(crate) fn unsettled_count(&self) -> usize {
        self.state.lock().unsettled().count()
    }

    /// The longest run of `least` or more segments that follow one another, none of them larger than of one size, the
    /// smallest size first; at most `most_bytes` of them.
    pub(crate) fn run_to_merge(&self, least: usize, most_bytes: u64) -> Option<Vec<SegmentRef>> {
        let state = self.state.lock();
        if state.closed.is_some() {
            return None;
        }
        let unsettled: Vec<&SegmentRef> = state.unsettled().collect();
        let largest = unsettled.iter().map(|segment| size_class(segment)).max()?;
        (0..=largest).find_map(|class| {
            let runs = unsettled.chunk_by(|a, b| size_class(a) <= class && size_class(b) <= class);
            let longest = runs.filter(|run| size_class(run[0]) <= class).max_by_key(|run| run.len())?;
            let mut bytes = 0;
            let fits = longest.iter().take_while(|segment| {
                bytes += segment.bytes;
                bytes <= most_bytes
            });
            let run: Vec<SegmentRef> = fits.map(|segment| (*segment).clone()).collect();
            // Each epoch stays a segment of its own: merging has to make them fewer.
            let epochs = run.chunk_by(|a, b| a.epoch == b.epoch).count();
            (run.len() >= least && epochs * 2 <= run.len()).then_some(run)
        })
    }
}
