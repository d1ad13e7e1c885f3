//! `chain/~i/end`: the create-only object after a stop. The first one that stands counts (R8). Never deleted (R18).

use crate::{doc::persisted, header::Kind, index::Index, object::Object, segment::PackRef};
use floe_types::{DiskId, Incarnation, SlotNumber};

persisted! {
    /// What an ended chain consists of: its slots before the stop, what recovery added, and the index of both.
    pub struct End {
        /// The chain that has ended.
        pub incarnation: Incarnation,
        /// The incarnation that wrote this: the chain's own when it drained.
        pub by: Incarnation,
        /// The slot of the first stop: slots below it are final, it and all behind it are void.
        pub stop: SlotNumber,
        /// Packs of what only the sealed replicas had, in the order in which they count.
        pub recovery: Vec<PackRef>,
        /// Disks that could not be asked and were given up by an operator: what they alone acknowledged is missing here.
        pub gave_up: Vec<DiskId>,
        /// The chain's last index: where each partition ends, and its segments, recovery packs included.
        pub index: Index,
    }
}

impl Object for End {
    const KIND: Kind = Kind::End;
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), &'static str> {
        if self.index.incarnation != self.incarnation {
            return Err("the index is of another chain");
        }
        self.index.check()
    }
}
