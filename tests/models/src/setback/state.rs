//! The world of the set-back model as data: etcd, what is in the store, what each incarnation believes.
use super::Setback;

pub(super) const INCARNATIONS: usize = 3;
pub(super) const ENTRIES: usize = 3;
pub(super) const MARKS: usize = 6;

/// Entries by number, one bit each.
pub(super) type Set = u8;

pub(super) fn name(x: usize) -> char {
    ['A', 'B', 'C'][x]
}

/// An acknowledged record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Entry {
    pub(super) incarnation: u8,
    pub(super) epoch: u8,
    pub(super) offset: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Life {
    Open,
    Sealing,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Record {
    pub(super) owner: u8,
    pub(super) epoch: u8,
    pub(super) base: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Mark {
    pub(super) number: u8,
    pub(super) nonce: u8,
}

/// All that etcd holds. The revision is counted for the mutant that looks at it, and 0 otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Etcd {
    pub(super) record: Record,
    pub(super) life: [Life; INCARNATIONS],
    pub(super) mark: Mark,
    pub(super) revision: u8,
}

/// The partition's line in the index of an `end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Line {
    pub(super) set: Set,
    pub(super) epoch: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Manifest {
    pub(super) set: Set,
    pub(super) epoch: u8,
}

/// How far an incarnation is with the partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    Follows,
    /// Read that it is the owner, and the mark.
    Looked {
        record: Record,
        mark: Mark,
    },
    /// The mark that it read stands in the store.
    Confirmed {
        record: Record,
        mark: Mark,
    },
    /// Its own mark is in etcd.
    Marked {
        record: Record,
        mark: Mark,
    },
    /// May append.
    Serves,
    /// Has published its manifest, appends nothing.
    Published,
    /// Has asked etcd to change the owner.
    Sent,
    Frozen,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Incarnation {
    pub(super) phase: Phase,
    /// The epoch in which it opened the partition last, and what it built on.
    pub(super) epoch: u8,
    pub(super) view: Set,
    /// Targets of transactions in flight that compare the record {itself, `epoch`}.
    pub(super) asked: u8,
    /// Sealed and stopped: nothing that it appends is acknowledged.
    pub(super) sealed: bool,
}

impl Incarnation {
    pub(super) const FRESH: Self = Self { phase: Phase::Follows, epoch: 0, view: 0, asked: 0, sealed: false };
}

/// Somebody who recovers an incarnation; `record` as read with its own mark.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Recoverer {
    Idle,
    Sealing { of: u8 },
    Looked { of: u8, mark: Mark },
    Confirmed { of: u8, mark: Mark },
    Marked { of: u8, mark: Mark, record: Record },
    Relies { of: u8, record: Record },
    Ended { of: u8 },
}

/// The whole world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub(super) etcd: Etcd,
    pub(super) snapshot: Option<Etcd>,
    pub(super) was_set_back: bool,
    /// Nonces drawn so far.
    pub(super) nonces: u8,
    /// The row of marks in the store: the nonce at each number.
    pub(super) marks: [Option<u8>; MARKS],
    pub(super) ends: [Option<Line>; INCARNATIONS],
    pub(super) manifest: Manifest,
    pub(super) entries: [Entry; ENTRIES],
    pub(super) count: u8,
    pub(super) incarnations: [Incarnation; INCARNATIONS],
    pub(super) recoverer: Recoverer,
    pub(super) recoverer_froze: bool,
    /// The highest revision that anybody saw; for one mutant.
    pub(super) seen: u8,
}

impl State {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries[..self.count as usize]
    }

    fn pick(&self, wanted: impl Fn(&Entry) -> bool) -> Set {
        self.entries().iter().enumerate().filter(|(_, e)| wanted(e)).fold(0, |set, (n, _)| set | 1 << n)
    }

    pub(super) fn all(&self) -> Set {
        self.pick(|_| true)
    }

    /// What `x` appended in the epoch that it has open.
    pub(super) fn own(&self, x: usize) -> Set {
        self.pick(|e| e.incarnation as usize == x && e.epoch == self.incarnations[x].epoch)
    }

    /// Where `set` ends.
    pub(super) fn end_below(&self, set: Set) -> u8 {
        self.entries().iter().enumerate().filter(|(n, _)| set >> n & 1 == 1).map(|(_, e)| e.offset + 1).max().unwrap_or(0)
    }

    /// The line of the base of `record` that counts.
    pub(super) fn base_line(&self, record: Record) -> Option<Line> {
        self.ends[record.base? as usize].filter(|line| line.epoch + 1 == record.epoch)
    }

    /// What the owner by `record` builds on.
    pub(super) fn below(&self, record: Record) -> Set {
        self.manifest.set | self.base_line(record).map_or(0, |line| line.set)
    }

    /// The partition's line in the `end` of `x`, by one who read `record`.
    pub(super) fn line(&self, x: usize, record: Record) -> Line {
        let all = self.pick(|e| e.incarnation as usize == x);
        let own = self.pick(|e| e.incarnation as usize == x && e.epoch == record.epoch);
        if record.owner as usize == x {
            if let Some(base) = self.base_line(record) {
                return Line { set: base.set | own, epoch: record.epoch };
            }
            if own != 0 {
                return Line { set: all, epoch: record.epoch };
            }
        }
        let newest = self.entries().iter().filter(|e| e.incarnation as usize == x).map(|e| e.epoch).max();
        Line { set: all, epoch: newest.unwrap_or(0) }
    }

    /// Whether the `end` of whoever relied on the partition last leaves something out for good.
    pub(super) fn broken_end(&self) -> Option<String> {
        let last = (0..INCARNATIONS).max_by_key(|x| self.incarnations[*x].epoch)?;
        let line = self.ends[last]?;
        let listed = if line.epoch == self.incarnations[last].epoch { line.set } else { 0 };
        let lost = self.all() & !(self.manifest.set | listed);
        (lost != 0).then(|| format!("the end of {} leaves out what was acknowledged", name(last)))
    }

    /// Nothing ever happened to `x`.
    fn is_untouched(&self, x: usize) -> bool {
        let names = |etcd: &Etcd| etcd.record.owner as usize == x || etcd.life[x] != Life::Open;
        let is_asked = self.incarnations.iter().any(|i| i.asked >> x & 1 == 1);
        !names(&self.etcd) && !self.snapshot.as_ref().is_some_and(names) && !is_asked && self.incarnations[x] == Incarnation::FRESH
    }

    /// B and C are alike until one of them is touched: B is taken first.
    pub(super) fn is_usable(&self, x: usize) -> bool {
        x != 2 || !self.is_untouched(2) || !self.is_untouched(1)
    }
}

/// What a create-only PUT of a mark says.
pub(super) enum Put {
    Stands,
    AnothersStands,
}

impl Setback {
    /// Makes sure that `mark` stands in the store.
    pub(super) fn put(&self, s: &mut State, mark: Mark) -> Put {
        let place = &mut s.marks[mark.number as usize];
        if self.is(super::Mutant::PlainPut) {
            *place = Some(mark.nonce);
        }
        if *place.get_or_insert(mark.nonce) == mark.nonce || self.is(super::Mutant::NonceIgnored) {
            Put::Stands
        } else {
            Put::AnothersStands
        }
    }
}
