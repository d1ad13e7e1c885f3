//! Reading batches out of packs: the footer once, then the blocks that hold what is asked for, each verified against
//! its checksum (`fetch.rs`), and ahead of who reads from front to back what he is about to ask for (`streams.rs`,
//! `ahead.rs`).
//!
//! What does not verify, though fetched twice, is damage: of exactly the block or, where the footer cannot be read, the
//! segment. What lies before the damage is given, what lies behind it is read from there.

mod ahead;
mod fetch;
mod merging;
mod streams;

pub(crate) use merging::BlockRuns;

use crate::{Damage, ReadError};
use bytes::Bytes;
use fetch::{AHEAD_RUN, Fetcher, runs};
use floe_cache::{BlockStats, Cache, DiskCache, DiskCacheStats};
use floe_env::Env;
use floe_formats::{Block, FormatError, PackFooter, Segment, SegmentRef};
use floe_objstore::{Class, Store, StoreError};
use floe_types::{Offset, PartitionId};
use futures::stream::{self, StreamExt};
use std::sync::Arc;
use streams::{Done, Streams};

/// Runs of blocks of one merge that are fetched at the same time.
const PARALLEL: usize = 4;
/// Footers kept, in bytes of their stored form.
const FOOTER_BUDGET: u64 = 8 << 20;

/// Clones share caches and streams.
#[derive(Debug, Clone)]
pub(crate) struct PackReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    store: Store,
    merging: Store,
    footers: Cache<String, (Arc<PackFooter>, u32)>,
    fetcher: Arc<Fetcher>,
    /// What merges read: past the caches, and in places of their own.
    merger: Arc<Fetcher>,
    streams: Streams,
}

impl PackReader {
    /// `budget`: bytes of blocks in memory.
    pub(crate) fn new(env: Env, store: &Store, budget: u64, disk: Option<DiskCache>) -> Self {
        let (store, merging) = (store.for_class(Class::Replay), store.for_class(Class::Merging));
        Self(Arc::new(Inner {
            footers: Cache::new(FOOTER_BUDGET.min(budget), |(_, len)| u64::from(*len)),
            fetcher: Fetcher::new(env.clone(), store.clone(), budget, disk),
            merger: Fetcher::new(env.clone(), merging.clone(), 0, None),
            streams: Streams::default(),
            env,
            store,
            merging,
        }))
    }

    pub(crate) fn stats(&self) -> (BlockStats, Option<DiskCacheStats>) {
        self.0.fetcher.stats()
    }

    /// Batches of `partition` from the one that holds `offset` on: at least one, and not much more than `max_bytes`.
    /// `segments`: the one that holds `offset`, and some that follow it.
    pub(crate) async fn read(
        &self,
        partition: PartitionId,
        segments: &[SegmentRef],
        offset: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let Some(stored) = segments.first() else { return Ok(Vec::new()) };
        let inner = &self.0;
        let reading = inner.streams.begin(partition, offset, inner.env.monotonic());
        let pack: Arc<str> = stored.pack.key().into();
        let of_segment = |error| damaged(error, &pack, partition, (stored.base_offset, stored.end_offset));
        let footer = inner.footer(&inner.store, stored).await.map_err(of_segment)?;
        let segment = find(&footer, partition, stored).map_err(of_segment)?;
        let blocks = wanted(segment, offset, max_bytes);
        let reach = blocks.last().map_or(offset, |last| last.end_offset);
        // What this read waits for is asked for first.
        let asked = inner.fetcher.ask(&pack, blocks);
        inner.read_ahead(reading, reach, segments);
        let (opened, waited) = inner.fetcher.wait(asked).await;
        let mut batches = Vec::new();
        for (block, opened) in blocks.iter().zip(opened) {
            let before = batches.len();
            match opened.and_then(|raw| take(raw, offset, &mut batches)) {
                Ok(()) => {}
                // What lies before is whole; whoever goes on reads this block first.
                Err(_) if before > 0 => {
                    batches.truncate(before);
                    break;
                }
                Err(error) => return Err(damaged(error, &pack, partition, (block.base_offset, block.end_offset))),
            }
        }
        let bytes = batches.iter().map(|batch| batch.len() as u64).sum();
        let done = Done { reach, bytes, waited, fetch_time: inner.store.pace().fetch_time(AHEAD_RUN) };
        inner.streams.finish(&reading, done, inner.fetcher.ahead_budget());
        Ok(batches)
    }

    /// Where the first block begins, from `from` on, that holds a record of `timestamp` or later, and its bytes.
    pub(crate) async fn offset_by_time(
        &self,
        partition: PartitionId,
        stored: &SegmentRef,
        (from, timestamp): (Offset, i64),
    ) -> Result<Option<(Offset, usize)>, ReadError> {
        let of_segment = |error| damaged(error, &stored.pack.key(), partition, (stored.base_offset, stored.end_offset));
        let footer = self.0.footer(&self.0.store, stored).await.map_err(of_segment)?;
        let segment = find(&footer, partition, stored).map_err(of_segment)?;
        let block = segment.blocks.iter().find(|block| block.end_offset > from && block.max_timestamp >= timestamp);
        Ok(block.map(|block| (block.base_offset.max(from), block.raw_len as usize)))
    }

    /// One whole segment, past the caches: its entry in the footer, and its batches.
    pub(crate) async fn read_whole(&self, partition: PartitionId, stored: &SegmentRef) -> Result<(Segment, Vec<Bytes>), ReadError> {
        let inner = &self.0;
        let pack: Arc<str> = stored.pack.key().into();
        let of_segment = |error| damaged(error, &pack, partition, (stored.base_offset, stored.end_offset));
        let footer = inner.footer(&inner.merging, stored).await.map_err(of_segment)?;
        let segment = find(&footer, partition, stored).map_err(of_segment)?.clone();
        let mut reads = Vec::new();
        for run in runs(&segment.blocks, AHEAD_RUN, u64::MAX) {
            reads.push(inner.merger.fetch(&pack, run));
        }
        let fetched: Vec<_> = stream::iter(reads).buffered(PARALLEL).collect().await;
        // By position, which is the order of the blocks.
        let opened = fetched.into_iter().flatten().map(|(_, opened)| opened);
        let mut batches = Vec::new();
        for (block, opened) in segment.blocks.iter().zip(opened) {
            let of_block = |error| damaged(error, &pack, partition, (block.base_offset, block.end_offset));
            opened.and_then(|raw| take(raw, Offset::MIN, &mut batches)).map_err(of_block)?;
        }
        Ok((segment, batches))
    }
}

impl Inner {
    /// A pack's footer; fetched again if it does not verify.
    async fn footer(&self, store: &Store, stored: &SegmentRef) -> Result<Arc<PackFooter>, PackError> {
        let key = stored.pack.key();
        let fetch = async {
            let bytes = store.get_range_hedged(&key, stored.footer_range()).await?;
            let footer = match floe_formats::decode_footer(&bytes) {
                Ok(footer) => footer,
                Err(_) => floe_formats::decode_footer(&store.get_range(&key, stored.footer_range()).await?)?,
            };
            Ok::<_, PackError>((Arc::new(footer), stored.footer_len))
        };
        Ok(self.footers.get_or_fetch(&key, fetch).await?.0)
    }
}

/// The segment that `stored` names. The end counts, too: a segment of events alone may stand before it, at the same offset.
fn find<'a>(footer: &'a PackFooter, partition: PartitionId, stored: &SegmentRef) -> Result<&'a Segment, PackError> {
    let of_this = |s: &&Segment| s.partition == partition && (s.base_offset, s.end_offset) == (stored.base_offset, stored.end_offset);
    let not_listed = || PackError::Damaged("its footer does not list the segment".to_owned());
    footer.segments.iter().find(of_this).ok_or_else(not_listed)
}

/// Why a part of a pack was not had.
#[derive(Debug, Clone)]
enum PackError {
    /// The store does not answer, or refuses: nothing is known of the pack.
    Store(StoreError),
    Missing,
    Damaged(String),
}

impl From<StoreError> for PackError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::Missing,
            StoreError::Corrupt { detail, .. } => Self::Damaged(detail),
            StoreError::Unavailable { .. } | StoreError::Refused { .. } => Self::Store(error),
        }
    }
}

impl From<FormatError> for PackError {
    fn from(error: FormatError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The error as those see it who asked for records of `partition`.
fn damaged(error: PackError, key: &str, partition: PartitionId, (start, end): (Offset, Offset)) -> ReadError {
    let (what, missing) = match error {
        PackError::Store(error) => return ReadError::Store(error),
        PackError::Missing => ("the object does not exist".to_owned(), true),
        PackError::Damaged(what) => (what, false),
    };
    ReadError::Damaged(Box::new(Damage { partition, start, end, key: key.to_owned(), what, missing }))
}

/// The batches of a block that reach beyond `offset`.
fn take(raw: Bytes, offset: Offset, batches: &mut Vec<Bytes>) -> Result<(), PackError> {
    for batch in floe_records::Batches::new(raw) {
        let (header, bytes) = batch.map_err(|error| PackError::Damaged(error.to_string()))?;
        if header.end_offset() > offset {
            batches.push(bytes);
        }
    }
    Ok(())
}

/// The blocks from the one that holds `offset` on, as many as `max_bytes` asks for.
fn wanted(segment: &Segment, offset: Offset, max_bytes: usize) -> &[Block] {
    let first = segment.blocks.partition_point(|block| block.end_offset <= offset);
    let blocks = segment.blocks.get(first..).unwrap_or_default();
    let mut bytes = 0_usize;
    let enough = blocks.iter().position(|block| {
        bytes += block.raw_len as usize;
        bytes >= max_bytes
    });
    blocks.get(..enough.map_or(blocks.len(), |last| last + 1)).unwrap_or_default()
}
