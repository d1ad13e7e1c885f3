//! What recovery asks of the disks that hold copies of a WAL (R5): their word to take nothing more, and what they hold.
//!
//! An answer counts only once what the disk holds has been read to its end. Who answers for a disk is known elsewhere: crate `replication` asks between
//! brokers, and a test may ask disks directly.

mod gather;
mod kept;

pub use gather::{Gather, Sealed, TooFew, unflushed};
pub use kept::{Candidate, CopiedWal, CopySet, StandbyState, StandbyStatus};

use async_trait::async_trait;
use floe_types::{DiskId, ErrorKind, Generation, Incarnation, Lsn};
use floe_wal::{HeldWal, Replayed, ReplayedEntry};
use std::fmt::Debug;

/// Why a disk has not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CopyError {
    /// Not known: ask again, or another disk.
    #[error("disk {disk} does not answer: {reason}")]
    Unreachable { disk: DiskId, reason: String },
    /// It holds less than it should, or another disk lies there: it will never be an answer. Ask another.
    #[error("disk {disk} is no answer: {reason}")]
    NoAnswer { disk: DiskId, reason: String },
}

impl CopyError {
    /// `Retry` or `Corrupt`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } => ErrorKind::Retry,
            Self::NoAnswer { .. } => ErrorKind::Corrupt,
        }
    }
}

/// The disks of a cluster, as recovery sees them.
#[async_trait]
pub trait Copies: Debug + Send + Sync {
    /// The disk's fsynced word to accept nothing more of `incarnation`, for ever; and of which generations it has, or had, a WAL. None is an answer, too.
    /// Racing and repeating are harmless. When it cannot be told whether the disk was sealed, that is an error.
    async fn seal(&self, disk: DiskId, incarnation: Incarnation, by: Incarnation) -> Result<Vec<HeldWal>, CopyError>;

    /// What a sealed disk holds of a generation; `None`: it never held any of it.
    async fn read(&self, disk: DiskId, incarnation: Incarnation, generation: Generation) -> Result<Option<Box<dyn CopyReader>>, CopyError>;
}

/// One copy that is being read.
#[async_trait]
pub trait CopyReader: Debug + Send {
    /// The next entries in LSN order, checksums verified; none behind the last. Until that was said, what was read is no answer.
    async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, CopyError>;

    /// What was found until now.
    fn replayed(&self) -> Replayed;

    /// What lies below was certain in slots before it was given back.
    fn trimmed(&self) -> Lsn;
}
