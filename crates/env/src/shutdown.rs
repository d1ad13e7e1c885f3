//! A one-way signal that says: stop taking new work, finish what is under way.

use std::sync::Arc;
use tokio::sync::watch;

/// Clones share the signal. Once triggered it stays so.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Wakes everybody that waits, now and later.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once triggered. Cancellation safe.
    pub async fn wait(&self) {
        self.0.subscribe().wait_for(|triggered| *triggered).await.expect("this handle holds the sender");
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
