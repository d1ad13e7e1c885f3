//! The world of the publishing model as data, and what anybody who reads it would conclude: places, ends, what a rebased merge still fits.
//!
//! Nothing here decides what may happen next; that is `manifests`, `deletes` and `world`.
use super::{Mutant, Publishing};

/// Most owners, merged packs of each, packs, manifest versions (0 is none) that any bounds allow.
pub(super) const OWNERS: usize = 3;
pub(super) const MERGES: usize = 2;
pub(super) const PACKS: usize = 1 + OWNERS * MERGES;
pub(super) const VERSIONS: usize = 6;

/// Offsets, packs or slots by number, one bit each. The slot of an offset has its number.
pub(super) type Set = u8;

pub(super) fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..8).filter(move |member| set >> member & 1 == 1)
}

/// All offsets below `end`.
pub(super) fn below(end: u8) -> Set {
    ((1_u16 << end) - 1) as Set
}

/// A manifest version; epoch 0: no such object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Manifest {
    pub(super) epoch: u8,
    /// All that it names, by a page or itself.
    pub(super) packs: Set,
    pub(super) log_start: u8,
    /// The page that it names, if any: what that holds, it does not name itself.
    pub(super) page: Option<u8>,
}

impl Manifest {
    pub(super) const NONE: Self = Self { epoch: 0, packs: 0, log_start: 0, page: None };
}

/// A page: packs that manifests name by it. The page of an owner has its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Page {
    pub(super) is_there: bool,
    pub(super) packs: Set,
}

/// An own pack: the offsets that it stands for, `from..to`, and those of them whose record compaction left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Pack {
    pub(super) is_there: bool,
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) dropped: Set,
}

impl Pack {
    pub(super) fn offsets(&self) -> Set {
        below(self.to) & !below(self.from)
    }
}

/// What an owner is at with its manifest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    Unborn,
    Free,
    Sent,
    Created,
    Taken,
    Fenced,
}

/// How far an event that allows compaction has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Cleaning {
    Unsaid,
    Committed,
    /// In a certain slot.
    Certain,
}

/// One owner of the partition, current or deposed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Owner {
    pub(super) phase: Phase,
    /// The newest manifest as it last knew it; at 0: not read yet.
    pub(super) at: u8,
    pub(super) view: Manifest,
    /// Log start as its log says, and as certain slots of its log say.
    pub(super) log_start: u8,
    pub(super) certain_start: u8,
    pub(super) cleaning: Cleaning,
    /// Slots that its newest index names: its base's, until it wrote one.
    pub(super) index: Set,
    pub(super) wrote_index: bool,
    /// Merged packs so far; the one that is in no manifest yet; the packs that it replaces.
    pub(super) merges: u8,
    pub(super) pack: Option<u8>,
    pub(super) replaces: Set,
    /// The create under way, always of version `at + 1`.
    pub(super) put: Manifest,
    /// A create given up, still under way, and its version; 0: none.
    pub(super) late_at: u8,
    pub(super) late: Manifest,
    /// Packs that it decided to delete: the DELETEs arrive whenever they like.
    pub(super) deletes: Set,
    /// Its page is uploaded, and in no manifest yet.
    pub(super) page_waits: bool,
    /// Pages that it decided to delete.
    pub(super) page_deletes: Set,
    /// Packs of lower epochs, unnamed when it listed them before publishing; one mutant only.
    pub(super) listed: Set,
}

impl Owner {
    pub(super) const UNBORN: Self = Self {
        phase: Phase::Unborn,
        at: 0,
        view: Manifest::NONE,
        log_start: 0,
        certain_start: 0,
        cleaning: Cleaning::Unsaid,
        index: 0,
        wrote_index: false,
        merges: 0,
        pack: None,
        replaces: 0,
        put: Manifest::NONE,
        late_at: 0,
        late: Manifest::NONE,
        deletes: 0,
        page_waits: false,
        page_deletes: 0,
        listed: 0,
    };

    /// What it had decided to delete, and a create under way, still happen.
    pub(super) fn fence(&mut self) {
        *self = Self {
            phase: Phase::Fenced,
            deletes: self.deletes,
            page_deletes: self.page_deletes,
            late_at: self.late_at,
            late: self.late,
            index: self.index,
            log_start: self.log_start,
            certain_start: self.certain_start,
            ..Self::UNBORN
        };
    }

    /// The page that its create names no more.
    pub(super) fn page_let_go(&self) -> Set {
        self.view.page.filter(|page| self.put.page != Some(*page)).map_or(0, |page| 1 << page)
    }

    /// Forgets its merge and its create.
    pub(super) fn forget_merge(&mut self) {
        (self.pack, self.replaces) = (None, 0);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum LastSlot {
    InFlight,
    There,
    Stopped,
}

/// How far the reader of one offset has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Reading {
    First,
    Second,
    HasView,
    Done,
}

/// A reader (R17) of one offset, its view, and the place that it found empty before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Reader {
    pub(super) at: Reading,
    pub(super) offset: Option<u8>,
    pub(super) index: Set,
    pub(super) view: Manifest,
    pub(super) missing: Option<Place>,
}

impl Reader {
    pub(super) const DONE: Self = Self { at: Reading::Done, offset: Some(0), index: 0, view: Manifest::NONE, missing: None };
    pub(super) const NEW: Self = Self { at: Reading::First, offset: None, ..Self::DONE };
}

/// Where a view places an offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    Pack(u8),
    Slot(u8),
    Page(u8),
}

/// A promise that a step broke.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Broken {
    Nothing,
    EpochWentDown,
    NewestDeleted,
    VersionChanged,
    FalseDamage,
    Gap,
}

/// The store, the log's own facts, the owners, and a reader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// The current owner's epoch: owner 0 has epoch 1.
    pub(super) epoch: u8,
    /// What the log has committed, and the part of it that certain slots hold.
    pub(super) log_start: u8,
    pub(super) certain_start: u8,
    pub(super) cleaning: Cleaning,
    pub(super) end: u8,
    pub(super) last: LastSlot,
    pub(super) slots: Set,
    /// What a recoverer read of the current owner's newest index.
    pub(super) base: Option<Set>,
    pub(super) packs: [Pack; PACKS],
    pub(super) pages: [Page; OWNERS],
    pub(super) manifests: [Manifest; VERSIONS],
    pub(super) owners: [Owner; OWNERS],
    /// Creates given up so far.
    pub(super) given_up: u8,
    pub(super) reader: Reader,
    pub(super) broken: Broken,
}

/// The epoch that a pack's key carries.
pub(super) fn epoch_of(pack: usize) -> u8 {
    if pack == 0 { 1 } else { ((pack - 1) / MERGES + 1) as u8 }
}

impl State {
    pub(super) fn newest(&self) -> usize {
        (1..VERSIONS).rev().find(|version| self.manifests[*version].epoch > 0).unwrap_or(0)
    }

    pub(super) fn is_there(&self, place: Place) -> bool {
        match place {
            Place::Pack(pack) => self.packs[pack as usize].is_there,
            Place::Slot(slot) => self.slots >> slot & 1 == 1,
            Place::Page(page) => self.pages[page as usize].is_there,
        }
    }

    /// Of what `manifest` names, the part that only its page tells.
    pub(super) fn paged(&self, manifest: &Manifest) -> Set {
        manifest.page.map_or(0, |page| self.pages[page as usize].packs & manifest.packs)
    }

    /// Which of `packs` stands for `offset`.
    pub(super) fn pack_of(&self, packs: Set, offset: u8) -> Option<usize> {
        members(packs).find(|pack| self.packs[*pack].offsets() >> offset & 1 == 1)
    }

    pub(super) fn end_of(&self, manifest: &Manifest) -> u8 {
        members(manifest.packs).map(|pack| self.packs[pack].to).max().unwrap_or(0).max(manifest.log_start)
    }

    /// All offsets that `packs` stand for.
    pub(super) fn offsets_in(&self, packs: Set) -> Set {
        members(packs).fold(0, |all, pack| all | self.packs[pack].offsets())
    }

    /// End of what certain slots hold.
    pub(super) fn certain_end(&self) -> u8 {
        if self.last == LastSlot::InFlight { self.end - 1 } else { self.end }
    }

    /// Whether the view of `manifest` lacks the record of `offset` by compaction, or by its log start.
    pub(super) fn lacks(&self, manifest: &Manifest, offset: u8) -> bool {
        let pack = self.pack_of(manifest.packs, offset);
        offset < manifest.log_start || pack.is_some_and(|pack| self.packs[pack].dropped >> offset & 1 == 1)
    }
}

impl Publishing {
    /// Where index and manifest place an offset (R17).
    pub(super) fn place(&self, s: &State, index: Set, manifest: &Manifest, offset: u8) -> Option<Place> {
        let slot = (index >> offset & 1 == 1).then_some(Place::Slot(offset));
        if self.is(Mutant::IndexWins) && slot.is_some() {
            return slot;
        }
        let pack = s.pack_of(manifest.packs, offset);
        let pack = pack.filter(|pack| !self.is(Mutant::CoverShrinks) || s.packs[*pack].dropped >> offset & 1 == 0);
        let pack = pack.map(|pack| match manifest.page {
            Some(page) if s.paged(manifest) >> pack & 1 == 1 && !s.pages[page as usize].is_there => Place::Page(page),
            _ => Place::Pack(pack as u8),
        });
        pack.or(slot)
    }

    /// Whether a page that waits still says what the manifest that its owner now builds on names.
    pub(super) fn page_fits(&self, s: &State, owner: &Owner, by: usize) -> bool {
        let live = members(s.pages[by].packs).filter(|pack| s.packs[*pack].to > owner.view.log_start);
        live.fold(0, |all, pack| all | 1 << pack) & !owner.view.packs == 0
    }

    /// Whether an owner's merge still fits the manifest that it now builds on.
    pub(super) fn fits(&self, s: &State, owner: &Owner, pack: usize) -> bool {
        if self.is(Mutant::RebaseWithoutRevalidation) {
            return true;
        }
        let merged = s.packs[pack];
        let all_there = owner.replaces & !owner.view.packs == 0;
        let follows = merged.from <= s.end_of(&owner.view);
        let is_beside = |other: usize| s.packs[other].offsets() & merged.offsets() == 0;
        all_there && follows && members(owner.view.packs & !owner.replaces).all(is_beside) && merged.to > owner.view.log_start
    }
}
