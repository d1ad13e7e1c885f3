//! Giving a partition to another broker (R13): nothing more is appended, all of it comes into certain slots and from there into own packs, and a manifest of this
//! epoch says so - that is all the next owner builds on. Until a hand-over was sent the partition may stay; afterwards it is led here under a later epoch, or not at all.

use super::{Closed, Partition, State};
use crate::AppendError;
use std::sync::Arc;
use tokio::sync::Notify;

impl Partition {
    /// From now on nothing is appended: clients are told that it is led elsewhere, or about to be. False if it takes nothing already.
    pub(crate) fn begin_to_leave(&self) -> bool {
        let mut state = self.state.lock();
        if state.check_appendable().is_err() {
            return false;
        }
        state.leaving = true;
        state.waiters.wake_readers();
        true
    }

    /// It is led on, under the same epoch: nobody was asked to give it to anybody.
    pub(crate) fn stay(&self) {
        self.state.lock().leaving = false;
    }

    /// Waits until all that it has is in certain slots. A partition that ends meanwhile has nothing more to wait for.
    pub(crate) async fn all_certain(self: &Arc<Self>) {
        loop {
            let news = {
                let mut state = self.state.lock();
                if state.is_certain() || state.closed.is_some() {
                    return;
                }
                state.waiters.await_certain()
            };
            self.shared.dirty.hurry();
            // Dropped where it ends: looked at above.
            let _ended = news.await;
        }
    }

    /// Records in slots are wanted in own packs, all of them.
    pub(crate) fn want_all_settled(&self) {
        let mut state = self.state.lock();
        state.settle_before = state.settle_before.max(state.line.end);
    }

    /// Whether something that it has in slots is in no own pack.
    pub(crate) fn has_unsettled(&self) -> bool {
        self.state.lock().unsettled().next().is_some()
    }

    /// Whether a manifest of this epoch, which counts, is all that a next owner needs.
    pub(crate) fn is_told(&self) -> bool {
        let state = self.state.lock();
        let line = &state.line;
        let tells = |manifest: &Arc<floe_formats::Manifest>| {
            let snapshot = &manifest.snapshot;
            manifest.epoch == self.epoch && snapshot.end == line.end && manifest.log_start == line.log_start
        };
        state.is_certain()
            && state.closed.is_none()
            && state.history_is_newest
            && state.unsettled().next().is_none()
            && state.history.manifest().is_some_and(tells)
    }

    /// It is another's now, or this broker's under a later epoch. Whoever reads here is told so.
    pub(crate) fn close_left(&self) {
        let released = {
            let mut state = self.state.lock();
            state.closed.get_or_insert(Closed::Left);
            state.dirty = false;
            self.shared.dirty.remove(self);
            state.waiters.fail(&AppendError::NotOwner);
            let planned = state.planned;
            state.tail.release_all(planned)
        };
        self.shared.released(&released);
    }

    /// Whether this broker leads it, and is not about to give it away.
    #[must_use]
    pub fn is_led(&self) -> bool {
        let state = self.state.lock();
        state.closed.is_none() && !state.leaving
    }

    /// Whether what others publish of it is no sign that this incarnation is over: it has given the partition away, or has begun to.
    pub(super) fn may_be_anothers(&self) -> bool {
        let state = self.state.lock();
        state.leaving || matches!(state.closed, Some(Closed::Left))
    }

    /// Waits until [`Partition::is_led`] is false.
    pub async fn no_longer_led(self: &Arc<Self>) {
        let news = Arc::new(Notify::new());
        let _registration = self.register(&news);
        while self.is_led() {
            news.notified().await;
        }
    }
}

impl State {
    /// Whether everything is in certain slots, events too.
    fn is_certain(&self) -> bool {
        self.line.end == self.end
            && self.planned == self.end
            && !self.raising.is_under_way(self.line.log_start)
            && !self.allowance.is_under_way()
    }
}

#[cfg(test)]
mod tests {
    use crate::partition::{Line, Partition};
    use crate::shared::Shared;
    use crate::{Durability, EngineOptions};
    use floe_env::Env;
    use floe_objstore::{MemoryBackend, Store, StoreOptions};
    use floe_types::{Incarnation, PartitionId, TopicId};
    use std::sync::Arc;

    /// Directed: the simulation needs a thousand seeds for it (mutant `LeftTakesPlace`).
    #[test]
    fn r11_one_that_was_left_does_not_take_the_place_among_the_unflushed_of_who_leads_it_again() {
        let env = Env::real();
        let store = Store::new(env.clone(), Arc::new(MemoryBackend::new()), StoreOptions::default());
        let shared = Shared::new(env, store, EngineOptions { in_cluster: true, ..EngineOptions::default() }, Incarnation(1), None);
        let id = PartitionId { topic: TopicId(1), index: 0 };
        let opened = |epoch| Partition::open(shared.clone(), Line::empty(id).to_index(), epoch, Durability::Object);
        let (left, led) = (opened(1), opened(2));
        shared.dirty.insert(&led);
        left.close_left();
        assert_eq!(left.first_unplanned(), None);
        let waits = shared.dirty.all();
        assert!(waits.len() == 1 && Arc::ptr_eq(&waits[0], &led), "what it has waits to be flushed");
        // Its own place goes with it.
        led.close_left();
        assert!(shared.dirty.all().is_empty());
    }
}
