//! The log as the store alone has it: what `floe export` and whoever else has no broker reads. Sees what certain slots, or an
//! `end`, hold, and nothing that is still in a WAL only. Writes nothing, takes nothing over, and may run while a broker
//! writes, settles, compacts and deletes: what was looked up is then an old view, and is looked up again (R17).
//!
//! Keeps: every batch that is given is final - it lies before the first free slot of its row, or an `end` or a manifest
//! names it; offsets only go up; where records are gone - deleted, compacted - the next offset says how far. Is not: a
//! judge of transactions, which reads batches and not records.

mod view;

use crate::history::manifest::{from_offset, read_newest};
use crate::history::pages::Pages;
use crate::pack_reader::PackReader;
use crate::{Damage, OpenError, ReadError};
use bytes::Bytes;
use floe_env::Env;
use floe_formats::{Manifest, Mode, SegmentRef, Topic};
use floe_metadata::View;
use floe_objstore::{Class, Store};
use floe_types::{ErrorKind, Offset, PartitionId, TopicId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use view::Lines;

/// Times that what was looked up may be gone before any of it was read.
const MOVES: u32 = 16;
/// Segments that a read looks ahead to.
const SEGMENTS_AHEAD: usize = 64;
/// Most bytes that a batch may have uncompressed when its records are looked at.
const MAX_RAW: usize = 256 << 20;
/// Bytes read at a time while a time is looked for.
const ENOUGH: usize = 1 << 20;

/// Why stored records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Its topic was deleted; a topic that has its name now is another.
    #[error("the topic {0} was deleted")]
    Deleted(TopicId),
    #[error("{0} holds no store of Floe")]
    NoStore(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl StoredError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Deleted(_) | Self::NoStore(_) => ErrorKind::NotFound,
            Self::Open(error) => error.kind(),
            Self::Read(error) => error.kind(),
        }
    }
}

/// A store, opened to be read. Clones share what is known of it.
#[derive(Debug, Clone)]
pub struct StoredLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    store: Store,
    mode: Mode,
    packs: PackReader,
    pages: Pages,
    known: Mutex<Known>,
    /// Held by who looks again: one at a time, and the others see what it found.
    looking: tokio::sync::Mutex<()>,
}

/// What was looked up last. `looks` counts how often.
#[derive(Debug)]
struct Known {
    looks: u64,
    view: Arc<View>,
    lines: Arc<Lines>,
}

/// One partition, as it was when it was last looked at.
#[derive(Debug)]
pub struct StoredPartition {
    log: StoredLog,
    id: PartitionId,
    looks: u64,
    log_start: Offset,
    end: Offset,
    manifest: Option<Manifest>,
    /// What the index and the row place.
    listed: Vec<SegmentRef>,
}

/// A stretch of a partition.
#[derive(Debug, Clone, Default)]
pub struct Stretch {
    /// Where it begins: the offset that was asked for, or the log start where that is later.
    pub from: Offset,
    /// Whole batches in offset order: the first may begin before `from`, and none reaches beyond `next`.
    pub batches: Vec<Bytes>,
    /// Where the next begins. Offsets in between that no batch has were compacted away.
    pub next: Offset,
}

impl StoredLog {
    /// Looks at a store. `cache_bytes`: memory for blocks, most of it ahead of who reads.
    ///
    /// # Errors
    /// There is none, it does not answer, or what says where records lie is damaged.
    pub async fn open(env: Env, store: &Store, cache_bytes: u64) -> Result<Self, StoredError> {
        let store = store.for_class(Class::Replay);
        let mode = view::mode(&store).await?;
        let packs = PackReader::new(env.clone(), &store, cache_bytes, None);
        let (view, lines) = view::look(&env, &store, mode).await?;
        let (known, pages) = (Mutex::new(Known { looks: 1, view, lines }), Pages::new(cache_bytes));
        Ok(Self(Arc::new(Inner { env, store, mode, packs, pages, known, looking: tokio::sync::Mutex::default() })))
    }

    /// The topic that has this name now.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.0.known.lock().view.by_name(name).cloned()
    }

    /// Looks at everything again, unless somebody has since `looks`.
    async fn look_again(&self, looks: u64) -> Result<(), StoredError> {
        let _turn = self.0.looking.lock().await;
        if self.0.known.lock().looks > looks {
            return Ok(());
        }
        let (view, lines) = view::look(&self.0.env, &self.0.store, self.0.mode).await?;
        let mut known = self.0.known.lock();
        *known = Known { looks: known.looks + 1, view, lines };
        Ok(())
    }

    /// # Errors
    /// As [`StoredLog::open`]; `Deleted`; a partition whose stored state contradicts itself.
    pub async fn partition(&self, id: PartitionId) -> Result<StoredPartition, StoredError> {
        let mut partition = StoredPartition { log: self.clone(), id, looks: 0, log_start: 0, end: 0, manifest: None, listed: Vec::new() };
        partition.take_known().await?;
        Ok(partition)
    }
}

impl StoredPartition {
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset behind the last record that is in the store.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Stored bytes of batches from `offset` on, about: for estimates.
    #[must_use]
    pub fn bytes_from(&self, offset: Offset) -> u64 {
        let pages = self.manifest.iter().flat_map(|manifest| &manifest.pages);
        let settled = self.manifest.iter().flat_map(|manifest| &manifest.segments);
        let listed = self.listed.iter().filter(|segment| segment.end_offset > self.settled_end());
        let segments = settled.chain(listed).map(|segment| (segment.end_offset, segment.bytes));
        pages.map(|page| (page.end_offset, page.bytes)).chain(segments).filter(|(end, _)| *end > offset).map(|(_, bytes)| bytes).sum()
    }

    /// Where what the manifest places ends.
    fn settled_end(&self) -> Offset {
        self.manifest.as_ref().and_then(Manifest::end_offset).unwrap_or(0)
    }

    /// Looks at the store again: log start and end may have moved.
    ///
    /// # Errors
    /// As [`StoredLog::partition`].
    pub async fn refresh(&mut self) -> Result<(), StoredError> {
        self.log.look_again(self.looks).await?;
        self.take_known().await
    }

    /// The index was loaded first; the manifest, which counts where both place an offset, is read after it (R17).
    async fn take_known(&mut self) -> Result<(), StoredError> {
        let (looks, view, lines) = {
            let known = self.log.0.known.lock();
            (known.looks, known.view.clone(), known.lines.clone())
        };
        if view.by_id(self.id.topic).is_none_or(|topic| topic.partitions <= self.id.index) {
            return Err(StoredError::Deleted(self.id.topic));
        }
        let manifest = read_newest(&self.log.0.store, self.id).await?;
        let line = lines.get(&self.id);
        if let Some(why) = line.and_then(|line| line.broken.clone()) {
            return Err(ReadError::Broken(why).into());
        }
        let settled_end = manifest.as_ref().and_then(Manifest::end_offset).unwrap_or(0);
        let placed_start = manifest.as_ref().map_or(0, |manifest| manifest.log_start);
        self.looks = looks;
        self.end = line.map_or(0, |line| line.end).max(settled_end).max(self.end);
        self.log_start = line.map_or(0, |line| line.log_start).max(placed_start).max(self.log_start);
        self.listed = line.map(|line| line.segments.clone()).unwrap_or_default();
        self.manifest = manifest;
        Ok(())
    }

    /// Reads from `offset` on, at least one batch where there is one before `end`, and not much more than `max_bytes`.
    ///
    /// # Errors
    /// `Deleted`; damage; a store that does not answer.
    pub async fn read(&mut self, offset: Offset, max_bytes: usize) -> Result<Stretch, StoredError> {
        for _ in 0..MOVES {
            let from = offset.max(self.log_start);
            if from >= self.end {
                return Ok(Stretch { from, batches: Vec::new(), next: from });
            }
            let segments = match self.segments_from(from).await {
                Ok(segments) => segments,
                Err(ReadError::Damaged(damage)) if damage.missing && self.has_moved(from, &damage).await? => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(first) = segments.first() else {
                // An old index, and a newer manifest that begins behind it.
                self.refresh().await?;
                continue;
            };
            let Inner { store, packs, .. } = &*self.log.0;
            match packs.read(store, (self.id, &segments), from, max_bytes).await {
                Ok(batches) => {
                    let last = batches.last().map(|last| floe_records::BatchHeader::parse(last)).transpose().map_err(ReadError::from)?;
                    let next = last.map_or(first.end_offset, |header| header.end_offset());
                    return Ok(Stretch { from, batches, next });
                }
                Err(ReadError::Damaged(damage)) if damage.missing && self.has_moved(from, &damage).await? => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ReadError::Broken(format!("where offset {offset} lies changes faster than it can be read")).into())
    }

    /// Looks again; whether the offset lies elsewhere than in what was not there, or is deleted.
    async fn has_moved(&mut self, offset: Offset, gone: &Damage) -> Result<bool, StoredError> {
        self.refresh().await?;
        if offset < self.log_start {
            return Ok(true);
        }
        if let Some(page) =
            self.manifest.as_ref().and_then(|manifest| manifest.page_at(offset)).filter(|page| page.key(self.id) == gone.key)
        {
            // Still named, and gone: unless it is back, that is damage.
            return Ok(self.log.0.pages.open(&self.log.0.store, self.id, page).await.is_ok());
        }
        match self.segments_from(offset).await {
            Ok(segments) => Ok(segments.first().is_none_or(|segment| segment.pack.key() != gone.key)),
            Err(ReadError::Damaged(damage)) if damage.missing => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The first offset whose record is of `timestamp` or later; the end if there is none.
    ///
    /// # Errors
    /// As [`StoredPartition::read`].
    pub async fn offset_for_time(&mut self, timestamp: i64) -> Result<Offset, StoredError> {
        let mut offset = self.log_start;
        while offset < self.end {
            if let Some(end) = self.passed_over(offset, timestamp).await {
                offset = end;
                continue;
            }
            let stretch = self.read(offset, ENOUGH).await?;
            for batch in &stretch.batches {
                if let Some(found) = floe_records::first_offset_from(batch, stretch.from, timestamp, MAX_RAW).map_err(ReadError::from)? {
                    return Ok(found.offset);
                }
            }
            offset = stretch.next.max(offset + 1);
        }
        Ok(self.end)
    }

    /// The end of the page or segment that holds `offset`, where all of it is older.
    async fn passed_over(&self, offset: Offset, timestamp: i64) -> Option<Offset> {
        if let Some(page) = self.manifest.as_ref().and_then(|manifest| manifest.page_at(offset))
            && page.max_timestamp < timestamp
        {
            return Some(page.end_offset);
        }
        // What is gone, the read that follows looks for.
        let segments = self.segments_from(offset).await.unwrap_or_default();
        segments.first().filter(|first| first.max_timestamp < timestamp).map(|first| first.end_offset)
    }

    /// The segment that holds `offset`, and some that follow it.
    async fn segments_from(&self, offset: Offset) -> Result<Vec<SegmentRef>, ReadError> {
        if let Some(page) = self.manifest.as_ref().and_then(|manifest| manifest.page_at(offset)) {
            let page = self.log.0.pages.open(&self.log.0.store, self.id, page).await?;
            return Ok(from_offset(&page.segments, offset).iter().take(SEGMENTS_AHEAD).cloned().collect());
        }
        let settled = self.manifest.as_ref().map_or(&[][..], |manifest| &manifest.segments);
        let (settled, listed) = match from_offset(settled, offset) {
            [] => (&[][..], from_offset(&self.listed, offset)),
            rest => (rest, behind(&self.listed, self.settled_end())),
        };
        let following = settled.iter().chain(listed).enumerate();
        let readable = following.filter(|(at, s)| *at == 0 || s.base_offset < s.end_offset);
        Ok(readable.take(SEGMENTS_AHEAD).map(|(_, s)| s.clone()).collect())
    }
}

/// Of segments in offset order, those that end behind `offset`.
fn behind(segments: &[SegmentRef], offset: Offset) -> &[SegmentRef] {
    segments.get(segments.partition_point(|segment| segment.end_offset <= offset)..).unwrap_or_default()
}

/// Lines by partition, as indexes, ends and rows make them.
type LinesByPartition = BTreeMap<PartitionId, crate::partition::Line>;
