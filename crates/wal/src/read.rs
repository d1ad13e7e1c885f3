//! Reading one entry back from the file.

use crate::{Wal, WalError};
use bytes::Bytes;
use floe_types::Lsn;

impl Wal {
    /// The batch of the entry that lies at `start..end` (as [`crate::Appended`] said), checksums verified.
    ///
    /// # Errors
    /// `Trimmed`, `NotDurable`, `Damaged`, `Disk`.
    pub async fn read(&self, start: Lsn, _end: Lsn) -> Result<Bytes, WalError> {
        Err(WalError::NotDurable { at: start, durable: self.durable() })
    }
}
