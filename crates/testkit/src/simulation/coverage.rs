//! What a run went through: steps, faults and what the broker did on its own, counted by name, so that a test can say
//! that they happened.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    pub steps: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    /// What brokers did on their own.
    pub works: BTreeMap<&'static str, u64>,
}

impl Coverage {
    pub fn step(&mut self, name: &'static str) {
        *self.steps.entry(name).or_default() += 1;
    }

    pub fn faults(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.faults.entry(name).or_default() += count;
        }
    }

    pub fn works(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.works.entry(name).or_default() += count;
        }
    }

    #[must_use]
    pub fn operations(&self) -> u64 {
        self.steps.values().sum()
    }

    #[must_use]
    pub fn total_faults(&self) -> u64 {
        self.faults.values().sum()
    }

    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.steps {
            *self.steps.entry(name).or_default() += count;
        }
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (name, count) in &other.works {
            *self.works.entry(name).or_default() += count;
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} operations, {} faults", self.operations(), self.total_faults())?;
        for (kind, counts) in [("step ", &self.steps), ("fault", &self.faults), ("work ", &self.works)] {
            for (name, count) in counts {
                writeln!(f, "  {kind} {name:<24} {count:>9}")?;
            }
        }
        Ok(())
    }
}
