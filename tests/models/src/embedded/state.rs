//! The world of the embedded model as data, and what anybody who reads it would conclude: rows, replays, logs.
//!
//! Nothing here decides what may happen next; that is `serve`, `start` and `world`.
use super::{Embedded, Mutant};

/// Most incarnations, entries, slots of a row that any bounds allow.
pub(super) const INCARNATIONS: usize = 5;
pub(super) const ENTRIES: usize = 5;
pub(super) const SLOTS: usize = 4;

/// Entries by number, one bit each.
pub(super) type Set = u8;

pub(super) fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..ENTRIES).filter(move |entry| set >> entry & 1 == 1)
}

/// A record batch; entries are numbered in the order of appending, which within an incarnation is the order of offsets and LSNs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Entry {
    pub(super) incarnation: u8,
    pub(super) offset: u8,
    /// In the WAL of its incarnation; else `object`: in memory until its pack is in a slot.
    pub(super) local: bool,
    /// What its header says was known fsynced when it was written (T67); only where bounds have damage.
    pub(super) proves: Set,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    Unborn,
    /// Claimed; recovers its predecessors, serves nothing yet.
    Recovers,
    Serves,
    /// Was told to end: appends nothing more.
    Drains,
    /// Its process is gone, for whatever reason; PUTs that it sent may still land.
    Gone,
}

/// What an incarnation's claims say of its WAL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Wal {
    None,
    /// The newest generation has a `local` WAL on the incarnation's disk.
    Local,
    /// A generation with a WAL was followed by one without.
    Left,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Slot {
    Free,
    Pack,
    Stop,
}

/// The create-only object that closes an incarnation: what recovery packs hold, and whether the incarnation's disk was given up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct End {
    pub(super) by: u8,
    pub(super) kept: Set,
    pub(super) gave_up: bool,
}

/// An `end` that was sent for an incarnation and has not arrived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct SentEnd {
    pub(super) of: u8,
    pub(super) end: End,
}

/// One incarnation: its process, its disk, its chain in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Incarnation {
    pub(super) life: Life,
    pub(super) disk: u8,
    /// Started with `--take-over`.
    pub(super) take_over: bool,
    pub(super) wal: Wal,
    /// A claim that says `closed` follows its last generation.
    pub(super) closed: bool,
    /// Where its own log begins, once it serves.
    pub(super) start: u8,
    /// What lay below `start` when it began to serve: shown to consumers from then on.
    pub(super) view: Set,
    pub(super) row: [Slot; SLOTS],
    /// What was sent to each slot.
    pub(super) packs: [Set; SLOTS],
    pub(super) end: Option<End>,
    pub(super) sent_end: Option<SentEnd>,
    /// Predecessors that it knows of: all, but for one mutant.
    pub(super) knows_below: u8,
    /// Predecessors whose claims it found harmless; used by one mutant only.
    pub(super) checked: u8,
}

impl Incarnation {
    pub(super) const UNBORN: Self = Self {
        life: Life::Unborn,
        disk: 0,
        take_over: false,
        wal: Wal::None,
        closed: false,
        start: 0,
        view: 0,
        row: [Slot::Free; SLOTS],
        packs: [0; SLOTS],
        end: None,
        sent_end: None,
        knows_below: 0,
        checked: 0,
    };

    pub(super) fn runs(&self) -> bool {
        matches!(self.life, Life::Recovers | Life::Serves | Life::Drains)
    }

    pub(super) fn serves(&self) -> bool {
        matches!(self.life, Life::Serves | Life::Drains)
    }

    /// Number of packs before the first free slot or stop.
    pub(super) fn packs_in_row(&self) -> usize {
        self.row.iter().position(|slot| *slot != Slot::Pack).unwrap_or(SLOTS)
    }

    /// Whether the row ends in a stop with no free slot before it.
    pub(super) fn is_stopped(&self) -> bool {
        self.row.get(self.packs_in_row()) == Some(&Slot::Stop)
    }

    /// What the packs before the first free slot or stop hold.
    pub(super) fn in_row(&self) -> Set {
        self.packs[..self.packs_in_row()].iter().fold(0, |all, pack| all | pack)
    }

    /// What was ever sent to slots and is not void.
    pub(super) fn in_packs(&self) -> Set {
        self.packs.iter().fold(0, |all, pack| all | pack)
    }
}

/// The whole world: the store (claims, rows, ends), the disks, the processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub(super) entries: [Entry; ENTRIES],
    pub(super) appended: u8,
    /// Entries that reading their WAL gives: from the disk or from the page cache.
    pub(super) held: Set,
    /// Those of them that a power failure leaves.
    pub(super) synced: Set,
    /// Those that a failed fsync left in the page cache as if they were written (clean pages that are not on the disk).
    pub(super) ghosts: Set,
    /// Entries that a seal on their disk vouches for: it names where the WAL that it found ends.
    pub(super) sealed: Set,
    /// Entries whose bytes rotted.
    pub(super) damaged: Set,
    /// Acknowledged by the incarnation that appended them.
    pub(super) acked: Set,
    pub(super) born: u8,
    pub(super) incarnations: [Incarnation; INCARNATIONS],
}

/// What a replay of one incarnation's WAL gives.
pub(super) struct Replay {
    pub(super) kept: Set,
    /// It met damage that is proven not to be the end of the WAL.
    pub(super) damaged: bool,
}

/// The log of all incarnations below some number.
pub(super) struct Log {
    pub(super) entries: Set,
    pub(super) end: u8,
}

impl State {
    pub(super) fn born(&self) -> impl Iterator<Item = usize> {
        0..self.born as usize
    }

    pub(super) fn of_incarnation(&self, incarnation: usize) -> Set {
        (0..self.appended as usize).filter(|e| self.entries[*e].incarnation as usize == incarnation).fold(0, |set, e| set | 1 << e)
    }

    pub(super) fn local_of(&self, incarnation: usize) -> Set {
        members(self.of_incarnation(incarnation)).filter(|e| self.entries[*e].local).fold(0, |set, e| set | 1 << e)
    }

    pub(super) fn on_disk(&self, disk: u8) -> Set {
        self.born().filter(|i| self.incarnations[*i].disk == disk).fold(0, |set, i| set | self.local_of(i))
    }

    /// One behind the last offset in `set`, or `otherwise` if it is empty.
    pub(super) fn end_of(&self, set: Set, otherwise: u8) -> u8 {
        members(set).map(|e| self.entries[e].offset + 1).max().unwrap_or(otherwise)
    }

    /// Predecessors of `by` whose `end` does not stand, oldest first, as far as it knows of them.
    pub(super) fn unended(&self, by: usize) -> impl Iterator<Item = usize> {
        (0..self.incarnations[by].knows_below as usize).filter(|i| self.incarnations[*i].end.is_none())
    }

    /// Entries that reading gives whole.
    pub(super) fn readable(&self) -> Set {
        self.held & !self.damaged
    }

    /// Whether a mark in a later entry's header shows that entry `e` was durable.
    pub(super) fn is_marked(&self, e: usize, readable: Set) -> bool {
        members(readable)
            .any(|later| self.entries[later].incarnation == self.entries[e].incarnation && self.entries[later].proves >> e & 1 == 1)
    }
}

impl Embedded {
    /// R7 for a quorum of one: what lies at or above the row's end in the WAL of `of`, up to the first entry that cannot be read and the first hole.
    /// `below` is where the log of the incarnations before it ends.
    pub(super) fn replay(&self, s: &State, of: usize, below: u8) -> Replay {
        let in_row = s.incarnations[of].in_row();
        let mut candidates = s.local_of(of);
        if self.is(Mutant::ForeignWalReplayed) {
            candidates =
                (0..of).filter(|i| s.incarnations[*i].disk == s.incarnations[of].disk).fold(candidates, |all, i| all | s.local_of(i));
        }
        let start = match in_row {
            0 if self.is(Mutant::StartTakenForHole) => 0,
            0 if self.is(Mutant::StartNotChecked) => s.incarnations[of].start,
            _ => below,
        };
        let (mut at, mut kept) = (s.end_of(in_row, start), 0);
        let readable = s.readable();
        for e in members(candidates & !in_row) {
            if readable >> e & 1 == 0 {
                let proven = s.is_marked(e, readable) || (s.sealed >> e & 1 == 1 && !self.is(Mutant::SealNamesNoEnd));
                return Replay { kept, damaged: proven && !self.is(Mutant::DamageTakenForEnd) };
            }
            if s.entries[e].offset == at || (s.entries[e].offset > at && self.is(Mutant::HoleKept)) {
                kept |= 1 << e;
                at = s.entries[e].offset + 1;
            }
        }
        Replay { kept, damaged: false }
    }

    /// What reading the WAL of `of` from the row's end gives, up to the first entry that cannot be read.
    pub(super) fn found_in_wal(&self, s: &State, of: usize) -> Set {
        let candidates = s.local_of(of) & !s.incarnations[of].in_row();
        members(candidates).take_while(|e| s.readable() >> e & 1 == 1).fold(0, |found, e| found | 1 << e)
    }

    /// The log of all incarnations below `number`, as a process on `disk` that replays what has no `end` sees it.
    pub(super) fn log_below(&self, s: &State, number: usize, disk: u8) -> Log {
        let mut log = Log { entries: 0, end: 0 };
        for i in 0..number {
            let incarnation = &s.incarnations[i];
            let behind_row = match incarnation.end {
                Some(end) => end.kept,
                None if incarnation.disk == disk => self.replay(s, i, log.end).kept,
                None => 0,
            };
            let own = incarnation.in_row() | behind_row;
            log.entries |= own;
            log.end = s.end_of(own, log.end);
        }
        log
    }

    /// Whether the WAL of `of` lacks an entry that it is proven to have had.
    pub(super) fn is_damaged(&self, s: &State, of: usize) -> bool {
        self.replay(s, of, self.log_below(s, of, s.incarnations[of].disk).end).damaged
    }

    /// Whether the disk of `of` may hold acknowledged entries that are nowhere else: its claims name a `local` WAL that the row does not show as flushed.
    pub(super) fn is_endangered(&self, s: &State, of: usize) -> bool {
        let incarnation = &s.incarnations[of];
        let landed = incarnation.row.iter().rposition(|slot| *slot == Slot::Pack).map_or(0, |last| last + 1);
        let covering = if self.is(Mutant::FlushedBehindHole) { landed } else { incarnation.packs_in_row() };
        let flushed = incarnation.packs[..covering].iter().fold(0, |all, pack| all | pack);
        match incarnation.wal {
            Wal::None => false,
            Wal::Local => true,
            Wal::Left if self.is(Mutant::LeftIsFlushed) => false,
            Wal::Left if self.is(Mutant::FlushedGenerationRefused) => true,
            Wal::Left => s.local_of(of) & !flushed != 0,
        }
    }
}
