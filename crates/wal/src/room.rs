//! The bytes that all foreign replicas of a disk may have together: a budget apart from the own WAL's.

use crate::WalError;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes of entries, as LSNs do; each replica's files may hold a few megabytes more.
#[derive(Debug)]
pub(crate) struct Room {
    used: AtomicU64,
    budget: u64,
}

impl Room {
    pub(crate) fn new(budget: u64) -> Self {
        Self { used: AtomicU64::new(0), budget }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// # Errors
    /// `Full`: nothing was taken.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), WalError> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.budget);
        match self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(WalError::Full { what: "the disk budget of other brokers' replicas is used up" }),
        }
    }

    /// What is on the disk already is counted, whatever the budget says.
    pub(crate) fn count(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::AcqRel);
        debug_assert!(before >= bytes, "{bytes} bytes of {before} given back");
    }
}
