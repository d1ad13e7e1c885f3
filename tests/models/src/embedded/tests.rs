//! The rules within the quick bounds, and each mutant in a world that shows it.
use super::*;

const RESTARTS: Bounds = Bounds::RESTARTS;
const TAKE_OVER: Bounds = Bounds::TAKE_OVER;
const LEAVING: Bounds = Bounds::LEAVING;
const ROT: Bounds = Bounds::ROT;

#[test]
fn only_serving_before_the_end_stands_needs_a_seal_that_makes_durable() {
    let waits = Bounds { early: false, ..RESTARTS };
    let report = crate::engine::search(&Embedded { bounds: waits, mutant: Some(Mutant::NoSeal) }, crate::QUICK_LIMIT);
    assert!(report.complete && report.counterexample.is_none(), "{report:?}");
}

crate::rules_hold_and_mutants_are_found! { Embedded
    an_ack_before_fsync_is_found: AckBeforeFsync in RESTARTS,
    t50_a_local_ack_over_an_uncommitted_object_record_is_found: AckOverUncommitted in RESTARTS,
    slots_acked_out_of_order_are_found: SlotsAckedOutOfOrder in RESTARTS,
    a_wal_in_use_before_its_claim_is_found: LocalBeforeClaim in TAKE_OVER,
    t06_a_wal_trimmed_before_its_slot_is_certain_is_found: TrimBeforeCertain in TAKE_OVER,
    t13_a_plain_put_is_found: PlainPut in RESTARTS,
    t47_a_woken_owner_that_takes_a_stop_for_its_own_pack_is_found: StopTakenForOwn in TAKE_OVER,
    slots_before_the_predecessors_end_are_found: SlotsBeforeEnd in TAKE_OVER,
    a_broker_that_ignores_an_end_other_than_it_serves_is_found: OtherEndIgnored in TAKE_OVER,
    a_disk_without_lock_is_found: NoLock in RESTARTS,
    predecessors_listed_before_the_own_claim_are_found: ListedBeforeClaim in TAKE_OVER,
    t47_a_local_claim_ignored_on_another_disk_is_found: LocalClaimIgnored in TAKE_OVER,
    claims_left_open_are_found: ClaimsNotClosed in TAKE_OVER,
    a_replay_without_seal_is_found: NoSeal in RESTARTS,
    a_seal_that_trusts_an_fsync_after_a_failed_one_is_found: SealOnlyFsyncs in RESTARTS,
    serving_before_the_row_is_stopped_is_found: ServedBeforeStop in RESTARTS,
    serving_early_beside_an_unended_foreigner_is_found: EarlyBesideForeign in TAKE_OVER,
    serving_over_damage_before_it_is_declared_is_found: ServedBeforeDeclared in ROT,
    t49_a_stop_behind_a_hole_is_found: StopBehindHole in RESTARTS,
    t50_recovery_across_a_hole_is_found: HoleKept in RESTARTS,
    t67_damage_taken_for_the_end_is_found: DamageTakenForEnd in ROT,
    t67_a_seal_that_names_no_end_is_found: SealNamesNoEnd in ROT,
    t54_a_start_taken_for_a_hole_is_found: StartTakenForHole in RESTARTS,
    t54_a_wal_that_does_not_follow_the_log_below_it_is_found: StartNotChecked in ROT,
    a_replay_of_another_incarnations_wal_is_found: ForeignWalReplayed in TAKE_OVER,
    a_wal_deleted_before_its_end_stands_is_found: WalDeletedBeforeEnd in RESTARTS,
    giving_up_what_is_served_is_found: GivesUpWhatItServes in ROT,
    the_newest_recovered_before_the_oldest_is_found: NewestFirst in TAKE_OVER,
    an_end_overwritten_is_found: EndOverwritten in TAKE_OVER,
    t47_a_take_over_without_a_word_of_what_is_given_up_is_found: TakeOverUnrecorded in TAKE_OVER,
    a_generation_left_and_not_flushed_is_found: LeftIsFlushed in LEAVING,
    t49_a_flush_judged_behind_a_hole_is_found: FlushedBehindHole in LEAVING,
    t65_a_start_refused_for_a_flushed_generation_is_found: FlushedGenerationRefused in LEAVING,
}
