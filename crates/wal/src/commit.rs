//! Who waits in a WAL that is copied: told when as many disks as must have an entry have it, which whoever copies it says.
//!
//! ```text
//!  committed <= end        committed may lie behind or ahead of what is durable here: another two disks are a quorum, too
//! ```
//! Groups wait in LSN order, and leave in it (T05). What waits is bounded by the WAL's budget.

use crate::{
    Wal,
    append::{Durable, Group},
    tap::Begun,
    wal::Shared,
};
use floe_types::Lsn;
use parking_lot::Mutex;
use std::{collections::VecDeque, fmt, sync::Arc};

/// Groups of which not all is committed.
#[derive(Default)]
pub(crate) struct Uncommitted(Mutex<State>);

#[derive(Default)]
struct State {
    committed: Lsn,
    /// The last group that was begun ends here: nothing above can have been copied.
    begun: Lsn,
    groups: VecDeque<Waiting>,
}

struct Waiting {
    start: Lsn,
    end: Lsn,
    sinks: Vec<Arc<dyn Durable>>,
}

impl fmt::Debug for Uncommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Uncommitted").field("committed", &state.committed).field("groups", &state.groups.len()).finish()
    }
}

impl Wal {
    /// Everything below `upto` is on as many disks as must have it: tells the sinks. A lower mark than before is fine.
    ///
    /// # Panics
    /// Nothing was begun there, so that nobody can have it.
    pub fn commit(&self, upto: Lsn) {
        self.shared.uncommitted.commit(upto);
    }

    /// Everything below is committed; nothing ever is in a WAL that is not copied.
    #[must_use]
    pub fn committed(&self) -> Lsn {
        self.shared.uncommitted.0.lock().committed
    }
}

impl Shared {
    /// The copies of a group begin; who waits for it waits for them.
    pub(crate) fn begin_copies(&self, group: &mut Group) {
        let Some(tap) = &self.tap else { return };
        self.uncommitted.push(group);
        tap.begun(Begun { start: group.start, end: group.end, parts: group.entries() });
    }
}

impl Uncommitted {
    fn push(&self, group: &mut Group) {
        let mut state = self.0.lock();
        state.begun = group.end;
        state.groups.push_back(Waiting { start: group.start, end: group.end, sinks: group.take_sinks() });
    }

    /// Sinks are told under the lock: so each hears of marks that never go down.
    fn commit(&self, upto: Lsn) {
        let mut state = self.0.lock();
        if upto <= state.committed {
            return;
        }
        assert!(upto <= state.begun, "LSN {upto} cannot be committed: copies were begun up to {}", state.begun);
        state.committed = upto;
        for group in state.groups.iter().take_while(|group| group.start < upto) {
            group.sinks.iter().for_each(|sink| sink.durable(upto));
        }
        while state.groups.front().is_some_and(|group| group.end <= upto) {
            state.groups.pop_front();
        }
    }

    /// Nobody will be told any more.
    pub(crate) fn abandon(&self) {
        self.0.lock().groups.clear();
    }
}

#[cfg(test)]
mod tests;
