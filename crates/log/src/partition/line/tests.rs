//! Lines that begin with a manifest, and go on with slots from before and behind it.

use super::*;
use floe_formats::{PackRef, ProducerBatch};
use floe_types::{Incarnation, SlotNumber, TopicId};

const ID: PartitionId = PartitionId { topic: TopicId(5), index: 0 };

/// A segment in which producer 7 has written one batch for each `sequence`, two records each.
fn segment(base_offset: Offset, end_offset: Offset, sequences: &[i32]) -> Segment {
    let batch = |(sequence, base): (&i32, Offset)| ProducerBatch {
        base_sequence: *sequence,
        last_sequence: sequence + 1,
        base_offset: base,
        end_offset: base + 2,
        timestamp: 0,
    };
    let batches = sequences.iter().zip((base_offset..).step_by(2)).map(batch).collect();
    let update = ProducerUpdate { producer_id: 7, epoch: 0, last_timestamp: 0, batches };
    Segment {
        partition: ID,
        epoch: 2,
        base_offset,
        end_offset,
        max_timestamp: -1,
        log_start: 0,
        bytes: 10,
        records: 1,
        blocks: Vec::new(),
        events: Vec::new(),
        producers: if sequences.is_empty() { Vec::new() } else { vec![update] },
    }
}

fn apply(line: &mut Line, segment: &Segment, slot: u64) {
    line.apply(segment, segment.to_ref(PackRef::Slot { incarnation: Incarnation(1), slot: SlotNumber(slot) }, 100, 20));
}

/// What a manifest says that names nothing, since the log starts behind all that it named.
fn of_manifest(log_start: Offset) -> Line {
    Line { log_start, end: log_start, epoch: 2, ..Line::empty(ID) }
}

fn listed(line: &Line) -> Vec<(Offset, Offset)> {
    line.segments.iter().map(|segment| (segment.base_offset, segment.end_offset)).collect()
}

fn sequences(line: &Line) -> Vec<i32> {
    line.producers.get(&7).map(|known| known.batches.iter().map(|batch| batch.base_sequence).collect()).unwrap_or_default()
}

#[test]
fn a_log_start_in_the_middle_of_a_segment_is_no_contradiction() {
    let mut line = of_manifest(105);
    apply(&mut line, &segment(100, 110, &[0, 2, 4, 6, 8]), 0);
    apply(&mut line, &segment(110, 120, &[]), 1);
    assert_eq!((line.broken.clone(), line.end, line.log_start), (None, 120, 105));
    assert_eq!(listed(&line), [(100, 110), (110, 120)]);
    assert_eq!(sequences(&line), [0, 2, 4, 6, 8]);
}

#[test]
fn a_log_start_where_a_segment_ends_forgets_no_producer() {
    let mut line = of_manifest(110);
    apply(&mut line, &segment(100, 110, &[0, 2, 4, 6, 8]), 0);
    assert_eq!((line.broken.clone(), line.end), (None, 110));
    assert_eq!(listed(&line), []);
    assert_eq!(sequences(&line), [0, 2, 4, 6, 8]);
    // Told again, it is the same.
    apply(&mut line, &segment(100, 110, &[0, 2, 4, 6, 8]), 0);
    assert_eq!(sequences(&line), [0, 2, 4, 6, 8]);
}

#[test]
fn a_segment_that_overlaps_what_is_listed_is_a_contradiction() {
    let mut line = of_manifest(105);
    apply(&mut line, &segment(100, 110, &[]), 0);
    apply(&mut line, &segment(104, 115, &[]), 1);
    assert!(line.broken.is_some());
    // And so is one that begins below where there was more than a log start.
    let mut line = Line { log_start: 90, ..of_manifest(105) };
    apply(&mut line, &segment(100, 110, &[]), 0);
    assert!(line.broken.is_some());
}
