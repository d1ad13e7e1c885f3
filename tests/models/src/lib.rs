//! Floe's rules of safety as models, searched exhaustively within stated bounds, with every rule broken once on purpose to show that the search would tell.
//!
//! - [`recovery`]: commit, seal, stop and `end` of one generation with three copies.
//! - [`generations`]: replica sets that change, disks that die, dead ends.
//! - [`embedded`]: a single broker: `local` and `object` records in one partition, restart on the same disk, take-over by another disk.
//! - [`front`]: deletion from a row while it is recovered.
//! - [`publishing`]: merges, manifests, retention, compaction and sweeping in one partition across owners.
//! - [`cleaning`]: a closed chain, its slots and recovery packs, late cleaners.
//! - [`catalog`]: a topic's deletion and re-creation, with etcd and without.
//! - [`ownership`]: a partition that moves between incarnations; lost answers, recoverers that race, drains.
//! - [`handover`]: late manifests of owners that were deposed meanwhile.
//! - [`reattach`]: standbys that restart and are filled up again.
//! - [`setback`], [`starts`]: an etcd whose old snapshot was restored: what it says of owners, and the numbers that it gives.
//! - [`engine`]: the search; it knows nothing of brokers. [`runs`]: all searches by name.
//!
//! `cargo test -p floe-models` searches the quick bounds; `cargo run --release -p floe-models -- --full` the larger ones. A rule of docs/ARCHITECTURE.md, or the
//! code that keeps it, changes here first. What the models left open in the text of the rules: docs/decisions/0001-models.md,
//! 0002-history-models.md and 0006-cluster-models.md.

pub mod catalog;
pub mod cleaning;
pub mod embedded;
pub mod engine;
pub mod front;
pub mod generations;
pub mod handover;
pub mod ownership;
pub mod publishing;
pub mod reattach;
pub mod recovery;
pub mod runs;
pub mod setback;
pub mod starts;

/// States that a quick search may visit: the bound on its memory (about 1 GiB).
pub const QUICK_LIMIT: usize = 8_000_000;

/// The tests of a model: its rules hold in every state of its quick worlds, which together show every landmark; each mutant is found in its world; no
/// mutant lacks a test. Needs `Bounds`, `Mutant`, `MUTANTS` and the model, a struct of `bounds` and `mutant`, in scope.
#[cfg(test)]
#[macro_export]
macro_rules! rules_hold_and_mutants_are_found {
    ($model:ident $($test:ident: $mutant:ident in $world:ident,)*) => {
        #[test]
        fn the_rules_hold_in_every_state() {
            let mut unseen: Option<Vec<&str>> = None;
            for bounds in Bounds::QUICK {
                let report = $crate::engine::search(&$model { bounds, mutant: None }, $crate::QUICK_LIMIT);
                println!("{bounds:?}: {} states, {} steps deep", report.states, report.depth);
                if let Some(found) = report.counterexample {
                    panic!("{found}");
                }
                assert!(report.complete, "more states than the limit");
                let before = unseen.take();
                unseen = Some(report.unseen.into_iter().filter(|name| before.as_ref().is_none_or(|before| before.contains(name))).collect());
            }
            assert_eq!(unseen.as_deref(), Some([].as_slice()), "nothing was shown about these");
        }

        $(#[test]
        fn $test() {
            let report = $crate::engine::search(&$model { bounds: $world, mutant: Some(Mutant::$mutant) }, $crate::QUICK_LIMIT);
            let found = report.counterexample.expect("a broken rule must be found");
            println!("{} states: {found}", report.states);
        })*

        #[test]
        fn every_mutant_has_a_test() {
            assert_eq!(MUTANTS.as_slice(), [$(Mutant::$mutant),*]);
        }
    };
}
