//! Every search by name, for the command line.
use crate::engine::{Report, search};
use crate::{embedded, generations, recovery};

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

/// The rules within the quick bounds, or within the larger ones.
pub fn rules(full: bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for bounds in if full { recovery::Bounds::FULL.to_vec() } else { recovery::Bounds::QUICK.to_vec() } {
        let model = recovery::Recovery { bounds, mutant: None };
        runs.push(Run { name: format!("recovery: {bounds:?}"), search: Box::new(move |limit| search(&model, limit)) });
    }
    for bounds in if full { generations::Bounds::FULL.to_vec() } else { generations::Bounds::QUICK.to_vec() } {
        let model = generations::Generations { bounds, mutant: None };
        runs.push(Run { name: format!("generations: {bounds:?}"), search: Box::new(move |limit| search(&model, limit)) });
    }
    for bounds in if full { embedded::Bounds::FULL.to_vec() } else { embedded::Bounds::QUICK.to_vec() } {
        let model = embedded::Embedded { bounds, mutant: None };
        runs.push(Run { name: format!("embedded: {bounds:?}"), search: Box::new(move |limit| search(&model, limit)) });
    }
    runs
}

/// Each mutant of the embedded model in each of its quick worlds: what breaks if a rule is left out.
pub fn mutants() -> Vec<Run> {
    let worlds = embedded::MUTANTS.iter().flat_map(|mutant| embedded::Bounds::QUICK.map(|bounds| (*mutant, bounds)));
    let run = |(mutant, bounds): (embedded::Mutant, embedded::Bounds)| {
        let model = embedded::Embedded { bounds, mutant: Some(mutant) };
        Run { name: format!("embedded, {}: {mutant:?}", bounds.name), search: Box::new(move |limit| search(&model, limit)) }
    };
    worlds.map(run).collect()
}
