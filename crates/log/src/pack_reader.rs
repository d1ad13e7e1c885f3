//! Reading batches out of packs: the footer once, then the blocks that hold what is asked for, each verified against
//! its checksum and kept in the cache.

use crate::ReadError;
use bytes::Bytes;
use floe_cache::{Cache, CacheStats};
use floe_formats::{Block, PackFooter, Segment, SegmentRef};
use floe_objstore::{Store, StoreError};
use floe_types::{Offset, PartitionId};
use futures::stream::{self, StreamExt};
use std::sync::Arc;

/// Blocks of one read that are fetched at the same time.
const PARALLEL: usize = 4;
/// Bytes of one request where a whole segment is read.
const RUN: u64 = 8 << 20;
/// Footers kept, in bytes of their stored form.
const FOOTER_BUDGET: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct PackReader {
    store: Store,
    footers: Cache<String, (Arc<PackFooter>, u32)>,
    blocks: Cache<(String, u64), Bytes>,
}

impl PackReader {
    pub(crate) fn new(store: Store, budget: u64) -> Self {
        Self {
            store,
            footers: Cache::new(FOOTER_BUDGET.min(budget), |(_, len)| u64::from(*len)),
            blocks: Cache::new(budget, |block| block.len() as u64),
        }
    }

    pub(crate) fn stats(&self) -> (CacheStats, CacheStats) {
        (self.footers.stats(), self.blocks.stats())
    }

    /// Batches of `partition` from the one that holds `offset` on: at least one, and not much more than `max_bytes`.
    pub(crate) async fn read(
        &self,
        partition: PartitionId,
        stored: &SegmentRef,
        offset: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let key = stored.pack.key();
        let footer = self.footer(&key, stored).await?;
        let segment = find(&footer, &key, partition, stored)?;
        let blocks = wanted(segment, offset, max_bytes);
        // A loop, not `map`: a closure over a borrowed block is not general enough for a future that is to be `Send`.
        let mut reads = Vec::with_capacity(blocks.len());
        for block in blocks {
            reads.push(self.block(&key, block));
        }
        let fetched: Vec<_> = stream::iter(reads).buffered(PARALLEL).collect().await;
        let mut batches = Vec::new();
        for block in fetched {
            for batch in floe_records::Batches::new(block?) {
                let (header, bytes) = batch?;
                if header.end_offset() > offset {
                    batches.push(bytes);
                }
            }
        }
        Ok(batches)
    }

    /// One whole segment, past the cache: its entry in the footer, and its batches.
    pub(crate) async fn read_whole(&self, partition: PartitionId, stored: &SegmentRef) -> Result<(Segment, Vec<Bytes>), ReadError> {
        let key = stored.pack.key();
        let footer = self.footer(&key, stored).await?;
        let segment = find(&footer, &key, partition, stored)?.clone();
        let mut reads = Vec::new();
        for run in runs(&segment.blocks) {
            reads.push(self.run_of_blocks(&key, run));
        }
        let fetched: Vec<_> = stream::iter(reads).buffered(PARALLEL).collect().await;
        let mut batches = Vec::new();
        for run in fetched {
            for block in run? {
                for batch in floe_records::Batches::new(block) {
                    batches.push(batch?.1);
                }
            }
        }
        Ok((segment, batches))
    }

    /// Blocks that lie one behind the other, by one request.
    async fn run_of_blocks(&self, key: &str, blocks: &[Block]) -> Result<Vec<Bytes>, ReadError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(Vec::new()) };
        let start = first.position;
        let bytes = self.store.get_range(key, start..last.range().end).await?;
        let of_block = |block: &Block| {
            let at = |position: u64| usize::try_from(position - start).unwrap_or(usize::MAX).min(bytes.len());
            let stored = bytes.slice(at(block.position)..at(block.range().end));
            floe_formats::open_block(block, &stored).map_err(|source| ReadError::Format { what: key.to_owned(), source })
        };
        blocks.iter().map(of_block).collect()
    }

    async fn footer(&self, key: &str, stored: &SegmentRef) -> Result<Arc<PackFooter>, ReadError> {
        let fetch = async {
            let bytes = self.store.get_range(key, stored.footer_range()).await?;
            let footer = floe_formats::decode_footer(&bytes).map_err(|source| ReadError::Format { what: key.to_owned(), source })?;
            Ok::<_, ReadError>((Arc::new(footer), stored.footer_len))
        };
        Ok(self.footers.get_or_fetch(&key.to_owned(), fetch).await?.0)
    }

    async fn block(&self, key: &str, block: &Block) -> Result<Bytes, ReadError> {
        let fetch = async {
            let range = block.position..block.position + u64::from(block.len);
            let bytes = self.store.get_range(key, range).await?;
            if bytes.len() as u64 != u64::from(block.len) {
                let detail = format!("block at {} came short", block.position);
                return Err(ReadError::Store(StoreError::Corrupt { key: key.to_owned(), detail }));
            }
            floe_formats::open_block(block, &bytes).map_err(|source| ReadError::Format { what: key.to_owned(), source })
        };
        self.blocks.get_or_fetch(&(key.to_owned(), block.position), fetch).await
    }
}

/// The segment that `stored` names. The end counts, too: a segment of events alone may stand before it, at the same offset.
fn find<'a>(footer: &'a PackFooter, key: &str, partition: PartitionId, stored: &SegmentRef) -> Result<&'a Segment, ReadError> {
    let of_this = |s: &&Segment| s.partition == partition && (s.base_offset, s.end_offset) == (stored.base_offset, stored.end_offset);
    let missing = || ReadError::Broken(format!("{key} does not hold the segment at {}", stored.base_offset));
    footer.segments.iter().find(of_this).ok_or_else(missing)
}

/// Blocks in runs that lie without a gap, of at most [`RUN`] bytes unless one is larger.
fn runs(blocks: &[Block]) -> Vec<&[Block]> {
    let (mut runs, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, block) in blocks.iter().enumerate() {
        let follows = at == start || blocks.get(at - 1).is_some_and(|before| before.range().end == block.position);
        if at > start && (!follows || bytes + u64::from(block.len) > RUN) {
            runs.push(&blocks[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += u64::from(block.len);
    }
    if start < blocks.len() {
        runs.push(&blocks[start..]);
    }
    runs
}

/// The blocks from the one that holds `offset` on, as many as `max_bytes` asks for.
fn wanted(segment: &Segment, offset: Offset, max_bytes: usize) -> Vec<&Block> {
    let first = segment.blocks.partition_point(|block| block.end_offset <= offset);
    let mut bytes = 0_usize;
    let mut blocks = Vec::new();
    for block in segment.blocks.iter().skip(first) {
        if !blocks.is_empty() && bytes >= max_bytes {
            break;
        }
        bytes += block.raw_len as usize;
        blocks.push(block);
    }
    blocks
}
