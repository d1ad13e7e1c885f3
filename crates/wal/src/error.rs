//! What can go wrong with a WAL, and what it asks for.

use floe_formats::FormatError;
use floe_types::{ErrorKind, Incarnation, Lsn};
use std::{io, sync::Arc};

/// Cheap to clone: one failure is told to every waiter (T11).
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalError {
    /// No room within the budget, for what waits to be synced, or on the disk. Nothing was appended; trimming or waiting helps.
    #[error("the WAL is full: {what}")]
    Full { what: &'static str },
    /// A write or a sync failed. Never retried: this WAL accepts nothing more, and what was not durable stays so.
    #[error("the WAL has failed for good: {error}")]
    Failed { error: Arc<io::Error> },
    /// [`crate::Wal::close`] was called.
    #[error("the WAL is closed")]
    Closed,
    /// This disk has promised to accept nothing more of the incarnation (R5, R10).
    #[error("incarnation {incarnation} is sealed on this disk")]
    Sealed { incarnation: Incarnation },
    /// The entry can never fit.
    #[error("an entry of {bytes} bytes is larger than the {limit} that are possible")]
    TooLarge { bytes: u64, limit: u64 },
    /// The position was trimmed: its entry is elsewhere.
    #[error("LSN {at} lies below {trimmed}, where the WAL was trimmed")]
    Trimmed { at: Lsn, trimmed: Lsn },
    /// The position is not durable here.
    #[error("LSN {at} lies above {durable}, the end of what is durable")]
    NotDurable { at: Lsn, durable: Lsn },
    /// There is no such WAL on this disk.
    #[error("there is no WAL in {dir}")]
    Missing { dir: String },
    /// A WAL is there already, or the options contradict each other.
    #[error("{what}")]
    Invalid { what: String },
    /// An entry is bad that is known to have been synced, so it is not the end of the WAL (T67).
    #[error("the WAL is damaged at LSN {at}: {proof}")]
    Damaged { at: Lsn, proof: String },
    /// A later version of Floe wrote this.
    #[error("LSN {at}: {error}")]
    Format { at: Lsn, error: FormatError },
    /// An entry came that does not go on where the replica ends.
    #[error("LSN {at} came, or another WAL's, where {expected} was expected")]
    Unexpected { at: Lsn, expected: Lsn },
    /// The disk refused an operation; nothing of the WAL is changed by it.
    #[error("{action}: {error}")]
    Disk { action: &'static str, error: Arc<io::Error> },
}

impl WalError {
    pub(crate) fn disk(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Disk { action, error: Arc::new(error) }
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } => ErrorKind::Overloaded,
            Self::Failed { .. } | Self::Closed => ErrorKind::Closed,
            Self::Sealed { .. } => ErrorKind::Fenced,
            Self::TooLarge { .. } | Self::Invalid { .. } | Self::Unexpected { .. } => ErrorKind::Invalid,
            Self::Trimmed { .. } | Self::Missing { .. } => ErrorKind::NotFound,
            Self::NotDurable { .. } | Self::Disk { .. } => ErrorKind::Retry,
            Self::Format { error, .. } => error.kind(),
            Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}
