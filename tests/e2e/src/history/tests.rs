//! The history checker finds what it is there to find.

use super::*;

fn partition() -> Partition {
    ("t".to_owned(), 0)
}

fn read(offset: i64, value: Value) -> Read {
    Read { partition: partition(), offset, value }
}

/// Values 1, 2, 3 acknowledged at 0, 1, 2; value 4 sent and not answered.
fn history() -> History {
    let mut history = History::default();
    for value in 1..=4 {
        history.sent(value, partition());
    }
    for value in 1..=3 {
        history.acknowledged(value, i64::try_from(value).unwrap() - 1);
    }
    history
}

#[test]
fn a_good_history_has_no_findings() {
    let mut history = history();
    history.read(vec![read(0, 1), read(1, 2)]);
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3)]);
    assert_eq!(history.check(), []);
    assert_eq!(history.acknowledgements(), 3);
}

#[test]
fn what_was_not_answered_may_be_there_and_offsets_may_have_gaps() {
    let mut history = history();
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3), read(7, 4)]);
    assert_eq!(history.check(), []);
}

#[test]
fn one_offset_with_two_values_is_found_between_readers_and_between_answer_and_reader() {
    let mut history = history();
    history.sent(5, partition());
    history.read(vec![read(3, 5)]);
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3), read(3, 4)]);
    let two = Finding::InconsistentOffset { partition: partition(), offset: 3, values: [4, 5] };
    assert_eq!(history.check(), [two]);
    let mut history = self::history();
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 4), read(3, 3)]);
    let findings = history.check();
    assert!(findings.contains(&Finding::InconsistentOffset { partition: partition(), offset: 2, values: [3, 4] }), "{findings:?}");
}

#[test]
fn an_acknowledged_value_below_what_was_read_is_a_lost_write() {
    let mut history = history();
    history.read_at_last(vec![read(0, 1), read(2, 3)]);
    assert_eq!(history.check(), [Finding::LostWrite { partition: partition(), offset: 1, value: 2 }]);
}

#[test]
fn an_acknowledged_value_behind_what_was_read_is_unseen() {
    let mut history = history();
    history.read_at_last(vec![read(0, 1), read(1, 2)]);
    assert_eq!(history.check(), [Finding::Unseen { partition: partition(), offset: 2, value: 3 }]);
}

#[test]
fn a_value_that_a_reader_saw_and_the_final_one_did_not_is_found() {
    let mut history = history();
    history.read(vec![read(3, 4)]);
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3)]);
    assert_eq!(history.check(), [Finding::ReadAndGone { partition: partition(), offset: 3, value: 4 }]);
}

#[test]
fn a_value_at_two_offsets_is_a_duplicate() {
    let mut history = history();
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3), read(3, 2)]);
    assert_eq!(history.check(), [Finding::Duplicate { partition: partition(), value: 2, offsets: [1, 3] }]);
}

#[test]
fn a_reader_that_goes_back_or_reads_twice_is_found() {
    let mut history = history();
    history.read(vec![read(1, 2), read(1, 2), read(0, 1)]);
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3)]);
    let back = |offsets| Finding::ReadOutOfOrder { reader: 0, partition: partition(), offsets };
    assert_eq!(history.check(), [back([1, 0]), back([1, 1])]);
}

#[test]
fn a_producers_sends_that_changed_places_are_found() {
    let mut history = History::default();
    let (first, second, other) = (value(1, 1), value(1, 2), value(2, 1));
    for (value, offset) in [(first, 1), (second, 0), (other, 2)] {
        history.sent(value, partition());
        history.acknowledged(value, offset);
    }
    history.read_at_last(vec![read(0, second), read(1, first), read(2, other)]);
    assert_eq!(history.check(), [Finding::SentOutOfOrder { partition: partition(), values: [first, second] }]);
}

#[test]
fn a_value_that_nobody_sent_there_is_a_phantom() {
    let mut history = history();
    history.sent(9, ("t".to_owned(), 1));
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3), read(3, 8), read(4, 9)]);
    let phantom = |offset, value| Finding::Phantom { partition: partition(), offset, value };
    assert_eq!(history.check(), [phantom(3, 8), phantom(4, 9)]);
}

#[test]
fn a_loss_is_found_in_each_partition_alone() {
    let mut history = history();
    let other = ("t".to_owned(), 1);
    history.sent(11, other.clone());
    history.acknowledged(11, 0);
    history.read_at_last(vec![read(0, 1), read(1, 2), read(2, 3)]);
    assert_eq!(history.check(), [Finding::Unseen { partition: other, offset: 0, value: 11 }]);
}

#[test]
fn what_is_acknowledged_without_a_place_has_to_be_there_all_the_same() {
    let mut history = History::default();
    for value in [11, 12, 13] {
        history.sent(value, partition());
        history.acknowledged(value, -1001);
    }
    history.read_at_last(vec![read(0, 11), read(1, 12)]);
    assert_eq!(history.check(), [Finding::LostWrite { partition: partition(), offset: -1001, value: 13 }]);
}
