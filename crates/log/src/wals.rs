//! The WALs of this incarnation: one for each of its generations, but for those without. At most one is appended to; those before it stay until all that
//! they hold is in certain slots.
//!
//! ```text
//!   generation 1      2           3 (the newest claim)
//!   |-----------|  (none)  |--------------|--...
//!        ended                  current
//! ```
//! A WAL ends before the claim that follows it is sent (R2), and none begins before its claim stands. While there is none to append to, whatever its
//! topic asks for, a record waits for its slot.

use crate::Durability;
use crate::copies::CopiedWal;
use floe_env::{Disk, Task};
use floe_formats::WalPosition;
use floe_types::{Generation, Lsn};
use floe_wal::Wal;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a batch lies in a WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalPlace {
    pub(crate) generation: Generation,
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
}

impl WalPlace {
    pub(crate) fn position(&self) -> WalPosition {
        WalPosition { generation: self.generation, lsn: self.start }
    }
}

/// One generation's WAL.
#[derive(Debug, Clone)]
pub(crate) struct OwnWal {
    pub(crate) generation: Generation,
    pub(crate) wal: Arc<Wal>,
    pub(crate) disk: Arc<dyn Disk>,
    /// Not on this disk only.
    pub(crate) copied: Option<Arc<dyn CopiedWal>>,
    /// Ends with it.
    pub(crate) _watch: Option<Arc<Task<()>>>,
}

impl OwnWal {
    /// What a record in it is when its sinks are told.
    pub(crate) fn gives(&self) -> Durability {
        if self.copied.is_some() { Durability::Replicated } else { Durability::Local }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Wals(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    /// Of the newest claim.
    newest: Generation,
    current: Option<Arc<OwnWal>>,
    /// All that slots may not cover yet, the current one among them.
    all: BTreeMap<Generation, Arc<OwnWal>>,
    /// There was one.
    ever: bool,
}

impl Wals {
    /// What is appended to.
    pub(crate) fn current(&self) -> Option<Arc<OwnWal>> {
        self.0.read().current.clone()
    }

    pub(crate) fn get(&self, generation: Generation) -> Option<Arc<OwnWal>> {
        self.0.read().all.get(&generation).cloned()
    }

    /// The generation of the newest claim.
    pub(crate) fn newest(&self) -> Generation {
        self.0.read().newest
    }

    /// The newest claim's generation has, or had, no WAL that anything was appended to.
    pub(crate) fn never_begun(&self, newest: Generation) -> bool {
        let state = self.0.read();
        state.newest == newest && !state.all.contains_key(&newest)
    }

    /// The claim of a generation stands.
    pub(crate) fn claimed(&self, generation: Generation) {
        let mut state = self.0.write();
        state.newest = state.newest.max(generation);
        state.current = None;
    }

    /// The WAL of the newest claim begins.
    pub(crate) fn begin(&self, wal: OwnWal) {
        let mut state = self.0.write();
        let wal = Arc::new(wal);
        state.all.insert(wal.generation, wal.clone());
        state.current = Some(wal);
        state.ever = true;
    }

    /// Nothing is appended any more, until another begins. What was appended to.
    pub(crate) fn end_current(&self) -> Option<Arc<OwnWal>> {
        self.0.write().current.take()
    }

    /// The generations before `generation`, which nothing needs any more.
    pub(crate) fn take_before(&self, generation: Generation) -> Vec<Arc<OwnWal>> {
        let mut state = self.0.write();
        let left = state.all.split_off(&generation);
        std::mem::replace(&mut state.all, left).into_values().collect()
    }

    /// Where the next entry goes at the earliest; none while there has never been a WAL.
    pub(crate) fn end(&self) -> Option<WalPosition> {
        let state = self.0.read();
        let newest = state.all.get(&state.newest).map_or(Lsn(0), |newest| newest.wal.end());
        state.ever.then_some(WalPosition { generation: state.newest, lsn: newest })
    }

    /// How far this disk has what it was given.
    pub(crate) fn is_durable(&self, place: &WalPlace) -> bool {
        self.0.read().all.get(&place.generation).is_some_and(|own| place.end <= own.wal.durable())
    }

    /// Bytes that are held on this disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.read().all.values().map(|own| own.wal.end().0.saturating_sub(own.wal.trimmed().0)).sum()
    }

    pub(crate) fn let_go(&self) {
        let mut state = self.0.write();
        state.current = None;
        state.all.clear();
    }
}
