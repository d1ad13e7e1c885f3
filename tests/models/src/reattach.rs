//! Standbys that restart and are re-attached (rules R2, R3, R5, R11, traps T03, T04, T06, T56, T64) within one generation.
//!
//! World: the owner's disk 0 and standbys on disks 1 and 2, all named by the claim, quorum 2. The owner appends, streams to the standbys that are attached, flushes to its
//! row and trims its WAL. A standby writes what it gets, in order, into its page cache and fsyncs when it likes; then it says how far it holds everything without a
//! hole. Its process may be killed, which keeps the page cache, and its machine may lose power, which keeps any subset of what was not fsynced; either way it comes
//! back unattached, with its replica and its seals. The owner re-attaches it and fills it up from where it says that it ends. One disk dies for good, and may come back
//! wiped, with another id. One recoverer seals disks, reads them, and creates `end`. Every interleaving is visited.
//!
//! Where the text of the rules was open, this is modelled: a standby that comes back fsyncs what it found before it says that it has it, as a killed process
//! leaves what was never fsynced (mutant `ReportsUnsynced`); it says how far it holds everything from the oldest entry that the owner still has, whatever lies behind
//! (`ReportsLast`); filling up begins there, or where the owner's WAL was trimmed to, and never where the stream stands (`CountsBeforeFilled`).
//!
//! Checked in every state: once `end` exists it reaches as far as anything that was ever acknowledged, before or after; while no recoverer sealed it, a standby that is alive
//! can be attached, so that restarts of both in turn cost nothing; while at most one disk is dead a recoverer can finish.
//!
//! Bounds: see [`Bounds`]. Left out: further generations (`generations`), stops (`recovery`), the owner's own page cache (`embedded`).
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A re-attached standby gets what comes next, and counts (T04).
    CountsBeforeFilled,
    /// A standby says that it has what it found, and has not fsynced it.
    ReportsUnsynced,
    /// A standby says where its last entry ends, over a hole (T05).
    ReportsLast,
    /// A standby counts what it wrote before it is fsynced.
    AckBeforeFsync,
    /// A standby that comes back begins with an empty replica (R11).
    DeletesAtRestart,
    /// A standby that comes back seals what it holds (R11).
    SealsItself,
    /// A seal is in memory only (R5, T64).
    SealForgotten,
    /// A sealed standby lets itself be re-attached (R11).
    SealedIsReattached,
    /// A wiped disk takes the place of the one that the claim names (R2, T56).
    WipedDiskCounts,
    /// The owner trims what no certain slot holds (T06).
    TrimBeforeCertain,
    /// The owner counts itself twice: one fsync is enough while no standby is attached (T03, T48).
    AloneIsEnough,
    /// One seal of three disks is enough (R5).
    OneSealIsEnough,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 12] = [
    Mutant::CountsBeforeFilled,
    Mutant::ReportsUnsynced,
    Mutant::ReportsLast,
    Mutant::AckBeforeFsync,
    Mutant::DeletesAtRestart,
    Mutant::SealsItself,
    Mutant::SealForgotten,
    Mutant::SealedIsReattached,
    Mutant::WipedDiskCounts,
    Mutant::TrimBeforeCertain,
    Mutant::AloneIsEnough,
    Mutant::OneSealIsEnough,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Entries appended, at most 4.
    pub entries: u8,
    /// Kills and power failures, in all.
    pub restarts: u8,
}

impl Bounds {
    /// Seconds.
    pub const QUICK: [Self; 1] = [Self { entries: 3, restarts: 2 }];
    /// A minute at most.
    pub const FULL: [Self; 1] = [Self { entries: 3, restarts: 3 }];
}

/// The model.
#[derive(Debug)]
pub struct Reattach {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const DISKS: usize = 3;

/// Entries by offset, one bit each.
type Set = u8;

/// All offsets below `end`.
fn below(end: u8) -> Set {
    (1 << end) - 1
}

/// A copy of the WAL on a standby's disk. The owner's own is [`State::appended`] and [`State::trimmed`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Copy {
    written: Set,
    synced: Set,
    attached: bool,
    /// The entry that the owner sends next.
    next: u8,
    /// How far it said that it holds everything; the owner counts on that for ever.
    said: u8,
}

/// The whole world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    appended: u8,
    /// Entries in certain slots, and below where the owner's WAL begins.
    row: u8,
    trimmed: u8,
    copies: [Copy; DISKS],
    acked: u8,
    /// One bit for each disk.
    dead: u8,
    wiped: u8,
    sealed: u8,
    answers: u8,
    restarts: u8,
    recovering: bool,
    end: Option<u8>,
}

/// One indivisible step; disks by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Append,
    Write { disk: usize },
    Sync { disk: usize },
    Flush,
    Trim,
    Kill { disk: usize },
    PowerFails { disk: usize, kept: Set },
    Attach { disk: usize },
    Die { disk: usize },
    Wipe { disk: usize },
    Seal { disk: usize },
    CreateEnd,
}

impl State {
    fn has(set: u8, disk: usize) -> bool {
        set >> disk & 1 == 1
    }

    /// Where what follows `from` in `set` without a hole ends.
    fn run(set: Set, from: u8) -> u8 {
        (from..8).find(|entry| set >> entry & 1 == 0).unwrap_or(8)
    }

    /// What a disk holds for a recoverer that reads it.
    fn held(&self, disk: usize) -> Set {
        if disk == 0 { below(self.appended) & !below(self.trimmed) } else { self.copies[disk].written }
    }
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Reattach,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        self.model.acknowledge(&mut after);
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn owner(&mut self) {
        let (model, s) = (self.model, self.state);
        let may_append = !State::has(s.sealed | s.dead, 0);
        if s.appended < model.bounds.entries && may_append {
            self.go(Step::Append, |n| n.appended += 1);
        }
        if s.row < s.appended && s.end.is_none() {
            self.go(Step::Flush, |n| n.row = n.appended);
        }
        let trim = if model.is(Mutant::TrimBeforeCertain) { s.appended } else { s.row };
        if s.trimmed < trim {
            self.go(Step::Trim, |n| n.trimmed = trim);
        }
        for disk in 1..DISKS {
            let copy = s.copies[disk];
            if copy.attached && copy.next < s.appended {
                self.go(Step::Write { disk }, |n| {
                    n.copies[disk].written |= 1 << copy.next;
                    n.copies[disk].next += 1;
                    if model.is(Mutant::AckBeforeFsync) {
                        n.copies[disk].said = copy.next + 1;
                    }
                });
            }
            if copy.attached && copy.written != copy.synced {
                self.go(Step::Sync { disk }, |n| {
                    n.copies[disk].synced = copy.written;
                    n.copies[disk].said = copy.said.max(model.report(n, disk));
                });
            }
            let refuses = State::has(s.sealed, disk) && !model.is(Mutant::SealedIsReattached);
            let is_other = State::has(s.wiped, disk) && !model.is(Mutant::WipedDiskCounts);
            if !copy.attached && !State::has(s.dead, disk) && !refuses && !is_other {
                self.attach(disk);
            }
        }
    }

    fn attach(&mut self, disk: usize) {
        let (model, s) = (self.model, self.state);
        self.go(Step::Attach { disk }, |n| {
            if !model.is(Mutant::ReportsUnsynced) {
                n.copies[disk].synced = n.copies[disk].written;
            }
            let (ends, counts_at_once) = (model.report(n, disk), model.is(Mutant::CountsBeforeFilled));
            let copy = &mut n.copies[disk];
            copy.attached = true;
            copy.next = if counts_at_once { s.appended } else { ends.max(s.trimmed) };
            copy.said = copy.said.max(ends);
        });
    }

    fn world(&mut self) {
        let (model, s) = (self.model, self.state);
        for disk in (1..DISKS).filter(|disk| !State::has(s.dead, *disk) && s.restarts < model.bounds.restarts) {
            let copy = s.copies[disk];
            self.go(Step::Kill { disk }, |n| model.restart(n, disk, copy.written));
            let unsynced = copy.written & !copy.synced;
            for kept in (0..=unsynced).filter(|kept| kept & !unsynced == 0) {
                self.go(Step::PowerFails { disk, kept }, |n| {
                    n.copies[disk].synced |= kept;
                    model.restart(n, disk, copy.synced | kept);
                });
            }
        }
        for disk in (0..DISKS).filter(|_| s.dead | s.wiped == 0 && s.end.is_none()) {
            self.go(Step::Die { disk }, |n| {
                n.dead |= 1 << disk;
                let said = n.copies[disk].said;
                n.copies[disk] = Copy { said, ..Copy::EMPTY };
                n.answers &= !(1 << disk);
            });
        }
        for disk in (1..DISKS).filter(|disk| State::has(s.dead, *disk)) {
            self.go(Step::Wipe { disk }, |n| {
                n.dead &= !(1 << disk);
                n.wiped |= 1 << disk;
                n.copies[disk].said = 0; // another disk, of which the owner has heard nothing
            });
        }
    }

    fn recoverer(&mut self) {
        let (model, s) = (self.model, self.state);
        if s.end.is_some() {
            return;
        }
        let others = if model.is(Mutant::WipedDiskCounts) { 0 } else { s.wiped };
        for disk in (0..DISKS).filter(|disk| !State::has(s.dead | others | s.answers, *disk)) {
            self.go(Step::Seal { disk }, |n| {
                n.sealed |= 1 << disk;
                n.answers |= 1 << disk;
                n.recovering = true;
                n.copies[disk].attached &= model.is(Mutant::SealedIsReattached);
            });
        }
        let wanted = if model.is(Mutant::OneSealIsEnough) { 1 } else { 2 };
        if s.answers.count_ones() >= wanted {
            let kept = (0..DISKS).filter(|disk| State::has(s.answers, *disk)).fold(0, |kept, disk| kept | s.held(disk));
            self.go(Step::CreateEnd, |n| n.end = Some(State::run(kept, n.row)));
        }
    }
}

impl Copy {
    const EMPTY: Self = Self { written: 0, synced: 0, attached: false, next: 0, said: 0 };
    const ATTACHED: Self = Self { attached: true, ..Self::EMPTY };
}

impl Reattach {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// How far a standby says that it holds everything.
    fn report(&self, s: &State, disk: usize) -> u8 {
        let copy = &s.copies[disk];
        let set = if self.is(Mutant::ReportsUnsynced) { copy.written } else { copy.synced };
        let over_holes = self.is(Mutant::ReportsLast) || self.is(Mutant::CountsBeforeFilled);
        if over_holes { 8 - set.leading_zeros() as u8 } else { State::run(set, s.trimmed) }
    }

    fn restart(&self, s: &mut State, disk: usize, written: Set) {
        s.restarts += 1;
        let copy = &mut s.copies[disk];
        (copy.attached, copy.next, copy.written) = (false, 0, written);
        if self.is(Mutant::DeletesAtRestart) {
            (copy.written, copy.synced) = (0, 0);
        }
        if self.is(Mutant::SealForgotten) {
            s.sealed &= !(1 << disk);
        }
        if self.is(Mutant::SealsItself) {
            s.sealed |= 1 << disk;
        }
    }

    /// In LSN order: in certain slots, or on the owner's disk and a standby's.
    fn acknowledge(&self, s: &mut State) {
        let alone = self.is(Mutant::AloneIsEnough) && s.copies[1..].iter().all(|copy| !copy.attached);
        let standbys = s.copies[1..].iter().map(|copy| copy.said).max().unwrap_or(0);
        let replicated = if alone { s.appended } else { standbys.min(s.appended) };
        s.acked = s.acked.max(s.row).max(replicated);
    }
}

impl Model for Reattach {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State {
            appended: 0,
            row: 0,
            trimmed: 0,
            copies: [Copy::EMPTY, Copy::ATTACHED, Copy::ATTACHED],
            acked: 0,
            dead: 0,
            wiped: 0,
            sealed: 0,
            answers: 0,
            restarts: 0,
            recovering: false,
            end: None,
        }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        steps.owner();
        steps.world();
        steps.recoverer();
    }

    fn violation(&self, s: &State, steps: &[(Step, State)]) -> Option<String> {
        let can_attach = |wanted: usize| steps.iter().any(|(step, _)| matches!(step, Step::Attach { disk } if *disk == wanted));
        let stays_out = |disk: &usize| !s.copies[*disk].attached && !State::has(s.dead | s.wiped, *disk) && !can_attach(*disk);
        if let Some(disk) = (1..DISKS).find(stays_out).filter(|_| !s.recovering) {
            return Some(format!("standby {disk} can never be attached again, and nobody recovers"));
        }
        match s.end {
            Some(end) => (s.acked > end).then(|| format!("{} entries acknowledged, the closed log has {end}", s.acked)),
            None => {
                let may_answer = (0..DISKS).filter(|disk| !State::has(s.dead | s.wiped, *disk)).count();
                (may_answer < 2).then(|| "dead end: too few disks can be sealed".into())
            }
        }
    }

    fn describe(&self, s: &State, step: Step) -> String {
        match step {
            Step::Append => format!("the owner appends {}", s.appended),
            Step::Write { disk } => format!("standby {disk} writes {}", s.copies[disk].next),
            Step::Sync { disk } => format!("standby {disk} fsyncs"),
            Step::Flush => format!("all below {} lies in certain slots", s.appended),
            Step::Trim => "the owner trims its WAL".into(),
            Step::Kill { disk } => format!("standby {disk} is killed and comes back"),
            Step::PowerFails { disk, kept } => {
                format!("standby {disk} loses power, keeps {kept:b} of what was not fsynced, and comes back")
            }
            Step::Attach { disk } => format!("the owner re-attaches standby {disk}"),
            Step::Die { disk } => format!("disk {disk} dies"),
            Step::Wipe { disk } => format!("disk {disk} comes back wiped"),
            Step::Seal { disk } => format!("a recoverer seals and reads disk {disk}, which holds {:b}", s.held(disk)),
            Step::CreateEnd => "the recoverer creates end".into(),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "both standbys restarted and are attached again",
            "end keeps an entry from a standby that was re-attached, the owner's disk is dead",
            "a standby was filled up behind a trimmed WAL",
            "a standby has a hole",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let standbys = &s.copies[1..];
        let has_hole = |copy: &Copy| copy.written >> State::run(copy.written, s.trimmed) != 0;
        let shown = [
            s.restarts >= 2 && standbys.iter().all(|copy| copy.attached),
            s.end.is_some_and(|end| end > s.row) && s.restarts > 0 && State::has(s.dead, 0),
            s.trimmed > 0
                && s.restarts > 0
                && standbys.iter().any(|copy| copy.attached && copy.synced & !below(s.trimmed) != 0 && copy.synced & 1 == 0),
            standbys.iter().any(has_hole),
        ];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Bounds = Bounds::QUICK[0];

    crate::rules_hold_and_mutants_are_found! { Reattach
        t04_a_standby_that_counts_before_it_is_filled_up_is_found: CountsBeforeFilled in WORLD,
        a_standby_that_says_what_it_has_not_fsynced_is_found: ReportsUnsynced in WORLD,
        t05_a_standby_that_counts_over_a_hole_is_found: ReportsLast in WORLD,
        an_ack_before_the_standbys_fsync_is_found: AckBeforeFsync in WORLD,
        a_replica_deleted_at_a_restart_is_found: DeletesAtRestart in WORLD,
        a_standby_that_seals_itself_is_found: SealsItself in WORLD,
        t64_a_seal_in_memory_is_found: SealForgotten in WORLD,
        a_sealed_standby_that_is_attached_again_is_found: SealedIsReattached in WORLD,
        t56_a_wiped_disk_that_counts_is_found: WipedDiskCounts in WORLD,
        t06_a_wal_trimmed_too_early_is_found: TrimBeforeCertain in WORLD,
        t03_t48_an_owner_that_is_enough_alone_is_found: AloneIsEnough in WORLD,
        one_seal_of_three_is_found: OneSealIsEnough in WORLD,
    }
}
