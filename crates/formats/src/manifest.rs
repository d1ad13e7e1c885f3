//! `topic/id/p/manifest/~v`: a partition's own packs, with its state at their end (R15). The newest is never deleted (R18).

use crate::{
    FormatError, body,
    doc::persisted,
    header::{Kind, OBJECT_HEADER_LEN},
    index::PartitionIndex,
    object::Object,
    page::PageRef,
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
        /// Segments in offset order, without overlap: the newest, behind those of all pages.
        pub segments: Vec<SegmentRef>,
        /// The partition's state at the end of these segments; it lists no segments itself.
        pub snapshot: PartitionIndex,
        /// Below this offset no two records have the same key: compaction has been there. 0 where it never was. From version 2 on.
        pub compacted: Offset,
        /// Older segments, by pages, in offset order, without overlap. From version 3 on.
        pub pages: Vec<PageRef>,
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

/// Version 2: no pages.
#[derive(Deserialize)]
struct Manifest2 {
    first: Manifest1,
    compacted: Offset,
}

impl Manifest {
    /// Where what it places begins; none if it places nothing.
    #[must_use]
    pub fn base_offset(&self) -> Option<Offset> {
        let first = self.segments.first().map(|first| first.base_offset);
        self.pages.first().map(|first| first.base_offset).or(first)
    }

    /// Where what it places ends; none if it places nothing.
    #[must_use]
    pub fn end_offset(&self) -> Option<Offset> {
        let last = self.pages.last().map(|last| last.end_offset);
        self.segments.last().map(|last| last.end_offset).or(last)
    }

    /// The page that holds `offset`.
    #[must_use]
    pub fn page_at(&self, offset: Offset) -> Option<&PageRef> {
        let page = self.pages.get(self.pages.partition_point(|page| page.end_offset <= offset))?;
        (page.base_offset <= offset).then_some(page)
    }
}

impl Object for Manifest {
    const KIND: Kind = Kind::Manifest;
    const VERSION: u16 = 3;

    fn read_earlier(version: u16, bytes: &[u8]) -> Result<Self, FormatError> {
        let (what, at) = (Self::KIND.name(), OBJECT_HEADER_LEN as u64);
        let (first, compacted) = match version {
            1 => (body::read(what, bytes, at)?, 0),
            _ => {
                let Manifest2 { first, compacted } = body::read(what, bytes, at)?;
                (first, compacted)
            }
        };
        let Manifest1 { partition, version, epoch, by, log_start, segments, snapshot } = first;
        Ok(Self { partition, version, epoch, by, log_start, segments, snapshot, compacted, pages: Vec::new() })
    }

    fn check(&self) -> Result<(), &'static str> {
        self.segments.iter().try_for_each(SegmentRef::check)?;
        if self.segments.iter().zip(self.segments.iter().skip(1)).any(|(a, b)| a.end_offset > b.base_offset) {
            return Err("segments overlap");
        }
        if self.pages.iter().any(|page| page.base_offset >= page.end_offset || page.segments == 0) {
            return Err("a page that holds nothing");
        }
        if self.pages.iter().zip(self.pages.iter().skip(1)).any(|(a, b)| a.end_offset > b.base_offset) {
            return Err("pages overlap");
        }
        if self.pages.last().zip(self.segments.first()).is_some_and(|(page, first)| page.end_offset > first.base_offset) {
            return Err("a page overlaps the segments behind it");
        }
        self.snapshot.check()
    }
}
