//! A single broker without etcd: `local` and `object` records in one partition, restart on the same disk, take-over by a broker with another disk
//! (rules R1, R4-R10, architecture section 6, traps T47, T50, T54, T65, T67).
//!
//! World: incarnation 0 serves on disk 0. Any process may be killed, or be late at any step and for ever; the machine of a disk may lose power, which keeps any subset
//! of what was not fsynced; an fsync may fail and leave its pages clean in the page cache; one fsynced entry of a dead process may rot. Further brokers start on
//! either disk, with and without `--take-over`, one at a time on a disk (its lock) and at once on different ones. Each claims the next number, closes the claims
//! of its predecessors that have no `end`, seals those on its own disk, stops their rows, creates their `end` oldest first, and serves. Where all of
//! them ran on its own disk it serves as soon as their rows are stopped, from the replayed WAL, while the `end` that it sent may still be under way,
//! even after its own death. A serving broker appends `local` records once its claim names a WAL, `object` records always, flushes packs to slots
//! (two in flight, landing late or never, even after its death), may go on in a generation without WAL, and may drain. Every interleaving is visited.
//!
//! Checked in every state: the closed logs, oldest first, are contiguous, fixed, and hold entries of their own incarnation only; what was ever acknowledged, or
//! shown by a broker that served from a replayed WAL, is in them, except where an `end` says that the disk was given up by a broker newer than whoever
//! acknowledged or showed it; no offset has two such entries; who has nothing to wait for can go on; a start is not refused where nothing can be missing.
//!
//! Where the text of the rules was open, this is modelled (the mutant is the other reading): predecessors are listed after the own claim stands (`ListedBeforeClaim`);
//! sealing makes durable what replay is about to read (`NoSeal`), by writing anew what no mark proves, as an fsync after a failed one proves nothing
//! (`SealOnlyFsyncs`); only predecessors on the own disk may be served before their `end` stands (`EarlyBesideForeign`); an `end` that turns out to be another's
//! and shorter than what is served ends the incarnation (`OtherEndIgnored`); an incarnation's WAL counts only if its start is where the log before it ended
//! (`StartNotChecked`); that start also proves what lay below it (`SuccessorsProveNothing`).
//!
//! What a broker hears, it hears at once, acknowledges at once and trims at once: later is a case of it having taken no step, and more acknowledged is
//! only harder. Meeting a stop, or another's `end`, is a step of its own: it may be late there for ever.
//!
//! Bounds: see [`Bounds::QUICK`] and [`Bounds::FULL`], several worlds each, since all of it at once is too large. Left out: several partitions, deletion of slots and WAL files,
//! the same disk id on two machines, a lock that does not hold (a mutant shows what it would cost), loss of the store, the catalog.
mod promises;
mod serve;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod words;
mod world;

use crate::engine::Model;
use state::{ENTRIES, Entry, INCARNATIONS, Incarnation, Life, SLOTS, Set, Slot};

pub use state::State;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A `local` record is acknowledged before fdatasync.
    AckBeforeFsync,
    /// A `local` record is acknowledged while an `object` record before it is not in a slot (T50).
    AckOverUncommitted,
    /// A pack counts while a slot before it is free.
    SlotsAckedOutOfOrder,
    /// Records enter a WAL that no claim names.
    LocalBeforeClaim,
    /// The WAL is trimmed when a pack is sent.
    TrimBeforeCertain,
    /// Slots, stops and all, are overwritten by late PUTs.
    PlainPut,
    /// A woken owner takes the stop in its slot for its own pack (T47).
    StopTakenForOwn,
    /// A new incarnation creates slots before its predecessor's `end` stands.
    SlotsBeforeEnd,
    /// A new incarnation goes on when its predecessor's `end` is not what it serves.
    OtherEndIgnored,
    /// A process starts on a disk that another one uses.
    NoLock,
    /// The predecessors are those listed before the own claim stood.
    ListedBeforeClaim,
    /// A `local` claim on another disk is no reason to refuse.
    LocalClaimIgnored,
    /// The predecessor's claims are read and not closed (R4).
    ClaimsNotClosed,
    /// The own disk is replayed without sealing.
    NoSeal,
    /// Sealing trusts an fsync after a failed one.
    SealOnlyFsyncs,
    /// The row is not stopped before serving from the replay.
    ServedBeforeStop,
    /// Serving from the replay although a predecessor of another disk has no `end` yet.
    EarlyBesideForeign,
    /// Serving from a damaged replay before an `end` says what it lacks.
    ServedBeforeDeclared,
    /// Any stop in the row counts, over free slots (T49).
    StopBehindHole,
    /// Replay keeps entries behind a hole (T50).
    HoleKept,
    /// Proven damage is taken for the end of the WAL (T67).
    DamageTakenForEnd,
    /// A seal does not say where the WAL that it found ends (T67).
    SealNamesNoEnd,
    /// Replay expects an incarnation's log to begin at offset 0 (T54).
    StartTakenForHole,
    /// Replay trusts the start that a WAL's entries name, wherever the log before it ended.
    StartNotChecked,
    /// Replay takes the WALs of other incarnations on the disk.
    ForeignWalReplayed,
    /// The WAL is deleted once it is served from.
    WalDeletedBeforeEnd,
    /// The replay is read again for `end`, and what rotted after it was served is given up.
    GivesUpWhatItServes,
    /// The newest predecessor is recovered first.
    NewestFirst,
    /// `end` is written without "only if absent".
    EndOverwritten,
    /// `end` does not say that a disk was given up.
    TakeOverUnrecorded,
    /// A generation that was left counts as flushed.
    LeftIsFlushed,
    /// Flushed is judged by packs behind a free slot.
    FlushedBehindHole,
    /// A start is refused although the generation with a WAL was left and flushed (T65).
    FlushedGenerationRefused,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 33] = [
    Mutant::AckBeforeFsync,
    Mutant::AckOverUncommitted,
    Mutant::SlotsAckedOutOfOrder,
    Mutant::LocalBeforeClaim,
    Mutant::TrimBeforeCertain,
    Mutant::PlainPut,
    Mutant::StopTakenForOwn,
    Mutant::SlotsBeforeEnd,
    Mutant::OtherEndIgnored,
    Mutant::NoLock,
    Mutant::ListedBeforeClaim,
    Mutant::LocalClaimIgnored,
    Mutant::ClaimsNotClosed,
    Mutant::NoSeal,
    Mutant::SealOnlyFsyncs,
    Mutant::ServedBeforeStop,
    Mutant::EarlyBesideForeign,
    Mutant::ServedBeforeDeclared,
    Mutant::StopBehindHole,
    Mutant::HoleKept,
    Mutant::DamageTakenForEnd,
    Mutant::SealNamesNoEnd,
    Mutant::StartTakenForHole,
    Mutant::StartNotChecked,
    Mutant::ForeignWalReplayed,
    Mutant::WalDeletedBeforeEnd,
    Mutant::GivesUpWhatItServes,
    Mutant::NewestFirst,
    Mutant::EndOverwritten,
    Mutant::TakeOverUnrecorded,
    Mutant::LeftIsFlushed,
    Mutant::FlushedBehindHole,
    Mutant::FlushedGenerationRefused,
];

/// How much of the world is searched, and which of its misfortunes happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What this world is for.
    pub name: &'static str,
    /// Incarnations, the first included, at most 5.
    pub incarnations: u8,
    /// Entries appended, at most 5.
    pub entries: u8,
    /// Slots that an owner may use, at most 3; a stop may stand in one more.
    pub slots: usize,
    /// Disks from 0 on, at most 3.
    pub disks: u8,
    /// Brokers may be started with `--take-over`.
    pub take_over: bool,
    /// Brokers may serve before the `end` of predecessors on their own disk stands.
    pub early: bool,
    /// `object` records are appended.
    pub object: bool,
    /// Machines lose power; otherwise processes are only killed.
    pub power_loss: bool,
    /// An fsync may fail.
    pub failing_fsync: bool,
    /// An `end` may be under way while its sender goes on or dies.
    pub late_end: bool,
    /// Owners drain.
    pub drain: bool,
    /// Owners go on in a generation without WAL.
    pub leave: bool,
    /// One fsynced entry may rot.
    pub damage: bool,
}

impl Bounds {
    const LEAST: Self = Self {
        name: "",
        incarnations: 3,
        entries: 2,
        slots: 1,
        disks: 1,
        take_over: false,
        early: true,
        object: true,
        power_loss: false,
        failing_fsync: false,
        late_end: false,
        drain: false,
        leave: false,
        damage: false,
    };
    /// One disk: crashes of every kind, restarts.
    pub const RESTARTS: Self =
        Self { name: "restarts", entries: 3, slots: 2, power_loss: true, failing_fsync: true, late_end: true, ..Self::LEAST };
    /// Two disks and operators who say `--take-over`.
    pub const TAKE_OVER: Self = Self { name: "take-over", disks: 2, take_over: true, late_end: true, ..Self::LEAST };
    /// Generations without a WAL after one that had it.
    pub const LEAVING: Self = Self { name: "leaving", incarnations: 2, disks: 2, slots: 2, leave: true, drain: true, ..Self::LEAST };
    /// A disk that rots.
    pub const ROT: Self =
        Self { name: "rot", entries: 3, object: false, take_over: true, damage: true, power_loss: true, late_end: true, ..Self::LEAST };

    /// Seconds each; every mutant is found in one of them.
    pub const QUICK: [Self; 4] = [Self::RESTARTS, Self::TAKE_OVER, Self::LEAVING, Self::ROT];
    /// Minutes each: more incarnations, more disks, everything at once.
    pub const FULL: [Self; 5] = [
        Self { incarnations: 4, slots: 1, drain: true, ..Self::RESTARTS },
        Self { incarnations: 4, ..Self::TAKE_OVER },
        Self { name: "three disks", disks: 3, power_loss: true, drain: true, ..Self::TAKE_OVER },
        Self { incarnations: 3, entries: 3, take_over: true, ..Self::LEAVING },
        Self { name: "everything", disks: 2, slots: 1, take_over: true, drain: true, leave: true, damage: true, ..Self::RESTARTS },
    ];
}

/// The model.
#[derive(Debug)]
pub struct Embedded {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

/// One indivisible step; incarnations, disks, entries and slots by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Start { disk: u8, take_over: bool, knows_below: u8 },
    ClaimWal { by: usize },
    LeaveWal { by: usize },
    Append { by: usize, local: bool },
    Fsync { by: usize },
    FsyncFails { by: usize },
    Send { by: usize },
    Land { of: usize, slot: usize },
    MeetStop { by: usize },
    MeetOtherEnd { by: usize },
    Drain { by: usize },
    Close { by: usize, of: usize },
    Seal { by: usize, of: usize },
    Stop { by: usize, of: usize, slot: usize },
    Serve { by: usize },
    SendEnd { by: usize, of: usize },
    LandEnd { by: usize },
    Kill { by: usize },
    LosePower { disk: u8, lost: Set },
    Rot { entry: usize },
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Embedded,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    /// Adds `step`, unless it changes nothing.
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        self.model.hear_and_tidy(&mut after);
        if after != *self.state {
            self.out.push((step, after));
        }
    }
}

impl Embedded {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// What follows from a step by itself: acknowledging, trimming - and forgetting what can make no difference any more.
    fn hear_and_tidy(&self, s: &mut State) {
        for i in 0..s.born as usize {
            if s.incarnations[i].life == Life::Drains && s.incarnations[i].end.is_some() {
                s.incarnations[i].life = Life::Gone;
            }
            if s.incarnations[i].serves() {
                self.acknowledge(s, i);
                self.trim(s, i);
            }
            if s.incarnations[i].is_stopped() && !self.is(Mutant::PlainPut) && !self.is(Mutant::FlushedBehindHole) {
                let incarnation = &mut s.incarnations[i];
                let packs = incarnation.packs_in_row();
                incarnation.row[packs..].fill(Slot::Stop); // void, whatever is there
                incarnation.packs[packs..].fill(0);
            }
            self.forget_the_dead(s, i);
        }
        s.synced &= s.held;
        s.ghosts &= s.held & !s.synced;
        s.damaged &= s.held;
    }

    fn forget_the_dead(&self, s: &mut State, i: usize) {
        if s.incarnations[i].life != Life::Gone {
            return;
        }
        let own = s.of_incarnation(i);
        let incarnation = &mut s.incarnations[i];
        incarnation.take_over = false;
        incarnation.checked = 0;
        if own == 0 {
            incarnation.start = 0;
        }
        if incarnation.end.is_some() {
            incarnation.closed = true;
            incarnation.wal = state::Wal::None;
            if !self.is(Mutant::ForeignWalReplayed) && !self.is(Mutant::EndOverwritten) {
                s.held &= !own;
                s.sealed &= !own;
            }
        }
    }
}

impl Model for Embedded {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut incarnations = [Incarnation::UNBORN; INCARNATIONS];
        incarnations[0].life = Life::Serves;
        State {
            entries: [Entry::default(); ENTRIES],
            appended: 0,
            held: 0,
            synced: 0,
            ghosts: 0,
            sealed: 0,
            damaged: 0,
            acked: 0,
            born: 1,
            incarnations,
        }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        for by in state.born() {
            if state.incarnations[by].serves() {
                steps.serve(by);
            }
            if state.incarnations[by].runs() {
                steps.recover(by);
            }
        }
        steps.start();
        steps.store();
        steps.misfortunes();
    }

    fn violation(&self, state: &State, steps: &[(Step, State)]) -> Option<String> {
        self.broken_promise(state).or_else(|| self.stuck(state, steps))
    }

    fn describe(&self, state: &State, step: Step) -> String {
        self.words(state, step)
    }

    fn landmarks(&self) -> &'static [&'static str] {
        promises::LANDMARKS
    }

    fn landmarks_in(&self, state: &State) -> u64 {
        self.landmarks_shown(state)
    }
}

const _: () = assert!(INCARNATIONS <= 8 && ENTRIES <= 8 && SLOTS <= 8, "sets are bits of a byte");
