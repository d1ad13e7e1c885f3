//! `topic/id/p/manifest/~v`: a partition's own packs, with its state at their end (R15). The newest is never deleted (R18).

use crate::{
    FormatError, body,
    doc::persisted,
    header::{Kind, OBJECT_HEADER_LEN},
    index::PartitionIndex,
    object::Object,
    segment::SegmentRef,
};
use floe_types::{Incarnation, LeaderEpoch, Offset, PartitionId};
use serde::Deserialize;

persisted! {
    /// A partition's history in its own packs.
    pub struct Manifest {
        /// The partition.
        pub partition: PartitionId,
        /// The version, from 1. Its key carries the same number.
        pub version: u64,
        /// The leader epoch under which it was written: a reader that knows a greater one ignores it, a lower one is fenced.
        pub epoch: LeaderEpoch,
        /// The incarnation that wrote it.
        pub by: Incarnation,
        /// First offset that may be read; the greater of this and the newest event counts.
        pub log_start: Offset,
        /// Segments in offset order, without overlap.
        pub segments: Vec<SegmentRef>,
        /// The partition's state at the end of these segments; it lists no segments itself.
        pub snapshot: PartitionIndex,
        /// Below this offset no two records have the same key: compaction has been there. 0 where it never was. From version 2 on.
        pub compacted: Offset,
    }
}

/// Version 1: nothing of compaction.
#[derive(Deserialize)]
struct Manifest1 {
    partition: PartitionId,
    version: u64,
    epoch: LeaderEpoch,
    by: Incarnation,
    log_start: Offset,
    segments: Vec<SegmentRef>,
    snapshot: PartitionIndex,
}

impl Object for Manifest {
    const KIND: Kind = Kind::Manifest;
    const VERSION: u16 = 2;

    fn read_earlier(_only_version_1: u16, bytes: &[u8]) -> Result<Self, FormatError> {
        let Manifest1 { partition, version, epoch, by, log_start, segments, snapshot } =
            body::read(Self::KIND.name(), bytes, OBJECT_HEADER_LEN as u64)?;
        Ok(Self { partition, version, epoch, by, log_start, segments, snapshot, compacted: 0 })
    }

    fn check(&self) -> Result<(), &'static str> {
        self.segments.iter().try_for_each(SegmentRef::check)?;
        if self.segments.iter().zip(self.segments.iter().skip(1)).any(|(a, b)| a.end_offset > b.base_offset) {
            return Err("segments overlap");
        }
        self.snapshot.check()
    }
}
