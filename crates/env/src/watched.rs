//! A value that tasks wait for.
//!
//! Waiters are woken in the order in which they began to wait: what tokio's `watch` does not promise (it spreads them by
//! chance), and a simulation has to know.

use parking_lot::Mutex;
use std::fmt;
use tokio::sync::Notify;

/// A value with waiters. Every method is safe to call from any task; none waits but [`Watched::wait_for`].
#[derive(Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&*self.value.lock()).finish()
    }
}

impl<T: Clone> Watched<T> {
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> T {
        self.value.lock().clone()
    }

    pub fn set(&self, value: T) {
        *self.value.lock() = value;
        self.changed.notify_waiters();
    }

    /// Changes the value in place if `change` says that it did; waiters look again then. Gives that word back.
    pub fn set_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let changed = change(&mut self.value.lock());
        if changed {
            self.changed.notify_waiters();
        }
        changed
    }

    /// Waits until the value is as wanted, and gives it. Cancellation safe. A value that is no more when the waiter looks was
    /// not seen.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&T) -> bool) -> T {
        loop {
            // Before looking, so that what changes while we look wakes us.
            let changed = self.changed.notified();
            {
                let value = self.value.lock();
                if wanted(&value) {
                    return value.clone();
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;
    use std::sync::Arc;

    #[tokio::test]
    async fn waiters_see_what_they_wait_for_in_the_order_in_which_they_came() {
        let (env, watched, order) = (Env::real(), Arc::new(Watched::new(0)), Arc::new(Mutex::new(Vec::new())));
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let (watched, order) = (Arc::clone(&watched), Arc::clone(&order));
                env.spawn("waiter", async move {
                    let seen = watched.wait_for(|value| *value >= 2).await;
                    order.lock().push((n, seen));
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(!watched.set_if(|_| false));
        watched.set(1);
        tokio::task::yield_now().await;
        assert!(order.lock().is_empty() && watched.set_if(|value| std::mem::replace(value, 3) == 1));
        for task in tasks {
            task.join().await.unwrap();
        }
        assert_eq!(*order.lock(), (0..50).map(|n| (n, 3)).collect::<Vec<_>>());
        assert_eq!((watched.get(), watched.wait_for(|_| true).await), (3, 3));
    }
}
