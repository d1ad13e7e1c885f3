//! Each deliberate fault is found by a simulation, and after how many seeds. `FLOE_MUTANT_SEEDS` bounds the search.

use floe_env::{Mutant, set_mutant};
use floe_testkit::simulation::Outcome;

fn found_after(mutant: Mutant, run: impl Fn(u64) -> Outcome + std::panic::RefUnwindSafe) -> Option<(u64, String)> {
    let most = std::env::var("FLOE_MUTANT_SEEDS").map_or(2_000, |text| text.parse().expect("a number"));
    (1..=most).find_map(|seed| {
        set_mutant(Some(mutant));
        // A fault may also show as a broken invariant of the program itself.
        let outcome = std::panic::catch_unwind(|| run(seed));
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
            let found = crate::found_after(floe_env::Mutant::$mutant, |seed| run(seed, OPERATIONS));
            let (seeds, violation) = found.expect("the simulation finds it");
            println!("{:?} is found after {seeds} seeds: {violation}", floe_env::Mutant::$mutant);
        }
    )*};
}

mod cluster;
mod single;
