//! What fits on top of a manifest, and what the next version says.

use super::next as next_draft;
use super::{Draft, Opened, Published};
use crate::history::settle::Merged;
use floe_formats::{EpochStart, Manifest, ManifestPage, PackRef, PartitionIndex, ProducerBatch, ProducerUpdate, SegmentRef, Ulid};
use floe_types::{Incarnation, Offset, PartitionId, TopicId};
use proptest::prelude::*;
use std::collections::BTreeMap;

const P: PartitionId = PartitionId { topic: TopicId(1), index: 0 };

fn segment(pack: u128, base_offset: i64, end_offset: i64) -> SegmentRef {
    let pack = PackRef::Own { partition: P, epoch: 2, ulid: Ulid(pack) };
    SegmentRef { pack, pack_len: 100, footer_len: 10, base_offset, end_offset, epoch: 2, max_timestamp: 5, bytes: 50 }
}

fn producer(id: i64, base_offset: i64) -> ProducerUpdate {
    let batch = ProducerBatch { base_sequence: 0, last_sequence: 9, base_offset, end_offset: base_offset + 10, timestamp: 1 };
    ProducerUpdate { producer_id: id, epoch: 0, last_timestamp: 1, batches: vec![batch] }
}

fn state(log_start: i64, end: i64) -> PartitionIndex {
    let epochs = vec![EpochStart { epoch: 1, start: 0 }, EpochStart { epoch: 2, start: 15 }, EpochStart { epoch: 3, start: 40 }];
    let producers = vec![producer(1, 0), producer(2, end - 10)];
    PartitionIndex { partition: P, epoch: 3, epochs, log_start, end, segments: Vec::new(), producers, manifest: None }
}

fn merged(segments: Vec<SegmentRef>) -> Merged {
    Merged { segments, producers: vec![producer(3, 10)], ..Merged::default() }
}

fn offsets(manifest: &Manifest) -> Vec<(i64, i64)> {
    manifest.segments.iter().map(|segment| (segment.base_offset, segment.end_offset)).collect()
}

/// The next version of a manifest without pages.
fn next(before: Option<&Manifest>, merged: Option<&Merged>, state: PartitionIndex, by: Incarnation) -> Option<Manifest> {
    draft(before, merged, state, by).map(|draft| draft.manifest)
}

fn draft(before: Option<&Manifest>, merged: Option<&Merged>, state: PartitionIndex, by: Incarnation) -> Option<Draft> {
    next_draft(before, Opened::default(), merged, state, by)
}

fn first() -> Manifest {
    next(None, Some(&merged(vec![segment(1, 0, 10), segment(1, 10, 20)])), state(0, 50), Incarnation(3)).expect("it fits")
}

#[test]
fn the_first_version_names_what_was_merged_and_the_state_at_its_end() {
    let first = first();
    assert_eq!((first.version, first.epoch, first.by, first.log_start), (1, 3, Incarnation(3), 0));
    assert_eq!(offsets(&first), [(0, 10), (10, 20)]);
    assert_eq!((first.snapshot.end, first.snapshot.log_start, first.snapshot.epochs.len()), (20, 0, 2));
    let known: Vec<i64> = first.snapshot.producers.iter().map(|update| update.producer_id).collect();
    assert_eq!(known, [1, 3], "not the one that wrote later");
    assert!(first.snapshot.segments.is_empty());
}

#[test]
fn what_follows_fits_and_what_overlaps_or_leaves_a_gap_does_not() {
    let first = first();
    let fits = |base, end, log_start| {
        let merged = merged(vec![segment(2, base, end)]);
        next(Some(&first), Some(&merged), state(log_start, 50), Incarnation(3)).map(|manifest| offsets(&manifest))
    };
    assert_eq!(fits(20, 30, 0), Some(vec![(0, 10), (10, 20), (20, 30)]));
    assert_eq!(fits(10, 30, 0), None, "others have published a part of it");
    assert_eq!(fits(21, 30, 0), None, "something between is nowhere");
    assert_eq!(fits(25, 30, 25), Some(vec![(25, 30)]), "what is between was deleted");
    assert_eq!(fits(24, 30, 25), Some(vec![(24, 30)]), "the log start may lie inside a segment");
    assert_eq!(fits(20, 30, 30), None, "all of it was deleted meanwhile");
}

#[test]
fn a_later_log_start_drops_what_lies_wholly_below_it() {
    let first = first();
    let Draft { manifest: second, dropped, .. } = draft(Some(&first), None, state(12, 50), Incarnation(3)).expect("it fits");
    assert_eq!((second.version, second.log_start, offsets(&second)), (2, 12, vec![(10, 20)]));
    assert_eq!(dropped.packs, vec![], "the other half of the pack is named still");
    let Draft { manifest: third, dropped, .. } = draft(Some(&second), None, state(33, 50), Incarnation(3)).expect("it fits");
    assert_eq!((offsets(&third), third.snapshot.end), (vec![], 33));
    assert_eq!(dropped.packs, vec![segment(1, 10, 20).pack]);
    let back = next(Some(&third), None, state(0, 50), Incarnation(3)).expect("it fits");
    assert_eq!(back.log_start, 33, "the greater of event and manifest");
    assert_ne!(Published::Outdated, Published::Counts { dropped });
}

#[test]
fn t26_a_rewrite_takes_the_place_of_the_very_packs_that_it_was_made_of() {
    let first = next(Some(&first()), Some(&merged(vec![segment(2, 20, 30)])), state(0, 50), Incarnation(3)).expect("it fits");
    let rewrite = |replaces: &[SegmentRef], log_start| {
        let (base, end) = (replaces[0].base_offset, replaces[replaces.len() - 1].end_offset);
        let merged =
            Merged { segments: vec![segment(9, base, end)], replaces: replaces.to_vec(), compacted: Some(25), ..Merged::default() };
        next(Some(&first), Some(&merged), state(log_start, 50), Incarnation(3))
    };
    let all = rewrite(&first.segments, 0).expect("all are named");
    assert_eq!((offsets(&all), all.compacted, all.snapshot.end), (vec![(0, 30)], 25, 30));
    assert_eq!(all.snapshot.producers, first.snapshot.producers, "it says nothing new of producers");
    let last = rewrite(&first.segments[2..], 0).expect("it is named");
    assert_eq!(offsets(&last), [(0, 10), (10, 20), (20, 30)]);
    let cut = rewrite(&first.segments[..2], 12).expect("what is deleted needs no name");
    assert_eq!(offsets(&cut), [(0, 20), (20, 30)]);
    assert_eq!(rewrite(&first.segments[..2], 20), None, "all of it was deleted");
    assert_eq!(rewrite(&[segment(7, 0, 20)], 0), None, "the same offsets, by another name");
    assert_eq!(rewrite(&[segment(1, 0, 10)], 0), None, "a pack goes as a whole");
    assert_eq!(rewrite(&[segment(1, 0, 10), segment(1, 10, 20), segment(7, 20, 30)], 0), None, "one is not named any more");
    let only_mark = Merged { compacted: Some(30), ..Merged::default() };
    let marked = next(Some(&all), Some(&only_mark), state(0, 50), Incarnation(3)).expect("it fits");
    assert_eq!((offsets(&marked), marked.compacted), (vec![(0, 30)], 30));
    let dropped = next(Some(&marked), None, state(35, 50), Incarnation(3)).expect("it fits");
    assert_eq!(dropped.compacted, 30, "never back");
}

#[test]
fn a_rewrite_of_several_packs_takes_the_place_as_one_and_what_is_below_the_log_start_goes_at_once() {
    let first = next(Some(&first()), Some(&merged(vec![segment(2, 20, 30)])), state(0, 50), Incarnation(3)).expect("it fits");
    let parts = vec![segment(8, 0, 7), segment(9, 7, 20)];
    let parts = Merged { segments: parts, replaces: first.segments[..2].to_vec(), ..Merged::default() };
    let rewrite = |log_start| draft(Some(&first), Some(&parts), state(log_start, 50), Incarnation(3)).expect("it fits");
    let all = rewrite(0);
    assert_eq!(offsets(&all.manifest), [(0, 7), (7, 20), (20, 30)]);
    assert_eq!(all.dropped.packs, [segment(1, 0, 10).pack]);
    let cut = rewrite(7);
    assert_eq!(offsets(&cut.manifest), [(7, 20), (20, 30)]);
    assert_eq!(cut.dropped.packs, [segment(1, 0, 10).pack, segment(8, 0, 7).pack], "no version ever named the second");
}

fn page(name: u128, segments: &[SegmentRef]) -> ManifestPage {
    ManifestPage { partition: P, epoch: 2, ulid: Ulid(name), segments: segments.to_vec() }
}

/// Ten packs of ten offsets: six by two pages, four by the manifest itself.
fn paged() -> (Manifest, [ManifestPage; 2]) {
    let all: Vec<SegmentRef> = (0..10_u8).map(|n| segment(u128::from(n) + 10, i64::from(n) * 10, i64::from(n) * 10 + 10)).collect();
    let pages = [page(1, &all[..3]), page(2, &all[3..6])];
    let manifest = Manifest { segments: all[6..].to_vec(), pages: pages.iter().map(ManifestPage::to_ref).collect(), ..first() };
    (manifest, pages)
}

#[test]
fn what_follows_pages_follows_their_end() {
    let (mut manifest, _) = paged();
    manifest.segments.clear();
    let fits = |base| next(Some(&manifest), Some(&merged(vec![segment(2, base, 90)])), state(0, 100), Incarnation(3));
    assert_eq!(fits(60).map(|next| (next.pages.len(), offsets(&next), next.snapshot.end)), Some((2, vec![(60, 90)], 90)));
    assert_eq!((fits(50), fits(61)), (None, None), "neither twice nor nowhere");
}

#[test]
fn a_log_start_cuts_a_page_and_tells_which_of_its_packs_go() {
    let (manifest, pages) = paged();
    let cut = |log_start| draft(Some(&manifest), None, state(log_start, 100), Incarnation(3)).expect("it fits");
    let inside = cut(25);
    assert_eq!(
        (inside.manifest.pages.clone(), offsets(&inside.manifest).len(), inside.manifest.snapshot.end),
        (manifest.pages.clone(), 4, 100)
    );
    assert_eq!(inside.dropped.packs_in(&pages[0]), vec![segment(10, 0, 10).pack, segment(11, 10, 20).pack]);
    let further = draft(Some(&inside.manifest), None, state(45, 100), Incarnation(3)).expect("it fits");
    assert_eq!(further.manifest.pages, manifest.pages[1..]);
    let packs: Vec<PackRef> = pages.iter().flat_map(|page| further.dropped.packs_in(page)).collect();
    assert_eq!(packs, vec![segment(12, 20, 30).pack, segment(13, 30, 40).pack], "not those that went before");
    assert_eq!(further.dropped.cut, manifest.pages);
    let all = cut(75);
    assert_eq!((all.manifest.pages.len(), offsets(&all.manifest)), (0, vec![(70, 80), (80, 90), (90, 100)]));
    assert_eq!(all.dropped.packs, vec![segment(16, 60, 70).pack]);
}

#[test]
fn t26_a_rewrite_opens_the_pages_that_it_replaces_packs_of_and_no_other() {
    let (manifest, pages) = paged();
    let rewrite = |pages_of: std::ops::Range<usize>, replaces: &[SegmentRef]| {
        let opened = Opened { segments: pages[pages_of.clone()].iter().flat_map(|page| page.segments.clone()).collect(), pages: pages_of };
        let (base, end) = (replaces[0].base_offset, replaces[replaces.len() - 1].end_offset);
        let merged = Merged { segments: vec![segment(99, base, end)], replaces: replaces.to_vec(), ..Merged::default() };
        next_draft(Some(&manifest), opened, Some(&merged), state(0, 100), Incarnation(3))
    };
    let first = rewrite(0..1, &pages[0].segments[1..]).expect("all are named");
    assert_eq!(first.rewritten, vec![segment(10, 0, 10), segment(99, 10, 30)]);
    assert_eq!((first.at, first.manifest.pages.as_slice(), offsets(&first.manifest).len()), (0, &manifest.pages[1..], 4));
    assert_eq!(first.dropped.packs, vec![segment(11, 10, 20).pack, segment(12, 20, 30).pack]);
    let across: Vec<SegmentRef> = [&pages[1].segments[2..], &manifest.segments[..1]].concat();
    let across = rewrite(1..2, &across).expect("all are named");
    assert_eq!((across.rewritten, across.manifest.pages), (vec![], manifest.pages[..1].to_vec()));
    let placed: Vec<_> = across.manifest.segments.iter().map(|segment| segment.base_offset).collect();
    assert_eq!(placed, vec![30, 40, 50, 70, 80, 90], "the last page is opened to what is behind it");
    assert_eq!(rewrite(0..1, &[segment(77, 0, 30)]), None, "the same offsets, by another name");
    let own = rewrite(2..2, &manifest.segments[..2]).expect("no page is touched");
    assert_eq!((own.manifest.pages, own.rewritten), (manifest.pages.clone(), vec![]));
}

/// What may happen to a manifest.
#[derive(Debug, Clone)]
enum Change {
    /// A pack of so many segments follows.
    Append(i64),
    /// So many packs from this one on become one.
    Rewrite(usize, usize),
    /// The log starts so much later.
    Raise(i64),
    /// So many of the oldest segments that the manifest names itself go into a page.
    Page(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (1..3_i64).prop_map(Change::Append),
        2 => (0..40_usize, 1..6_usize).prop_map(|(from, count)| Change::Rewrite(from, count)),
        2 => (1..40_i64).prop_map(Change::Raise),
        3 => (1..6_usize).prop_map(Change::Page),
    ]
}

/// A manifest with pages, and one without of the same history.
#[derive(Debug, Default)]
struct Twins {
    paged: Option<Manifest>,
    flat: Option<Manifest>,
    pages: BTreeMap<u128, ManifestPage>,
    names: u128,
    log_start: Offset,
    dropped: [Vec<PackRef>; 2],
}

impl Twins {
    fn name(&mut self) -> u128 {
        self.names += 1;
        self.names
    }

    fn write_page(&mut self, segments: &[SegmentRef]) -> floe_formats::PageRef {
        let name = self.name();
        let page = page(name, segments);
        let named = page.to_ref();
        self.pages.insert(name, page);
        named
    }

    /// The segments that the paged one names above its log start.
    fn live(&self) -> Vec<SegmentRef> {
        let Some(paged) = &self.paged else { return Vec::new() };
        let of_pages = paged.pages.iter().flat_map(|named| &self.pages[&named.ulid.0].segments);
        of_pages.chain(&paged.segments).filter(|segment| segment.end_offset > paged.log_start).cloned().collect()
    }

    fn publish(&mut self, merged: Option<&Merged>) {
        let end = self.live().last().map_or(0, |last| last.end_offset) + 100;
        let state = || state(self.log_start, end);
        let opened = match (&self.paged, merged.and_then(|merged| merged.replaces.first().zip(merged.replaces.last()))) {
            (Some(before), Some((first, last))) => {
                let start = before.pages.partition_point(|page| page.end_offset <= first.base_offset);
                let stop = before.pages.partition_point(|page| page.base_offset < last.end_offset).max(start);
                let segments = before.pages[start..stop].iter().flat_map(|page| self.pages[&page.ulid.0].segments.clone());
                Opened { pages: start..stop, segments: segments.collect() }
            }
            _ => Opened::default(),
        };
        let flat = draft(self.flat.as_ref(), merged, state(), Incarnation(3));
        let paged = next_draft(self.paged.as_ref(), opened, merged, state(), Incarnation(3));
        assert_eq!(flat.is_some(), paged.is_some(), "what fits one fits the other");
        let (Some(flat), Some(mut paged)) = (flat, paged) else { return };
        if !paged.rewritten.is_empty() {
            let named = self.write_page(&paged.rewritten);
            paged.manifest.pages.insert(paged.at, named);
        }
        let in_cut = paged.dropped.cut.iter().flat_map(|named| paged.dropped.packs_in(&self.pages[&named.ulid.0]));
        let of_paged: Vec<PackRef> = paged.dropped.packs.iter().copied().chain(in_cut).collect();
        self.dropped[0].extend(flat.dropped.packs);
        self.dropped[1].extend(of_paged);
        (self.flat, self.paged) = (Some(flat.manifest), Some(paged.manifest));
    }

    fn go(&mut self, change: Change) {
        match change {
            Change::Append(segments) => {
                let (pack, end) = (self.name(), self.live().last().map_or(self.log_start, |last| last.end_offset));
                let segments = (0..segments).map(|n| segment(pack, end + n * 10, end + n * 10 + 10)).collect();
                self.publish(Some(&merged(segments)));
            }
            Change::Rewrite(from, count) => {
                let live = self.live();
                let packs: Vec<&[SegmentRef]> = live.chunk_by(|a, b| a.pack == b.pack).skip(from).take(count).collect();
                let replaces = packs.concat();
                let Some((first, last)) = replaces.first().zip(replaces.last()) else { return };
                let rewritten = vec![segment(self.name(), first.base_offset, last.end_offset)];
                self.publish(Some(&Merged { segments: rewritten, replaces, ..Merged::default() }));
            }
            Change::Raise(more) => {
                let end = self.live().last().map_or(0, |last| last.end_offset);
                self.log_start = (self.log_start + more).min(end);
                self.publish(None);
            }
            Change::Page(count) => {
                let Some(mut paged) = self.paged.take() else { return };
                // A pack is named by one page.
                let packs: Vec<&[SegmentRef]> = paged.segments.chunk_by(|a, b| a.pack == b.pack).take(count).collect();
                let oldest = packs.concat();
                if !oldest.is_empty() {
                    paged.segments.drain(..oldest.len());
                    let named = self.write_page(&oldest);
                    paged.pages.push(named);
                }
                self.paged = Some(paged);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_manifest_with_pages_says_what_one_without_says(changes in prop::collection::vec(change(), 1..60)) {
        let mut twins = Twins::default();
        for change in changes {
            twins.go(change);
            let flat = twins.flat.as_ref().map(|flat| flat.segments.clone()).unwrap_or_default();
            prop_assert_eq!(twins.live(), flat);
            let ends = [&twins.flat, &twins.paged].map(|one| one.as_ref().map(|one| (one.log_start, one.snapshot.end)));
            prop_assert_eq!(ends[0], ends[1]);
            let mut dropped = twins.dropped.clone();
            dropped.iter_mut().for_each(|packs| packs.sort());
            prop_assert_eq!(&dropped[0], &dropped[1], "the same packs go, and each once");
            if let Some(paged) = &twins.paged {
                let bytes = floe_formats::encode(&floe_formats::Writer { write_id: floe_types::WriteId(1), incarnation: Incarnation(3), revision: 0 }, paged);
                prop_assert_eq!(&floe_formats::decode::<Manifest>(&bytes).expect("sound").1, paged);
            }
        }
    }
}
