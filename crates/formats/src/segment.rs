//! Segments and what refers to them: shared by packs, indexes, ends and manifests.

use crate::{doc::persisted, keys, pack::Block};
use floe_types::{Incarnation, LeaderEpoch, MAX_BATCHES_OF_PRODUCER, Offset, PartitionId, SlotNumber};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, ops::Range};

/// A name that is never used twice: 48 bits of unix milliseconds, then 80 random bits. Shown as 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ulid(pub u128);

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.to_be_bytes().serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom);
        }
        <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
    }
}

impl crate::doc::Described for Ulid {
    const DOC: &'static crate::doc::TypeDoc = &crate::doc::TypeDoc::Leaf { name: "Ulid", stored: "16 bytes, big-endian" };
}

persisted! {
    /// Where a pack lives.
    #[derive(Copy, PartialOrd, Ord, Hash)]
    pub enum PackRef {
        /// In a slot of an incarnation's row.
        Slot {
            /// The incarnation whose row it is.
            incarnation: Incarnation,
            /// The slot.
            slot: SlotNumber,
        },
        /// Written by recovery, beside the row; it counts only if `end` names it.
        Recovery {
            /// The incarnation that was recovered.
            incarnation: Incarnation,
            /// The incarnation that recovered it.
            by: Incarnation,
            /// The pack's number among those of this recovery.
            number: u32,
        },
        /// A partition's own pack, made by merging.
        Own {
            /// The partition.
            partition: PartitionId,
            /// The leader epoch of the owner that wrote it.
            epoch: LeaderEpoch,
            /// A name that is never used twice.
            ulid: Ulid,
        },
    }
}

impl PackRef {
    /// The pack's object key.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Slot { incarnation, slot } => keys::slot(*incarnation, *slot),
            Self::Recovery { incarnation, by, number } => keys::recovery(*incarnation, *by, *number),
            Self::Own { partition, epoch, ulid } => keys::own_pack(*partition, *epoch, *ulid),
        }
    }
}

persisted! {
    /// A contiguous range of one partition's offsets in one leader epoch, as a pack's footer lists it.
    pub struct Segment {
        /// The partition.
        pub partition: PartitionId,
        /// The leader epoch in which all its batches were appended.
        pub epoch: LeaderEpoch,
        /// Where it begins: the offset of its first record, or one before it where compaction left that out.
        pub base_offset: Offset,
        /// Where it ends: the offset behind its last record, or a later one where compaction left out what was there. Equal to
        /// `base_offset` when it holds events only.
        pub end_offset: Offset,
        /// Greatest record timestamp, in unix milliseconds; -1 when there is none.
        pub max_timestamp: i64,
        /// The partition's log start when the segment was written.
        pub log_start: Offset,
        /// Bytes of its batches, uncompressed by blocks.
        pub bytes: u64,
        /// Number of records.
        pub records: u64,
        /// Its blocks, in offset order.
        pub blocks: Vec<Block>,
        /// What is not a record but must survive, in the order in which it happened.
        pub events: Vec<PartitionEvent>,
        /// State of the producers that wrote in this range, as it was at the segment's end.
        pub producers: Vec<ProducerUpdate>,
    }
}

persisted! {
    /// What is not a record but must survive.
    #[derive(Copy)]
    pub enum PartitionEvent {
        /// A new owner began.
        EpochStart {
            /// Its leader epoch.
            epoch: LeaderEpoch,
            /// The offset of the first record that it may append.
            start: Offset,
        },
        /// Records before an offset are gone.
        LogStart {
            /// The new log start.
            offset: Offset,
        },
        /// Compaction may leave out records before an offset, each for a newer one of its key before it. From version 2 of packs on.
        Compaction {
            /// The offset.
            before: Offset,
        },
    }
}

persisted! {
    /// What must be known of an idempotent producer to tell its repeats from its news.
    pub struct ProducerUpdate {
        /// The producer's id.
        pub producer_id: i64,
        /// The producer's epoch.
        pub epoch: i16,
        /// Timestamp of its last batch, in unix milliseconds: when it may be forgotten.
        pub last_timestamp: i64,
        /// Its last batches in this partition, oldest first; five at most, as in Kafka.
        pub batches: Vec<ProducerBatch>,
    }
}

persisted! {
    /// A batch that an idempotent producer has written.
    #[derive(Copy)]
    pub struct ProducerBatch {
        /// Sequence number of its first record.
        pub base_sequence: i32,
        /// Sequence number of its last record.
        pub last_sequence: i32,
        /// Offset of its first record.
        pub base_offset: Offset,
        /// Offset behind its last record.
        pub end_offset: Offset,
        /// Its greatest timestamp, in unix milliseconds.
        pub timestamp: i64,
    }
}

persisted! {
    /// One segment of a pack, as indexes and manifests name it: enough to find, bound and read its footer by one range request.
    pub struct SegmentRef {
        /// The pack that holds the segment.
        pub pack: PackRef,
        /// Bytes of the whole pack.
        pub pack_len: u64,
        /// Bytes of the pack's footer, which ends 32 bytes before the pack does.
        pub footer_len: u32,
        /// Offset of the segment's first record.
        pub base_offset: Offset,
        /// Offset behind its last record.
        pub end_offset: Offset,
        /// The leader epoch of its batches.
        pub epoch: LeaderEpoch,
        /// Greatest record timestamp, in unix milliseconds; -1 when there is none.
        pub max_timestamp: i64,
        /// Bytes of its batches.
        pub bytes: u64,
    }
}

impl SegmentRef {
    /// The byte range of the pack that is its footer: one GET, then [`crate::decode_footer`].
    #[must_use]
    pub fn footer_range(&self) -> Range<u64> {
        let end = self.pack_len.saturating_sub(crate::TRAILER_LEN as u64);
        end.saturating_sub(u64::from(self.footer_len))..end
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.base_offset > self.end_offset {
            return Err("a segment ends before it begins");
        }
        Ok(())
    }
}

impl ProducerUpdate {
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.batches.len() > MAX_BATCHES_OF_PRODUCER {
            return Err("a producer has more batches than are remembered");
        }
        if self.batches.iter().any(|batch| batch.base_offset >= batch.end_offset) {
            return Err("a producer's batch holds no record");
        }
        Ok(())
    }
}
