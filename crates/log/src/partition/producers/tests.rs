//! Kafka's rules for sequences, batch by batch.

use super::*;

fn header(epoch: i16, base_sequence: i32, records: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        batch_length: 49,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence,
        record_count: records,
    }
}

fn after(batches: &[(i16, i32, i32)]) -> (Producers, Offset) {
    let (mut producers, mut offset) = (Producers::default(), 0);
    for (epoch, sequence, records) in batches {
        let header = header(*epoch, *sequence, *records);
        assert_eq!(producers.check(&header), Ok(Verdict::Next));
        producers.record(&update_of(&header, offset).expect("it has an id"));
        offset += i64::from(*records);
    }
    (producers, offset)
}

#[test]
fn the_last_five_batches_are_answered_as_the_first_time_and_older_ones_are_told_apart() {
    let (producers, _) = after(&[(0, 0, 2), (0, 2, 1), (0, 3, 1), (0, 4, 1), (0, 5, 1), (0, 6, 1)]);
    for at in [2, 6] {
        let found = producers.check(&header(0, at, 1));
        let Ok(Verdict::Duplicate(batch)) = found else { panic!("{found:?}") };
        assert_eq!((batch.base_offset, batch.end_offset), (i64::from(at), i64::from(at) + 1));
    }
    assert_eq!(producers.check(&header(0, 0, 2)), Err(AppendError::DuplicateSequence { producer_id: 7, found: 0 }));
    assert_eq!(producers.check(&header(0, 9, 1)), Err(AppendError::OutOfOrderSequence { producer_id: 7, expected: 7, found: 9 }));
}

#[test]
fn t40_a_repeat_with_other_bounds_is_no_duplicate() {
    let (producers, _) = after(&[(0, 0, 2)]);
    assert!(matches!(producers.check(&header(0, 0, 1)), Err(AppendError::OutOfOrderSequence { .. })));
}

#[test]
fn a_new_epoch_starts_at_zero_and_an_old_one_is_refused() {
    let (producers, _) = after(&[(0, 0, 1), (1, 0, 1)]);
    assert!(matches!(producers.check(&header(0, 1, 1)), Err(AppendError::InvalidProducerEpoch { current: 1, found: 0, .. })));
    assert!(matches!(producers.check(&header(2, 5, 1)), Err(AppendError::OutOfOrderSequence { expected: 0, .. })));
    assert_eq!(producers.check(&header(2, 0, 1)), Ok(Verdict::Next));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut producers = Producers::default();
    producers.record(&update_of(&header(0, i32::MAX, 1), 0).expect("it has an id"));
    assert_eq!(producers.check(&header(0, 0, 1)), Ok(Verdict::Next));
}

#[test]
fn an_unknown_producer_may_start_anywhere_and_one_without_id_always_appends() {
    assert_eq!(Producers::default().check(&header(3, 41, 1)), Ok(Verdict::Next));
    let (producers, _) = after(&[(0, 0, 1)]);
    assert_eq!(producers.check(&BatchHeader { producer_id: -1, ..header(0, 0, 1) }), Ok(Verdict::Next));
}

#[test]
fn the_idlest_producer_makes_room() {
    let mut known = BTreeMap::new();
    for id in 0..=MAX_PRODUCERS as i64 {
        let update = update_of(&BatchHeader { producer_id: id, ..header(0, 0, 1) }, id).expect("it has an id");
        merge(&mut known, &update);
    }
    assert_eq!(known.len(), MAX_PRODUCERS);
    assert!(!known.contains_key(&0), "producer 0 wrote longest ago");
}
