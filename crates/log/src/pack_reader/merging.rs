//! What compaction and merging within the chain read: whole segments, past the caches, and in places of their own at the
//! store. What a pack holds of them comes by few requests, and no more of it at a time than is asked for.

use super::fetch::{AHEAD_RUN, Opened, runs};
use super::{PARALLEL, PackError, PackReader, damaged, find, take};
use crate::ReadError;
use bytes::Bytes;
use floe_formats::{Block, Segment, SegmentRef};
use floe_types::{Offset, PartitionId};
use futures::stream::{self, StreamExt};
use std::sync::Arc;

/// Uncompressed bytes of one run where a segment is read a few blocks at a time.
const OPENED_RUN: u64 = 8 << 20;

impl PackReader {
    /// One whole segment, a few blocks at a time.
    pub(crate) async fn blocks_of(&self, partition: PartitionId, stored: &SegmentRef) -> Result<BlockRuns, ReadError> {
        let pack: Arc<str> = stored.pack.key().into();
        let of_segment = |error| damaged(error, &pack, partition, (stored.base_offset, stored.end_offset));
        let footer = self.0.footer_to_merge(stored).await.map_err(of_segment)?;
        let segment = find(&footer, partition, stored).map_err(of_segment)?.clone();
        Ok(BlockRuns { pack, segment, read: 0 })
    }

    /// Whole segments of one pack: what lies together is read together.
    pub(crate) async fn read_segments(&self, wanted: &[(PartitionId, &SegmentRef)]) -> Result<Vec<(Segment, Vec<Bytes>)>, ReadError> {
        let Some((partition, first)) = wanted.first() else { return Ok(Vec::new()) };
        let pack: Arc<str> = first.pack.key().into();
        let of_first = |error| damaged(error, &pack, *partition, (first.base_offset, first.end_offset));
        let footer = self.0.footer_to_merge(first).await.map_err(of_first)?;
        let mut segments = Vec::with_capacity(wanted.len());
        for (partition, stored) in wanted {
            let of_segment = |error| damaged(error, &pack, *partition, (stored.base_offset, stored.end_offset));
            segments.push(find(&footer, *partition, stored).map_err(of_segment)?);
        }
        segments.sort_by_key(|segment| segment.blocks.first().map_or(0, |block| block.position));
        let blocks: Vec<Block> = segments.iter().flat_map(|segment| segment.blocks.iter().cloned()).collect();
        let mut reads = Vec::new();
        for run in runs(&blocks, AHEAD_RUN, u64::MAX) {
            reads.push(self.0.merger.fetch(&self.0.merging, &pack, run));
        }
        let fetched: Vec<Opened> = stream::iter(reads).buffered(PARALLEL).collect().await;
        let mut opened: Opened = fetched.into_iter().flatten().collect();
        segments
            .into_iter()
            .map(|segment| Ok((segment.clone(), batches(&mut opened, &pack, segment.partition, &segment.blocks)?)))
            .collect()
    }
}

/// A segment whose blocks are read one run after the other.
#[derive(Debug)]
pub(crate) struct BlockRuns {
    pack: Arc<str>,
    segment: Segment,
    /// Blocks that have been read.
    read: usize,
}

impl BlockRuns {
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Whether there is no next run.
    pub(crate) fn is_read(&self) -> bool {
        self.read >= self.segment.blocks.len()
    }

    /// The batches of the next run; None at the end.
    pub(crate) async fn next(&mut self, packs: &PackReader) -> Result<Option<Vec<Bytes>>, ReadError> {
        let rest = self.segment.blocks.get(self.read..).unwrap_or_default();
        let Some(run) = runs(rest, AHEAD_RUN, OPENED_RUN).next() else { return Ok(None) };
        let mut opened = packs.0.merger.fetch(&packs.0.merging, &self.pack, run).await;
        let batches = batches(&mut opened, &self.pack, self.segment.partition, run)?;
        self.read += run.len();
        Ok(Some(batches))
    }
}

/// The batches of these blocks, in their order.
pub(super) fn batches(opened: &mut Opened, pack: &str, partition: PartitionId, blocks: &[Block]) -> Result<Vec<Bytes>, ReadError> {
    let mut all = Vec::new();
    for block in blocks {
        let not_read = || Err(PackError::Damaged("a block was not read".to_owned()));
        let opened = opened.remove(&block.position).unwrap_or_else(not_read);
        let of_block = |error| damaged(error, pack, partition, (block.base_offset, block.end_offset));
        opened.and_then(|raw| take(raw, Offset::MIN, &mut all)).map_err(of_block)?;
    }
    Ok(all)
}
