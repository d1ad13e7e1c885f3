//! Publishing a manifest: a new version is created, and counts when a listing begun after that shows nothing newer. A
//! version that is taken is rebased upon, and the change looked at again (R15).

use super::settle::Merged;
use crate::chain::{self, Chain};
use crate::partition::Partition;
use crate::shared::Shared;
use crate::{Ended, ReadError};
use floe_env::{Mutant, mutated};
use floe_formats::{Manifest, PartitionIndex, SegmentRef, keys};
use floe_objstore::{Created, Payload};
use floe_types::Offset;
use std::sync::Arc;

/// Versions that others may take before a change is given up until the next round.
const REBASES: u32 = 16;

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It counts, and packs that the version before named are named no more.
    Counts { dropped: Vec<SegmentRef> },
    /// It does not fit what others have published meanwhile: nothing names its packs.
    Outdated,
}

/// Publishes what was merged, or only a later log start. `partition`'s manifest must have been read.
pub(crate) async fn publish(shared: &Arc<Shared>, partition: &Arc<Partition>, merged: Option<&Merged>) -> Result<Published, ReadError> {
    let _alone = partition.alone_to_publish().await;
    for _ in 0..REBASES {
        let before = partition.manifest();
        let Some(after) = next_version(partition, before.as_deref(), merged) else { return Ok(Published::Outdated) };
        let key = keys::manifest(partition.id(), after.version);
        let body = Payload::from(floe_formats::encode(&Chain::writer(shared), &after));
        if mutated(Mutant::DroppedBeforeCounted) {
            partition.counted(after.clone());
        }
        let created = chain::create_for_sure(&shared.merging, &key, &body).await;
        if let Some(ended) = shared.ended.get() {
            return Err(ReadError::Ended(ended));
        }
        // Begun after the create was answered.
        let newest = super::manifest::read_newest(&shared.merging, partition.id()).await.map_err(|error| partition.of_manifest(error))?;
        if created == Created::Won && newest.as_ref() == Some(&after) {
            let dropped = no_longer_named(before.as_deref(), &after);
            partition.counted(after);
            return Ok(Published::Counts { dropped });
        }
        partition.meet(newest)?;
    }
    Ok(Published::Outdated)
}

fn next_version(partition: &Partition, before: Option<&Manifest>, merged: Option<&Merged>) -> Option<Manifest> {
    let stale = merged.and_then(|merged| merged.stale.as_deref());
    let mut after = partition.next_manifest(stale.or(before), merged)?;
    after.version = before.map_or(0, |before| before.version) + 1;
    Some(after)
}

fn no_longer_named(before: Option<&Manifest>, after: &Manifest) -> Vec<SegmentRef> {
    let before = before.map(|before| before.segments.as_slice()).unwrap_or_default();
    before.iter().filter(|old| after.segments.iter().all(|new| new.pack != old.pack)).cloned().collect()
}

/// The next version: `before` without what lies below `log_start`, and what was merged at its end. None if that does not
/// fit.
pub(crate) fn next(
    before: Option<&Manifest>,
    merged: Option<&Merged>,
    state: PartitionIndex,
    by: floe_types::Incarnation,
) -> Option<Manifest> {
    let log_start = state.log_start.max(before.map_or(0, |before| before.log_start));
    let mut segments: Vec<SegmentRef> = before.map(|before| before.segments.clone()).unwrap_or_default();
    match merged {
        Some(merged) if !merged.replaces.is_empty() => replace(&mut segments, merged, log_start)?,
        Some(merged) if !merged.segments.is_empty() => append(&mut segments, merged, log_start)?,
        // Only how far the log starts, or is compacted.
        Some(_) | None => {}
    }
    segments.retain(|segment| segment.end_offset > log_start);
    let end = segments.last().map_or(log_start, |last| last.end_offset.max(log_start));
    Some(Manifest {
        partition: state.partition,
        version: before.map_or(0, |before| before.version) + 1,
        epoch: state.epoch,
        by,
        log_start,
        segments,
        snapshot: snapshot(before, merged, &state, log_start, end),
        compacted: before.map_or(0, |before| before.compacted).max(merged.and_then(|merged| merged.compacted).unwrap_or(0)),
    })
}

/// What was merged follows what there is. None if it does not.
fn append(segments: &mut Vec<SegmentRef>, merged: &Merged, log_start: Offset) -> Option<()> {
    let end = segments.last().map_or(0, |last| last.end_offset).max(log_start);
    let (first, last) = (merged.segments.first()?, merged.segments.last()?);
    let (overlaps, gap) = (segments.last().is_some_and(|own| own.end_offset > first.base_offset), first.base_offset > end);
    if overlaps || gap || last.end_offset <= log_start {
        return None;
    }
    segments.extend(merged.segments.iter().cloned());
    Some(())
}

/// What was rewritten takes the place of the very packs that it was made of - by range it would undo a rewrite that came
/// between (T26). None if one of them is not named any more, unless all of it was deleted.
fn replace(segments: &mut Vec<SegmentRef>, merged: &Merged, log_start: Offset) -> Option<()> {
    if merged.segments.last()?.end_offset <= log_start {
        return None;
    }
    let is_source = |segment: &SegmentRef| merged.replaces.iter().any(|source| source.pack == segment.pack);
    let start = segments.iter().position(is_source)?;
    let count = segments[start..].iter().take_while(|segment| is_source(segment)).count();
    let is_left = |segment: &&SegmentRef| segment.end_offset > log_start;
    let range = start..start + count;
    if !segments[range.clone()].iter().filter(is_left).eq(merged.replaces.iter().filter(is_left)) {
        return None;
    }
    segments.splice(range, merged.segments.iter().cloned());
    Some(())
}

/// The partition's state at the end of its manifest. What the manifest before and the merged segments say of producers is
/// theirs; of a producer that wrote before both, the state of today, where it has not written since.
fn snapshot(before: Option<&Manifest>, merged: Option<&Merged>, state: &PartitionIndex, log_start: Offset, end: Offset) -> PartitionIndex {
    let idle = |update: &&floe_formats::ProducerUpdate| update.batches.iter().all(|batch| batch.end_offset <= end);
    let mut producers: std::collections::BTreeMap<_, _> =
        before.iter().flat_map(|before| &before.snapshot.producers).map(|update| (update.producer_id, update.clone())).collect();
    for update in merged.iter().flat_map(|merged| &merged.producers) {
        crate::partition::merge(&mut producers, update);
    }
    for update in state.producers.iter().filter(idle) {
        producers.insert(update.producer_id, update.clone());
    }
    PartitionIndex {
        partition: state.partition,
        epoch: state.epoch,
        epochs: state.epochs.iter().filter(|epoch| epoch.start <= end).copied().collect(),
        log_start,
        end,
        segments: Vec::new(),
        producers: producers.into_values().collect(),
        manifest: before.map(|before| before.version),
    }
}

/// Nothing more is published by an incarnation that has ended.
pub(crate) fn check_running(shared: &Shared) -> Result<(), ReadError> {
    shared.ended.get().map_or(Ok(()), |ended: Ended| Err(ReadError::Ended(ended)))
}

#[cfg(test)]
mod tests;
