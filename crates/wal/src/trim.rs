//! Giving back what is stored elsewhere.

use crate::{Wal, WalError};
use floe_env::Disk;
use floe_types::Lsn;
use std::sync::Arc;

impl Wal {
    /// Everything below `to` is needed no more: files that lie wholly below are recycled or deleted.
    ///
    /// # Errors
    /// `NotDurable`: `to` is not of this WAL (T06). `Sealed`. `Disk`.
    pub async fn trim(&self, to: Lsn) -> Result<(), WalError> {
        Err(WalError::NotDurable { at: to, durable: self.durable() })
    }
}

/// Deletes a generation's files, oldest first. To be called only when its chain is closed (R11).
///
/// # Errors
/// `Disk`. A folder that is not there is fine.
pub async fn remove_generation(disk: &Arc<dyn Disk>, dir: &str) -> Result<(), WalError> {
    disk.remove(dir).await.map_err(WalError::disk("remove a WAL"))
}
