//! The chain's summary by partition: what certain slots hold, and nothing else (R15). An index also names the front: the
//! first slot of the row that anything may still be read from.

use crate::shared::Shared;
use floe_formats::{Index, PackRef, PartitionIndex};
use floe_types::{Incarnation, SlotNumber};
use std::collections::BTreeSet;
use std::time::Duration;

/// An index that is larger than [`SMALL`] is written when this many times its bytes have been written since the one before:
/// what indexes take is an eighth of all else.
const WORTH: u64 = 8;
/// An index of so many bytes is written whenever it is due: it costs less than the footers of the slots before it.
const SMALL: u64 = 4 << 10;
/// However little was written, after so many times the slots that a small index is written after: what a recovery reads is
/// bounded.
const MOST_TIMES: u64 = 16;
/// Checks that something waits for a small index, and bytes of a larger one for each such wait: by time alone an index
/// takes no more than that.
const PATIENCE: u32 = 6;
const PATIENCE_BYTES: u64 = 16 << 10;

/// When the next index is worth its bytes: by slots and bytes, or, where something waits for what it says - slots to be
/// deleted, a chain to be cleaned -, by bytes and time. Never by the number of partitions.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes of the last index.
    len: u64,
    /// Bytes of slots since it, and of own packs before it.
    written: u64,
    settled: u64,
    /// Since when something waits, on the monotonic clock.
    wanted: Option<Duration>,
}

impl Pace {
    /// A slot of so many bytes is certain.
    pub(crate) fn written(&mut self, bytes: u64) {
        self.written += bytes;
    }

    pub(crate) fn want(&mut self, now: Duration) {
        self.wanted.get_or_insert(now);
    }

    /// An index was made.
    pub(crate) fn wrote(&mut self, shared: &Shared, len: u64) {
        *self = Self { len, written: 0, settled: shared.history.settled_bytes(), wanted: None };
    }

    /// `slots`: certain, and not in the last index.
    pub(crate) fn is_due(&self, shared: &Shared, slots: u64, now: Duration) -> bool {
        let every = shared.options.index_every_slots.max(1);
        let written = self.written + shared.history.settled_bytes().saturating_sub(self.settled);
        let is_worth_it = self.len <= SMALL || written >= WORTH * self.len;
        let has_waited = self.deadline(shared).is_some_and(|deadline| deadline <= now);
        let is_wanted = self.wanted.is_some() || slots >= every;
        has_waited || (is_wanted && is_worth_it) || slots >= every * MOST_TIMES
    }

    /// When something has waited long enough.
    pub(crate) fn deadline(&self, shared: &Shared) -> Option<Duration> {
        let times = u32::try_from(1 + self.len / PATIENCE_BYTES).unwrap_or(u32::MAX);
        self.wanted.map(|since| since.saturating_add(shared.options.settle_check.saturating_mul(PATIENCE).saturating_mul(times)))
    }
}

/// The index of this incarnation's chain, of the slots below `covers`. What was inherited is listed again in full, so
/// that no base is needed.
pub(crate) fn of_chain(shared: &Shared, number: u64, covers: SlotNumber) -> Index {
    let partitions: Vec<_> = shared.partitions().iter().map(|partition| partition.index_line()).collect();
    let front = front(&partitions, shared.incarnation, covers);
    Index { incarnation: shared.incarnation, number, front, covers, base: None, partitions }
}

/// The packs of earlier chains that these lines name.
pub(crate) fn foreign(partitions: &[PartitionIndex], incarnation: Incarnation) -> BTreeSet<PackRef> {
    let packs = partitions.iter().flat_map(|line| &line.segments).map(|segment| segment.pack);
    packs.filter(|pack| !matches!(pack, PackRef::Slot { incarnation: of, .. } if *of == incarnation)).collect()
}

/// The first slot of the row that one of these lines names. The last certain one always stays: its footer says how far the
/// WAL is covered (R5).
fn front(partitions: &[PartitionIndex], incarnation: Incarnation, covers: SlotNumber) -> SlotNumber {
    let slots = partitions.iter().flat_map(|line| &line.segments).filter_map(|segment| match segment.pack {
        PackRef::Slot { incarnation: of, slot } if of == incarnation => Some(slot),
        _ => None,
    });
    slots.min().unwrap_or(covers).min(SlotNumber(covers.0.saturating_sub(1)))
}
