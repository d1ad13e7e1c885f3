//! Appending: an entry gets its LSN and its place in memory under one short lock, and nothing waits.

use crate::{Wal, WalError};
use bytes::Bytes;
use floe_types::{LeaderEpoch, Lsn, Offset, PartitionId};
use std::sync::Arc;

/// Told when entries have become durable; one per partition.
pub trait Durable: Send + Sync {
    /// Everything below `upto` is fsynced. Called by the writer, once for each sink that has entries in the group, with LSNs
    /// that never go down; must be quick and must not block.
    fn durable(&self, upto: Lsn);
}

/// What is to be appended.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub partition: PartitionId,
    pub epoch: LeaderEpoch,
    /// First offset of the epoch in this partition.
    pub epoch_start: Offset,
    pub base_offset: Offset,
    /// One whole v2 batch; its base offset and leader epoch are overwritten in the copy.
    pub batch: &'a [u8],
}

/// Where an entry went. It is not durable yet.
#[derive(Debug, Clone)]
pub struct Appended {
    pub start: Lsn,
    /// Where the next entry starts.
    pub end: Lsn,
    /// The batch with offset and epoch stamped: a slice of the memory that is being written.
    pub batch: Bytes,
}

impl Wal {
    /// Appends an entry; `sink` is told when it is durable. Never waits.
    ///
    /// # Errors
    /// `Full`: nothing was appended, try again later. `TooLarge`. `Failed`, `Closed`, `Sealed`: for ever.
    pub fn append(&self, _entry: &Entry<'_>, _sink: &Arc<dyn Durable>) -> Result<Appended, WalError> {
        Err(WalError::Closed)
    }
}
