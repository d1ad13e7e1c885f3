//! Settling: what a partition has in slots, merged into packs of its own that a new manifest version names. One task, one
//! partition at a time; it holds one merge in memory, compressed, and no lock while it waits.

use super::own_pack::{OwnPack, Part};
use super::publish::{self, Published, publish};
use super::remerge::{Merge, Waiting, remerge_due};
use super::stopped::Work;
use super::sweep;
use crate::ReadError;
use crate::chain::{self, Chain};
use crate::partition::Partition;
use crate::shared::Shared;
use floe_formats::{BatchSlice, BuiltPack, Manifest, PackBuilder, PackKind, PackRef, PartitionEvent, ProducerUpdate, SegmentRef, Ulid};
use floe_objstore::{Created, Payload};
use floe_types::Offset;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bits of a ulid that are random; the time is above them.
const ULID_RANDOM_BITS: u32 = 80;
/// Manifests that are published for one hand-over: what others of this incarnation publish meanwhile is built upon.
const TOLD_ATTEMPTS: u32 = 4;

/// What is to be merged.
#[derive(Debug)]
pub(crate) struct Job {
    /// Batches that end at or below this offset are elsewhere, or deleted.
    pub(crate) from: Offset,
    pub(crate) log_start: Offset,
    pub(crate) sources: Vec<SegmentRef>,
}

/// What a new version of a manifest is to say.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// Own packs that were uploaded, one behind the other: their segments as a manifest names them.
    pub(crate) segments: Vec<SegmentRef>,
    /// The very segments that they take the place of; none where they follow what there is.
    pub(crate) replaces: Vec<SegmentRef>,
    /// What it says of producers that the version before does not.
    pub(crate) producers: Vec<ProducerUpdate>,
    /// How far the partition is compacted now.
    pub(crate) compacted: Option<Offset>,
    /// Only a deliberate fault has it: what is built on, whatever was published since.
    pub(crate) stale: Option<Arc<Manifest>>,
}

/// Looks through all partitions at every check, for as long as the incarnation lives.
pub(crate) async fn run(shared: Arc<Shared>, slots: mpsc::Sender<Merge>) {
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            biased;
            () = shared.history.settle_is_wanted() => {}
            () = shared.env.sleep(shared.options.settle_check) => {}
        }
        for partition in shared.partitions().into_iter().filter(|partition| partition.is_led()) {
            // What it leaves is taken at the next check.
            match settle_due(&shared, &partition).await {
                Ok(()) => {}
                Err(_) if shared.ended.get().is_some() => return,
                Err(ReadError::Damaged(damage)) => shared.stopped.stop(Work::Settling, *damage, shared.env.monotonic()),
                Err(error) => tracing::warn!(partition = %partition.id(), %error, "not settled; trying again later"),
            }
        }
        if let Err(error) = remerge_due(&shared, &slots, &mut waiting).await {
            if shared.ended.get().is_some() {
                return;
            }
            tracing::warn!(%error, "small segments were not merged; trying again later");
        }
    }
}

/// Where a page that the log start cuts is damaged, nobody knows which packs lie below it: those stay, and the rest goes on.
async fn look_at_oldest(shared: &Shared, partition: &Partition) -> Result<(), ReadError> {
    let (id, now) = (partition.id(), shared.env.monotonic());
    let is_wanted = partition.has_passed_records() || shared.stopped.is_stopped(Work::Deleting, id);
    if !is_wanted || shared.stopped.waits(Work::Deleting, id, partition.offsets().log_start, now) {
        return Ok(());
    }
    match partition.look_at_oldest().await {
        Ok(()) => shared.stopped.over(Work::Deleting, id),
        Err(ReadError::Damaged(damage)) => shared.stopped.stop(Work::Deleting, *damage, now),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Puts what a partition has in slots into own packs, all of it.
///
/// # Errors
/// As [`tell_all`].
pub(crate) async fn settle_all(shared: &Arc<Shared>, partition: &Arc<Partition>) -> Result<(), ReadError> {
    partition.want_all_settled();
    settle_due(shared, partition).await
}

/// The same for one that takes nothing more; and publishes a manifest of this epoch that says so, whether or not there was anything to settle (R13). False if something
/// stands in the way that stays.
///
/// # Errors
/// The store's, or damage of what was to be settled.
pub(crate) async fn tell_all(shared: &Arc<Shared>, partition: &Arc<Partition>) -> Result<bool, ReadError> {
    for _ in 0..TOLD_ATTEMPTS {
        settle_all(shared, partition).await?;
        if partition.is_told() {
            return Ok(true);
        }
        if partition.has_unsettled() {
            break;
        }
        if !partition.knows_newest() {
            partition.read_history().await?;
        }
        let Published::Counts { dropped } = publish(shared, partition, None).await? else { break };
        sweep::after_publishing(shared, partition, &dropped).await?;
    }
    Ok(partition.is_told())
}

/// Settles one partition as far as it is due.
async fn settle_due(shared: &Arc<Shared>, partition: &Arc<Partition>) -> Result<(), ReadError> {
    let _alone = partition.alone_to_settle().await;
    loop {
        look_at_oldest(shared, partition).await?;
        let Some(job) = partition.settle_job() else { break };
        publish::check_running(shared)?;
        // What is built on has to be the newest that there is, or was counted.
        if !partition.knows_newest() {
            partition.read_history().await?;
            continue;
        }
        let merged = match merge(shared, partition, &job).await {
            Ok(merged) => merged,
            // A source is gone: an owner before this one has published, and deleted it. Look again at the next check.
            Err(ReadError::Damaged(damage)) if damage.missing => {
                partition.read_history().await?;
                if partition.places(&damage).await? {
                    return Err(ReadError::Damaged(damage));
                }
                tracing::debug!(key = damage.key, "gone before it was settled here");
                break;
            }
            Err(error) => return Err(error),
        };
        match publish(shared, partition, merged.as_ref()).await? {
            Published::Counts { dropped } => {
                shared.history.want_index();
                if merged.is_some() {
                    shared.stopped.over(Work::Settling, partition.id());
                }
                sweep::after_publishing(shared, partition, &dropped).await?;
            }
            Published::Outdated => break,
        }
    }
    Ok(())
}

/// Merges a job's sources into an own pack, and uploads it. None if none of it is wanted any more.
async fn merge(shared: &Arc<Shared>, partition: &Arc<Partition>, job: &Job) -> Result<Option<Merged>, ReadError> {
    let format = |source| ReadError::Format { what: format!("an own pack of {}", partition.id()), source };
    let builder = PackBuilder::new(Chain::writer(shared), PackKind::Own, shared.incarnation, None).compression(shared.options.block_codec);
    let mut pack = OwnPack::new(builder, partition.id(), job.log_start);
    for source in &job.sources {
        let part = read(shared, partition, job, source).await?;
        if !part.batches.is_empty() {
            let added = shared.env.compute("build an own pack", move || pack.with(part)).await;
            pack = added.map_err(|failed| ReadError::Broken(failed.to_string()))?.map_err(format)?;
        }
    }
    let built = shared.env.compute("close an own pack", move || pack.finish()).await;
    let Some(pack) = built.map_err(|failed| ReadError::Broken(failed.to_string()))?.map_err(format)? else { return Ok(None) };
    let segments = upload(shared, partition, &pack).await?;
    let mut producers = BTreeMap::new();
    for update in pack.footer.segments.iter().flat_map(|segment| &segment.producers) {
        crate::partition::merge(&mut producers, update);
    }
    Ok(Some(Merged { segments, producers: producers.into_values().collect(), ..Merged::default() }))
}

/// Stores an own pack under a name of its own; its segments as a manifest is to name them.
pub(super) async fn upload(shared: &Arc<Shared>, partition: &Partition, pack: &BuiltPack) -> Result<Vec<SegmentRef>, ReadError> {
    let stored = PackRef::Own { partition: partition.id(), epoch: partition.leader_epoch(), ulid: new_ulid(shared) };
    let created = chain::create_for_sure(&shared.merging, &stored.key(), &Payload::from(pack.payload.clone())).await;
    publish::check_running(shared)?;
    if created == Created::Lost {
        return Err(ReadError::Broken(format!("{} is another's: a name was used twice", stored.key())));
    }
    shared.history.settled(pack.pack_len);
    Ok(pack.segment_refs(stored).map(|(_, segment)| segment).collect())
}

pub(super) fn new_ulid(shared: &Shared) -> Ulid {
    let ms = u128::from(shared.env.now_ms().unsigned_abs() & ((1 << 48) - 1));
    Ulid(ms << ULID_RANDOM_BITS | shared.env.random_u128() >> (128 - ULID_RANDOM_BITS))
}

async fn read(shared: &Shared, partition: &Partition, job: &Job, source: &SegmentRef) -> Result<Part, ReadError> {
    let (segment, batches) = shared.packs.read_whole(partition.id(), source).await?;
    let mut kept = Vec::with_capacity(batches.len());
    for bytes in batches {
        let batch = slice_of(bytes)?;
        if batch.end_offset > job.from {
            kept.push(batch);
        }
    }
    Ok(Part { epoch: segment.epoch, batches: kept, events: segment.events, producers: segment.producers })
}

/// A stored batch, ready for another pack.
pub(super) fn slice_of(bytes: bytes::Bytes) -> Result<BatchSlice, ReadError> {
    let header = floe_records::BatchHeader::parse(&bytes)?;
    Ok(BatchSlice {
        base_offset: header.base_offset,
        end_offset: header.end_offset(),
        max_timestamp: header.max_timestamp,
        records: u32::try_from(header.record_count).unwrap_or(0),
        bytes,
    })
}

/// Of the log starts, and of the words that allow compaction, only the last counts; an epoch's start is told once.
pub(super) fn condensed(events: Vec<PartitionEvent>) -> Vec<PartitionEvent> {
    use PartitionEvent::{Compaction, LogStart};
    let mut condensed: Vec<PartitionEvent> = Vec::new();
    for event in events {
        let outdates = |earlier: &PartitionEvent| {
            matches!((earlier, &event), (LogStart { .. }, LogStart { .. }) | (Compaction { .. }, Compaction { .. }))
        };
        condensed.retain(|earlier| !outdates(earlier));
        if !condensed.contains(&event) {
            condensed.push(event);
        }
    }
    condensed
}
