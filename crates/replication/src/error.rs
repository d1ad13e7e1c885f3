//! Why another broker has not done what was asked of it.

use crate::wire::{Reason, Refused};
use floe_types::{DiskId, ErrorKind, Lsn};
use std::time::Duration;

/// What the other side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No version of the protocol is spoken by both.
    Version,
    /// It belongs to another cluster.
    Cluster,
    /// Another disk lies there than was meant (R2).
    Disk,
    /// The incarnation is sealed there, for ever (R5, R10).
    Sealed,
    /// No room, or its disk does not keep up.
    Full,
    /// The replica has failed: not before that broker starts again.
    Failed,
    /// The replica is no answer (R5).
    Damaged,
    /// What was sent does not go on where the replica ends.
    Unexpected { expected: Lsn },
    /// It has no such thing.
    Missing,
    /// Somebody else has attached, or it is ending.
    Closed,
    /// Its disk could not be asked.
    DiskError,
    /// The question makes no sense to it.
    Invalid,
}

/// `peer` is the address that was dialled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplicationError {
    /// No connection, or it broke: whether the question arrived is not known.
    #[error("{peer} cannot be reached: {reason}")]
    Unreachable { peer: String, reason: String },
    #[error("{peer} did not {what} within {limit:?}")]
    TimedOut { peer: String, what: &'static str, limit: Duration },
    #[error("{peer} refuses: {message}")]
    Refused { peer: String, refusal: Refusal, message: String },
    /// Whoever answers is not who was asked (R2).
    #[error("disk {found} answers at {peer}, {expected} was asked")]
    OtherDisk { peer: String, expected: DiskId, found: DiskId },
    /// It has told that more is durable there: something was lost, and what it holds now is no copy (R5, T56).
    #[error("{peer} holds the WAL up to {held}, and has acknowledged {told}")]
    HoldsLess { peer: String, held: Lsn, told: Lsn },
    /// It says what this version does not understand, or what cannot be true.
    #[error("{peer} breaks the protocol: {what}")]
    Protocol { peer: String, what: String },
    /// Where the disk is, is not known.
    #[error("nobody knows where disk {disk} is")]
    NoAddress { disk: DiskId },
    /// This broker's own WAL could not be read, or has ended.
    #[error(transparent)]
    Wal(#[from] floe_wal::WalError),
}

impl ReplicationError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NoAddress { .. } => ErrorKind::Retry,
            Self::Refused { refusal, .. } => match refusal {
                Refusal::Sealed => ErrorKind::Fenced,
                Refusal::Full => ErrorKind::Overloaded,
                Refusal::Missing => ErrorKind::NotFound,
                Refusal::Damaged | Refusal::Disk => ErrorKind::Corrupt,
                Refusal::Failed => ErrorKind::Closed,
                // A broker that ends in order keeps its copies, and may come back with them.
                Refusal::Closed | Refusal::DiskError | Refusal::Unexpected { .. } => ErrorKind::Retry,
                Refusal::Version | Refusal::Cluster | Refusal::Invalid => ErrorKind::Invalid,
            },
            Self::OtherDisk { .. } | Self::HoldsLess { .. } => ErrorKind::Corrupt,
            Self::Protocol { .. } => ErrorKind::Invalid,
            Self::Wal(error) => error.kind(),
        }
    }

    pub(crate) fn refused(peer: &str, refused: Refused) -> Self {
        let refusal = match refused.reason() {
            Reason::Version => Refusal::Version,
            Reason::Cluster => Refusal::Cluster,
            Reason::Disk => Refusal::Disk,
            Reason::Sealed => Refusal::Sealed,
            Reason::Full => Refusal::Full,
            Reason::Failed => Refusal::Failed,
            Reason::Damaged => Refusal::Damaged,
            Reason::Unexpected => Refusal::Unexpected { expected: Lsn(refused.expected) },
            Reason::Missing => Refusal::Missing,
            Reason::Closed => Refusal::Closed,
            Reason::DiskError => Refusal::DiskError,
            Reason::Invalid | Reason::Unspecified => Refusal::Invalid,
        };
        Self::Refused { peer: peer.into(), refusal, message: refused.message }
    }

    /// What tonic says of a connection or a call.
    pub(crate) fn status(peer: &str, status: &tonic::Status) -> Self {
        let peer = peer.to_string();
        match status.code() {
            tonic::Code::Unimplemented | tonic::Code::OutOfRange | tonic::Code::InvalidArgument => {
                Self::Protocol { peer, what: status.to_string() }
            }
            _ if status.message().is_empty() => Self::Unreachable { peer, reason: status.to_string() },
            _ => Self::Unreachable { peer, reason: status.message().to_owned() },
        }
    }
}
