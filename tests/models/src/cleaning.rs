//! Cleaning a closed chain (rules R8, R18-R20, R22, traps T16, T28, T51-T53): recovery packs, slots of several partitions, cleaners that are late.
//!
//! World: chain A is stopped. Two recoverers upload recovery packs and create its `end`, or find it. Its slot 0 holds unit P of one partition and Q0 of another, its slot 1 a
//! merge with P again, the recovery pack that `end` names Q1. Then owner B opens on A's `end`, and later owner C on B's, which a recoverer makes of what it read
//! of B's index some time before, and of B's slot. B may be late at every step and goes on as if it owned still. B re-merges units into its own slot and writes an
//! index of it, either merges Q's units into an own pack and publishes it; topics are deleted, log starts pass units. Two cleaners, one at a time by a right
//! that is claimed by comparing, or both at once, read what is settled elsewhere, write an index of A with a new front, and delete; each may be late for ever, with its
//! DELETEs, too. A deleted slot's old PUT may land once more.
//!
//! Checked in every state: every unit that is neither deleted nor passed is in an object that exists, where the current owner's index and manifest say; `end` names a
//! pack that is there; a base that is needed is there; every deleted slot lies before the front that A's newest index names.
//!
//! Assumed beyond the text of the rules: a slot may go, too, when the owner's own certain slot holds what it held and an index of the owner's says so (without it small
//! partitions keep every old chain for ever: see the tests); an index create by a cleaner counts only when a listing begun after it shows nothing newer (`IndexWithoutListing`).
//! The right is economy: without it the rules hold as well, as all that lets an object go is true for ever once it is true.
//!
//! Bounds: three units, at most three indexes written by cleaners; see [`Bounds::QUICK`] and [`Bounds::FULL`]. Left out: B's own front (`front`), how manifests come to count (`publishing`).
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A slot goes when one of its partitions has no need of it (T53).
    OneWordIsEnough,
    /// A slot goes when its units are in a slot of the owner's that is not certain.
    RemergeBeforeCertain,
    /// A slot goes when its units are in a certain slot that no index of the owner's names yet.
    RemergeBeforeIndex,
    /// A slot goes when its units are in an own pack that no manifest names yet.
    ManifestBeforeCounted,
    /// Recovery packs are swept before `end` stands (R20, T52).
    SweepBeforeEnd,
    /// Recovery packs are swept, named or not.
    SweepNamed,
    /// `end` goes with the last slot, though an ownership record names it (R18).
    BaseDeleted,
    /// A slot goes before an index names the new front.
    DeleteBeforeIndex,
    /// A cleaner's index replaces whatever has its number.
    IndexOverwritten,
    /// A cleaner's index counts without a listing after it (T51).
    IndexWithoutListing,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 10] = [
    Mutant::OneWordIsEnough,
    Mutant::RemergeBeforeCertain,
    Mutant::RemergeBeforeIndex,
    Mutant::ManifestBeforeCounted,
    Mutant::SweepBeforeEnd,
    Mutant::SweepNamed,
    Mutant::BaseDeleted,
    Mutant::DeleteBeforeIndex,
    Mutant::IndexOverwritten,
    Mutant::IndexWithoutListing,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What this world is for.
    pub name: &'static str,
    /// Recoverers of A that race, 1 or 2.
    pub recoverers: usize,
    /// Cleaners, 1 or 2.
    pub cleaners: usize,
    /// Cleaners need the right.
    pub right: bool,
    /// The owner's certain slot, named by its index, lets a slot of the closed chain go.
    pub remerging_frees: bool,
    /// Topics are deleted and log starts pass units.
    pub settles: bool,
    /// The number of the last index that a cleaner may write, at most 3.
    pub indexes: u8,
    /// An old PUT of a deleted slot lands.
    pub late_put: bool,
}

impl Bounds {
    /// Cleaners without a right; what re-merging and manifests settle.
    pub const MERGES: Self = Self {
        name: "merges",
        recoverers: 1,
        cleaners: 2,
        right: false,
        remerging_frees: true,
        settles: false,
        indexes: 2,
        late_put: false,
    };
    /// Recovery packs of two recoverers.
    pub const RECOVERY: Self = Self { name: "recovery packs", recoverers: 2, cleaners: 1, ..Self::MERGES };
    /// Cleaners with a right that passes from one to the other.
    pub const RIGHT: Self = Self { name: "right", right: true, indexes: 1, ..Self::MERGES };
    /// Three indexes: one that was pruned can be there again.
    pub const INDEXES: Self = Self { name: "indexes", indexes: 3, ..Self::MERGES };

    /// One of each, and all that lets a unit go.
    pub const SETTLES: Self = Self { name: "deletions and log starts", cleaners: 1, settles: true, ..Self::MERGES };

    /// Seconds each; every mutant is found in one of them, or soon in `INDEXES`.
    pub const QUICK: [Self; 4] = [Self::MERGES, Self::RECOVERY, Self::RIGHT, Self::SETTLES];
    /// A minute or a few each.
    pub const FULL: [Self; 5] = [
        Self { name: "two of each", recoverers: 2, ..Self::MERGES },
        Self { indexes: 3, ..Self::RIGHT },
        Self { late_put: true, ..Self::INDEXES },
        Self { name: "two cleaners, deletions and log starts", cleaners: 2, indexes: 1, ..Self::SETTLES },
        Self { late_put: true, ..Self::SETTLES },
    ];
}

/// The model.
#[derive(Debug)]
pub struct Cleaning {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

/// Units or objects by number, one bit each.
type Set = u8;

const P: usize = 0;
const Q0: usize = 1;
const Q1: usize = 2;
const UNITS: [usize; 3] = [P, Q0, Q1];

/// Objects: A's slots and recovery packs, B's slot, an own pack of Q's.
const SLOT0: usize = 0;
const SLOT1: usize = 1;
const RECOVERY: usize = 2;
const OWN_PACK: usize = 5;
const OBJECTS: [&str; 6] = ["slot 0", "slot 1", "recovery pack 0", "recovery pack 1", "B's slot", "the own pack"];
const B_SLOT: usize = 4;
const INDEXES: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Recoverer {
    Idle,
    Uploaded,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slot {
    Free,
    Pack,
    Stop,
}

/// Owner B: what it sent to its slot, and how much of that its newest index says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Owner {
    serves: bool,
    sent: Set,
    slot: Slot,
    knows_certain: bool,
    /// Units that its index places in its slot; none: it wrote no index, its base counts.
    index: Option<Set>,
}

/// The own pack of Q's units.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct OwnPack {
    units: Set,
    counts: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Cleaner {
    Idle,
    /// Read index `at` with its front, and what is settled.
    Reads {
        at: u8,
        front: u8,
        settled: Set,
    },
    Created {
        at: u8,
        front: u8,
        settled: Set,
    },
    /// Its index counts.
    Deletes {
        at: u8,
        front: u8,
        settled: Set,
    },
}

/// The store, the owners, the cleaners.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    there: Set,
    recoverers: [Recoverer; 2],
    /// The recovery pack that A's `end` names, once it stands.
    end: Option<u8>,
    end_deleted: bool,
    b: Owner,
    own_pack: OwnPack,
    /// What a recoverer of B read of its index.
    base_of_c: Option<Set>,
    /// Units that C finds in B's slot, once C owns.
    c: Option<Set>,
    deleted: Set,
    passed: Set,
    /// Front that each index of A names, by number; number 0 is `end`'s.
    indexes: [Option<u8>; INDEXES],
    right: Option<u8>,
    cleaners: [Cleaner; 2],
    /// DELETEs under way, of objects.
    deletes: Set,
    /// The old PUT of slot 0 has landed again.
    landed_again: bool,
}

/// One indivisible step; recoverers, cleaners, units and objects by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Upload { by: usize },
    CreateEnd { by: usize },
    Open,
    Remerge { units: u8 },
    Land,
    LearnCertain,
    WriteIndex { units: u8 },
    UploadOwnPack { units: u8 },
    Publish,
    DeleteTopic { units: u8 },
    RaiseStart { unit: usize },
    ReadBase,
    Stop,
    ChangeOwner,
    TakeRight { by: usize },
    ReadIndex { by: usize },
    ReadFacts { by: usize },
    CreateIndex { by: usize, front: u8 },
    Count { by: usize },
    ListNewer { by: usize },
    PruneIndex { number: usize },
    SendDelete { by: usize, object: usize },
    Sweep { object: usize },
    Delete { object: usize },
    DeleteEnd,
    LandAgain,
}

impl State {
    fn is_there(&self, object: usize) -> bool {
        self.there >> object & 1 == 1
    }

    /// Where A's `end` places a unit.
    fn place_in_a(&self, unit: usize) -> Option<usize> {
        match unit {
            P => Some(SLOT1),
            Q0 => Some(SLOT0),
            _ => self.end.map(|by| RECOVERY + by as usize),
        }
    }

    /// Where the current owner's index and the manifest place a unit; the manifest counts.
    fn place(&self, unit: usize) -> Option<usize> {
        if self.own_pack.counts && self.own_pack.units >> unit & 1 == 1 {
            return Some(OWN_PACK);
        }
        let remerged = self.c.or(self.b.index).unwrap_or(0);
        if remerged >> unit & 1 == 1 { Some(B_SLOT) } else { self.place_in_a(unit) }
    }

    fn live(&self) -> Set {
        0b111 & !self.deleted & !self.passed
    }

    fn newest_index(&self) -> (u8, u8) {
        let number = (0..INDEXES).rev().find(|number| self.indexes[*number].is_some()).unwrap_or(0);
        (number as u8, self.indexes[number].unwrap_or(0))
    }
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Cleaning,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        if !self.model.bounds.right && self.model.bounds.cleaners == 2 {
            after.cleaners.sort_unstable();
        }
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn recover_a(&mut self, by: usize) {
        match self.state.recoverers[by] {
            Recoverer::Idle => self.go(Step::Upload { by }, |n| {
                n.there |= 1 << (RECOVERY + by);
                n.recoverers[by] = Recoverer::Uploaded;
            }),
            Recoverer::Uploaded => self.go(Step::CreateEnd { by }, |n| {
                n.end = n.end.or(Some(by as u8));
                n.recoverers[by] = Recoverer::Done;
            }),
            Recoverer::Done => {}
        }
    }

    /// B, current or late.
    fn owner(&mut self) {
        let s = self.state;
        if !s.b.serves {
            self.go(Step::Open, |n| n.b.serves = true);
            return;
        }
        let readable = |units: Set| UNITS.iter().all(|unit| units >> unit & 1 == 0 || s.place(*unit).is_some_and(|at| s.is_there(at)));
        if s.b.sent == 0 {
            for units in (1..8).filter(|units| units & !s.live() == 0 && readable(*units)) {
                self.go(Step::Remerge { units }, |n| n.b.sent = units);
            }
        }
        if s.b.sent != 0 && s.b.slot == Slot::Free {
            self.go(Step::Land, |n| {
                n.b.slot = Slot::Pack;
                n.there |= 1 << B_SLOT;
            });
        }
        if s.b.sent != 0 && s.b.slot == Slot::Pack {
            self.go(Step::LearnCertain, |n| n.b.knows_certain = true);
        }
        let units = if s.b.knows_certain { s.b.sent } else { 0 };
        self.go(Step::WriteIndex { units }, |n| n.b.index = Some(units));
        if s.own_pack.units == 0 {
            for units in [1 << Q0, 1 << Q0 | 1 << Q1].into_iter().filter(|units| units & !s.live() == 0 && readable(*units)) {
                self.go(Step::UploadOwnPack { units }, |n| {
                    n.own_pack.units = units;
                    n.there |= 1 << OWN_PACK;
                });
            }
        } else {
            self.go(Step::Publish, |n| n.own_pack.counts = true);
        }
    }

    /// Facts that are true for ever, and the change from B to C.
    fn world(&mut self) {
        let (model, s) = (self.model, self.state);
        if model.bounds.settles {
            for units in [1 << P, 1 << Q0 | 1 << Q1] {
                self.go(Step::DeleteTopic { units }, |n| n.deleted |= units);
            }
            for unit in [P, Q0] {
                self.go(Step::RaiseStart { unit }, |n| n.passed |= 1 << unit);
            }
        }
        if !s.b.serves || s.c.is_some() {
            return;
        }
        let Some(base) = s.base_of_c else {
            self.go(Step::ReadBase, |n| n.base_of_c = Some(n.b.index.unwrap_or(0)));
            return;
        };
        if s.b.slot == Slot::Free {
            self.go(Step::Stop, |n| n.b.slot = Slot::Stop);
        } else {
            // of two slots that hold the same offsets the later counts, over any index or base
            let found = if s.b.slot == Slot::Pack { s.b.sent } else { base };
            self.go(Step::ChangeOwner, |n| (n.c, n.base_of_c) = (Some(found), None));
        }
    }

    fn cleaner(&mut self, by: usize) {
        let (model, s) = (self.model, self.state);
        if model.bounds.right && s.right != Some(by as u8) {
            self.go(Step::TakeRight { by }, |n| n.right = Some(by as u8));
        }
        let (at, front) = s.newest_index();
        let begins = Cleaner::Reads { at, front, settled: model.settled(s) };
        match s.cleaners[by] {
            Cleaner::Idle => {
                if !model.bounds.right || s.right == Some(by as u8) {
                    self.go(Step::ReadIndex { by }, |n| n.cleaners[by] = begins);
                }
            }
            Cleaner::Reads { at, front, settled } => {
                // the index read here shadows the newest one: it may be old by now
                self.go(Step::ReadIndex { by }, |n| n.cleaners[by] = begins);
                self.go(Step::ReadFacts { by }, |n| {
                    n.cleaners[by] = Cleaner::Reads { at, front, settled: settled | model.settled(n) };
                });
                self.create_index(by, (at, front), settled);
                if model.is(Mutant::DeleteBeforeIndex) {
                    self.delete(by, model.free_front(front, settled), settled);
                }
            }
            Cleaner::Created { at: number, front, settled } => {
                if at == number || model.is(Mutant::IndexWithoutListing) {
                    self.go(Step::Count { by }, |n| n.cleaners[by] = Cleaner::Deletes { at: number, front, settled });
                } else {
                    self.go(Step::ListNewer { by }, |n| n.cleaners[by] = begins);
                }
            }
            Cleaner::Deletes { at, front, settled } => {
                self.delete(by, front, settled);
                self.go(Step::ReadIndex { by }, |n| n.cleaners[by] = begins);
                for number in (1..at as usize).filter(|number| s.indexes[*number].is_some()) {
                    self.go(Step::PruneIndex { number }, |n| n.indexes[number] = None);
                }
            }
        }
    }

    /// An index with the greatest front that nothing forbids.
    fn create_index(&mut self, by: usize, (at, seen_front): (u8, u8), settled: Set) {
        let (model, s) = (self.model, self.state);
        let (number, front) = (at + 1, model.free_front(seen_front, settled));
        let news = front > seen_front || settled >> Q1 & 1 == 1;
        if number > model.bounds.indexes || !news {
            return;
        }
        if s.indexes[number as usize].is_none() || model.is(Mutant::IndexOverwritten) {
            self.go(Step::CreateIndex { by, front }, |n| {
                n.indexes[number as usize] = Some(front);
                n.cleaners[by] = Cleaner::Created { at: number, front, settled };
            });
        }
    }

    fn delete(&mut self, by: usize, front: u8, settled: Set) {
        let s = self.state;
        for object in (0..front as usize).filter(|object| s.deletes >> object & 1 == 0) {
            self.go(Step::SendDelete { by, object }, |n| n.deletes |= 1 << object);
        }
        if let Some(pack) = s.place_in_a(Q1).filter(|pack| settled >> Q1 & 1 == 1 && s.deletes >> pack & 1 == 0) {
            self.go(Step::SendDelete { by, object: pack }, |n| n.deletes |= 1 << pack);
        }
    }

    /// Sweeping recovery packs, DELETEs that arrive, PUTs that do.
    fn store(&mut self) {
        let (model, s) = (self.model, self.state);
        for by in 0..2 {
            let named = s.end == Some(by);
            let may = (s.end.is_some() || model.is(Mutant::SweepBeforeEnd)) && (!named || model.is(Mutant::SweepNamed));
            let object = RECOVERY + by as usize;
            if may && s.is_there(object) {
                self.go(Step::Sweep { object }, |n| n.deletes |= 1 << object);
            }
        }
        for object in (0..B_SLOT).filter(|object| s.deletes >> object & 1 == 1) {
            self.go(Step::Delete { object }, |n| {
                n.there &= !(1 << object);
                if object >= RECOVERY {
                    n.deletes &= !(1 << object);
                }
            });
        }
        let all_gone = s.there & 0b11 == 0 && s.end.is_some_and(|by| !s.is_there(RECOVERY + by as usize));
        if model.is(Mutant::BaseDeleted) && all_gone {
            self.go(Step::DeleteEnd, |n| n.end_deleted = true);
        }
        if model.bounds.late_put && !s.landed_again && !s.is_there(SLOT0) {
            self.go(Step::LandAgain, |n| {
                n.landed_again = true;
                n.there |= 1 << SLOT0;
            });
        }
    }
}

impl Cleaning {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Units that A's objects are not needed for any more: each reason is true for ever once it is true.
    fn settled(&self, s: &State) -> Set {
        let published = if s.own_pack.counts || self.is(Mutant::ManifestBeforeCounted) { s.own_pack.units } else { 0 };
        let indexed = match s.c {
            Some(found) => found,
            None => s.b.index.unwrap_or(0),
        };
        let remerged = match self.mutant {
            Some(Mutant::RemergeBeforeCertain) => s.b.sent,
            Some(Mutant::RemergeBeforeIndex) if s.b.knows_certain => s.b.sent,
            _ => indexed,
        };
        let remerged = if self.bounds.remerging_frees { remerged } else { 0 };
        s.deleted | s.passed | published | remerged
    }

    /// How far the front may move: P's unit in slot 0 is in slot 1, too.
    fn free_front(&self, front: u8, settled: Set) -> u8 {
        let is_free = |slot: u8| match slot {
            0 => settled >> Q0 & 1 == 1 || self.is(Mutant::OneWordIsEnough),
            _ => settled >> P & 1 == 1,
        };
        (front..2).find(|slot| !is_free(*slot)).unwrap_or(2)
    }
}

impl Model for Cleaning {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            there: 1 << SLOT0 | 1 << SLOT1,
            recoverers: [Recoverer::Idle; 2],
            end: None,
            end_deleted: false,
            b: Owner { serves: false, sent: 0, slot: Slot::Free, knows_certain: false, index: None },
            own_pack: OwnPack { units: 0, counts: false },
            base_of_c: None,
            c: None,
            deleted: 0,
            passed: 0,
            indexes: [Some(0), None, None, None],
            right: None,
            cleaners: [Cleaner::Idle; 2],
            deletes: 0,
            landed_again: false,
        }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        for by in 0..self.bounds.recoverers {
            steps.recover_a(by);
        }
        if state.end.is_some() {
            steps.owner();
            steps.world();
            for by in 0..self.bounds.cleaners {
                steps.cleaner(by);
            }
        }
        steps.store();
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        s.end?;
        for unit in UNITS.into_iter().filter(|unit| s.live() >> unit & 1 == 1) {
            let place = s.place(unit).expect("end places every unit");
            if !s.is_there(place) {
                return Some(format!("unit {} is gone: it should be in {}", ["P", "Q0", "Q1"][unit], OBJECTS[place]));
            }
        }
        if s.end_deleted && s.b.index.is_none() && s.c.is_none() {
            return Some("the base that an ownership record names is gone".into());
        }
        let (_, front) = s.newest_index();
        let behind = (front as usize..2).find(|slot| !s.is_there(*slot));
        behind.map(|slot| format!("slot {slot} was deleted, the newest index names front {front}"))
    }

    fn describe(&self, s: &State, step: Step) -> String {
        let units = |units: Set| {
            let names = UNITS.iter().filter(|unit| units >> **unit & 1 == 1).map(|unit| ["P", "Q0", "Q1"][*unit]);
            names.collect::<Vec<&str>>().join(", ")
        };
        match step {
            Step::Upload { by } => format!("recoverer {by} of A uploads its recovery pack"),
            Step::CreateEnd { by } => format!("recoverer {by} creates A's end, or finds it"),
            Step::Open => "B opens on A's end".into(),
            Step::Remerge { units: set } => format!("B sends {} to its own slot", units(set)),
            Step::Land => "B's slot lands".into(),
            Step::LearnCertain => "B learns that its slot is certain".into(),
            Step::WriteIndex { units: set } => format!("B writes an index with [{}] in its own slot", units(set)),
            Step::UploadOwnPack { units: set } => format!("B uploads an own pack of {}", units(set)),
            Step::Publish => "B's manifest of its own pack counts".into(),
            Step::DeleteTopic { units: set } => format!("the catalog lists the topic of {} as deleted", units(set)),
            Step::RaiseStart { unit } => format!("the log start passes {}", ["P", "Q0", "Q1"][unit]),
            Step::ReadBase => "a recoverer of B reads its newest index".into(),
            Step::Stop => "a recoverer of B stops its slot".into(),
            Step::ChangeOwner => "C owns what B did, by B's end".into(),
            Step::TakeRight { by } => format!("cleaner {by} wins the right"),
            Step::ReadFacts { by } => format!("cleaner {by} reads that [{}] is settled", units(self.settled(s))),
            Step::ReadIndex { by } => {
                let (at, front) = s.newest_index();
                format!("cleaner {by} reads A's index {at}, front {front}, and that [{}] is settled", units(self.settled(s)))
            }
            Step::CreateIndex { by, front } => format!("cleaner {by} creates an index of A with front {front}"),
            Step::Count { by } => format!("cleaner {by} lists: its index counts"),
            Step::ListNewer { by } => format!("cleaner {by} lists: a newer index is there"),
            Step::PruneIndex { number } => format!("A's index {number} is pruned"),
            Step::SendDelete { by, object } => format!("cleaner {by} sends a DELETE of {}", OBJECTS[object]),
            Step::Sweep { object } => format!("a sweep sends a DELETE of {}", OBJECTS[object]),
            Step::Delete { object } => format!("a DELETE of {} arrives", OBJECTS[object]),
            Step::DeleteEnd => "A's end is deleted".into(),
            Step::LandAgain => "an old PUT of slot 0 lands again".into(),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "a closed chain is gone by re-merging alone",
            "the late cleaner's DELETE is under way after the other's index",
            "B deletes or re-merges after C owns",
            "a loser's recovery pack is swept",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let gone = s.there & 0b1111 == 0 && s.end.is_some();
        let loser = s.end.is_some_and(|by| s.recoverers[1 - by as usize] == Recoverer::Done && !s.is_there(RECOVERY + 1 - by as usize));
        let shown = [
            gone && s.deleted | s.passed == 0 && !s.own_pack.counts,
            s.newest_index().0 >= 2 && s.cleaners.iter().any(|cleaner| matches!(cleaner, Cleaner::Deletes { at: 1, .. })) && s.deletes != 0,
            s.c.is_some_and(|found| found != s.b.index.unwrap_or(0)),
            loser,
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERGES: Bounds = Bounds::MERGES;
    const RECOVERY: Bounds = Bounds::RECOVERY;
    const SETTLES: Bounds = Bounds::SETTLES;
    const INDEXES: Bounds = Bounds::INDEXES;

    #[test]
    fn small_partitions_keep_every_old_chain_unless_re_merging_lets_its_slots_go() {
        let bounds = Bounds { remerging_frees: false, ..MERGES };
        let report = crate::engine::search(&Cleaning { bounds, mutant: None }, crate::QUICK_LIMIT);
        assert!(report.complete && report.unseen.contains(&"a closed chain is gone by re-merging alone"), "{report:?}");
    }

    crate::rules_hold_and_mutants_are_found! { Cleaning
        t53_a_slot_deleted_on_the_word_of_one_partition_is_found: OneWordIsEnough in MERGES,
        a_slot_gone_for_a_slot_that_is_not_certain_is_found: RemergeBeforeCertain in MERGES,
        a_slot_gone_for_a_slot_that_no_index_names_is_found: RemergeBeforeIndex in MERGES,
        a_slot_gone_for_a_pack_that_no_manifest_names_is_found: ManifestBeforeCounted in MERGES,
        t52_a_sweep_before_the_end_stands_is_found: SweepBeforeEnd in RECOVERY,
        a_sweep_of_what_the_end_names_is_found: SweepNamed in RECOVERY,
        a_base_deleted_with_its_slots_is_found: BaseDeleted in SETTLES,
        a_closed_slot_deleted_before_an_index_names_the_front_is_found: DeleteBeforeIndex in MERGES,
        an_index_of_a_late_cleaner_put_over_a_newer_one_is_found: IndexOverwritten in MERGES,
        t51_an_index_that_counts_without_a_listing_is_found: IndexWithoutListing in INDEXES,
    }
}
