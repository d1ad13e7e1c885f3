//! Publishing a manifest: a new version is created, and counts when a listing begun after that shows nothing newer. A
//! version that is taken is rebased upon, and the change looked at again (R15).

use super::pages::{Draft, Dropped, Opened, shape};
use super::settle::Merged;
use crate::chain::{self, Chain};
use crate::partition::Partition;
use crate::shared::Shared;
use crate::{Ended, ReadError};
use floe_env::{Mutant, mutated};
use floe_formats::{Manifest, PackRef, PageRef, PartitionIndex, SegmentRef, keys};
use floe_objstore::{Created, Payload};
use floe_types::Offset;
use std::sync::Arc;

/// Versions that others may take before a change is given up until the next round.
const REBASES: u32 = 16;

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It counts, and what the version before named is named no more.
    Counts { dropped: Dropped },
    /// It does not fit what others have published meanwhile: nothing names its packs.
    Outdated,
}

/// Publishes what was merged, or only a later log start. `partition`'s manifest must have been read.
pub(crate) async fn publish(shared: &Arc<Shared>, partition: &Arc<Partition>, merged: Option<&Merged>) -> Result<Published, ReadError> {
    let _alone = partition.alone_to_publish().await;
    for _ in 0..REBASES {
        let before = partition.manifest();
        let stale = merged.and_then(|merged| merged.stale.as_deref());
        let on = stale.or(before.as_deref());
        let opened = match Opened::of(shared, on, merged).await {
            Ok(opened) => opened,
            // Another has published meanwhile, or something is lost that the newest version names.
            Err(ReadError::Damaged(damage)) if damage.missing => {
                let newest = partition.read_history().await?;
                if newest.map(|newest| newest.version) == before.map(|before| before.version) {
                    return Err(ReadError::Damaged(damage));
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(mut draft) = partition.next_manifest(on, opened, merged) else { return Ok(Published::Outdated) };
        draft.manifest.version = before.as_deref().map_or(0, |before| before.version) + 1;
        let (after, dropped) = shape(shared, partition, before.as_deref(), draft).await?;
        if create(shared, partition, &after).await? {
            partition.counted(after);
            return Ok(Published::Counts { dropped });
        }
    }
    Ok(Published::Outdated)
}

/// Creates a version. Whether it counts; if it does not, what is newer has been taken in.
async fn create(shared: &Arc<Shared>, partition: &Partition, after: &Manifest) -> Result<bool, ReadError> {
    let key = keys::manifest(partition.id(), after.version);
    let body = Payload::from(floe_formats::encode(&Chain::writer(shared), after));
    if mutated(Mutant::DroppedBeforeCounted) {
        partition.counted(after.clone());
    }
    let created = chain::create_for_sure(&shared.merging, &key, &body).await;
    check_running(shared)?;
    // Begun after the create was answered.
    let newest = super::manifest::read_newest(&shared.merging, partition.id()).await.map_err(|error| partition.of_manifest(error))?;
    if created == Created::Won && newest.as_ref() == Some(after) {
        return Ok(true);
    }
    partition.meet(newest)?;
    Ok(false)
}

/// Packs of which nothing is named any more.
fn no_longer_named<'a>(before: impl Iterator<Item = &'a SegmentRef>, after: &[SegmentRef], rewritten: &[SegmentRef]) -> Vec<PackRef> {
    let is_named = |pack: &PackRef| after.iter().chain(rewritten).any(|new| new.pack == *pack);
    let mut dropped: Vec<PackRef> = before.map(|old| old.pack).filter(|pack| !is_named(pack)).collect();
    dropped.dedup();
    dropped
}

/// The next version: `before` without what lies below `log_start`, and what was merged at its end, or in place of what it
/// replaces; that part of `before` is `opened`. None if it does not fit.
pub(crate) fn next(
    before: Option<&Manifest>,
    opened: Opened,
    merged: Option<&Merged>,
    state: PartitionIndex,
    by: floe_types::Incarnation,
) -> Option<Draft> {
    let log_start = state.log_start.max(before.map_or(0, |before| before.log_start));
    let mut pages: Vec<PageRef> = before.map(|before| before.pages.clone()).unwrap_or_default();
    let inline = || before.iter().flat_map(|before| &before.segments);
    let mut segments: Vec<SegmentRef> = inline().cloned().collect();
    let mut rewritten = Vec::new();
    let mut at = opened.pages.start;
    match merged {
        Some(merged) if !merged.replaces.is_empty() => {
            let is_last = opened.pages.end == pages.len();
            pages.drain(opened.pages.clone());
            let mut rest = opened.segments.clone();
            if is_last {
                rest.append(&mut segments);
            }
            replace(&mut rest, merged, log_start)?;
            *(if is_last { &mut segments } else { &mut rewritten }) = rest;
        }
        Some(merged) if !merged.segments.is_empty() => {
            append(&mut segments, pages.last(), merged, log_start)?;
        }
        // Only how far the log starts, or is compacted.
        Some(_) | None => {}
    }
    let dropped = Dropped {
        passed: before.map_or(0, |before| before.log_start)..log_start,
        cut: pages.iter().filter(|page| page.base_offset < log_start).copied().collect(),
        ..Dropped::default()
    };
    let gone = pages.partition_point(|page| page.end_offset <= log_start);
    pages.drain(..gone);
    at = at.saturating_sub(gone);
    segments.retain(|segment| segment.end_offset > log_start);
    rewritten.retain(|segment| segment.end_offset > log_start);
    // What the log start had gone past before is gone already.
    let named = opened.segments.iter().filter(|segment| segment.end_offset > dropped.passed.start).chain(inline());
    // Of several rewritten packs the log start may have gone past the first before any version named it.
    let named = named.chain(merged.iter().flat_map(|merged| &merged.segments));
    let packs = no_longer_named(named, &segments, &rewritten);
    let placed = segments.last().map(|last| last.end_offset);
    let placed = placed.or(pages.last().map(|last| last.end_offset)).max(rewritten.last().map(|last| last.end_offset));
    let end = placed.map_or(log_start, |end| end.max(log_start));
    let manifest = Manifest {
        partition: state.partition,
        version: before.map_or(0, |before| before.version) + 1,
        epoch: state.epoch,
        by,
        log_start,
        segments,
        snapshot: snapshot(before, merged, &state, log_start, end),
        compacted: before.map_or(0, |before| before.compacted).max(merged.and_then(|merged| merged.compacted).unwrap_or(0)),
        pages,
    };
    Some(Draft { manifest, rewritten, at, dropped: Dropped { packs, ..dropped } })
}

/// What was merged follows what there is. None if it does not.
fn append(segments: &mut Vec<SegmentRef>, last_page: Option<&PageRef>, merged: &Merged, log_start: Offset) -> Option<()> {
    let placed = segments.last().map(|last| last.end_offset).or(last_page.map(|last| last.end_offset));
    let end = placed.unwrap_or(0).max(log_start);
    let (first, last) = (merged.segments.first()?, merged.segments.last()?);
    let (overlaps, gap) = (placed.is_some_and(|end| end > first.base_offset), first.base_offset > end);
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
