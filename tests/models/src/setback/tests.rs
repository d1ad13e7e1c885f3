//! The rules within the quick bounds, and each mutant in a world that shows it.
use super::*;

const MOVES: Bounds = Bounds::MOVES;
const RECOVERY: Bounds = Bounds::RECOVERY;

crate::rules_hold_and_mutants_are_found! { Setback
    t57_a_revision_alone_does_not_tell: RevisionOnly in MOVES,
    t57_an_owner_that_relies_before_its_mark_stands_is_found: ReliesBeforeMark in MOVES,
    t57_a_mark_that_stands_on_nothing_is_found: ChainBroken in MOVES,
    t57_a_mark_of_another_that_counts_is_found: NonceIgnored in MOVES,
    t57_a_record_read_before_the_mark_is_found: RecordOfBefore in MOVES,
    t57_a_mark_without_a_look_at_the_one_before_is_found: MarkNotCompared in MOVES,
    t57_an_end_from_records_of_a_set_back_etcd_is_found: EndWithoutMark in RECOVERY,
    t57_marks_that_are_overwritten_are_found: PlainPut in MOVES,
    t57_a_frozen_incarnation_that_goes_on_is_found: FrozenGoesOn in MOVES,
}
