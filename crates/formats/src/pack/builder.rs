//! Builds packs: the result is a list of byte strings to be written one behind the other. Batches are not copied, except into compressed blocks.
//!
//! A block is compressed only if no producer has compressed its batches, and only if that saves an eighth.

use super::{
    PACK_VERSION, TRAILER_LEN,
    footer::{Block, BlockCodec, PackFooter, PackKind, WalPosition},
    trailer::Trailer,
};
use crate::{
    FormatError,
    checksum::{combine, crc32c, extend},
    header::{Kind, OBJECT_HEADER_LEN, ObjectHeader, Writer},
    segment::{PackRef, PartitionEvent, ProducerUpdate, Segment, SegmentRef},
};
use bytes::Bytes;
use floe_records::{BatchHeader, CRC_START, Codec, HEADER_LEN};
use floe_types::{Incarnation, LeaderEpoch, Offset, PartitionId, SlotNumber};

/// A block takes batches up to this many bytes; a batch that is larger alone is a block of its own.
pub const DEFAULT_BLOCK_TARGET: usize = 256 << 10;

/// What a segment is, besides its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    pub partition: PartitionId,
    pub epoch: LeaderEpoch,
    /// Where the segment begins: its first batch's base offset, or, without batches, the offset at which its events happened.
    pub base_offset: Offset,
    pub log_start: Offset,
    pub events: Vec<PartitionEvent>,
    pub producers: Vec<ProducerUpdate>,
}

/// A batch as stored, stamped with its base offset and epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSlice {
    /// One whole batch whose CRC has been verified: it becomes part of the block's checksum without another pass over the bytes.
    pub bytes: Bytes,
    pub base_offset: Offset,
    /// Offset behind its last record.
    pub end_offset: Offset,
    /// Unix milliseconds; -1 when there is none.
    pub max_timestamp: i64,
    pub records: u32,
}

/// A pack ready to be written.
#[derive(Debug, Clone)]
pub struct BuiltPack {
    /// The object's bytes, in order: header, batches (the caller's own bytes), footer and trailer.
    pub payload: Vec<Bytes>,
    pub footer: PackFooter,
    pub footer_len: u32,
    /// Bytes of the whole object.
    pub pack_len: u64,
}

impl BuiltPack {
    /// What an index says of this pack's segments once it is stored as `pack`, in the order of the footer.
    pub fn segment_refs(&self, pack: PackRef) -> impl Iterator<Item = (PartitionId, SegmentRef)> {
        self.footer.segments.iter().map(move |segment| (segment.partition, segment.to_ref(pack, self.pack_len, self.footer_len)))
    }
}

impl Segment {
    /// What an index says of this segment, which lies in a pack of `pack_len` bytes with a footer of `footer_len`.
    #[must_use]
    pub fn to_ref(&self, pack: PackRef, pack_len: u64, footer_len: u32) -> SegmentRef {
        SegmentRef {
            pack,
            pack_len,
            footer_len,
            base_offset: self.base_offset,
            end_offset: self.end_offset,
            epoch: self.epoch,
            max_timestamp: self.max_timestamp,
            bytes: self.bytes,
        }
    }
}

/// Collects segments; see [`PackBuilder::finish`].
#[derive(Debug)]
pub struct PackBuilder {
    writer: Writer,
    kind: PackKind,
    incarnation: Incarnation,
    slot: Option<SlotNumber>,
    block_target: usize,
    codec: BlockCodec,
    /// What lies behind the header, so far.
    body: Vec<Bytes>,
    /// Where the next block begins.
    position: u64,
    body_crc: u32,
    segments: Vec<Segment>,
}

impl PackBuilder {
    /// A pack of `incarnation`'s chain (in a recovery pack: the dead one's), for `slot` of its row or outside a row.
    #[must_use]
    pub fn new(writer: Writer, kind: PackKind, incarnation: Incarnation, slot: Option<SlotNumber>) -> Self {
        Self {
            writer,
            kind,
            incarnation,
            slot,
            block_target: DEFAULT_BLOCK_TARGET,
            codec: BlockCodec::None,
            body: Vec::new(),
            position: OBJECT_HEADER_LEN as u64,
            body_crc: crc32c(&[]),
            segments: Vec::new(),
        }
    }

    /// Sets how many uncompressed bytes a block takes, [`DEFAULT_BLOCK_TARGET`] otherwise.
    #[must_use]
    pub fn block_target(mut self, bytes: usize) -> Self {
        self.block_target = bytes;
        self
    }

    /// Sets how blocks of uncompressed batches are compressed; [`BlockCodec::None`] otherwise.
    #[must_use]
    pub fn compression(mut self, codec: BlockCodec) -> Self {
        self.codec = codec;
        self
    }

    /// Bytes so far: header and blocks, without footer and trailer.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.position
    }

    /// Whether it has no segment yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Adds a segment, its batches grouped into blocks.
    ///
    /// # Errors
    /// `Unencodable` when batches are shorter than a batch's header, out of offset order, or larger together than a block can be; the pack is then as before.
    pub fn add_segment(&mut self, meta: SegmentMeta, batches: Vec<BatchSlice>) -> Result<(), FormatError> {
        let end_offset = check_batches(meta.base_offset, &batches)?;
        let blocks = self.append(&batches)?;
        self.begin_segment(meta, end_offset);
        self.count(&batches, blocks);
        Ok(())
    }

    /// Begins a segment that stands for all offsets from `meta.base_offset` up to `end_offset`, whatever batches it gets by
    /// [`PackBuilder::extend_segment`]: what compaction left out is in no other place.
    pub fn begin_segment(&mut self, meta: SegmentMeta, end_offset: Offset) {
        self.segments.push(Segment {
            partition: meta.partition,
            epoch: meta.epoch,
            base_offset: meta.base_offset,
            end_offset,
            max_timestamp: -1,
            log_start: meta.log_start,
            bytes: 0,
            records: 0,
            blocks: Vec::new(),
            events: meta.events,
            producers: meta.producers,
        });
    }

    /// Adds batches to the segment that was begun last; only their blocks are kept in memory, compressed.
    ///
    /// # Errors
    /// As [`PackBuilder::add_segment`]; `Unencodable`, too, when there is no segment, or they reach beyond its end.
    pub fn extend_segment(&mut self, batches: &[BatchSlice]) -> Result<(), FormatError> {
        let unencodable = |problem| FormatError::Unencodable { what: "pack segment", problem };
        let segment = self.segments.last().ok_or_else(|| unencodable("it was not begun"))?;
        let from = segment.blocks.last().map_or(segment.base_offset, |block| block.end_offset);
        if check_batches(from, batches)? > segment.end_offset {
            return Err(unencodable("its batches reach beyond its end"));
        }
        let blocks = self.append(batches)?;
        self.count(batches, blocks);
        Ok(())
    }

    /// Lets the segment that was added last go on with batches that follow it; only their blocks are kept in memory,
    /// compressed.
    ///
    /// # Errors
    /// As [`PackBuilder::extend_segment`], but for the end, which moves.
    pub fn continue_segment(&mut self, batches: &[BatchSlice]) -> Result<(), FormatError> {
        let segment = self.segments.last().ok_or(FormatError::Unencodable { what: "pack segment", problem: "it was not begun" })?;
        let end_offset = check_batches(segment.end_offset, batches)?;
        let blocks = self.append(batches)?;
        self.count(batches, blocks);
        if let Some(segment) = self.segments.last_mut() {
            segment.end_offset = end_offset;
        }
        Ok(())
    }

    /// Ends the segment that was begun last at `end_offset` instead: what is behind is another pack's.
    ///
    /// # Errors
    /// `Unencodable` when there is no segment, or it does not end between its last block's end and where it was to end; the
    /// pack is then as before.
    pub fn end_segment(&mut self, end_offset: Offset) -> Result<(), FormatError> {
        let unencodable = |problem| FormatError::Unencodable { what: "pack segment", problem };
        let segment = self.segments.last_mut().ok_or_else(|| unencodable("it was not begun"))?;
        let from = segment.blocks.last().map_or(segment.base_offset, |block| block.end_offset);
        if end_offset < from || end_offset > segment.end_offset {
            return Err(unencodable("it is to end before its batches do, or behind its end"));
        }
        segment.end_offset = end_offset;
        Ok(())
    }

    /// Sets what the segment that was added last says beside its batches: known once all of it was read.
    pub fn tell_of_segment(&mut self, events: Vec<PartitionEvent>, producers: Vec<ProducerUpdate>) {
        if let Some(segment) = self.segments.last_mut() {
            (segment.events, segment.producers) = (events, producers);
        }
    }

    /// Counts batches that were appended in the last segment.
    fn count(&mut self, batches: &[BatchSlice], blocks: Vec<Block>) {
        let Some(segment) = self.segments.last_mut() else { return };
        segment.max_timestamp = batches.iter().map(|batch| batch.max_timestamp).fold(segment.max_timestamp, i64::max);
        segment.bytes = blocks.iter().map(|block| u64::from(block.raw_len)).fold(segment.bytes, u64::saturating_add);
        segment.records = batches.iter().map(|batch| u64::from(batch.records)).fold(segment.records, u64::saturating_add);
        segment.blocks.extend(blocks);
    }

    /// Appends batches as blocks; on an error the pack is as before.
    fn append(&mut self, batches: &[BatchSlice]) -> Result<Vec<Block>, FormatError> {
        let (mut blocks, mut body) = (Vec::new(), Vec::new());
        let (mut position, mut body_crc) = (self.position, self.body_crc);
        for group in group(batches, self.block_target) {
            let mut block = block(position, group)?;
            match compressed(self.codec, group) {
                Some(stored) => {
                    block.compress(self.codec, &stored);
                    body.push(stored);
                }
                None => {
                    for batch in group {
                        block.crc = extend_by_batch(block.crc, &batch.bytes)?;
                    }
                    body.extend(group.iter().map(|batch| batch.bytes.clone()));
                }
            }
            position = block.range().end;
            body_crc = combine(body_crc, block.crc, block.len.into());
            blocks.push(block);
        }
        (self.position, self.body_crc) = (position, body_crc);
        self.body.extend(body);
        Ok(blocks)
    }

    /// Closes the pack. `wal_from`: the oldest WAL position that slots up to this one do not cover; `front`: the row's first slot that
    /// has not been deleted.
    ///
    /// # Errors
    /// `Unencodable` when the footer is larger than its length field.
    pub fn finish(self, wal_from: Option<WalPosition>, front: SlotNumber) -> Result<BuiltPack, FormatError> {
        let footer = PackFooter {
            kind: self.kind,
            write_id: self.writer.write_id,
            revision: self.writer.revision,
            incarnation: self.incarnation,
            slot: self.slot,
            wal_from,
            front,
            segments: self.segments,
        };
        let mut tail = footer.encode();
        let too_large = |_| FormatError::Unencodable { what: "pack footer", problem: "it is larger than 4 GiB" };
        let footer_len = u32::try_from(tail.len()).map_err(too_large)?;
        let pack_len = self.position.saturating_add(footer_len.into()).saturating_add(TRAILER_LEN as u64);
        tail.extend_from_slice(&Trailer::encode(pack_len, footer_len));
        let header = ObjectHeader {
            kind: Kind::Pack,
            version: PACK_VERSION,
            writer: self.writer,
            body_len: pack_len.saturating_sub(OBJECT_HEADER_LEN as u64),
            body_crc: combine(self.body_crc, crc32c(&tail), tail.len() as u64),
        };
        let mut payload = Vec::with_capacity(self.body.len().saturating_add(2));
        payload.push(Bytes::copy_from_slice(&header.to_bytes()));
        payload.extend(self.body);
        payload.push(Bytes::from(tail));
        Ok(BuiltPack { payload, footer, footer_len, pack_len })
    }
}

/// The offset behind the last batch, when all are in order from `base_offset` on.
fn check_batches(base_offset: Offset, batches: &[BatchSlice]) -> Result<Offset, FormatError> {
    let unencodable = |problem| Err(FormatError::Unencodable { what: "pack segment", problem });
    let mut offset = base_offset;
    for batch in batches {
        if batch.bytes.len() < HEADER_LEN {
            return unencodable("a batch is shorter than its header");
        }
        if batch.base_offset < offset || batch.end_offset <= batch.base_offset {
            return unencodable("batches are not in offset order");
        }
        offset = batch.end_offset;
    }
    Ok(offset)
}

/// Splits batches into runs of at most `target` bytes, but of one batch at least; all of a run are compressed by their producers, or none.
fn group(batches: &[BatchSlice], target: usize) -> impl Iterator<Item = &[BatchSlice]> {
    let mut filled = batches.first().map_or(0, |batch| batch.bytes.len());
    batches.chunk_by(move |before, next| {
        filled = filled.saturating_add(next.bytes.len());
        let fits = filled <= target && is_compressed(before) == is_compressed(next);
        if !fits {
            filled = next.bytes.len();
        }
        fits
    })
}

fn is_compressed(batch: &BatchSlice) -> bool {
    BatchHeader::parse(&batch.bytes).and_then(|header| header.codec()).is_ok_and(|codec| codec != Codec::None)
}

/// A run's batches compressed; `None` where that would gain nothing.
fn compressed(codec: BlockCodec, batches: &[BatchSlice]) -> Option<Bytes> {
    let codec = codec.of_records().filter(|_| !batches.iter().any(is_compressed))?;
    let raw = batches.iter().map(|batch| batch.bytes.as_ref()).collect::<Vec<_>>().concat();
    let stored = codec.compress(&raw);
    (stored.len() <= raw.len().saturating_sub(raw.len() / 8)).then_some(stored)
}

/// A block of these batches, uncompressed, with the checksum of nothing.
fn block(position: u64, batches: &[BatchSlice]) -> Result<Block, FormatError> {
    let too_large = FormatError::Unencodable { what: "pack block", problem: "it is larger than 4 GiB" };
    let len = batches.iter().map(|batch| batch.bytes.len()).fold(0, usize::saturating_add);
    let len = u32::try_from(len).map_err(|_| too_large)?;
    Ok(Block {
        position,
        len,
        raw_len: len,
        codec: BlockCodec::None,
        crc: crc32c(&[]),
        base_offset: batches.first().map_or(0, |batch| batch.base_offset),
        end_offset: batches.last().map_or(0, |batch| batch.end_offset),
        max_timestamp: batches.iter().map(|batch| batch.max_timestamp).max().unwrap_or(-1),
    })
}

/// The sum of what has the sum `crc`, followed by a batch. Only the bytes that the batch's own, once verified CRC does not cover are read.
fn extend_by_batch(crc: u32, batch: &Bytes) -> Result<u32, FormatError> {
    let too_short = FormatError::Unencodable { what: "pack segment", problem: "a batch is shorter than its header" };
    let (prefix, covered) = batch.split_at_checked(CRC_START).ok_or_else(|| too_short.clone())?;
    let own = u32::from_be_bytes(*prefix.last_chunk().ok_or(too_short)?);
    debug_assert_eq!(own, crc32c(covered), "only batches whose CRC was verified may be stored");
    Ok(combine(extend(crc, prefix), own, covered.len() as u64))
}
