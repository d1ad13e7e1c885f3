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
    a_drain_that_leaves_out_what_it_was_given_is_found: DrainEndsUnopened
}
