//! Places for requests under way, shared fairly by class: each class has some of its own, and takes of the common ones when
//! those are in use. So none can keep another from going on, and none leaves the store idle (P9).

use prometheus_client::encoding::EncodeLabelValue;
use tokio::sync::{Semaphore, SemaphorePermit};

/// For whom a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelValue)]
pub enum Class {
    /// What producers and consumers of the newest records wait for: flushes, indexes, the catalog, and what takes a slot of the
    /// row, whoever made it - the slots behind it wait for it.
    Tail,
    /// Consumers that read history, and the manifests that say where it lies. They write nothing.
    Replay,
    /// Settling, merging, compacting, deleting: work that nobody waits for. It goes on under any load of the others: what it
    /// leaves undone costs all of them later (T33).
    Merging,
    /// What a start does before it serves: claims, ending the chains before, state that is read back.
    Recovery,
}

impl Class {
    pub const ALL: [Self; 4] = [Self::Tail, Self::Replay, Self::Merging, Self::Recovery];

    /// Of the places, in sixteenths, those that are this class's alone. What is left over is everybody's.
    fn sixteenths(self, writes: bool) -> usize {
        match (self, writes) {
            (Self::Tail, true) => 6,
            (Self::Tail, false) | (Self::Recovery, false) => 3,
            (Self::Replay, true) => 0,
            (Self::Replay, false) => 4,
            (Self::Merging, _) | (Self::Recovery, true) => 2,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Places {
    own: [Semaphore; Class::ALL.len()],
    common: Semaphore,
}

impl Places {
    /// `total` places, at least one.
    pub(crate) fn new(total: usize, writes: bool) -> Self {
        // Where there are fewer than one for each class and one more, all are everybody's.
        let least = usize::from(total > Class::ALL.len());
        let own = Class::ALL.map(|class| match class.sixteenths(writes) {
            0 => 0,
            part => (total * part / 16).max(least),
        });
        let common = total.max(1).saturating_sub(own.iter().sum());
        Self { own: own.map(Semaphore::new), common: Semaphore::new(common) }
    }

    /// Waits for a place. Cancellation safe, and served in order among those of one class.
    pub(crate) async fn acquire(&self, class: Class) -> SemaphorePermit<'_> {
        let permit = tokio::select! {
            biased;
            permit = self.own(class).acquire() => permit,
            permit = self.common.acquire() => permit,
        };
        permit.expect("the semaphores live as long as the store and are never closed")
    }

    /// Whether a request of this class would begin at once.
    pub(crate) fn has_room(&self, class: Class) -> bool {
        self.own(class).available_permits() > 0 || self.common.available_permits() > 0
    }

    /// Runs `work` in a place.
    #[cfg(test)]
    pub(crate) async fn hold<T>(&self, class: Class, work: impl std::future::Future<Output = T>) -> T {
        let _place = self.acquire(class).await;
        work.await
    }

    fn own(&self, class: Class) -> &Semaphore {
        let [tail, replay, merging, recovery] = &self.own;
        match class {
            Class::Tail => tail,
            Class::Replay => replay,
            Class::Merging => merging,
            Class::Recovery => recovery,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::future::pending;

    /// How many of a class find room at once when so many of each come, in this order.
    fn admitted(total: usize, coming: &[(Class, usize)]) -> Vec<usize> {
        let places = Places::new(total, false);
        let mut held = Vec::new();
        let count = |&(class, count): &(Class, usize)| {
            let before = held.len();
            for _ in 0..count {
                if places.has_room(class) {
                    let permit = places.acquire(class).now_or_never().expect("there is room");
                    held.push(permit);
                }
            }
            held.len() - before
        };
        coming.iter().map(count).collect()
    }

    #[test]
    fn a_class_that_takes_all_it_can_leaves_the_others_their_own() {
        assert_eq!(
            admitted(64, &[(Class::Replay, 1000), (Class::Tail, 1000), (Class::Recovery, 1000), (Class::Merging, 1000)]),
            [32, 12, 12, 8]
        );
        assert_eq!(admitted(64, &[(Class::Merging, 1000), (Class::Replay, 1000)]), [24, 16]);
    }

    #[test]
    fn however_few_places_there_are_no_class_can_take_the_last_of_another() {
        for (total, writes) in (Class::ALL.len() + 1..=100).flat_map(|total| [(total, false), (total, true)]) {
            let guaranteed = |class: &Class| class.sixteenths(writes) > 0;
            for class in Class::ALL.into_iter().filter(guaranteed) {
                let places = Places::new(total, writes);
                let mut held = Vec::new();
                for other in Class::ALL.into_iter().filter(|other| *other != class) {
                    while places.has_room(other) {
                        held.push(places.acquire(other).now_or_never().expect("there is room"));
                    }
                }
                assert!(places.has_room(class), "{class:?} of {total}");
                while places.has_room(class) {
                    held.push(places.acquire(class).now_or_never().expect("there is room"));
                }
                assert_eq!(held.len(), total, "none is left over");
            }
        }
    }

    #[test]
    fn few_places_are_everybodys() {
        for class in Class::ALL {
            assert_eq!(admitted(1, &[(class, 5)]), [1]);
        }
    }

    #[tokio::test]
    async fn who_waits_takes_whichever_place_comes_free_first() {
        let places = Places::new(1, false);
        let mut first = Box::pin(places.hold(Class::Replay, pending::<()>()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(places.hold(Class::Tail, async { 7 }));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(second.await, 7);
    }
}
