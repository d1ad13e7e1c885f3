//! Merging within the chain: the many small segments of small partitions, one of each flush, become few in a larger
//! shared pack, which takes the row's next slot. Of two slots that hold the same offsets the later counts, so that a
//! recoverer finds them merged with or without an index that says so (R6).
//!
//! It bounds the index, whatever the number of flushes, and lets the row's front move past partitions that are too small
//! to be settled. Segments of one size are merged when there are 32 of them, and are of the next size then: a byte is rewritten
//! once for each factor of 32 between what a flush brings and what is settled, three times at most between a hundred bytes
//! and the 4 MiB of one merge. A partition lists at most 31 segments of each size, and those that wait for company.

use super::publish;
use super::settle::{condensed, slice_of};
use super::stopped::Work;
use crate::partition::{Partition, Sizes};
use crate::shared::Shared;
use crate::{Damage, ReadError};
use floe_formats::{BatchSlice, PackRef, PartitionEvent, ProducerUpdate, SegmentMeta, SegmentRef};
use floe_types::{LeaderEpoch, Offset, PartitionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A merge begins when one in so many of all listed segments is due: those of one flush are read together.
const WORTH_A_MERGE: usize = 8;
/// Checks after which what is due is merged however little it is: it holds the row's front back for all others.
const MOST_CHECKS: u32 = 60;
/// Bytes of one merged pack, at most: the slots behind it wait for it.
const MOST_BYTES: u64 = 4 << 20;

/// Partitions that are found damaged before the next check: one pack may have held many of them.
const DAMAGES_AT_ONCE: u32 = 64;

/// A merged pack for the row's next slot.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) segments: Vec<(SegmentMeta, Vec<BatchSlice>)>,
    /// Told when its slot is certain.
    pub(crate) certain: oneshot::Sender<()>,
}

/// Since when, on the monotonic clock, something is due that was not worth a merge.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Option<Duration>);

/// What is to be merged: runs of segments that follow one another, by partition.
type Job = BTreeMap<PartitionId, Vec<SegmentRef>>;

/// Merges as long as the lines list too much. One pack at a time, and one in memory.
pub(crate) async fn remerge_due(shared: &Arc<Shared>, slots: &mpsc::Sender<Merge>, waiting: &mut Waiting) -> Result<(), ReadError> {
    let mut damages = 0;
    while damages < DAMAGES_AT_ONCE
        && let Some(job) = next_job(shared, waiting)
    {
        publish::check_running(shared)?;
        let segments = match gather(shared, &job).await {
            Ok(segments) => segments,
            // Settled and deleted by an owner before this one. Look where it is, and merge at the next check.
            Err(ReadError::Damaged(damage)) if damage.missing && !is_lost(shared, &job, &damage).await? => return Ok(()),
            // The others are merged without it.
            Err(ReadError::Damaged(damage)) => {
                shared.stopped.stop(Work::Merging, *damage, shared.env.monotonic());
                damages += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        let (certain, told) = oneshot::channel();
        let (merged, bytes) = (segments.len() as u64, job.values().flatten().map(|source| source.bytes).sum());
        if slots.send(Merge { segments, certain }).await.is_err() || told.await.is_err() {
            return Ok(());
        }
        shared.history.remerged(merged, bytes);
        job.keys().for_each(|id| shared.stopped.over(Work::Merging, *id));
        shared.history.want_index();
    }
    Ok(())
}

/// Looks where the records are of all partitions that had some in a pack which is gone. Whether those that were asked for
/// should be there still.
async fn is_lost(shared: &Shared, job: &Job, damage: &Damage) -> Result<bool, ReadError> {
    let mut lost = false;
    for (id, run) in job {
        if let (true, Some(partition)) = (run.iter().any(|source| source.pack.key() == damage.key), shared.partition(*id)) {
            match look_again(&partition, damage).await {
                Ok(places) => lost |= *id == damage.partition && places,
                Err(ReadError::Damaged(manifest)) => shared.stopped.stop(Work::Merging, *manifest, shared.env.monotonic()),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(lost)
}

async fn look_again(partition: &Partition, damage: &Damage) -> Result<bool, ReadError> {
    partition.read_history().await?;
    partition.places(damage).await
}

/// The partitions whose segments are to be merged now, up to a pack's bytes; None while the lines list little, or little of it
/// is due, and not for long.
fn next_job(shared: &Shared, waiting: &mut Waiting) -> Option<Job> {
    let sizes = Sizes { bits: shared.options.merge_size_bits, most_bytes: shared.options.pack_bytes.min(MOST_BYTES) };
    let (mut listed, mut due, mut partitions) = (0, 0, Vec::new());
    let now = shared.env.monotonic();
    let waits = |partition: &Partition| shared.stopped.waits(Work::Merging, partition.id(), partition.offsets().log_start, now);
    for partition in shared.partitions().into_iter().filter(|partition| !waits(partition)) {
        let (count, of_run) = partition.unsettled_count(sizes);
        (listed, due) = (listed + count, due + of_run);
        partitions.extend((of_run > 0).then_some(partition));
    }
    waiting.0 = if due == 0 { None } else { Some(waiting.0.unwrap_or(now)) };
    let most_time = shared.options.settle_check.saturating_mul(MOST_CHECKS);
    let is_late = waiting.0.is_some_and(|since| now.saturating_sub(since) >= most_time);
    if listed < shared.options.merge_segments || (due * WORTH_A_MERGE < listed && !is_late) {
        return None;
    }
    waiting.0 = None;
    let (mut job, mut bytes) = (Job::new(), 0);
    for partition in &partitions {
        let Some(run) = partition.run_to_merge(sizes) else { continue };
        bytes += run.iter().map(|segment| segment.bytes).sum::<u64>();
        job.insert(partition.id(), run);
        if bytes >= sizes.most_bytes {
            break;
        }
    }
    (!job.is_empty()).then_some(job)
}

/// What one source segment brings.
struct Part {
    base_offset: Offset,
    epoch: LeaderEpoch,
    batches: Vec<BatchSlice>,
    events: Vec<PartitionEvent>,
    producers: Vec<ProducerUpdate>,
}

/// Reads all sources, pack by pack, and puts them together by partition and epoch.
async fn gather(shared: &Shared, job: &Job) -> Result<Vec<(SegmentMeta, Vec<BatchSlice>)>, ReadError> {
    let mut by_pack: BTreeMap<PackRef, Vec<(PartitionId, &SegmentRef)>> = BTreeMap::new();
    for (partition, run) in job {
        run.iter().for_each(|source| by_pack.entry(source.pack).or_default().push((*partition, source)));
    }
    let mut parts: BTreeMap<PartitionId, Vec<Part>> = BTreeMap::new();
    for sources in by_pack.values() {
        for (segment, batches) in shared.packs.read_segments(sources).await? {
            let batches = batches.into_iter().map(slice_of).collect::<Result<Vec<_>, _>>()?;
            let part = Part {
                base_offset: segment.base_offset,
                epoch: segment.epoch,
                batches,
                events: segment.events,
                producers: segment.producers,
            };
            parts.entry(segment.partition).or_default().push(part);
        }
    }
    let mut segments = Vec::new();
    for (partition, mut parts) in parts {
        parts.sort_by_key(|part| part.base_offset);
        let log_start = shared.partition(partition).map_or(0, |partition| partition.offsets().log_start);
        join(&mut segments, partition, log_start, parts);
    }
    Ok(segments)
}

/// One segment for each run of parts of one epoch.
fn join(segments: &mut Vec<(SegmentMeta, Vec<BatchSlice>)>, partition: PartitionId, log_start: Offset, parts: Vec<Part>) {
    let mut parts = parts.into_iter().peekable();
    while let Some(Part { base_offset, epoch, mut batches, mut events, producers: updates }) = parts.next() {
        let mut producers = BTreeMap::new();
        updates.iter().for_each(|update| crate::partition::merge(&mut producers, update));
        while let Some(part) = parts.next_if(|part| part.epoch == epoch) {
            batches.extend(part.batches);
            events.extend(part.events);
            part.producers.iter().for_each(|update| crate::partition::merge(&mut producers, update));
        }
        let events = condensed(events);
        let meta = SegmentMeta { partition, epoch, base_offset, log_start, events, producers: producers.into_values().collect() };
        segments.push((meta, batches));
    }
}
