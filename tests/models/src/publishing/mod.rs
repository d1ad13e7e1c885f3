//! Publishing and deleting in one partition across owners (rules R15, R17-R20, traps T16, T25-T28, T51, T52, T68), with compaction's rewrites and lost WALs.
//!
//! World: offset 0 starts in own pack 0, which manifest 1 names; every other one in a shared slot of owner 0's row, which its index names; the last slot's PUT is
//! in flight and lands, or is stopped when owner 0 is recovered. Owner 0 may be late at any step, for ever, and never learns by itself that it was deposed. Further
//! owners appear at any time, with an index that a recoverer read some time before, and read manifests when they like. Owners merge into own packs, raise the log
//! start, create manifests (PUTs land late, or after their sender gave them up), check, rebase, write indexes, delete slots and dropped packs, prune manifests and
//! sweep. DELETEs may be as late as the one who decides on them. One reader serves one offset, by R17, at its own pace. Every interleaving is visited.
//!
//! With compaction, the record before the last is a key's value and the last one its tombstone. A merge may leave out the value, and the tombstone where the value is
//! gone from the view that the merge builds on; it stands for all offsets of its range all the same. An event of the current owner allows it.
//!
//! With `pages`, manifest 1 names its pack by page 0, and a later owner may upload a page, once: the packs of its view, which the next manifest then names by
//! that page. A page that holds a pack which is replaced is named no more; one that a log start cuts stays. Pages go as packs do, and are read before what they
//! name.
//!
//! With `wal_loss`, events and the last record are committed in a WAL, and an operator may declare every copy of it lost when the owner changes (R12, P4): then they are
//! gone, but for what certain slots hold.
//!
//! Checked in every state: there is a newest manifest; its version and epoch never go down; every page and pack that it names is there; it names
//! nothing beyond the end of the log and its log start is never ahead of the committed one nor of what certain slots hold; the current owner's log start is the
//! committed one; every offset from there on is in an object that exists, where the current index and newest manifest say; the reader never finds damage or a gap; a
//! record is left out only after an event that the log still has, a value only while its tombstone lasts, a tombstone never before its value.
//!
//! Assumed beyond the text of the rules (the mutant named is what the text allows): the manifest counts where index and manifest both place an
//! offset (`IndexWins`); an owner that meets a greater epoch in any read is fenced (`PublishOnGreaterRead`); index and manifest name only what
//! certain slots hold (`MergeUncertain`), log starts and permissions to compact, too (`EventCommittedIsEnough`,
//! `GoneByUncertainEvent`, `RewriteByUncertain`); `end` inherits the bases of what the
//! incarnation owned (`EndForgetsBase`); a sweep takes what the owner's own counted version does not name (`SweepListedBeforePublishing`,
//! `SweepBeforeCounted`); a rewritten pack stands for all offsets that its sources stood for (`CoverShrinks`); a merge that is rebased replaces the very packs
//! that it read (`RebaseByRange`).
//!
//! Bounds: see [`Bounds::QUICK`] and [`Bounds::FULL`]. Left out: several partitions in a slot and closed chains (`cleaning`), topics (`catalog`), producer state.
mod deletes;
mod manifests;
mod promises;
mod state;
#[cfg(test)]
mod tests;
mod words;
mod world;

use crate::engine::Model;
use state::{Broken, Cleaning, LastSlot, MERGES, Manifest, OWNERS, Owner, PACKS, Pack, Page, Phase, Reader, VERSIONS, below};

pub use state::State;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// A create counts without a listing after it (R15, T51).
    NoListAfterCreate,
    /// An owner rebases on a manifest of a greater epoch.
    RebaseOnGreater,
    /// An owner that reads a greater epoch goes on.
    PublishOnGreaterRead,
    /// A rebased create has the content that it had.
    RebaseKeepsOldContent,
    /// A rebased merge is not held against what it builds on now (T26).
    RebaseWithoutRevalidation,
    /// A rebased merge replaces whatever stands for its range by now (T26).
    RebaseByRange,
    /// Manifests are overwritten (T13).
    PlainPut,
    /// A manifest drops what no committed event allows (T68).
    DropBeforeEvent,
    /// A new owner knows the log start from the manifest only.
    LogStartOfManifestOnly,
    /// A merge takes in a slot that is not certain.
    MergeUncertain,
    /// `end` forgets what its incarnation had inherited and not listed.
    EndForgetsBase,
    /// A named pack that is gone is damage at once (R17, T27).
    NoRefresh,
    /// A reader reads the manifest before the index.
    ManifestFirst,
    /// A reader takes the index's place where the manifest has another.
    IndexWins,
    /// The newest manifest is pruned, if it is not the pruner's own (R18).
    PruneAllButOwn,
    /// A slot goes once its offsets are in an uploaded pack (R19).
    SlotGoneAfterUpload,
    /// A slot goes before the create that places its offsets elsewhere counts.
    SlotGoneBeforeCounted,
    /// A slot goes because the newest index does not name it.
    SlotUnnamedIsEnough,
    /// An index drops what a manifest does not name yet.
    IndexDropsBeforeCounted,
    /// Replaced packs go before the create counts.
    DeleteBeforeCounted,
    /// A sweep before the own epoch is published (R20, T52).
    SweepBeforePublishing,
    /// A sweep by a create that does not count yet.
    SweepBeforeCounted,
    /// A sweep of what was listed before publishing.
    SweepListedBeforePublishing,
    /// A sweep of unnamed packs of the own epoch (T52).
    SweepOwnEpoch,
    /// A sweep of unnamed packs of greater epochs.
    SweepHigherEpoch,
    /// A rewrite is published before the event that allows it is committed (R15, T68).
    RewriteBeforeEvent,
    /// A log start counts for manifests once its event is committed, wherever.
    EventCommittedIsEnough,
    /// An index and slots let go what lies below a log start whose event is in a WAL only.
    GoneByUncertainEvent,
    /// A rewrite counts on an event, and on a newer record, that are in no certain slot.
    RewriteByUncertain,
    /// A tombstone goes while the value that it deletes is still named.
    TombstoneFirst,
    /// A rewritten pack stands only for the offsets whose records it keeps (T38).
    CoverShrinks,
    /// A page goes before the create that names another, or none, counts.
    PageGoneBeforeCounted,
    /// A sweep takes what only a page names for unnamed (R20).
    SweepForgetsPages,
    /// A sweep of unnamed pages of the own epoch (T52).
    SweepOwnPages,
    /// A page stays named although a pack that it holds was replaced.
    PageOutlivesItsPacks,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 35] = [
    Mutant::NoListAfterCreate,
    Mutant::RebaseOnGreater,
    Mutant::PublishOnGreaterRead,
    Mutant::RebaseKeepsOldContent,
    Mutant::RebaseWithoutRevalidation,
    Mutant::RebaseByRange,
    Mutant::PlainPut,
    Mutant::DropBeforeEvent,
    Mutant::LogStartOfManifestOnly,
    Mutant::MergeUncertain,
    Mutant::EndForgetsBase,
    Mutant::NoRefresh,
    Mutant::ManifestFirst,
    Mutant::IndexWins,
    Mutant::PruneAllButOwn,
    Mutant::SlotGoneAfterUpload,
    Mutant::SlotGoneBeforeCounted,
    Mutant::SlotUnnamedIsEnough,
    Mutant::IndexDropsBeforeCounted,
    Mutant::DeleteBeforeCounted,
    Mutant::SweepBeforePublishing,
    Mutant::SweepBeforeCounted,
    Mutant::SweepListedBeforePublishing,
    Mutant::SweepOwnEpoch,
    Mutant::SweepHigherEpoch,
    Mutant::RewriteBeforeEvent,
    Mutant::EventCommittedIsEnough,
    Mutant::GoneByUncertainEvent,
    Mutant::RewriteByUncertain,
    Mutant::TombstoneFirst,
    Mutant::CoverShrinks,
    Mutant::PageGoneBeforeCounted,
    Mutant::SweepForgetsPages,
    Mutant::SweepOwnPages,
    Mutant::PageOutlivesItsPacks,
];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What this world is for.
    pub name: &'static str,
    /// Offsets, at most 4.
    pub offsets: u8,
    /// Owners, at most 3.
    pub owners: u8,
    /// Merged packs of each owner, at most 2.
    pub merges: u8,
    /// Manifest versions, at most 5.
    pub versions: u8,
    /// Creates that are given up and land later.
    pub late: u8,
    /// One reader.
    pub reader: bool,
    /// The last two records are a value and its tombstone, and are compacted.
    pub compaction: bool,
    /// Events and the last record are committed in a WAL that may be lost.
    pub wal_loss: bool,
    /// Owners write pages.
    pub pages: bool,
}

impl Bounds {
    /// Two owners, one merge each, a reader.
    pub const OWNERS: Self = Self {
        name: "two owners, a reader",
        offsets: 2,
        owners: 2,
        merges: 1,
        versions: 4,
        late: 0,
        reader: true,
        compaction: false,
        wal_loss: false,
        pages: false,
    };
    /// A third owner: it loses what the second had only inherited, if anybody does.
    pub const THIRD: Self = Self { name: "three owners", owners: 3, ..Self::OWNERS };
    /// A value in the own pack, its tombstone in the slot.
    pub const COMPACTION: Self = Self { name: "compaction", reader: false, compaction: true, ..Self::OWNERS };
    /// The same, when a WAL may be lost.
    pub const WAL_LOSS: Self = Self { name: "compaction, a lost WAL", wal_loss: true, versions: 2, ..Self::COMPACTION };

    /// Pages, and a reader.
    pub const PAGES: Self = Self { name: "pages, a reader", versions: 3, pages: true, ..Self::OWNERS };

    /// Seconds each; every mutant is found here, or soon in a larger world.
    pub const QUICK: [Self; 4] = [Self::OWNERS, Self::COMPACTION, Self::WAL_LOSS, Self::PAGES];
    /// A minute or a few each.
    pub const FULL: [Self; 9] = [
        Self { name: "three offsets", offsets: 3, reader: false, ..Self::OWNERS },
        Self { name: "two merges each", merges: 2, reader: false, ..Self::OWNERS },
        Self { name: "three owners, three versions", versions: 3, reader: false, ..Self::THIRD },
        Self { name: "a create given up may land, five versions", versions: 5, late: 1, reader: false, ..Self::OWNERS },
        Self { name: "compaction, three offsets", offsets: 3, ..Self::COMPACTION },
        Self { name: "compaction, two merges each", merges: 2, ..Self::COMPACTION },
        Self { name: "compaction, a create given up may land", late: 1, ..Self::COMPACTION },
        Self { name: "compaction, a lost WAL, three versions", versions: 3, ..Self::WAL_LOSS },
        Self { name: "pages, four versions", versions: 4, reader: false, ..Self::PAGES },
    ];
}

/// The model.
#[derive(Debug)]
pub struct Publishing {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

/// One indivisible step; owners, packs, versions and offsets by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    LandLastSlot,
    ReadBase,
    ChangeOwner { wal_lost: bool },
    LandLate { by: usize },
    Delete { by: usize, pack: usize },
    Create { by: usize },
    FindTaken { by: usize },
    GiveUp { by: usize },
    Count { by: usize },
    ListNewer { by: usize },
    DropBeforeCounted { by: usize },
    ReadToRebase { by: usize },
    Read { by: usize },
    Merge { by: usize, from: u8, to: u8, dropped: u8 },
    WritePage { by: usize },
    DeletePage { by: usize, page: usize },
    SweepPage { by: usize, page: usize },
    Send { by: usize },
    RaiseStart { by: usize },
    CommitStart { by: usize },
    AllowCleaning { by: usize },
    CertainEvents { by: usize },
    WriteIndex { by: usize },
    DeleteSlot { by: usize, offset: usize },
    Prune { by: usize, version: usize },
    Sweep { by: usize, pack: usize },
    SweepListed { by: usize, pack: usize },
    ListForSweep { by: usize, pack: usize },
    ReadIndexAt { offset: u8 },
    ReadManifestAt { offset: u8 },
    Get { offset: u8 },
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Publishing,
    state: &'a State,
    /// The newest manifest's version.
    newest: usize,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        let newest = after.newest();
        let (was, is) = (self.state.manifests[self.newest], after.manifests[newest]);
        if newest < self.newest {
            after.broken = Broken::NewestDeleted;
        } else if is.epoch < was.epoch {
            after.broken = Broken::EpochWentDown;
        } else if newest == self.newest && is != was {
            after.broken = Broken::VersionChanged;
        }
        if after != *self.state {
            self.out.push((step, after));
        }
    }
}

impl Publishing {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Model for Publishing {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let last = self.bounds.offsets - 1;
        let slots = below(last) & !1;
        let page = self.bounds.pages.then_some(0);
        let first = Manifest { epoch: 1, packs: 1, page, ..Manifest::NONE };
        let mut s = State {
            epoch: 1,
            log_start: 0,
            certain_start: 0,
            cleaning: Cleaning::Unsaid,
            end: self.bounds.offsets,
            last: LastSlot::InFlight,
            slots,
            base: None,
            packs: [Pack::default(); PACKS],
            pages: [Page::default(); OWNERS],
            manifests: [Manifest::default(); VERSIONS],
            owners: [Owner::UNBORN; OWNERS],
            given_up: 0,
            reader: if self.bounds.reader { Reader::NEW } else { Reader::DONE },
            broken: Broken::Nothing,
        };
        s.packs[0] = Pack { is_there: true, from: 0, to: 1, dropped: 0 };
        if self.bounds.pages {
            s.pages[0] = Page { is_there: true, packs: 1 };
        }
        s.manifests[1] = first;
        s.owners[0] = Owner { phase: Phase::Free, at: 1, view: first, index: slots | 1 << last, ..Owner::UNBORN };
        s
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, newest: state.newest(), out };
        steps.recovery();
        for by in 0..self.bounds.owners as usize {
            steps.late(by);
            match state.owners[by].phase {
                Phase::Unborn | Phase::Fenced => continue,
                Phase::Sent => steps.sent(by),
                Phase::Created => steps.created(by),
                Phase::Taken => steps.go(Step::ReadToRebase { by }, |n| self.meet(n, by)),
                Phase::Free => steps.free(by),
            }
            steps.events(by);
            steps.index_and_slots(by);
            steps.prune(by);
            steps.sweep(by);
            steps.sweep_pages(by);
        }
        steps.reader();
    }

    fn violation(&self, state: &State, _: &[(Step, State)]) -> Option<String> {
        self.broken_promise(state)
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

const _: () = assert!(MERGES * OWNERS < PACKS);
