//! The world of the ownership model as data, and what anybody who reads it would conclude: what lies below an epoch, what recovery keeps, what an index says.
use super::{Mutant, Ownership};

pub(super) const INCARNATIONS: usize = 3;
/// Most entries and epochs that any bounds allow.
pub(super) const ENTRIES: usize = 4;
pub(super) const EPOCHS: usize = 4;
pub(super) const RECOVERERS: usize = 2;
/// A record without base index.
pub(super) const NO_BASE: u8 = 9;

/// Entries by number, one bit each.
pub(super) type Set = u8;

/// An entry of the log, as WAL, slots and indexes hold it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Entry {
    pub(super) incarnation: u8,
    pub(super) epoch: u8,
    /// Where its epoch begins.
    pub(super) start: u8,
    pub(super) offset: u8,
    pub(super) is_object: bool,
}

/// How far an owner is with giving the partition away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Mode {
    Follows,
    Appends,
    /// Stopped appending, all in slots, the manifest published.
    Published,
    /// A hand-over was sent; its answer is unknown for ever.
    Sent,
}

/// What etcd says of an incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    Open,
    Sealing,
    Closed,
}

/// How far an incarnation is with draining; `epoch` is the newest record that it read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Drain {
    No,
    Marked,
    Read { epoch: u8 },
}

/// The partition's line in an index: which entries, where it ends, in which epoch that was so; epoch 0: no line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Index {
    pub(super) mask: Set,
    pub(super) end: u8,
    pub(super) epoch: u8,
}

/// The ownership record as of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Record {
    pub(super) owner: u8,
    pub(super) base: u8,
}

/// One life of a broker: what etcd says of it, what it believes, its row, its WAL's copies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Incarnation {
    pub(super) life: Life,
    /// What it believes to own: in which epoch, from where on, to where; `view` is what lies below `start`.
    pub(super) epoch: u8,
    pub(super) start: u8,
    pub(super) end: u8,
    pub(super) view: Set,
    pub(super) mode: Mode,
    /// Targets of hand-over transactions in flight for this epoch (itself: it takes the partition back), one bit each.
    pub(super) asked: u8,
    /// Entries in its slots, in the PUT in flight.
    pub(super) row: Set,
    pub(super) sent: Set,
    pub(super) stopped: bool,
    /// Entries on the standby.
    pub(super) durable: Set,
    pub(super) sealed: bool,
    pub(super) own_sealed: bool,
    /// Create-only, stands with `end`.
    pub(super) index: Option<Index>,
    pub(super) drain: Drain,
    pub(super) marked_itself: bool,
    pub(super) drained: bool,
}

impl Incarnation {
    pub(super) const FRESH: Self = Self {
        life: Life::Open,
        epoch: 0,
        start: 0,
        end: 0,
        view: 0,
        mode: Mode::Follows,
        asked: 0,
        row: 0,
        sent: 0,
        stopped: false,
        durable: 0,
        sealed: false,
        own_sealed: false,
        index: None,
        drain: Drain::No,
        marked_itself: false,
        drained: false,
    };
}

/// A broker that recovers an incarnation; `epoch` is the newest record that it read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Recoverer {
    Idle,
    Marked { of: u8 },
    Read { of: u8, epoch: u8 },
    Sealed { of: u8, epoch: u8, own_disk: bool },
}

impl Recoverer {
    /// The incarnation that it recovers.
    pub(super) fn of(self) -> Option<usize> {
        match self {
            Self::Idle => None,
            Self::Marked { of } | Self::Read { of, .. } | Self::Sealed { of, .. } => Some(of as usize),
        }
    }
}

/// The whole world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub(super) entries: [Entry; ENTRIES],
    pub(super) count: u8,
    pub(super) acked: Set,
    /// The ownership record in etcd, by epoch less one.
    pub(super) records: [Record; EPOCHS],
    pub(super) epoch: u8,
    /// What the newest manifest names.
    pub(super) manifest: Set,
    pub(super) incarnations: [Incarnation; INCARNATIONS],
    pub(super) recoverers: [Recoverer; RECOVERERS],
}

pub(super) fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..ENTRIES).filter(move |entry| set >> entry & 1 == 1)
}

/// The entries that are as wanted.
pub(super) fn pick(s: &State, wanted: impl Fn(&Entry) -> bool) -> Set {
    (0..s.count as usize).filter(|entry| wanted(&s.entries[*entry])).fold(0, |set, entry| set | 1 << entry)
}

impl State {
    pub(super) fn owner(&self) -> usize {
        self.records[self.epoch as usize - 1].owner as usize
    }

    pub(super) fn of_incarnation(&self, x: usize) -> Set {
        pick(self, |e| e.incarnation as usize == x)
    }

    pub(super) fn of_epoch(&self, x: usize, epoch: u8) -> Set {
        pick(self, |e| e.incarnation as usize == x && e.epoch == epoch)
    }

    pub(super) fn end_of(&self, set: Set) -> u8 {
        members(set).map(|entry| self.entries[entry].offset + 1).max().unwrap_or(0)
    }

    /// Where the entries of `set` end that follow `from` without a hole, and which they are.
    pub(super) fn run(&self, set: Set, from: u8) -> Set {
        let (mut kept, mut at) = (0, from);
        while let Some(entry) = members(set).find(|entry| self.entries[*entry].offset == at) {
            kept |= 1 << entry;
            at += 1;
        }
        kept
    }

    /// Commit: all before it in its epoch is in slots, or on owner and standby.
    pub(super) fn acknowledge(&mut self, x: usize) {
        let i = self.incarnations[x];
        if i.epoch == 0 {
            return;
        }
        let mine = self.of_epoch(x, i.epoch);
        let from = if i.row & mine == 0 { i.start } else { self.end_of(i.row & mine) };
        let end = from + self.run(mine & i.durable, from).count_ones() as u8;
        self.acked |= members(mine).filter(|entry| self.entries[*entry].offset < end).fold(0, |set, entry| set | 1 << entry);
    }
}

impl Ownership {
    /// The line of the base index that counts for `epoch`: the one of the epoch before.
    pub(super) fn base_line(&self, s: &State, epoch: u8) -> Option<Index> {
        let base = s.records[epoch as usize - 1].base;
        if base == NO_BASE {
            return None;
        }
        s.incarnations[base as usize].index.filter(|line| line.epoch + 1 == epoch || self.is(Mutant::StaleIndexTrusted) && line.epoch > 0)
    }

    /// What the owner of `epoch` builds on, and where that ends: the base index where it lists the partition, and the manifest.
    pub(super) fn below(&self, s: &State, epoch: u8) -> (Set, u8) {
        match self.base_line(s, epoch) {
            Some(line) => (s.manifest | line.mask, line.end),
            None => (s.manifest, s.end_of(s.manifest)),
        }
    }

    /// R7: from a copy of the WAL, by epoch (its start is in every entry), what follows the slots without a hole.
    fn kept(&self, s: &State, x: usize, copy: Set) -> Set {
        if self.is(Mutant::NoEpochInWal) {
            return s.run(copy, s.end_of(s.incarnations[x].row));
        }
        (1..=EPOCHS as u8).fold(0, |kept, epoch| {
            let of_epoch = copy & pick(s, |e| e.epoch == epoch);
            let Some(first) = members(of_epoch).next() else { return kept };
            let row = pick(s, |e| e.epoch == epoch) & s.incarnations[x].row;
            let from = if row == 0 { s.entries[first].start } else { s.end_of(row) };
            kept | s.run(of_epoch, from)
        })
    }

    /// R8: the index of `x` by one who read the record at `epoch`, and one copy of the WAL.
    pub(super) fn index(&self, s: &State, x: usize, epoch: u8, copy: Set) -> Index {
        let all = s.incarnations[x].row | self.kept(s, x, copy);
        let own = all & s.of_epoch(x, epoch);
        let is_owner = s.records[epoch as usize - 1].owner as usize == x;
        if is_owner
            && !self.is(Mutant::BaseForgotten)
            && let Some(base) = self.base_line(s, epoch)
        {
            return Index { mask: base.mask | own, end: base.end.max(s.end_of(own)), epoch };
        }
        // Not the owner, or nothing written since it became that: the line is older than the record.
        let newest = members(all).map(|entry| s.entries[entry].epoch).max().unwrap_or(0);
        Index { mask: all, end: s.end_of(all), epoch: if is_owner && own != 0 { epoch } else { newest } }
    }
}
