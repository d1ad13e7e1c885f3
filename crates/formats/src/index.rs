//! `chain/~i/index/~n`: a chain's summary by partition. The newest one is never deleted (R18).

use crate::{
    doc::persisted,
    header::Kind,
    object::Object,
    segment::{ProducerUpdate, SegmentRef},
};
use floe_types::{Incarnation, LeaderEpoch, Offset, PartitionId, SlotNumber};

persisted! {
    /// A chain's summary: enough to append to every partition of the chain and to serve what is not in a manifest.
    pub struct Index {
        /// The chain.
        pub incarnation: Incarnation,
        /// The index's number in its chain; the greatest is the newest.
        pub number: u64,
        /// The first slot that has not been deleted.
        pub front: SlotNumber,
        /// Slots below this one are included, slots from it on are not.
        pub covers: SlotNumber,
        /// The chain whose `end` still holds what this one inherited and has not listed itself; none when nothing is left there.
        pub base: Option<Incarnation>,
        /// One line for each partition, ordered by partition.
        pub partitions: Vec<PartitionIndex>,
    }
}

persisted! {
    /// A partition's line in an index. It counts only for the owner whose epoch it carries.
    pub struct PartitionIndex {
        /// The partition.
        pub partition: PartitionId,
        /// The leader epoch under which the chain's incarnation owned the partition last.
        pub epoch: LeaderEpoch,
        /// Where each leader epoch began, oldest first.
        pub epochs: Vec<EpochStart>,
        /// First offset that may be read.
        pub log_start: Offset,
        /// Offset behind the last record.
        pub end: Offset,
        /// Segments that are not in a manifest, in offset order; of two that hold the same offsets the later counts.
        pub segments: Vec<SegmentRef>,
        /// State of all producers, as it was at `end`.
        pub producers: Vec<ProducerUpdate>,
        /// Newest manifest version that the writer knew; none when the partition has no manifest.
        pub manifest: Option<u64>,
    }
}

persisted! {
    /// Where a leader epoch began.
    #[derive(Copy)]
    pub struct EpochStart {
        /// The leader epoch.
        pub epoch: LeaderEpoch,
        /// Offset of the first record that it may hold.
        pub start: Offset,
    }
}

impl PartitionIndex {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.log_start > self.end {
            return Err("a partition's log start lies behind its end");
        }
        self.segments.iter().try_for_each(SegmentRef::check)?;
        self.producers.iter().try_for_each(ProducerUpdate::check)
    }
}

impl Object for Index {
    const KIND: Kind = Kind::Index;
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), &'static str> {
        if self.front > self.covers {
            return Err("the front lies behind the slots that the index covers");
        }
        self.partitions.iter().try_for_each(PartitionIndex::check)
    }
}
