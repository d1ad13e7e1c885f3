//! What must be true in every state of the ownership model.
use super::state::{Life, Set, State, members};
use super::{Mutant, Ownership, Step, words};

/// What is wrong with `set` as the history below `end`.
fn broken_history(s: &State, set: Set, end: u8) -> Option<String> {
    let mut last = 0;
    for offset in 0..end {
        let mut at = members(set).filter(|entry| s.entries[*entry].offset == offset);
        match (at.next(), at.next()) {
            (None, _) => return Some(format!("the history has a hole at {offset}")),
            (Some(_), Some(_)) => return Some(format!("the history has two entries at {offset}")),
            (Some(entry), None) if s.entries[entry].epoch < last => return Some(format!("epochs go back at {offset}")),
            (Some(entry), None) => last = s.entries[entry].epoch,
        }
    }
    (s.end_of(set) > end).then(|| format!("the history holds entries behind its end {end}"))
}

impl Ownership {
    pub(super) fn broken_promise(&self, s: &State) -> Option<String> {
        let owner = s.owner();
        let own = s.of_epoch(owner, s.epoch);
        let (mut set, mut end) = self.below(s, s.epoch);
        if set & own != 0 {
            set &= !own; // published by the owner itself
            end = s.end_of(set);
        }
        if let Some(what) = broken_history(s, set, end) {
            return Some(format!("below epoch {}: {what}", s.epoch));
        }
        if let Some(lost) = members(s.acked & !set & !own).next() {
            let entry = s.entries[lost];
            let by = words::name(entry.incarnation as usize);
            return Some(format!("{by} acknowledged {} in epoch {}, the record's history does not have it", entry.offset, entry.epoch));
        }
        let opened = s.incarnations[owner];
        if opened.epoch == s.epoch && opened.start != end {
            return Some(format!("the owner starts at {}, the history before it ends at {end}", opened.start));
        }
        let is_twice = |entry: &usize| members(s.acked).any(|other| other != *entry && s.entries[other].offset == s.entries[*entry].offset);
        if let Some(entry) = members(s.acked).find(is_twice) {
            return Some(format!("offset {} was acknowledged twice", s.entries[entry].offset));
        }
        self.broken_end(s)
    }

    /// What the next owner would find once the owner's `end` stands.
    fn broken_end(&self, s: &State) -> Option<String> {
        let line = s.incarnations[s.owner()].index?;
        let counts = line.epoch == s.epoch || self.is(Mutant::StaleIndexTrusted) && line.epoch > 0;
        let (set, end) = if counts { (s.manifest | line.mask, line.end) } else { (s.manifest, s.end_of(s.manifest)) };
        if let Some(what) = broken_history(s, set, end) {
            return Some(format!("after the owner's end: {what}"));
        }
        let lost = s.entries[members(s.acked & !set).next()?];
        Some(format!("offset {} of epoch {} was acknowledged, the next owner would not have it", lost.offset, lost.epoch))
    }

    /// Whether recovery is needed and nobody can do any of it.
    pub(super) fn is_stuck(&self, s: &State, steps: &[(Step, State)]) -> bool {
        let recovers = |step: &Step| {
            matches!(step, Step::Mark { .. } | Step::ReadRecord { .. } | Step::Seal { .. } | Step::CreateEnd { .. } | Step::Close { .. })
        };
        let owns = |step: &Step| matches!(step, Step::Own { .. } | Step::Change { .. });
        let somebody_is_open = s.incarnations.iter().any(|i| i.life == Life::Open);
        match s.incarnations[s.owner()].life {
            Life::Open => false,
            Life::Sealing => !steps.iter().any(|(step, _)| recovers(step)),
            Life::Closed => s.epoch < self.bounds.epochs && somebody_is_open && !steps.iter().any(|(step, _)| owns(step)),
        }
    }
}
