//! An etcd that is set back: its data is restored from an old snapshot, and what it had said since is forgotten (R8, R13, trap T57).
//!
//! World: incarnations A, B, C and one partition, as in `ownership`, but every record is acknowledged when it is appended and recovery keeps all of them: what is
//! lost here is lost by etcd alone. At any time a snapshot of etcd is taken, and at any later time etcd is set back to it, once. Everything that was read before, and every
//! transaction that was sent before, may take effect after. Nobody is told.
//!
//! The text of the rules (a revision lower than one seen before means that etcd was set back) is not enough, even if everybody heard at once of every revision
//! that anybody saw: a transaction sent before lands on the restored etcd, its revision is as high again, and two incarnations own one partition in one epoch
//! (mutant `RevisionOnly`). What is modelled instead is the row of **marks**. etcd holds one mark: a number and a nonce. Who wants to rely on what etcd says - the new owner of
//! partitions before it appends, a recoverer before it creates `end` - makes sure that the mark in etcd stands in the store as `mark/number` with that nonce (creating
//! it, only if absent), then in one transaction compares the mark, puts the next number with a nonce of its own, and reads what it is going to rely on, and then
//! creates that in the store. A number that stands there with another nonce: etcd was set back, and who meets it is frozen. Each mark stands on the one before, so the
//! row in the store is the one history of etcd that counts, and whoever relies on anything was in it.
//!
//! Checked in every state: whoever may append has all that was ever acknowledged, by whomever, in what it builds on; an `end` of whoever relied
//! on the partition last lists, with the manifest, all of it; no offset is acknowledged twice; nobody is frozen
//! unless etcd was set back.
//!
//! Not promised: that anybody goes on. Owners go on in what they had; nothing moves and nobody is recovered until `floe recover`.
//!
//! Bounds: see [`Bounds::QUICK`] and [`Bounds::FULL`]. Left out: WAL, slots, seals (`ownership`, `recovery`: a recoverer's `end` and the seal before it are one step here),
//! late manifests (`handover`), more than one set-back, incarnations that start (`starts`), `floe recover`.
mod state;
mod steps;
#[cfg(test)]
mod tests;

use crate::engine::Model;
use state::{ENTRIES, Entry, Etcd, INCARNATIONS, Incarnation, Life, MARKS, Manifest, Mark, Phase, Record, Recoverer};

pub use state::State;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// No marks: only a lower revision than anybody ever saw tells (the text).
    RevisionOnly,
    /// An owner relies on what it compared before its mark stands in the store.
    ReliesBeforeMark,
    /// The mark before is not looked for in the store.
    ChainBroken,
    /// A mark that stands with another nonce counts as the own.
    NonceIgnored,
    /// What counts is what was read before the mark was put, and not as of the mark.
    RecordOfBefore,
    /// The transaction that puts the mark does not compare the mark before.
    MarkNotCompared,
    /// A recoverer creates `end` from records read without a mark.
    EndWithoutMark,
    /// Marks are overwritten.
    PlainPut,
    /// A frozen incarnation tries again with the number that etcd has by then, and takes what stands in the store as its own.
    FrozenGoesOn,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 9] = [
    Mutant::RevisionOnly,
    Mutant::ReliesBeforeMark,
    Mutant::ChainBroken,
    Mutant::NonceIgnored,
    Mutant::RecordOfBefore,
    Mutant::MarkNotCompared,
    Mutant::EndWithoutMark,
    Mutant::PlainPut,
    Mutant::FrozenGoesOn,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records appended, at most 3.
    pub entries: u8,
    /// Epochs of the partition, at most 5.
    pub epochs: u8,
    /// Marks put, in all, at most 5.
    pub marks: u8,
    /// Whether the partition is handed over.
    pub moves: bool,
    /// Whether incarnations are recovered.
    pub recovery: bool,
}

impl Bounds {
    /// Hand-overs.
    pub const MOVES: Self = Self { entries: 2, epochs: 3, marks: 3, moves: true, recovery: false };
    /// Recovery.
    pub const RECOVERY: Self = Self { entries: 1, epochs: 2, marks: 3, moves: false, recovery: true };
    /// Seconds each.
    pub const QUICK: [Self; 2] = [Self::MOVES, Self::RECOVERY];
    /// A minute and more each.
    pub const FULL: [Self; 3] = [
        Self { entries: 2, epochs: 4, marks: 4, moves: true, recovery: false },
        Self { entries: 2, epochs: 3, marks: 3, moves: false, recovery: true },
        Self { entries: 1, epochs: 2, marks: 3, moves: true, recovery: true },
    ];
}

/// The model.
#[derive(Debug)]
pub struct Setback {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

impl Setback {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// One indivisible step; incarnations by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Snapshot,
    SetBack,
    OtherMarks { stands: bool },
    Own { by: usize },
    Change { by: usize, to: usize },
    Look { by: usize },
    PutBefore { by: usize },
    Mark { by: usize },
    PutMark { by: usize },
    Append { by: usize },
    Publish { by: usize },
    Ask { by: usize, to: usize },
    Seal { of: usize },
    RecoverLook,
    RecoverPutBefore,
    RecoverMark,
    RecoverPutMark,
    CreateEnd,
    Close,
    GiveUp,
}

impl Model for Setback {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut start = State {
            etcd: Etcd {
                record: Record { owner: 0, epoch: 1, base: None },
                life: [Life::Open; INCARNATIONS],
                mark: Mark::default(),
                revision: 0,
            },
            snapshot: None,
            was_set_back: false,
            nonces: 0,
            marks: [None; MARKS],
            ends: [None; INCARNATIONS],
            manifest: Manifest { set: 0, epoch: 0 },
            entries: [Entry::default(); ENTRIES],
            count: 0,
            incarnations: [Incarnation::FRESH; INCARNATIONS],
            recoverer: Recoverer::Idle,
            recoverer_froze: false,
            seen: 0,
        };
        start.marks[0] = Some(0);
        start.incarnations[0].phase = Phase::Serves;
        start.incarnations[0].epoch = 1;
        start
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = steps::Steps { model: self, state, out };
        steps.world();
        steps.others();
        for x in 0..INCARNATIONS {
            steps.etcd(x);
            steps.relying(x);
            steps.owner(x);
        }
        steps.recoverer();
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        let name = state::name;
        for x in 0..INCARNATIONS {
            let i = &s.incarnations[x];
            let lacks = s.all() & !(i.view | s.own(x));
            if i.phase == Phase::Serves && !i.sealed && lacks != 0 {
                return Some(format!("{} may append in epoch {}, and does not build on all that was acknowledged", name(x), i.epoch));
            }
            if i.phase == Phase::Frozen && !s.was_set_back {
                return Some(format!("{} is frozen, and etcd was never set back", name(x)));
            }
        }
        if s.recoverer_froze && !s.was_set_back {
            return Some("a recoverer is frozen, and etcd was never set back".into());
        }
        if let Some(what) = s.broken_end() {
            return Some(what);
        }
        let is_twice = |e: &&Entry| s.entries().iter().filter(|other| other.offset == e.offset).count() > 1;
        s.entries().iter().find(is_twice).map(|e| format!("offset {} was acknowledged twice", e.offset))
    }

    fn describe(&self, s: &State, step: Step) -> String {
        let name = state::name;
        let mark = |mark: Mark| format!("mark {}, nonce {}", mark.number, mark.nonce);
        match step {
            Step::Snapshot => "a snapshot of etcd is taken".into(),
            Step::SetBack => "etcd is set back to the snapshot".into(),
            Step::OtherMarks { stands } => {
                let then = if stands { ", which stands in the store" } else { ", and dies" };
                format!("somebody else puts mark {}{then}", s.etcd.mark.number + 1)
            }
            Step::Own { by } => {
                format!("etcd makes {} owner in epoch {}, base {}", name(by), s.etcd.record.epoch + 1, name(s.etcd.record.owner as usize))
            }
            Step::Change { by, to } => {
                format!("etcd makes {} owner in epoch {} (asked by {}, answer lost)", name(to), s.etcd.record.epoch + 1, name(by))
            }
            Step::Look { by } => {
                format!("{} reads that it owns the partition in epoch {}, and {}", name(by), s.etcd.record.epoch, mark(s.etcd.mark))
            }
            Step::PutBefore { by } => format!("{} makes sure that the mark that it read stands in the store", name(by)),
            Step::Mark { by } => format!("{} puts mark {} in etcd", name(by), s.etcd.mark.number + 1),
            Step::PutMark { by } => format!("{} makes sure that its own mark stands in the store, and opens the partition", name(by)),
            Step::Append { by } => format!("{} appends and acknowledges {}", name(by), s.end_below(s.incarnations[by].view | s.own(by))),
            Step::Publish { by } => format!("{} stops appending and publishes a manifest", name(by)),
            Step::Ask { by, to } => format!("{} asks etcd to make {} owner", name(by), name(to)),
            Step::Seal { of } => format!("a recoverer marks {} sealing", name(of)),
            Step::RecoverLook => format!("the recoverer reads {}", mark(s.etcd.mark)),
            Step::RecoverPutBefore => "the recoverer makes sure that the mark that it read stands in the store".into(),
            Step::RecoverMark => format!("the recoverer puts mark {} in etcd, and reads the record", s.etcd.mark.number + 1),
            Step::RecoverPutMark => "the recoverer makes sure that its own mark stands in the store".into(),
            Step::CreateEnd => "the recoverer seals, stops and creates end".into(),
            Step::Close => "the recoverer marks it closed".into(),
            Step::GiveUp => "the recoverer gives up".into(),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "an owner is frozen",
            "a recoverer is frozen",
            "etcd was set back and its present owner goes on",
            "etcd was set back behind an owner, who goes on beside the record",
            "two incarnations acknowledged",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let serves = |x: usize| s.incarnations[x].phase == Phase::Serves && !s.incarnations[x].sealed;
        let owner = s.etcd.record.owner as usize;
        let shown = [
            s.incarnations.iter().any(|i| i.phase == Phase::Frozen),
            s.recoverer_froze,
            s.was_set_back && serves(owner) && s.incarnations[owner].epoch == s.etcd.record.epoch,
            s.was_set_back && (0..INCARNATIONS).any(|x| x != owner && serves(x)),
            s.entries().iter().any(|e| e.incarnation != s.entries()[0].incarnation),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}
