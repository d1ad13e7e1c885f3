//! Ownership (rules R4-R10, R13, opening, traps T54, T55, T66) of one partition that moves between incarnations, with drains that race with recovery by others.
//!
//! World: incarnations A, B, C, all open at first; A owns the partition in epoch 1. etcd is a linearizable store: the record's history
//! {owner, base index} by epoch, and each incarnation's state. A hand-over transaction is in flight for as long as it likes, and its answer may be lost: the
//! sender never learns more than what it reads. Each incarnation has one row (one PUT in flight, which may land late or never; `recovery` has wider windows), one WAL
//! with its own disk and one standby (n = 2, quorum 2: one seal is enough; `generations` has n = 3), and seals. Entries are `replicated` or `object`. Anybody may
//! be suspected at any time while alive; recoverers race, stop, and are resumed; a deposed owner goes on until seal and stop hold it. With `drains`, anybody may also
//! drain: it marks itself sealing, reads the record, appends nothing more, and once all it has is in its slots stops its row and creates `end` and index - unless a
//! recoverer was first, anywhere on the way.
//!
//! Where the text of the rules was open, this is modelled: a base index's line counts only with the epoch of the record that named its incarnation, else the manifest is
//! read (mutant `StaleIndexTrusted`); "winning another compare" is a swap to itself under a higher epoch (`ComparesWithoutSwap`); the index of `end` inherits the base of
//! each record that names i when read after i was marked (`RecordReadBeforeSealing`, `BaseForgotten`, `DrainReadsBeforeMark`); a hand-over leaves no base; a drain marks
//! itself before all else (`DrainsWhileOpen`) and its `end` needs no seal, since it waits until no entry of its own is in the WAL alone (`DrainEndsUnflushed`).
//!
//! Checked in every state: what the record's owner builds on (base index and manifest) is one entry per offset, without holes, epochs in order, and holds every
//! entry ever acknowledged but the owner's own of this epoch; an owner starts where that ends; no offset is acknowledged twice; once `end` of the owner stands, what the
//! next owner would build on holds everything ever acknowledged, before `end` or after; somebody can always go on while recovery is needed.
//!
//! What an owner hears, it hears at once, and acknowledges at once: later is a case of it having taken no step, and more acknowledged is only harder. Stop, `end` and
//! `closed` are one step (`recovery` has them apart).
//!
//! Bounds: see [`Bounds::QUICK`] and [`Bounds::FULL`]. Left out: late manifests (`handover`), an etcd that is set back (`setback`), more than one partition, more than two
//! recoverers at the same time.
mod owner;
mod promises;
mod recover;
mod state;
#[cfg(test)]
mod tests;
mod words;

use crate::engine::Model;
use state::{EPOCHS, Entry, INCARNATIONS, Incarnation, Life, Mode, NO_BASE, RECOVERERS, Record, Recoverer};

pub use state::State;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A partition moves before its end is in a certain slot (R13).
    MovesUnflushed,
    /// The owner appends between flush and change of owner (R13).
    AppendsAfterFlush,
    /// The owner appends again when the answer of a hand-over was lost (R13, T55).
    AppendsAfterLostAnswer,
    /// The owner appends again when it reads itself in the record (R13, T55).
    ComparesWithoutSwap,
    /// The transaction compares the record's owner and not its epoch (R13).
    ComparesOwnerOnly,
    /// The transaction does not compare that the new owner is open (R13, T66).
    NewOwnerMayBeClosed,
    /// Somebody else moves a partition of an open incarnation (R13).
    SomeoneElseMoves,
    /// A partition is taken over from an incarnation that is sealing (R9).
    OwnedBeforeClosed,
    /// Recovery takes the WAL by offset and not by epoch (R7, T54).
    NoEpochInWal,
    /// `end` does not inherit the base of what its incarnation owned (R8).
    BaseForgotten,
    /// A base's line counts whatever its epoch (opening).
    StaleIndexTrusted,
    /// A recoverer reads the records before it marks (R4, R8).
    RecordReadBeforeSealing,
    /// A drain does not mark itself sealing first (R13).
    DrainsWhileOpen,
    /// A later `end` counts over an earlier one (R8).
    EndReplaced,
    /// Recovery seals no replica (R5).
    NoSeal,
    /// Recovery does not stop the row (R6, R10).
    NoStop,
    /// A drain creates `end` while records are in its WAL alone (R13).
    DrainEndsUnflushed,
    /// A drain reads its record before it marks itself (R13).
    DrainReadsBeforeMark,
    /// A drain goes on appending after its `end` (R10).
    AppendsAfterDrain,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 19] = [
    Mutant::MovesUnflushed,
    Mutant::AppendsAfterFlush,
    Mutant::AppendsAfterLostAnswer,
    Mutant::ComparesWithoutSwap,
    Mutant::ComparesOwnerOnly,
    Mutant::NewOwnerMayBeClosed,
    Mutant::SomeoneElseMoves,
    Mutant::OwnedBeforeClosed,
    Mutant::NoEpochInWal,
    Mutant::BaseForgotten,
    Mutant::StaleIndexTrusted,
    Mutant::RecordReadBeforeSealing,
    Mutant::DrainsWhileOpen,
    Mutant::EndReplaced,
    Mutant::NoSeal,
    Mutant::NoStop,
    Mutant::DrainEndsUnflushed,
    Mutant::DrainReadsBeforeMark,
    Mutant::AppendsAfterDrain,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries appended, at most 4.
    pub entries: u8,
    /// Epochs of the partition, at most 4.
    pub epochs: u8,
    /// Recoverers at the same time, 1 or 2. One may give up at any step, of two the other goes on.
    pub recoverers: usize,
    /// Whether incarnations drain.
    pub drains: bool,
}

impl Bounds {
    /// Moves and recovery; fewer entries or epochs leave mutants unfound.
    pub const MOVES: Self = Self { entries: 2, epochs: 3, recoverers: 1, drains: false };
    /// Two recoverers that race.
    pub const RACES: Self = Self { entries: 2, epochs: 2, recoverers: 2, drains: false };
    /// Drains beside a recoverer.
    pub const DRAINS: Self = Self { entries: 1, epochs: 2, recoverers: 1, drains: true };
    /// Seconds each.
    pub const QUICK: [Self; 3] = [Self::MOVES, Self::RACES, Self::DRAINS];
    /// The first two are the worlds of the design's model; up to some minutes each.
    pub const FULL: [Self; 3] = [
        Self { entries: 2, epochs: 3, recoverers: 2, drains: false },
        Self { entries: 2, epochs: 4, recoverers: 1, drains: false },
        Self { entries: 2, epochs: 3, recoverers: 1, drains: true },
    ];
}

/// The model.
#[derive(Debug)]
pub struct Ownership {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

impl Ownership {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// One indivisible step; incarnations and recoverers by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Append { by: usize, is_object: bool },
    Fsync { by: usize },
    Send { by: usize },
    Land { by: usize },
    Resume { by: usize },
    Publish { by: usize },
    Ask { by: usize, to: usize },
    Change { by: usize, to: usize },
    Open { by: usize },
    Reopen { by: usize },
    Own { by: usize },
    Steal { by: usize },
    DrainMark { by: usize },
    DrainRead { by: usize },
    DrainEnd { by: usize },
    Mark { of: usize },
    ReadRecord { r: usize },
    Seal { r: usize, own_disk: bool },
    CreateEnd { r: usize },
    Close { of: usize },
    GiveUp { r: usize },
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Ownership,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        self.model.settle(&mut after);
        if after != *self.state {
            self.out.push((step, after));
        }
    }
}

impl Ownership {
    /// What follows from a step at once: who can win nothing more forgets it, what is committed is acknowledged, a race that is lost is over.
    fn settle(&self, s: &mut State) {
        let remembers = self.is(Mutant::ComparesOwnerOnly);
        for x in 0..INCARNATIONS {
            let lost = s.epoch != s.incarnations[x].epoch || s.owner() != x;
            if lost && !remembers {
                s.incarnations[x].asked = 0; // can never win again: epochs only grow
            }
            s.acknowledge(x);
            let i = &mut s.incarnations[x];
            if i.stopped {
                i.sent = 0;
                if lost && !remembers {
                    (i.mode, i.end, i.view) = (Mode::Follows, 0, 0); // it can do nothing more that counts
                }
            }
            if i.index.is_some() && !self.is(Mutant::EndReplaced) {
                i.drain = state::Drain::No;
            }
        }
        for r in 0..RECOVERERS {
            let ended = s.recoverers[r].of().is_some_and(|of| s.incarnations[of].index.is_some());
            if ended && !self.is(Mutant::EndReplaced) {
                s.recoverers[r] = Recoverer::Idle;
            }
        }
        s.recoverers.sort_unstable();
    }
}

impl Model for Ownership {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut start = State {
            entries: [Entry::default(); state::ENTRIES],
            count: 0,
            acked: 0,
            records: [Record { owner: 0, base: NO_BASE }; EPOCHS],
            epoch: 1,
            manifest: 0,
            incarnations: [Incarnation::FRESH; INCARNATIONS],
            recoverers: [Recoverer::Idle; RECOVERERS],
        };
        (start.incarnations[0].epoch, start.incarnations[0].mode) = (1, Mode::Appends);
        start
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        for x in 0..INCARNATIONS {
            steps.owner(x);
            steps.hand_over(x);
            steps.etcd(x);
            steps.drain(x);
            steps.recovery_of(x);
        }
    }

    fn violation(&self, state: &State, steps: &[(Step, State)]) -> Option<String> {
        self.broken_promise(state).or_else(|| self.is_stuck(state, steps).then(|| "nobody can go on".into()))
    }

    fn describe(&self, state: &State, step: Step) -> String {
        words::describe(state, step)
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "a partition was handed over and its new owner appends",
            "an owner took its partition back from a lost hand-over",
            "a partition was taken over from a closed incarnation with its index as base",
            "an end keeps an entry that is in no slot",
            "an acknowledged entry of two owners each",
            "a drain ended by itself",
            "a recoverer ended who was draining",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let record = s.records[s.epoch as usize - 1];
        let owner = s.incarnations[record.owner as usize];
        let before = s.epoch.checked_sub(2).map(|at| s.records[at as usize].owner);
        let appends = owner.epoch == s.epoch && owner.mode == Mode::Appends && state::pick(s, |e| e.epoch == s.epoch) != 0;
        let unflushed = |i: &Incarnation| i.index.is_some_and(|index| index.mask & !i.row & state::pick(s, |e| !e.is_object) != 0);
        let acked_by = |x: usize| s.acked & s.of_incarnation(x) != 0;
        let shown = [
            appends && before.is_some_and(|before| before != record.owner) && record.base == NO_BASE,
            appends && before == Some(record.owner),
            appends && record.base != NO_BASE,
            s.incarnations.iter().any(unflushed),
            (0..INCARNATIONS).filter(|x| acked_by(*x)).count() >= 2,
            s.incarnations.iter().any(|i| i.drained),
            s.incarnations.iter().any(|i| i.life == Life::Closed && i.marked_itself && !i.drained),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}
