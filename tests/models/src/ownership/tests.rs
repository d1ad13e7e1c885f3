//! The rules within the quick bounds, and each mutant in a world that shows it.
use super::*;

const MOVES: Bounds = Bounds::MOVES;
const RACES: Bounds = Bounds::RACES;
const DRAINS: Bounds = Bounds::DRAINS;

crate::rules_hold_and_mutants_are_found! { Ownership
    a_partition_that_moves_unflushed_is_found: MovesUnflushed in MOVES,
    an_append_after_the_last_flush_is_found: AppendsAfterFlush in MOVES,
    t55_an_append_after_a_lost_answer_is_found: AppendsAfterLostAnswer in MOVES,
    t55_a_look_at_the_record_instead_of_a_swap_is_found: ComparesWithoutSwap in MOVES,
    a_transaction_that_compares_the_owner_only_is_found: ComparesOwnerOnly in MOVES,
    t66_a_new_owner_that_was_closed_meanwhile_is_found: NewOwnerMayBeClosed in MOVES,
    a_partition_moved_by_someone_else_is_found: SomeoneElseMoves in MOVES,
    a_take_over_before_closed_is_found: OwnedBeforeClosed in MOVES,
    t54_a_wal_read_by_offset_is_found: NoEpochInWal in MOVES,
    a_forgotten_base_is_found: BaseForgotten in MOVES,
    a_stale_line_that_is_trusted_is_found: StaleIndexTrusted in MOVES,
    a_record_read_before_the_mark_is_found: RecordReadBeforeSealing in MOVES,
    a_drain_that_does_not_mark_itself_is_found: DrainsWhileOpen in MOVES,
    an_end_that_is_replaced_is_found: EndReplaced in RACES,
    a_forgotten_seal_is_found: NoSeal in MOVES,
    a_forgotten_stop_is_found: NoStop in MOVES,
    a_drain_that_ends_unflushed_is_found: DrainEndsUnflushed in DRAINS,
    a_drain_that_reads_before_its_mark_is_found: DrainReadsBeforeMark in DRAINS,
    an_append_after_the_own_drain_is_found: AppendsAfterDrain in DRAINS,
}
