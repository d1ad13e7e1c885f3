//! The chain's summary by partition: what certain slots hold, and nothing else (R15). An index also names the front: the
//! first slot of the row that anything may still be read from.

use crate::shared::Shared;
use floe_formats::{Index, PackRef, PartitionIndex};
use floe_types::{Incarnation, SlotNumber};
use std::collections::BTreeSet;

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
