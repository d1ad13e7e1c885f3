//! `topic/id/p/page/epoch-ulid`: older segments of a partition, which manifests name by one entry. A page is created once and
//! never changes; a page that holds something else has another name.

use crate::{
    doc::persisted,
    header::Kind,
    keys,
    object::Object,
    segment::{SegmentRef, Ulid},
};
use floe_types::{LeaderEpoch, Offset, PartitionId};

persisted! {
    /// A run of a partition's own segments. What of it counts is for the manifest to say: the part below its log start is gone.
    pub struct ManifestPage {
        /// The partition.
        pub partition: PartitionId,
        /// The leader epoch of the owner that wrote it. Its key carries the same.
        pub epoch: LeaderEpoch,
        /// A name that is never used twice. Its key carries the same.
        pub ulid: Ulid,
        /// Segments in offset order, without overlap; at least one.
        pub segments: Vec<SegmentRef>,
    }
}

persisted! {
    /// A page, as a manifest names it: enough to find it, and to tell whether it is worth reading.
    #[derive(Copy)]
    pub struct PageRef {
        /// The leader epoch of the owner that wrote it.
        pub epoch: LeaderEpoch,
        /// A name that is never used twice.
        pub ulid: Ulid,
        /// Offset of the first segment's first record.
        pub base_offset: Offset,
        /// Offset behind the last segment's last record.
        pub end_offset: Offset,
        /// Number of its segments.
        pub segments: u64,
        /// Bytes of their batches.
        pub bytes: u64,
        /// The least of its segments' greatest timestamps, in unix milliseconds; -1 when one of them has none.
        pub min_timestamp: i64,
        /// The greatest of its segments' greatest timestamps, in unix milliseconds; -1 when there is none.
        pub max_timestamp: i64,
    }
}

impl ManifestPage {
    /// How a manifest is to name it.
    #[must_use]
    pub fn to_ref(&self) -> PageRef {
        let timestamps = || self.segments.iter().map(|segment| segment.max_timestamp);
        PageRef {
            epoch: self.epoch,
            ulid: self.ulid,
            base_offset: self.segments.first().map_or(0, |first| first.base_offset),
            end_offset: self.segments.last().map_or(0, |last| last.end_offset),
            segments: self.segments.len() as u64,
            bytes: self.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.bytes)),
            min_timestamp: timestamps().min().unwrap_or(-1),
            max_timestamp: timestamps().max().unwrap_or(-1),
        }
    }
}

impl PageRef {
    /// The page's object key.
    #[must_use]
    pub fn key(&self, partition: PartitionId) -> String {
        keys::page(partition, self.epoch, self.ulid)
    }
}

impl Object for ManifestPage {
    const KIND: Kind = Kind::ManifestPage;
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), &'static str> {
        if self.segments.is_empty() {
            return Err("a page without segments");
        }
        self.segments.iter().try_for_each(SegmentRef::check)?;
        if self.segments.iter().zip(self.segments.iter().skip(1)).any(|(a, b)| a.end_offset > b.base_offset) {
            return Err("segments overlap");
        }
        Ok(())
    }
}
