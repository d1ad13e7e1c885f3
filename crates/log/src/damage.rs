//! Records that are in the log and cannot be had: exactly which, and why. The rest of the partition is served.

use floe_types::{Offset, PartitionId};

/// Damage of stored records: flipped bits, a pack that is cut or missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("offsets {start}..{end} of partition {partition} are damaged: {key}: {what}")]
pub struct Damage {
    pub partition: PartitionId,
    /// The offsets that cannot be read, end-exclusive. Whoever reads from `end` on is served.
    pub start: Offset,
    pub end: Offset,
    /// The object that should hold them.
    pub key: String,
    pub what: String,
    /// The object is not there; it may be that its records have gone to another one since it was looked up.
    pub missing: bool,
}
