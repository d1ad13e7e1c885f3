//! [`Wal`]: the handle, its options, its beginning and its end.

use crate::WalError;
use floe_env::{Disk, Env};
use floe_types::{Generation, Incarnation, Lsn};
use std::sync::Arc;

/// How a WAL is laid out and bounded.
#[derive(Debug, Clone)]
pub struct WalOptions {
    pub incarnation: Incarnation,
    pub generation: Generation,
    /// The folder of this generation alone, relative to the disk's root.
    pub dir: String,
    /// Bytes of a file once the WAL has grown; the first ones are smaller, so that a start waits for little.
    pub file_bytes: u64,
    /// Bytes between what is trimmed and the end, beyond which appends are refused.
    pub budget: u64,
    /// Bytes accepted and not yet durable, beyond which appends are refused: what a slow disk may hold in memory.
    pub pending_bytes: u64,
    /// Bytes of one allocation that entries are copied into.
    pub chunk_bytes: usize,
    /// Bytes of one write and sync, but for a larger single entry.
    pub max_group_bytes: u64,
}

impl WalOptions {
    /// Files of 64 MiB, a budget of 1 GiB, 256 MiB pending, chunks of 1 MiB, groups of 4 MiB.
    #[must_use]
    pub fn new(incarnation: Incarnation, generation: Generation, dir: impl Into<String>) -> Self {
        Self {
            incarnation,
            generation,
            dir: dir.into(),
            file_bytes: 64 << 20,
            budget: 1 << 30,
            pending_bytes: 256 << 20,
            chunk_bytes: 1 << 20,
            max_group_bytes: 4 << 20,
        }
    }
}

/// One generation's WAL, open for appending. Dropping it ends its tasks; what was not durable may or may not be on the disk.
#[derive(Debug)]
pub struct Wal {}

impl Wal {
    /// Begins an empty WAL in `options.dir` and starts its writer.
    ///
    /// # Errors
    /// `Sealed`; `Invalid` when something of a WAL is in the folder already, or the options contradict each other; `Disk`.
    pub async fn create(_env: Env, _disk: Arc<dyn Disk>, options: WalOptions) -> Result<Arc<Self>, WalError> {
        Err(WalError::Missing { dir: options.dir })
    }

    /// Everything below is fsynced.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        Lsn(0)
    }

    /// Where the next entry will start.
    #[must_use]
    pub fn end(&self) -> Lsn {
        Lsn(0)
    }

    /// Everything below was given back by [`Wal::trim`].
    #[must_use]
    pub fn trimmed(&self) -> Lsn {
        Lsn(0)
    }

    /// Waits until everything below `upto` is durable.
    ///
    /// # Errors
    /// `Failed`, `Closed`: it will never be.
    pub async fn wait_durable(&self, _upto: Lsn) -> Result<(), WalError> {
        Err(WalError::Closed)
    }

    /// Resolves when the WAL has failed for good, with the reason; never otherwise. Cancellation safe.
    pub async fn failed(&self) -> WalError {
        std::future::pending().await
    }

    /// Accepts nothing more, waits until everything is durable, and gives the end.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn close(&self) -> Result<Lsn, WalError> {
        Err(WalError::Closed)
    }
}
