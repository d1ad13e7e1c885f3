//! Every search by name, for the command line.
use crate::engine::{Report, search};
use crate::{catalog, cleaning, embedded, front, generations, handover, ownership, publishing, reattach, recovery, setback, starts};

/// One search.
pub struct Run {
    /// Model and bounds, or model and mutant.
    pub name: String,
    /// Searches at most that many states.
    pub search: Box<dyn Fn(usize) -> Report>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Adds the searches of one model: its rules within the bounds asked for, or each mutant in each quick world.
macro_rules! add {
    ($runs:ident, $what:ident, $module:ident, $model:ident) => {
        let worlds = if matches!($what, What::Full) { $module::Bounds::FULL.to_vec() } else { $module::Bounds::QUICK.to_vec() };
        let mutants = if matches!($what, What::Mutants) { $module::MUTANTS.map(Some).to_vec() } else { vec![None] };
        for mutant in mutants {
            for bounds in worlds.clone() {
                let model = $module::$model { bounds, mutant };
                let broken = mutant.map_or(String::new(), |mutant| format!(" {mutant:?} in"));
                let name = format!("{}:{broken} {bounds:?}", stringify!($module));
                $runs.push(Run { name, search: Box::new(move |limit| search(&model, limit)) });
            }
        }
    };
}

enum What {
    Quick,
    Full,
    Mutants,
}

fn all(what: &What) -> Vec<Run> {
    let mut runs = Vec::new();
    add!(runs, what, recovery, Recovery);
    add!(runs, what, generations, Generations);
    add!(runs, what, embedded, Embedded);
    add!(runs, what, front, Front);
    add!(runs, what, publishing, Publishing);
    add!(runs, what, cleaning, Cleaning);
    add!(runs, what, catalog, Catalog);
    add!(runs, what, ownership, Ownership);
    add!(runs, what, handover, Handover);
    add!(runs, what, reattach, Reattach);
    add!(runs, what, setback, Setback);
    add!(runs, what, starts, Starts);
    runs
}

/// The rules within the quick bounds, or within the larger ones.
pub fn rules(full: bool) -> Vec<Run> {
    all(if full { &What::Full } else { &What::Quick })
}

/// Each mutant in each quick world of its model: what breaks if a rule is left out.
pub fn mutants() -> Vec<Run> {
    all(&What::Mutants)
}
