//! What fits on top of a manifest, and what the next version says.

use super::{Published, next, no_longer_named};
use crate::history::settle::Merged;
use floe_formats::{EpochStart, Manifest, PackRef, PartitionIndex, ProducerBatch, ProducerUpdate, SegmentRef, Ulid};
use floe_types::{Incarnation, PartitionId, TopicId};

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
    let second = next(Some(&first), None, state(12, 50), Incarnation(3)).expect("it fits");
    assert_eq!((second.version, second.log_start, offsets(&second)), (2, 12, vec![(10, 20)]));
    assert_eq!(no_longer_named(Some(&first), &second), vec![], "the other half of the pack is named still");
    let third = next(Some(&second), None, state(33, 50), Incarnation(3)).expect("it fits");
    assert_eq!((offsets(&third), third.snapshot.end), (vec![], 33));
    assert_eq!(no_longer_named(Some(&second), &third), vec![segment(1, 10, 20)]);
    let back = next(Some(&third), None, state(0, 50), Incarnation(3)).expect("it fits");
    assert_eq!(back.log_start, 33, "the greater of event and manifest");
    assert_ne!(Published::Outdated, Published::Counts { dropped: vec![] });
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
