//! A pack's footer: what is in it. Version and checksum of its own, so that it can be read without the rest of the pack.

use super::PACK_VERSION;
use crate::{
    FormatError, body,
    checksum::crc32c,
    doc::persisted,
    header::{Kind, OBJECT_HEADER_LEN},
    object::known_version,
    read::Fields,
    segment::{ProducerUpdate, Segment},
};
use floe_records::Codec;
use floe_types::{Generation, Incarnation, Lsn, PartitionId, SlotNumber, WriteId};
use std::ops::Range;

pub(super) const FOOTER_MAGIC: &[u8; 4] = b"FLPF";
const HEAD_LEN: usize = 8;
const CRC_LEN: usize = 4;
const WHAT: &str = "pack footer";

persisted! {
    /// What a pack holds.
    pub struct PackFooter {
        /// Which kind of pack this is.
        pub kind: PackKind,
        /// The write that made the pack: the same as in its header.
        pub write_id: WriteId,
        /// The highest etcd revision that the writer had seen: the same as in the header.
        pub revision: u64,
        /// The chain that the pack belongs to. In a recovery pack that is the dead chain.
        pub incarnation: Incarnation,
        /// The slot that it was written for; none outside a row.
        pub slot: Option<SlotNumber>,
        /// The oldest WAL position that slots up to this one do not cover; none without a WAL.
        pub wal_from: Option<WalPosition>,
        /// The first slot of the row that had not been deleted.
        pub front: SlotNumber,
        /// The segments, in the order of their bytes.
        pub segments: Vec<Segment>,
    }
}

persisted! {
    /// What a pack is for.
    #[derive(Copy)]
    pub enum PackKind {
        /// Segments of many partitions, in a slot.
        Shared,
        /// Segments of one partition, in a slot or under the partition's own prefix.
        Own,
        /// What recovery found in sealed replicas only.
        Recovery,
    }
}

persisted! {
    /// A position in one of an incarnation's WALs.
    #[derive(Copy, PartialOrd, Ord)]
    pub struct WalPosition {
        /// The generation.
        pub generation: Generation,
        /// The position in that generation's WAL.
        pub lsn: Lsn,
    }
}

persisted! {
    /// A run of whole batches of one segment: the unit that is read, checked and cached.
    pub struct Block {
        /// First byte, counted from the start of the object.
        pub position: u64,
        /// Bytes as stored.
        pub len: u32,
        /// Bytes when uncompressed.
        pub raw_len: u32,
        /// How it is compressed.
        pub codec: BlockCodec,
        /// CRC-32C of the stored bytes.
        pub crc: u32,
        /// Offset of its first record.
        pub base_offset: i64,
        /// Offset behind its last record.
        pub end_offset: i64,
        /// Greatest record timestamp, in unix milliseconds; -1 when there is none.
        pub max_timestamp: i64,
    }
}

persisted! {
    /// How a block is compressed, over and above what producers did to their batches.
    #[derive(Copy)]
    pub enum BlockCodec {
        /// As the batches came.
        None,
        /// LZ4 frame.
        Lz4,
        /// Zstandard frame.
        Zstd,
    }
}

impl BlockCodec {
    /// The codec of batches that does the same; none for [`BlockCodec::None`].
    pub(super) fn of_records(self) -> Option<Codec> {
        match self {
            Self::None => None,
            Self::Lz4 => Some(Codec::Lz4),
            Self::Zstd => Some(Codec::Zstd),
        }
    }
}

impl std::str::FromStr for BlockCodec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd),
            _ => Err(format!("{text:?} is not one of none, lz4, zstd")),
        }
    }
}

impl std::fmt::Display for BlockCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.of_records().map_or("none", Codec::name))
    }
}

impl Block {
    /// Makes it a block that is stored as `stored`, at the same position. Of less than 4 GiB: compressing never adds to an eighth saved.
    pub(super) fn compress(&mut self, codec: BlockCodec, stored: &[u8]) {
        (self.codec, self.len, self.crc) = (codec, u32::try_from(stored.len()).unwrap_or(u32::MAX), crc32c(stored));
    }

    /// The bytes of the object that hold it.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.position..self.position.saturating_add(u64::from(self.len))
    }
}

impl Segment {
    /// The block that holds `offset`, or else the next one behind it (compaction leaves gaps).
    #[must_use]
    pub fn block_at(&self, offset: i64) -> Option<&Block> {
        self.blocks.get(self.blocks.partition_point(|block| block.end_offset <= offset))
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.base_offset > self.end_offset {
            return Err("a segment ends before it begins");
        }
        let mut offset = self.base_offset;
        for block in &self.blocks {
            if block.base_offset < offset || block.end_offset <= block.base_offset {
                return Err("a segment's blocks are not in offset order");
            }
            if block.codec == BlockCodec::None && block.len != block.raw_len {
                return Err("an uncompressed block has two lengths");
            }
            offset = block.end_offset;
        }
        if offset > self.end_offset {
            return Err("a segment's blocks reach beyond its end");
        }
        self.producers.iter().try_for_each(ProducerUpdate::check)
    }
}

impl PackFooter {
    /// The segments of one partition, in the order of their bytes.
    pub fn segments_of(&self, partition: PartitionId) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.partition == partition)
    }

    fn check(&self) -> Result<(), &'static str> {
        self.segments.iter().try_for_each(Segment::check)?;
        let mut position = OBJECT_HEADER_LEN as u64;
        for block in self.segments.iter().flat_map(|segment| &segment.blocks) {
            if block.position < position {
                return Err("blocks overlap");
            }
            position = block.range().end;
        }
        Ok(())
    }

    /// Where the last block ends.
    pub(super) fn blocks_end(&self) -> u64 {
        let last = self.segments.iter().flat_map(|segment| &segment.blocks).last();
        last.map_or(OBJECT_HEADER_LEN as u64, |block| block.range().end)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.check(), Ok(()), "what is written must be readable");
        let mut out = Vec::with_capacity(HEAD_LEN);
        out.extend_from_slice(FOOTER_MAGIC);
        out.extend_from_slice(&PACK_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        let mut out = body::append(out, self);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }
}

/// Reads a footer: exactly `bytes`.
///
/// # Errors
/// Each way to be damaged; a newer version.
pub fn decode_footer(bytes: &[u8]) -> Result<PackFooter, FormatError> {
    if let Some(magic) = bytes.first_chunk::<4>().filter(|magic| *magic != FOOTER_MAGIC) {
        return Err(FormatError::WrongMagic { what: WHAT, at: 0, expected: FOOTER_MAGIC, found: magic.to_vec() });
    }
    let found = bytes.len() as u64;
    let truncated = FormatError::Truncated { what: WHAT, needed: (HEAD_LEN as u64).saturating_add(CRC_LEN as u64), found };
    let Some((covered, crc)) = bytes.split_last_chunk::<CRC_LEN>() else { return Err(truncated) };
    let Some((head, body)) = covered.split_first_chunk::<HEAD_LEN>() else { return Err(truncated) };
    let (stored, computed) = (u32::from_le_bytes(*crc), crc32c(covered));
    if stored != computed {
        return Err(FormatError::Checksum { what: WHAT, at: 0, stored, computed });
    }
    let mut head = Fields(head);
    let _magic: [u8; 4] = head.take();
    let (version, reserved) = (head.u16(), head.u16());
    known_version(Kind::Pack, version, PACK_VERSION)?;
    let malformed = |problem| FormatError::Malformed { what: WHAT, at: 0, problem };
    if version == 0 || reserved != 0 {
        return Err(malformed("this format version never existed"));
    }
    let footer: PackFooter = body::read(WHAT, body, HEAD_LEN as u64)?;
    footer.check().map_err(malformed)?;
    Ok(footer)
}
