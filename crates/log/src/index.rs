//! The chain's summary by partition: what certain slots hold, and nothing else (R15).

use crate::shared::Shared;
use floe_formats::Index;
use floe_types::SlotNumber;

/// The index of this incarnation's chain, of the slots below `covers`. What was inherited is listed again in full, so
/// that no base is needed.
pub(crate) fn of_chain(shared: &Shared, number: u64, covers: SlotNumber) -> Index {
    Index {
        incarnation: shared.incarnation,
        number,
        front: SlotNumber(0),
        covers,
        base: None,
        partitions: shared.partitions().iter().map(|partition| partition.index_line()).collect(),
    }
}
