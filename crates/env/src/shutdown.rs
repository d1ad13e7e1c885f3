//! A one-way signal that says: stop taking new work, finish what is under way.

use crate::Watched;
use std::sync::Arc;

/// Clones share the signal. Once triggered it stays so.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Watched<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Watched::new(false)))
    }

    /// Wakes everybody that waits, now and later.
    pub fn trigger(&self) {
        self.0.set(true);
    }

    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.get()
    }

    /// Returns once triggered. Cancellation safe.
    pub async fn wait(&self) {
        self.0.wait_for(|triggered| *triggered).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_wake_whether_they_came_before_or_after() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_triggered());
        let early = shutdown.clone();
        let (done, ()) = tokio::join!(async move { early.wait().await }, async { shutdown.trigger() });
        assert_eq!(done, ());
        shutdown.wait().await;
        assert!(shutdown.clone().is_triggered());
    }
}
