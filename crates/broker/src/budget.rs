//! Bytes that all connections together may hold: one budget for requests, one for answers.
//!
//! Nobody waits for one budget while holding a part of the same: whoever already holds some only tries. So waiting
//! always ends, and it ends in the order in which it began.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bounded number of bytes.
#[derive(Debug, Clone)]
pub(crate) struct ByteBudget {
    free: Arc<Semaphore>,
    total: usize,
}

/// Bytes taken out of a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held(OwnedSemaphorePermit);

impl ByteBudget {
    pub(crate) fn new(total: u64) -> Self {
        let total = usize::try_from(total).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits for room. A demand larger than the whole budget is satisfied by all of it. Cancellation safe.
    pub(crate) async fn acquire(&self, bytes: usize) -> Held {
        let permit = self.free.clone().acquire_many_owned(self.capped(bytes)).await;
        Held(permit.expect("a budget's semaphore is never closed"))
    }

    /// Takes room if there is any, without waiting.
    pub(crate) fn try_acquire(&self, bytes: usize) -> Option<Held> {
        self.free.clone().try_acquire_many_owned(self.capped(bytes)).ok().map(Held)
    }

    /// Bytes taken at this moment.
    pub(crate) fn in_use(&self) -> usize {
        self.total - self.free.available_permits().min(self.total)
    }

    fn capped(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.total)).unwrap_or(u32::MAX)
    }
}

impl Held {
    /// Gives back what is more than `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(bytes);
        drop(self.0.split(surplus));
    }

    /// How much it is.
    pub(crate) fn bytes(&self) -> usize {
        self.0.num_permits()
    }

    /// Holds both.
    pub(crate) fn merge(&mut self, other: Held) {
        self.0.merge(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn what_is_held_is_given_back_in_part_and_at_the_end() {
        let budget = ByteBudget::new(100);
        let mut first = budget.try_acquire(60).expect("room");
        assert!(budget.try_acquire(50).is_none(), "only 40 are left");
        first.shrink_to(50);
        let second = budget.try_acquire(50).expect("50 are left");
        first.merge(second);
        assert_eq!(budget.in_use(), 100);
        assert!(budget.acquire(1).now_or_never().is_none(), "it waits");
        drop(first);
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn a_demand_larger_than_the_budget_gets_all_of_it() {
        let budget = ByteBudget::new(100);
        let all = budget.acquire(1_000_000).now_or_never().expect("nobody holds anything");
        assert_eq!(budget.in_use(), 100);
        drop(all);
    }
}
