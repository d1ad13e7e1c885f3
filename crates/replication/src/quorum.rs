//! How far enough disks have the WAL: from the owner's own fsyncs and what standbys say of theirs.
//!
//! ```text
//!   copies, sorted:   1,000   900   700        quorum 2: everything below 900 is committed
//! ```
//! * Committed never goes back, and moves in LSN order because each copy is without a gap (T05).
//! * A standby counts only while it is attached, and from when it has caught up with what is committed (R11, T04): what a lost one has said is
//!   no copy that can be relied on any more (T48).

use floe_env::{Mutant, mutated};
use floe_types::{DiskId, Lsn};
use parking_lot::Mutex;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Quorum {
    needed: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    own: Lsn,
    standbys: BTreeMap<DiskId, Standby>,
    committed: Lsn,
    /// The incarnation is sealed somewhere: nothing more is committed (R10).
    fenced: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Standby {
    durable: Lsn,
    /// The most that it ever told.
    told: Lsn,
    attached: bool,
    counts: bool,
}

/// What a standby's word has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) committed: Lsn,
    pub(crate) counts: bool,
    /// All standbys have what lies below.
    pub(crate) everywhere: Lsn,
}

impl Quorum {
    pub(crate) fn new(needed: usize, standbys: impl IntoIterator<Item = DiskId>) -> Self {
        let standbys = standbys.into_iter().map(|disk| (disk, Standby::default())).collect();
        Self { needed, state: Mutex::new(State { standbys, ..State::default() }) }
    }

    #[cfg(test)]
    fn committed(&self) -> Lsn {
        self.state.lock().committed
    }

    /// The own disk has everything below: what is committed now.
    pub(crate) fn own(&self, durable: Lsn) -> Lsn {
        let mut state = self.state.lock();
        state.own = state.own.max(durable);
        state.advance(self.needed)
    }

    /// An attached standby has everything below.
    pub(crate) fn standby(&self, disk: DiskId, durable: Lsn) -> Heard {
        let mut state = self.state.lock();
        let committed = state.committed;
        if let Some(standby) = state.standbys.get_mut(&disk) {
            // Less than before: it was attached anew.
            let (told, counts) = (standby.told.max(durable), (standby.attached && standby.counts) || durable >= committed);
            *standby = Standby { durable, told, attached: true, counts };
        }
        let committed = state.advance(self.needed);
        let counts = state.standbys.get(&disk).is_some_and(|standby| standby.counts);
        let everywhere = state.standbys.values().map(|standby| standby.durable).min().unwrap_or(Lsn(u64::MAX));
        Heard { committed, counts, everywhere }
    }

    /// It does not count until it has attached and caught up again.
    pub(crate) fn detached(&self, disk: DiskId) {
        if let Some(standby) = self.state.lock().standbys.get_mut(&disk) {
            (standby.attached, standby.counts) = (false, false);
        }
    }

    /// The most that a standby ever told to be durable.
    pub(crate) fn told(&self, disk: DiskId) -> Option<Lsn> {
        self.state.lock().standbys.get(&disk).map(|standby| standby.told)
    }

    pub(crate) fn fence(&self) {
        self.state.lock().fenced = true;
    }
}

impl State {
    fn advance(&mut self, needed: usize) -> Lsn {
        let needed = if mutated(Mutant::OneIsAQuorum) { 1 } else { needed };
        let mut copies: Vec<Lsn> = self.standbys.values().filter(|standby| standby.counts).map(|standby| standby.durable).collect();
        copies.push(self.own);
        copies.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(enough) = needed.checked_sub(1).and_then(|last| copies.get(last)).filter(|_| !self.fenced) {
            self.committed = self.committed.max(*enough);
        }
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: DiskId = DiskId(2);
    const C: DiskId = DiskId(3);

    fn lsn(quorum: &Quorum) -> u64 {
        quorum.committed().0
    }

    #[test]
    fn two_of_three_commit_whichever_they_are() {
        let quorum = Quorum::new(2, [B, C]);
        quorum.standby(B, Lsn(0));
        quorum.standby(C, Lsn(0));
        quorum.own(Lsn(100));
        assert_eq!(lsn(&quorum), 0, "t03: one is not enough");
        assert_eq!(quorum.standby(B, Lsn(60)).committed, Lsn(60));
        assert_eq!(quorum.standby(C, Lsn(80)).committed, Lsn(80));
        quorum.standby(B, Lsn(150));
        assert_eq!(lsn(&quorum), 100);
        let heard = quorum.standby(C, Lsn(140));
        assert_eq!(heard, Heard { committed: Lsn(140), counts: true, everywhere: Lsn(140) }, "the own disk may be the slow one");
    }

    #[test]
    fn two_brokers_both_have_to_have_it() {
        let quorum = Quorum::new(2, [B]);
        quorum.own(Lsn(100));
        quorum.standby(B, Lsn(30));
        assert_eq!(lsn(&quorum), 30);
        quorum.detached(B);
        quorum.own(Lsn(200));
        assert_eq!(lsn(&quorum), 30);
    }

    #[test]
    fn t48_what_a_lost_standby_said_does_not_count_and_committed_never_goes_back() {
        let quorum = Quorum::new(2, [B, C]);
        quorum.standby(B, Lsn(100));
        quorum.own(Lsn(50));
        assert_eq!(lsn(&quorum), 50);
        quorum.detached(B);
        quorum.own(Lsn(100));
        assert_eq!(lsn(&quorum), 50);
        quorum.standby(B, Lsn(70));
        assert_eq!(lsn(&quorum), 70);
    }

    #[test]
    fn t04_a_standby_that_came_back_counts_once_it_has_caught_up() {
        let quorum = Quorum::new(2, [B, C]);
        quorum.standby(B, Lsn(0));
        quorum.own(Lsn(100));
        quorum.standby(B, Lsn(100));
        let heard = quorum.standby(C, Lsn(40));
        assert!(!heard.counts);
        assert_eq!(heard.everywhere, Lsn(40));
        quorum.own(Lsn(120));
        assert!(!quorum.standby(C, Lsn(99)).counts);
        assert!(quorum.standby(C, Lsn(100)).counts);
        assert_eq!(quorum.standby(C, Lsn(110)).committed, Lsn(110));
    }

    #[test]
    fn who_is_not_of_the_set_does_not_count_and_a_fence_ends_it() {
        let quorum = Quorum::new(2, [B]);
        quorum.own(Lsn(100));
        assert!(!quorum.standby(C, Lsn(100)).counts);
        assert_eq!(lsn(&quorum), 0);
        quorum.fence();
        quorum.standby(B, Lsn(100));
        assert_eq!(lsn(&quorum), 0);
    }
}
