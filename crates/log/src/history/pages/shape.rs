//! Which segments a manifest names itself, and which by pages.
//!
//! The newest are named by the manifest itself: at most so many (`manifest_segments`). When they are more, the older half and
//! what is beyond goes into a page. When a few pages of about one size stand at the end they become one larger page, up to
//! a largest size. So a segment's entry is written into a page at most three times, the manifest names a handful of small
//! pages and one for each 4,096 older segments, and nothing else is written again.
//!
//! A page whose packs are replaced is written anew, and only such a page. A log start that lies inside a page cuts it without
//! a write: what lies below counts no more.

use crate::ReadError;
use crate::chain::{self, Chain};
use crate::history::publish;
use crate::history::settle::{Merged, new_ulid};
use crate::partition::Partition;
use crate::shared::Shared;
use floe_formats::{Manifest, ManifestPage, PackRef, PageRef, SegmentRef};
use floe_objstore::{Created, Payload};
use floe_types::{Offset, PartitionId};
use std::ops::Range;
use std::sync::Arc;

/// Pages of about one size that become one, and by how much sizes grow.
const FAN_IN: usize = 8;
/// Sizes of pages: the smallest, and twice `FAN_IN` times as many segments.
const LARGEST: u32 = 2;

/// The pages that a change replaces packs of, opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// Of the manifest's pages.
    pub(crate) pages: Range<usize>,
    pub(crate) segments: Vec<SegmentRef>,
}

impl Opened {
    /// Opens what `merged` replaces packs of in `before`.
    ///
    /// # Errors
    /// Those of [`super::Pages::open`].
    pub(crate) async fn of(shared: &Shared, before: Option<&Manifest>, merged: Option<&Merged>) -> Result<Self, ReadError> {
        let replaces = merged.map(|merged| merged.replaces.as_slice()).unwrap_or_default();
        let (Some(before), Some(first), Some(last)) = (before, replaces.first(), replaces.last()) else { return Ok(Self::default()) };
        let start = before.pages.partition_point(|page| page.end_offset <= first.base_offset);
        let end = before.pages.partition_point(|page| page.base_offset < last.end_offset);
        let mut opened = Self { pages: start..end.max(start), segments: Vec::new() };
        for page in &before.pages[opened.pages.clone()] {
            opened.segments.extend(shared.pages.open(&shared.merging, before.partition, page).await?.segments.iter().cloned());
        }
        Ok(opened)
    }
}

/// A next version, before its pages are written.
#[derive(Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) manifest: Manifest,
    /// What the opened pages hold now; new pages of it stand at `at` of the manifest's.
    pub(crate) rewritten: Vec<SegmentRef>,
    pub(crate) at: usize,
    pub(crate) dropped: Dropped,
}

/// What a version names no more.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) packs: Vec<PackRef>,
    pub(crate) pages: Vec<PageRef>,
    /// Pages that hold packs which end in `passed`: the log start has gone past them.
    pub(crate) cut: Vec<PageRef>,
    pub(crate) passed: Range<Offset>,
}

impl Dropped {
    /// The packs of a page that the log start has gone past.
    pub(crate) fn packs_in(&self, page: &ManifestPage) -> Vec<PackRef> {
        let packs = page.segments.chunk_by(|a, b| a.pack == b.pack);
        let ends = packs.filter_map(|pack| pack.last());
        let passed = |end: Offset| self.passed.start < end && end <= self.passed.end;
        ends.filter(|last| passed(last.end_offset)).map(|last| last.pack).collect()
    }
}

/// Writes the pages that the next version is to name, and names them. Nothing names them before that version counts.
///
/// # Errors
/// The store's; the incarnation has ended.
pub(crate) async fn shape(
    shared: &Arc<Shared>,
    partition: &Partition,
    before: Option<&Manifest>,
    draft: Draft,
) -> Result<(Manifest, Dropped), ReadError> {
    let Draft { mut manifest, rewritten, at, mut dropped } = draft;
    let most = shared.options.manifest_segments.max(2);
    let sizes = Sizes { smallest: most / 2 };
    let is_rewrite = !rewritten.is_empty();
    let pages = write(shared, partition, &rewritten, sizes).await?;
    manifest.pages.splice(at..at, pages);
    // Only pages that an earlier version named: none is written to be let go of at once.
    if !is_rewrite && let Some(run) = sizes.run_to_merge(&manifest.pages) {
        merge(shared, partition, &mut manifest, run, sizes).await?;
    }
    if manifest.segments.len() > most {
        let newest = whole_packs(&manifest.segments, manifest.segments.len() - most / 2);
        let spilled: Vec<SegmentRef> = manifest.segments.drain(..newest).collect();
        manifest.pages.extend(write(shared, partition, &spilled, sizes).await?);
    }
    let named_before = before.map(|before| before.pages.as_slice()).unwrap_or_default();
    dropped.pages.extend(named_before.iter().filter(|old| manifest.pages.iter().all(|new| new.ulid != old.ulid)));
    Ok((manifest, dropped))
}

/// The last pages become fewer. Left as they are where one of them is damaged: what can be had of the others stays so.
async fn merge(
    shared: &Arc<Shared>,
    partition: &Partition,
    manifest: &mut Manifest,
    run: Range<usize>,
    sizes: Sizes,
) -> Result<(), ReadError> {
    let mut segments = Vec::new();
    for page in &manifest.pages[run.clone()] {
        match shared.pages.open(&shared.merging, partition.id(), page).await {
            Ok(page) => segments.extend(page.segments.iter().filter(|segment| segment.end_offset > manifest.log_start).cloned()),
            Err(ReadError::Damaged(damage)) => {
                tracing::warn!(%damage, "pages of a manifest are left as they are");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    let merged = write(shared, partition, &segments, sizes).await?;
    manifest.pages.splice(run, merged);
    Ok(())
}

/// Writes pages of these segments, none larger than the largest size.
async fn write(shared: &Arc<Shared>, partition: &Partition, segments: &[SegmentRef], sizes: Sizes) -> Result<Vec<PageRef>, ReadError> {
    let mut pages = Vec::new();
    let mut rest = segments;
    while !rest.is_empty() {
        let (page, behind) = rest.split_at(whole_packs(rest, sizes.largest()));
        pages.push(create(shared, partition.id(), partition.leader_epoch(), page).await?);
        rest = behind;
    }
    Ok(pages)
}

async fn create(
    shared: &Arc<Shared>,
    partition: PartitionId,
    epoch: floe_types::LeaderEpoch,
    segments: &[SegmentRef],
) -> Result<PageRef, ReadError> {
    let page = ManifestPage { partition, epoch, ulid: new_ulid(shared), segments: segments.to_vec() };
    let named = page.to_ref();
    let key = named.key(partition);
    let body = Payload::from(floe_formats::encode(&Chain::writer(shared), &page));
    let created = chain::create_for_sure(&shared.merging, &key, &body).await;
    publish::check_running(shared)?;
    if created == Created::Lost {
        return Err(ReadError::Broken(format!("{key} is another's: a name was used twice")));
    }
    shared.history.paged();
    Ok(named)
}

/// How many of the first segments are at most `most`, without the half of a pack; at least the first pack.
fn whole_packs(segments: &[SegmentRef], most: usize) -> usize {
    let mut whole = 0;
    for pack in segments.chunk_by(|a, b| a.pack == b.pack) {
        if whole > 0 && whole + pack.len() > most {
            break;
        }
        whole += pack.len();
    }
    whole
}

/// How large pages are, in segments.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    smallest: usize,
}

impl Sizes {
    fn largest(self) -> usize {
        self.smallest * FAN_IN.pow(LARGEST)
    }

    /// 0 for the smallest, up to [`LARGEST`].
    fn class(self, page: &PageRef) -> u32 {
        let times = page.segments / self.smallest.max(1) as u64;
        (1..=LARGEST).take_while(|class| times >= FAN_IN.pow(*class) as u64).count() as u32
    }

    /// The last pages, when there are enough of one size among them, with the smaller ones between.
    fn run_to_merge(self, pages: &[PageRef]) -> Option<Range<usize>> {
        (0..LARGEST).find_map(|class| {
            let run = pages.iter().rev().take_while(|page| self.class(page) <= class).count();
            let start = pages.len() - run;
            let of_class = || (start..pages.len()).filter(|at| self.class(&pages[*at]) == class);
            // Smaller ones behind the last stay as they are.
            let end = of_class().next_back()? + 1;
            (of_class().count() >= FAN_IN).then_some(start..end)
        })
    }
}

#[cfg(test)]
mod tests;
