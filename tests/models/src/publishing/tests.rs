//! The rules within the quick bounds, and each mutant in a world that shows it.
use super::*;

const OWNERS: Bounds = Bounds::OWNERS;
const THIRD: Bounds = Bounds::THIRD;
const COMPACTION: Bounds = Bounds::COMPACTION;
const WAL_LOSS: Bounds = Bounds::WAL_LOSS;
const PAGES: Bounds = Bounds::PAGES;
const TWO_MERGES: Bounds = Bounds { merges: 2, ..COMPACTION };

crate::rules_hold_and_mutants_are_found! { Publishing
    t51_a_create_that_counts_without_a_listing_is_found: NoListAfterCreate in OWNERS,
    a_rebase_on_a_greater_epoch_is_found: RebaseOnGreater in OWNERS,
    an_owner_that_reads_a_greater_epoch_and_goes_on_is_found: PublishOnGreaterRead in OWNERS,
    a_rebase_with_old_content_is_found: RebaseKeepsOldContent in OWNERS,
    t26_a_rebase_without_revalidation_is_found: RebaseWithoutRevalidation in OWNERS,
    t26_a_stale_rewrite_put_over_a_newer_one_is_found: RebaseByRange in TWO_MERGES,
    t13_a_plain_put_of_a_manifest_is_found: PlainPut in OWNERS,
    t68_a_drop_before_its_event_is_found: DropBeforeEvent in OWNERS,
    a_log_start_known_from_the_manifest_only_is_found: LogStartOfManifestOnly in OWNERS,
    a_merge_of_an_uncertain_slot_is_found: MergeUncertain in OWNERS,
    an_end_that_forgets_its_base_is_found: EndForgetsBase in THIRD,
    t27_damage_told_from_an_old_view_is_found: NoRefresh in OWNERS,
    a_reader_that_reads_the_manifest_first_is_found: ManifestFirst in OWNERS,
    an_index_that_counts_over_a_manifest_is_found: IndexWins in OWNERS,
    the_newest_manifest_pruned_is_found: PruneAllButOwn in OWNERS,
    a_slot_gone_after_an_upload_is_found: SlotGoneAfterUpload in OWNERS,
    a_slot_gone_before_its_create_counts_is_found: SlotGoneBeforeCounted in OWNERS,
    a_slot_gone_because_no_index_names_it_is_found: SlotUnnamedIsEnough in OWNERS,
    an_index_that_drops_too_early_is_found: IndexDropsBeforeCounted in OWNERS,
    packs_gone_before_their_create_counts_are_found: DeleteBeforeCounted in OWNERS,
    t52_a_sweep_before_publishing_is_found: SweepBeforePublishing in OWNERS,
    t52_a_sweep_before_the_create_counts_is_found: SweepBeforeCounted in OWNERS,
    t52_a_sweep_of_what_was_listed_before_publishing_is_found: SweepListedBeforePublishing in OWNERS,
    t52_a_sweep_of_the_own_epoch_is_found: SweepOwnEpoch in OWNERS,
    a_sweep_of_greater_epochs_is_found: SweepHigherEpoch in OWNERS,
    t68_a_rewrite_before_its_event_is_found: RewriteBeforeEvent in COMPACTION,
    a_log_start_that_only_a_wal_holds_is_found: EventCommittedIsEnough in WAL_LOSS,
    a_slot_gone_for_a_log_start_that_only_a_wal_holds_is_found: GoneByUncertainEvent in WAL_LOSS,
    a_rewrite_for_the_sake_of_an_uncertain_record_is_found: RewriteByUncertain in WAL_LOSS,
    a_tombstone_gone_before_its_value_is_found: TombstoneFirst in COMPACTION,
    t38_a_rewrite_that_stands_only_for_what_it_keeps_is_found: CoverShrinks in COMPACTION,
    a_page_gone_before_its_create_counts_is_found: PageGoneBeforeCounted in PAGES,
    a_sweep_of_what_only_a_page_names_is_found: SweepForgetsPages in PAGES,
    t52_a_sweep_of_pages_of_the_own_epoch_is_found: SweepOwnPages in PAGES,
    a_page_that_names_what_was_replaced_is_found: PageOutlivesItsPacks in PAGES,
}
