//! Each deliberate fault is found by the simulation of a cluster, and after how many seeds. `FLOE_MUTANT_SEEDS` bounds the search.

use floe_env::{Mutant, set_mutant};
use floe_testkit::cluster::{self, OPERATIONS};

fn found_after(mutant: Mutant) -> Option<(u64, String)> {
    let most = std::env::var("FLOE_MUTANT_SEEDS").map_or(2_000, |text| text.parse().expect("a number"));
    (1..=most).find_map(|seed| {
        set_mutant(Some(mutant));
        // A fault may also show as a broken invariant of the program itself.
        let outcome = std::panic::catch_unwind(|| cluster::run(seed, OPERATIONS));
        set_mutant(None);
        match outcome {
            Ok(outcome) => outcome.violation.map(|violation| (seed, violation)),
            Err(_) => Some((seed, "a panic".into())),
        }
    })
}

macro_rules! found {
    ($($name:ident: $mutant:ident),*) => {$(
        #[test]
        fn $name() {
            let (seeds, violation) = found_after(Mutant::$mutant).expect("the simulation finds it");
            println!("{:?} is found after {seeds} seeds: {violation}", Mutant::$mutant);
        }
    )*};
}

found! {
    t13_a_plain_put_is_found: PlainPut,
    t05_slots_acknowledged_out_of_order_are_found: SlotsAckedOutOfOrder,
    a_foreign_slot_taken_for_own_is_found: ForeignSlotTakenForOwn,
    a_row_that_nobody_stopped_is_found: StopSkipped,
    a_forgotten_base_is_found: BaseForgotten,
    records_read_before_the_mark_are_found: RecordReadBeforeSealing,
    slots_that_others_rely_on_deleted_are_found: OthersSlotsDeleted,
    a_drain_that_leaves_out_what_it_was_given_is_found: DrainEndsUnopened
}
