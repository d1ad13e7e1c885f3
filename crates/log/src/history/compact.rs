//! Compaction: of the records of one key the newest is kept (`cleanup.policy=compact`), at its offset.
//!
//! One task, one partition at a time, as Kafka's log cleaner works: a pass learns the newest offset of each key in the part
//! that is not compacted yet - as far as its memory reaches - and rewrites all own packs below without the records that
//! have a newer one there. What does not fit into memory is the next pass's. Rewritten packs replace the very packs that
//! they were made of, stand for all their offsets, and count as any manifest does (R15, T26); they are not published if one
//! of those is not named any more.
//!
//! A tombstone is marked with a time at the first pass that meets it, together with or after all older records of its key,
//! and goes at a later one (`delete.retention.ms`). Records without a key are left alone.

mod keys;
mod parts;
mod rewrite;
mod settings;

pub(crate) use settings::Compaction;
pub use settings::{DELETE_RETENTION_MS, MAX_COMPACTION_LAG_MS, MIN_CLEANABLE_RATIO, MIN_COMPACTION_LAG_MS, is_compacted};

use super::pages::Walk;
use super::publish::{self, Published, publish};
use super::settle::Merged;
use super::stopped::Work;
use super::sweep;
use crate::ReadError;
use crate::partition::{CompactionJob, NextCompaction, Partition};
use crate::shared::Shared;
use floe_env::{Mutant, mutated};
use floe_formats::SegmentRef;
use floe_types::{Offset, PartitionId};
use keys::KeyMap;
use rewrite::Rewrite;
use std::sync::Arc;
use std::time::Duration;

/// Packs that are rewritten together although no record goes: many small ones are worth fewer larger ones.
const MANY_PACKS: usize = 8;
/// Segments that are rewritten together, at most.
const MOST_SEGMENTS: usize = 4096;
/// Pause before another look where something waits for a flush, or for settling - and how often in a row.
const SOON: Duration = Duration::from_secs(1);
const MANY_SOON: u32 = 10;

/// Looks through all compacted partitions at every check, for as long as the incarnation lives.
pub(crate) async fn run(shared: Arc<Shared>, topics: Arc<floe_metadata::Catalog>) {
    let mut soon = 0;
    loop {
        let pause = if soon > 0 { shared.options.settle_check.min(SOON) } else { shared.options.settle_check };
        shared.env.sleep(pause).await;
        let mut waits = false;
        for topic in topics.view().topics() {
            let Some(settings) = Compaction::of(topic) else { continue };
            for index in 0..topic.partitions {
                let Some(partition) = shared.partition(PartitionId { topic: topic.id, index }) else { continue };
                // What it leaves is taken at the next check.
                match compact_due(&shared, &partition, &settings).await {
                    Ok(waiting) => waits |= waiting,
                    Err(_) if shared.ended.get().is_some() => return,
                    Err(ReadError::Damaged(damage)) => shared.stopped.stop(Work::Compaction, *damage, shared.env.monotonic()),
                    Err(error) => tracing::warn!(partition = %partition.id(), %error, "not compacted; trying again later"),
                }
            }
        }
        soon = match (waits, soon) {
            (true, 0) => MANY_SOON,
            (true, left) => left - 1,
            (false, _) => 0,
        };
    }
}

/// Compacts one partition as far as it is due. Whether it waits for something that is on its way.
async fn compact_due(shared: &Arc<Shared>, partition: &Arc<Partition>, settings: &Compaction) -> Result<bool, ReadError> {
    loop {
        publish::check_running(shared)?;
        if shared.stopped.waits(Work::Compaction, partition.id(), partition.offsets().log_start, shared.env.monotonic()) {
            return Ok(false);
        }
        match partition.next_compaction(settings, shared.env.now_ms()) {
            NextCompaction::Nothing => return Ok(false),
            NextCompaction::Waits => return Ok(true),
            NextCompaction::Unread => drop(partition.read_history().await?),
            NextCompaction::Job(job) => match pass(shared, partition, settings, &job).await {
                Ok(true) => shared.stopped.over(Work::Compaction, partition.id()),
                Ok(false) => return Ok(true),
                // Others have dropped it meanwhile, by retention or in an earlier life.
                Err(ReadError::Damaged(damage)) if damage.missing => {
                    partition.read_history().await?;
                    if partition.places(&damage).await? {
                        return Err(ReadError::Damaged(damage));
                    }
                    tracing::debug!(key = damage.key, "gone before it was compacted here");
                    return Ok(true);
                }
                Err(error) => return Err(error),
            },
        }
    }
}

/// One pass. False if what it began with is not what there is any more.
async fn pass(shared: &Arc<Shared>, partition: &Arc<Partition>, settings: &Compaction, job: &CompactionJob) -> Result<bool, ReadError> {
    let (keys, upto) = learn(shared, partition, job).await?;
    let now_ms = shared.env.now_ms();
    let rewrite = Rewrite {
        keys: Arc::new(keys),
        upto,
        horizon: now_ms.saturating_add(settings.delete_retention_ms),
        now_ms,
        newest: job.newest,
        log_start: partition.offsets().log_start,
    };
    let mut before = 0;
    let mut groups = Groups::of(shared, job, upto);
    let mut next = groups.next().await?;
    while let Some(group) = next {
        next = groups.next().await?;
        let merged = rewrite.rewrite(shared, partition, &group, group_packs(&group) >= MANY_PACKS).await?;
        before += group.iter().map(|segment| segment.bytes).sum::<u64>();
        let Some(merged) = with_mark(merged, next.is_none().then_some(upto)) else { continue };
        let merged = Merged { stale: mutated(Mutant::StaleCompaction).then(|| job.manifest.clone()), ..merged };
        match publish(shared, partition, Some(&merged)).await? {
            Published::Counts { dropped } => sweep::after_publishing(shared, partition, &dropped).await?,
            Published::Outdated => return Ok(false),
        }
    }
    shared.history.compacted(before);
    Ok(true)
}

/// What is to be published: the rewritten packs, or how far the partition is compacted, or both.
fn with_mark(merged: Option<Merged>, compacted: Option<Offset>) -> Option<Merged> {
    match (merged, compacted) {
        (None, None) => None,
        (merged, compacted) => Some(Merged { compacted, ..merged.unwrap_or_default() }),
    }
}

/// The newest offset of each key from `job.from` on, and how far that goes: up to `job.end`, or as memory allows.
async fn learn(shared: &Arc<Shared>, partition: &Partition, job: &CompactionJob) -> Result<(KeyMap, Offset), ReadError> {
    let most = (job.end - job.from).unsigned_abs();
    let mut keys = KeyMap::new(shared.env.random_u128(), most, shared.options.compaction_bytes);
    let mut upto = job.from;
    let mut walk = Walk::new(shared, job.manifest.clone(), job.from);
    while let Some(stored) = walk.next().await?.filter(|segment| segment.base_offset < job.end) {
        if stored.end_offset <= job.from {
            continue;
        }
        let mut blocks = shared.packs.blocks_of(partition.id(), &stored).await?;
        while let Some(batches) = blocks.next(&shared.packs).await? {
            let from = job.from;
            let learned = shared.env.compute("learn keys", move || rewrite::learn(keys, batches, from)).await;
            let full;
            (keys, upto, full) = match learned.map_err(|failed| ReadError::Broken(failed.to_string()))? {
                Ok((keys, learned)) => (keys, upto.max(learned.upto), learned.full),
                Err(error) => return Err(error.into()),
            };
            if full {
                return Ok((keys, upto));
            }
        }
        upto = upto.max(stored.end_offset);
    }
    Ok((keys, upto))
}

/// Whole packs that hold something below `upto`, as many at once as make the size that is settled.
struct Groups<'a> {
    walk: Walk<'a>,
    upto: Offset,
    log_start: Offset,
    target: u64,
    /// The first segment of the next group.
    waiting: Option<SegmentRef>,
}

impl<'a> Groups<'a> {
    fn of(shared: &'a Shared, job: &CompactionJob, upto: Offset) -> Self {
        let log_start = job.manifest.log_start;
        let walk = Walk::new(shared, job.manifest.clone(), log_start);
        Self { walk, upto, log_start, target: shared.options.settle_bytes, waiting: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<SegmentRef>>, ReadError> {
        let (mut group, mut bytes): (Vec<SegmentRef>, u64) = (Vec::new(), 0);
        loop {
            let segment = match self.waiting.take() {
                Some(waiting) => waiting,
                None => match self.walk.next().await? {
                    Some(segment) => segment,
                    None => break,
                },
            };
            if segment.end_offset <= self.log_start {
                continue;
            }
            let is_of_last = group.last().is_some_and(|last| last.pack == segment.pack);
            let is_full = !group.is_empty() && (bytes + segment.bytes > self.target || group.len() >= MOST_SEGMENTS);
            if !is_of_last && (is_full || segment.base_offset >= self.upto) {
                self.waiting = Some(segment);
                break;
            }
            bytes += segment.bytes;
            group.push(segment);
        }
        Ok((!group.is_empty()).then_some(group))
    }
}

fn group_packs(group: &[SegmentRef]) -> usize {
    group.chunk_by(|a, b| a.pack == b.pack).count()
}
