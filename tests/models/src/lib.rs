//! Floe's rules of safety as models, searched exhaustively within stated bounds, with every rule broken once on purpose to show that the search would tell.
//!
//! - [`recovery`]: commit, seal, stop and `end` of one generation with three copies.
//! - [`engine`]: the search; it knows nothing of brokers.
//!
//! `cargo test -p floe-models` searches the quick bounds; `cargo run --release -p floe-models -- --full` the larger ones. A rule of docs/ARCHITECTURE.md, or the
//! code that keeps it, changes here first. What the models left open in the text of the rules: docs/decisions/0001-models.md.

pub mod engine;
pub mod recovery;

/// States that a quick search may visit: the bound on its memory (about 1 GiB).
pub const QUICK_LIMIT: usize = 8_000_000;

/// The tests of a model: its rules hold in every state within the quick bounds and all landmarks are met; each mutant is found; no mutant lacks a test.
/// Needs `model(Option<Mutant>)` and what `use super::*` brings.
#[cfg(test)]
#[macro_export]
macro_rules! rules_hold_and_mutants_are_found {
    ($($test:ident: $mutant:ident,)*) => {
        #[test]
        fn the_rules_hold_in_every_state() {
            let report = $crate::engine::search(&model(None), $crate::QUICK_LIMIT);
            if let Some(found) = report.counterexample {
                panic!("{found}");
            }
            assert!(report.complete, "more states than the limit");
            assert!(report.unseen.is_empty(), "nothing was shown about: {:?}", report.unseen);
            println!("{} states, {} steps deep", report.states, report.depth);
        }

        $(#[test]
        fn $test() {
            let report = $crate::engine::search(&model(Some(Mutant::$mutant)), $crate::QUICK_LIMIT);
            let found = report.counterexample.expect("a broken rule must be found");
            println!("{} states: {found}", report.states);
        })*

        #[test]
        fn every_mutant_has_a_test() {
            assert_eq!(MUTANTS.as_slice(), [$(Mutant::$mutant),*]);
        }
    };
}
