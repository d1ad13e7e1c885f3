//! Faults of brokers of a cluster.

use floe_testkit::cluster::{OPERATIONS, run};

found! {
    t13_a_plain_put_is_found: PlainPut,
    t05_slots_acknowledged_out_of_order_are_found: SlotsAckedOutOfOrder,
    a_foreign_slot_taken_for_own_is_found: ForeignSlotTakenForOwn,
    a_row_that_nobody_stopped_is_found: StopSkipped,
    a_forgotten_base_is_found: BaseForgotten,
    records_read_before_the_mark_are_found: RecordReadBeforeSealing,
    slots_that_others_rely_on_deleted_are_found: OthersSlotsDeleted,
    a_move_before_its_manifest_is_found: MovesUntold,
    a_move_under_appends_is_found: MovesWhileAppending,
    t55_appends_after_a_lost_answer_are_found: AppendsAfterLostAnswer from 334,
    t18_a_partition_opened_by_an_old_view_is_found: OpensByOldView from 74,
    t66_a_partition_given_to_the_closed_is_found: GivenToTheClosed,
    a_drain_that_leaves_out_what_it_was_given_is_found: DrainEndsUnopened,
    r2_a_wal_that_goes_on_behind_its_end_is_found: AppendedBehindEnd,
    r5_copies_of_the_newest_generation_alone_are_found: NewestGenerationAlone from 101,
    r5_one_seal_is_found: OneSealIsEnough,
    r7_a_hole_that_is_kept_is_found: HoleKept from 101,
    r11_trimming_before_slots_are_certain_is_found: TrimBeforeCertain from 260,
    r11_footers_that_leave_older_generations_out_are_found: FootersNameNewest from 112,
    t03_sent_is_not_stored_is_found: StandbyCountsSent,
    t48_one_copy_as_a_quorum_is_found: OneIsAQuorum,
    a_commit_that_is_answered_before_it_is_durable_is_found: AnsweredBeforeCommit from 17,
    a_coordinator_that_answers_before_it_has_read_all_is_found: LoadedInPart,
    generations_that_begin_anew_are_found: GenerationsForgotten,
    a_log_of_groups_that_begins_where_its_checkpoint_ends_is_found: CheckpointFromItsEnd
}

/// It takes a move and its return, and a batch within milliseconds of them; `partition/leave.rs` of the log has a directed test.
#[test]
fn a_partition_that_takes_its_successors_place_among_the_unflushed_is_found() {
    if std::env::var_os("FLOE_MUTANT_SEEDS").is_none() {
        return println!("SKIP LeftTakesPlace: it takes more than a thousand seeds: only with FLOE_MUTANT_SEEDS");
    }
    let found = crate::found_after(floe_env::Mutant::LeftTakesPlace, 1, |seed| run(seed, OPERATIONS));
    let (seed, violation) = found.expect("the simulation finds it");
    println!("LeftTakesPlace is found by seed {seed}: {violation}");
}
