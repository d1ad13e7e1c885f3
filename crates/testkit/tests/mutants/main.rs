//! Each deliberate fault is found by a simulation, and after how many seeds. `FLOE_MUTANT_SEEDS` bounds the search. Without it, the search for a fault that takes long begins at the seed
//! that has found it last; where that does not find it any more, later ones do.

use floe_env::{Mutant, set_mutant};
use floe_testkit::simulation::Outcome;

/// Seeds that are tried without a word of how many.
const MOST: u64 = 2_000;

fn found_after(mutant: Mutant, last: u64, run: impl Fn(u64) -> Outcome + std::panic::RefUnwindSafe) -> Option<(u64, String)> {
    let seeds = match std::env::var("FLOE_MUTANT_SEEDS") {
        Ok(text) => 1..=text.parse().expect("a number"),
        Err(_) => last..=last + MOST,
    };
    seeds.into_iter().find_map(|seed| {
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
    ($($name:ident: $mutant:ident $(from $last:literal)?),*) => {$(
        #[test]
        fn $name() {
            let last = 1 $(.max($last))?;
            let found = crate::found_after(floe_env::Mutant::$mutant, last, |seed| run(seed, OPERATIONS));
            let (seed, violation) = found.expect("the simulation finds it");
            println!("{:?} is found by seed {seed}: {violation}", floe_env::Mutant::$mutant);
        }
    )*};
}

mod cluster;
mod single;
