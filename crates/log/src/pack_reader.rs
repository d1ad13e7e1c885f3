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

pub(crate) use fetch::AHEAD_RUN;
pub(crate) use merging::BlockRuns;

use crate::{Damage, ReadError};
use bytes::Bytes;
use fetch::{Fetcher, Opened, runs};
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
/// A pack of at most so many bytes is read with its footer: a second request would take longer than the rest of the pack.
const SMALL_PACK: u64 = 256 << 10;
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
            fetcher: Fetcher::new(env.clone(), budget, disk),
            merger: Fetcher::new(env.clone(), 0, None),
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
    /// `segments`: the one that holds `offset`, and some that follow it; `store`: of the class for which it is read.
    pub(crate) async fn read(
        &self,
        store: &Store,
        (partition, segments): (PartitionId, &[SegmentRef]),
        offset: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let Some(stored) = segments.first() else { return Ok(Vec::new()) };
        let inner = &self.0;
        let reading = inner.streams.begin(partition, offset, inner.env.monotonic());
        let pack: Arc<str> = stored.pack.key().into();
        let of_segment = |error| damaged(error, &pack, partition, (stored.base_offset, stored.end_offset));
        let footer = inner.footer(store, stored).await.map_err(of_segment)?;
        let segment = find(&footer, partition, stored).map_err(of_segment)?;
        let blocks = wanted(segment, offset, max_bytes);
        let reach = blocks.last().map_or(offset, |last| last.end_offset);
        // What this read waits for is asked for first.
        let asked = inner.fetcher.ask(store, &pack, blocks);
        inner.read_ahead(store, (reading, reach), segments);
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
        let done = Done { reach, bytes, waited, fetch_time: store.pace().fetch_time(AHEAD_RUN) };
        inner.streams.finish(&reading, done, inner.fetcher.ahead_budget());
        Ok(batches)
    }

    /// Whether the batch that holds `offset` is in memory, in the first of `segments`.
    pub(crate) fn is_here(&self, partition: PartitionId, segments: &[SegmentRef], offset: Offset) -> bool {
        let Some(stored) = segments.first() else { return false };
        let key = stored.pack.key();
        let Some((footer, _)) = self.0.footers.get(&key) else { return false };
        let Ok(segment) = find(&footer, partition, stored) else { return false };
        wanted(segment, offset, 1).first().is_some_and(|block| self.0.fetcher.is_here(&key, block))
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
        let footer = inner.footer_to_merge(stored).await.map_err(of_segment)?;
        let segment = find(&footer, partition, stored).map_err(of_segment)?.clone();
        let mut reads = Vec::new();
        for run in runs(&segment.blocks, AHEAD_RUN, u64::MAX) {
            reads.push(inner.merger.fetch(&inner.merging, &pack, run));
        }
        let fetched: Vec<Opened> = stream::iter(reads).buffered(PARALLEL).collect().await;
        let mut opened: Opened = fetched.into_iter().flatten().collect();
        let batches = merging::batches(&mut opened, &pack, partition, &segment.blocks)?;
        Ok((segment, batches))
    }
}

impl Inner {
    /// A pack's footer; fetched again if it does not verify. What a small pack has of the segment is in the cache afterwards.
    async fn footer(&self, store: &Store, stored: &SegmentRef) -> Result<Arc<PackFooter>, PackError> {
        let key = stored.pack.key();
        let is_whole = stored.pack_len <= SMALL_PACK && matches!(store.class(), Class::Tail | Class::Replay);
        let fetch = async {
            let of_footer = stored.footer_range();
            let start = if is_whole { 0 } else { of_footer.start };
            let bytes = store.get_range_hedged(&key, start..of_footer.end).await?;
            let at = usize::try_from(of_footer.start - start).unwrap_or(usize::MAX);
            let footer = match floe_formats::decode_footer(bytes.get(at..).unwrap_or_default()) {
                Ok(footer) => footer,
                Err(_) => floe_formats::decode_footer(&store.get_range(&key, of_footer).await?)?,
            };
            if is_whole {
                let is_its = |segment: &&Segment| (segment.base_offset, segment.end_offset) == (stored.base_offset, stored.end_offset);
                footer.segments.iter().filter(is_its).for_each(|segment| self.fetcher.take_in(&key, &segment.blocks, &bytes));
            }
            Ok::<_, PackError>((Arc::new(footer), stored.footer_len))
        };
        // Who starts, or merges, does not wait behind consumers for what they wait for.
        match store.class() {
            Class::Tail | Class::Replay => Ok(self.footers.get_or_fetch(&key, fetch).await?.0),
            Class::Merging | Class::Recovery => Ok(self.footers.get_or_fetch_apart(&key, fetch).await?.0),
        }
    }

    async fn footer_to_merge(&self, stored: &SegmentRef) -> Result<Arc<PackFooter>, PackError> {
        self.footer(&self.merging, stored).await
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
