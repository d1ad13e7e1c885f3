//! Faults of a single broker. A stop that counts below the front needs a successor that sleeps at one moment: `history/stop.rs` makes it.

use floe_testkit::simulation::{OPERATIONS, run};

found! {
    an_ack_before_fdatasync_is_found: AckBeforeSync,
    t13_a_plain_put_is_found: PlainPut,
    t05_slots_acknowledged_out_of_order_are_found: SlotsAckedOutOfOrder,
    t06_a_trim_before_its_slot_is_certain_is_found: TrimBeforeCertain,
    t50_a_hole_that_is_kept_is_found: HoleKept,
    a_foreign_slot_taken_for_own_is_found: ForeignSlotTakenForOwn,
    a_log_start_that_counts_before_its_event_is_found: LogStartBeforeEvent,
    t27_segments_dropped_before_their_manifest_counts_are_found: DroppedBeforeCounted,
    t26_a_stale_compaction_that_is_published_is_found: StaleCompaction,
    t63_slots_deleted_before_their_index_stands_are_found: DeletedBeforeIndex from 143
}
