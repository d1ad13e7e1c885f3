//! Late manifests of deposed owners (rules R13, R15, opening) while a partition moves and is taken over: where `ownership` and `publishing` meet.
//!
//! World: incarnations A and B, which own the partition in turn, by hand-over (no base: the manifest is all that the new owner builds on) or after the other was closed
//! (base index and manifest). Records are acknowledged once their slot is certain, which is one step here. Whoever has ever owned the partition publishes what it
//! knows: lists, creates the next version (the PUT lands late, or after it was given up), lists again; it may do so however long ago it was deposed or closed. A
//! hand-over follows a manifest that counted after the owner had stopped appending. Every interleaving is visited.
//!
//! Checked in every state: whoever may append has all that was ever acknowledged in what it builds on; manifest versions never lose what an earlier one
//! named, and their epochs never go down; no offset is acknowledged twice.
//!
//! A rebased manifest that keeps the content that it had does no harm here, where nothing is dropped; `publishing` has what it does elsewhere.
//!
//! Bounds: see [`Bounds`]. Left out: merging, retention, pruning and sweeping (`publishing`), WALs and lost answers (`ownership`).
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Manifests are overwritten (T13).
    PlainPut,
    /// The owner changes when the manifest was sent (R13).
    MovesBeforeCounted,
    /// The owner changes after a manifest that was published while the owner still appended (R13).
    MovesOnEarlierManifest,
    /// A new owner opens on the manifest that it knew before it became owner (opening, T18).
    OpensOnOldManifest,
    /// Who meets a greater epoch rebases on it and goes on (R15).
    RebasesOnGreater,
    /// A new owner after recovery opens on the base index alone, though it lists what its incarnation wrote only (opening).
    OpensOnBaseOnly,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 6] = [
    Mutant::PlainPut,
    Mutant::MovesBeforeCounted,
    Mutant::MovesOnEarlierManifest,
    Mutant::OpensOnOldManifest,
    Mutant::RebasesOnGreater,
    Mutant::OpensOnBaseOnly,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records, at most 4.
    pub entries: u8,
    /// Epochs, at most 5.
    pub epochs: u8,
    /// Manifest versions, at most 5.
    pub versions: usize,
}

impl Bounds {
    /// Seconds.
    pub const QUICK: [Self; 1] = [Self { entries: 3, epochs: 3, versions: 3 }];
    /// A minute at most.
    pub const FULL: [Self; 2] = [Self { entries: 3, epochs: 4, versions: 4 }, Self { entries: 4, epochs: 3, versions: 5 }];
}

/// The model.
#[derive(Debug)]
pub struct Handover {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const INCARNATIONS: usize = 2;
const ENTRIES: usize = 4;
const VERSIONS: usize = 6;

/// Entries by number, one bit each.
type Set = u8;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Entry {
    incarnation: u8,
    epoch: u8,
    offset: u8,
}

/// A manifest; epoch 0: no such version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Manifest {
    epoch: u8,
    by: u8,
    set: Set,
}

/// What an incarnation is at with its manifest; versions are those that it creates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Publishing {
    No,
    Listed { version: u8, set: Set },
    Sent { version: u8, set: Set },
    Created { version: u8, set: Set },
    Fenced,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Incarnation {
    closed: bool,
    /// The epoch in which it opened the partition last, and what it built on.
    epoch: u8,
    view: Set,
    appends: bool,
    /// What its newest manifest that counted, since it stopped, names.
    counted: Set,
    has_counted: bool,
    publishing: Publishing,
    /// A create that was given up and may still land; version 0: none.
    late: u8,
    late_set: Set,
    late_epoch: u8,
    /// What it read of the manifest before it became owner; one mutant only.
    old: Set,
}

/// The partition's line in the index of an `end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Line {
    set: Set,
    epoch: u8,
}

/// The whole world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    owner: u8,
    epoch: u8,
    has_base: bool,
    entries: [Entry; ENTRIES],
    count: u8,
    manifests: [Manifest; VERSIONS],
    /// Ends of the two incarnations; one that was closed opens nothing any more.
    ends: [Line; INCARNATIONS],
    incarnations: [Incarnation; INCARNATIONS],
    /// A version that named less than the one before, or a lower epoch, by its number.
    went_back: u8,
}

/// One indivisible step; incarnations by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Append { by: usize },
    Stop { by: usize },
    List { by: usize },
    Send { by: usize },
    Land { by: usize },
    GiveUp { by: usize },
    LandLate { by: usize },
    Check { by: usize },
    Move { by: usize },
    Close { of: usize },
    Own { by: usize },
    ReadEarly { by: usize },
    Open { by: usize },
}

fn name(x: usize) -> char {
    ['A', 'B'][x]
}

impl State {
    fn pick(&self, wanted: impl Fn(&Entry) -> bool) -> Set {
        (0..self.count as usize).filter(|n| wanted(&self.entries[*n])).fold(0, |set, n| set | 1 << n)
    }

    fn newest(&self) -> usize {
        self.manifests.iter().rposition(|manifest| manifest.epoch != 0).unwrap_or(0)
    }

    fn own(&self, x: usize) -> Set {
        self.pick(|e| e.incarnation as usize == x && e.epoch == self.incarnations[x].epoch)
    }

    fn end_of(&self, set: Set) -> u8 {
        (0..self.count as usize).filter(|n| set >> n & 1 == 1).map(|n| self.entries[n].offset + 1).max().unwrap_or(0)
    }

    /// The base's line, where it counts for the record.
    fn base_line(&self) -> Option<Line> {
        let before = self.ends[1 - self.owner as usize];
        (self.has_base && before.epoch + 1 == self.epoch).then_some(before)
    }

    fn create(&mut self, version: u8, manifest: Manifest, overwrites: bool) -> bool {
        let place = version as usize;
        if self.manifests[place].epoch != 0 && !overwrites {
            return false;
        }
        self.manifests[place] = manifest;
        for at in [place, place + 1] {
            let (before, after) = (self.manifests[at - 1], self.manifests.get(at).copied().unwrap_or_default());
            let is_worse = after.epoch != 0 && (before.set & !after.set != 0 || before.epoch > after.epoch);
            if is_worse {
                self.went_back = at as u8;
            }
        }
        true
    }
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Handover,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn is(&self, mutant: Mutant) -> bool {
        self.model.mutant == Some(mutant)
    }

    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn owner(&mut self, x: usize) {
        let (bounds, s) = (self.model.bounds, self.state);
        let i = s.incarnations[x];
        let is_owner = s.owner as usize == x && s.epoch == i.epoch;
        if i.appends && !i.closed {
            if s.count < bounds.entries {
                self.go(Step::Append { by: x }, |n| {
                    let offset = n.end_of(i.view | n.own(x));
                    n.entries[n.count as usize] = Entry { incarnation: x as u8, epoch: i.epoch, offset };
                    n.count += 1;
                });
            }
            let keeps = self.is(Mutant::MovesOnEarlierManifest);
            self.go(Step::Stop { by: x }, |n| {
                n.incarnations[x].appends = false;
                n.incarnations[x].has_counted &= keeps;
            });
        }
        let has_sent = matches!(i.publishing, Publishing::Sent { .. }) && self.is(Mutant::MovesBeforeCounted);
        let is_ready = i.has_counted && (i.counted == i.view | s.own(x) || self.is(Mutant::MovesOnEarlierManifest)) || has_sent;
        if is_owner && !i.appends && is_ready && s.epoch < bounds.epochs && !s.incarnations[1 - x].closed {
            self.go(Step::Move { by: x }, |n| (n.owner, n.epoch, n.has_base) = (1 - x as u8, n.epoch + 1, false));
        }
        if !i.closed && s.incarnations.iter().all(|i| !i.closed) {
            self.go(Step::Close { of: x }, |n| {
                let own = n.pick(|e| e.incarnation as usize == x && e.epoch == n.epoch);
                let all = n.pick(|e| e.incarnation as usize == x);
                let newest =
                    n.entries[..n.count as usize].iter().filter(|e| e.incarnation as usize == x).map(|e| e.epoch).max().unwrap_or(0);
                let names_it = n.owner as usize == x;
                n.incarnations[x].closed = true;
                n.ends[x] = Line { set: all, epoch: if names_it && own != 0 { n.epoch } else { newest } };
            });
        }
        if s.owner as usize != x && s.incarnations[1 - x].closed && !i.closed && s.epoch < bounds.epochs {
            self.go(Step::Own { by: x }, |n| (n.owner, n.epoch, n.has_base) = (x as u8, n.epoch + 1, true));
        }
        self.open(x);
    }

    fn open(&mut self, x: usize) {
        let (opens_on_old, base_only) = (self.is(Mutant::OpensOnOldManifest), self.is(Mutant::OpensOnBaseOnly));
        let s = self.state;
        let i = s.incarnations[x];
        if opens_on_old && s.owner as usize != x {
            self.go(Step::ReadEarly { by: x }, |n| n.incarnations[x].old = n.manifests[n.newest()].set);
        }
        if s.owner as usize == x && s.epoch > i.epoch && !i.closed {
            self.go(Step::Open { by: x }, |n| {
                let manifest = if opens_on_old { i.old } else { n.manifests[n.newest()].set };
                let view = match n.base_line() {
                    Some(line) if base_only => line.set,
                    Some(line) => line.set | manifest,
                    None => manifest,
                };
                let late = (i.late, i.late_set, i.late_epoch);
                n.incarnations[x] = Incarnation { epoch: n.epoch, view, appends: true, ..Incarnation::FRESH };
                (n.incarnations[x].late, n.incarnations[x].late_set, n.incarnations[x].late_epoch) = late;
            });
        }
    }

    /// Whoever ever owned the partition publishes.
    fn publish(&mut self, x: usize) {
        let s = self.state;
        let i = s.incarnations[x];
        let rebases = self.is(Mutant::RebasesOnGreater);
        let overwrites = self.is(Mutant::PlainPut);
        let manifest = |set: Set| Manifest { epoch: i.epoch, by: x as u8, set };
        if i.late != 0 {
            self.go(Step::LandLate { by: x }, |n| {
                let late = Manifest { epoch: i.late_epoch, by: x as u8, set: i.late_set };
                n.create(i.late, late, overwrites);
                n.incarnations[x].late = 0;
            });
        }
        let fences = |newest: Manifest| !rebases && (newest.epoch > i.epoch || newest.epoch == i.epoch && newest.by as usize != x);
        match i.publishing {
            Publishing::No if i.epoch > 0 && s.newest() < self.model.bounds.versions => {
                self.go(Step::List { by: x }, |n| {
                    let newest = n.manifests[n.newest()];
                    let set = newest.set | i.view | n.own(x);
                    let is_new = set != newest.set || newest.epoch != i.epoch || newest.by as usize != x;
                    n.incarnations[x].publishing = match fences(newest) {
                        true => Publishing::Fenced,
                        false if is_new || !i.appends && !i.has_counted => Publishing::Listed { version: n.newest() as u8 + 1, set },
                        false => Publishing::No,
                    };
                });
            }
            Publishing::Listed { version, set } => {
                self.go(Step::Send { by: x }, |n| n.incarnations[x].publishing = Publishing::Sent { version, set });
            }
            Publishing::Sent { version, set } => {
                self.go(Step::Land { by: x }, |n| {
                    let is_won = n.create(version, manifest(set), overwrites);
                    n.incarnations[x].publishing = if is_won { Publishing::Created { version, set } } else { Publishing::No };
                });
                if i.late == 0 {
                    self.go(Step::GiveUp { by: x }, |n| {
                        let i = &mut n.incarnations[x];
                        (i.publishing, i.late, i.late_set, i.late_epoch) = (Publishing::No, version, set, i.epoch);
                    });
                }
            }
            Publishing::Created { version, set } => self.go(Step::Check { by: x }, |n| {
                let (newest, at) = (n.manifests[n.newest()], n.newest() as u8);
                let i = &mut n.incarnations[x];
                i.publishing = if fences(newest) { Publishing::Fenced } else { Publishing::No };
                if at == version {
                    (i.counted, i.has_counted) = (set, true);
                }
            }),
            _ => {}
        }
    }
}

impl Incarnation {
    const FRESH: Self = Self {
        closed: false,
        epoch: 0,
        view: 0,
        appends: false,
        counted: 0,
        has_counted: false,
        publishing: Publishing::No,
        late: 0,
        late_set: 0,
        late_epoch: 0,
        old: 0,
    };
}

impl Model for Handover {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut start = State {
            owner: 0,
            epoch: 1,
            has_base: false,
            entries: [Entry::default(); ENTRIES],
            count: 0,
            manifests: [Manifest::default(); VERSIONS],
            ends: [Line::default(); INCARNATIONS],
            incarnations: [Incarnation::FRESH; INCARNATIONS],
            went_back: 0,
        };
        (start.incarnations[0].epoch, start.incarnations[0].appends) = (1, true);
        start
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        for x in 0..INCARNATIONS {
            steps.owner(x);
            steps.publish(x);
        }
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        if s.went_back != 0 {
            return Some(format!("manifest {} names less, or a lower epoch, than the one before", s.went_back));
        }
        for x in 0..INCARNATIONS {
            let i = &s.incarnations[x];
            let lacks = s.pick(|_| true) & !(i.view | s.own(x));
            if i.appends && !i.closed && lacks != 0 {
                return Some(format!("{} may append in epoch {}, and does not build on all that was acknowledged", name(x), i.epoch));
            }
        }
        let entries = &s.entries[..s.count as usize];
        let is_twice = |e: &&Entry| entries.iter().filter(|other| other.offset == e.offset).count() > 1;
        entries.iter().find(is_twice).map(|e| format!("offset {} was acknowledged twice", e.offset))
    }

    fn describe(&self, s: &State, step: Step) -> String {
        match step {
            Step::Append { by } => format!("{} appends and acknowledges", name(by)),
            Step::Stop { by } => format!("{} stops appending", name(by)),
            Step::List { by } => format!("{} lists the manifests: {} is the newest", name(by), s.newest()),
            Step::Send { by } => format!("{} sends its manifest ({:?})", name(by), s.incarnations[by].publishing),
            Step::Land { by } => format!("the manifest of {} lands", name(by)),
            Step::GiveUp { by } => format!("{} gives its manifest up", name(by)),
            Step::LandLate { by } => format!("a manifest that {} had given up lands", name(by)),
            Step::Check { by } => format!("{} lists again: {} is the newest", name(by), s.newest()),
            Step::Move { by } => format!("{} makes {} owner in epoch {}", name(by), name(1 - by), s.epoch + 1),
            Step::Close { of } => format!("{} is recovered and closed", name(of)),
            Step::Own { by } => format!("{} takes the partition over in epoch {}", name(by), s.epoch + 1),
            Step::ReadEarly { by } => format!("{} reads the manifest", name(by)),
            Step::Open { by } => format!("{} opens the partition", name(by)),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "a partition was handed over and its new owner appended",
            "a manifest of a deposed owner landed after its successor had opened",
            "a deposed owner is fenced",
            "an owner builds on a base and on a manifest that says more",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let owner = s.owner as usize;
        let opened = s.incarnations[owner].epoch == s.epoch;
        let newest = s.manifests[s.newest()];
        let adds = s.base_line().is_some_and(|line| newest.set & !line.set != 0);
        let shown = [
            s.epoch > 1 && opened && !s.has_base && s.own(owner) != 0,
            opened
                && newest.epoch != 0
                && newest.epoch < s.epoch
                && newest.set & !s.incarnations[owner].view == 0
                && s.incarnations[1 - owner].publishing != Publishing::No,
            s.incarnations[1 - owner].publishing == Publishing::Fenced,
            opened && adds,
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Bounds = Bounds::QUICK[0];

    crate::rules_hold_and_mutants_are_found! { Handover
        t13_a_manifest_that_is_overwritten_is_found: PlainPut in WORLD,
        a_move_before_the_manifest_counts_is_found: MovesBeforeCounted in WORLD,
        a_move_on_an_earlier_manifest_is_found: MovesOnEarlierManifest in WORLD,
        t18_an_opening_on_an_old_manifest_is_found: OpensOnOldManifest in WORLD,
        a_deposed_owner_that_rebases_on_its_successor_is_found: RebasesOnGreater in WORLD,
        an_opening_on_the_base_alone_is_found: OpensOnBaseOnly in WORLD,
    }
}
