//! What can go wrong with a cluster's truth.

use super::backend::{BackendError, Revision};
use floe_formats::{FormatError, etcd::Life};
use floe_types::{BrokerId, DiskId, ErrorKind, Incarnation};

/// Errors of a [`super::Cluster`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No answer within the time. What was asked may have happened, and may still happen.
    #[error("etcd: {what} had no answer in {attempts} attempts, last: {reason}")]
    Unavailable { what: &'static str, attempts: u32, reason: String },
    /// etcd holds an older state than it once held: it was restored from a snapshot. Nothing changes until `floe recover`.
    #[error("etcd was set back: {detail}")]
    SetBack { detail: String },
    /// A value that this program cannot read.
    #[error("etcd key {key}: {source}")]
    Format { key: String, source: FormatError },
    /// Others changed the same key each time.
    #[error("etcd: {what} lost to others {attempts} times")]
    Contended { what: &'static str, attempts: u32 },
    /// The incarnation is not in the state that this needs; none: it is not known here.
    #[error("incarnation {incarnation} is {}, and not {wanted:?}", state(*.found))]
    NotInState { incarnation: Incarnation, wanted: Life, found: Option<Life> },
    /// A broker with another disk, or a newer life of the same, has this broker id.
    #[error("broker id {broker} is in use by incarnation {by} with disk {disk}")]
    BrokerIdTaken { broker: BrokerId, by: Incarnation, disk: DiskId },
    /// The number is another life's.
    #[error("incarnation {incarnation} is another broker's")]
    NumberTaken { incarnation: Incarnation },
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Invalid(String),
    /// etcd will not do this: credentials, permissions, limits.
    #[error("etcd refused {what}: {reason}")]
    Refused { what: &'static str, reason: String },
}

fn state(found: Option<Life>) -> String {
    found.map_or_else(|| "not known".to_owned(), |life| format!("{life:?}"))
}

impl ClusterError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } | Self::Contended { .. } => ErrorKind::Retry,
            Self::SetBack { .. } => ErrorKind::Corrupt,
            Self::Format { source, .. } => source.kind(),
            Self::NotInState { .. } | Self::BrokerIdTaken { .. } | Self::NumberTaken { .. } => ErrorKind::Fenced,
            Self::Invalid(_) | Self::Refused { .. } => ErrorKind::Invalid,
        }
    }

    pub(crate) fn lower(seen: Revision, found: Revision) -> Self {
        Self::SetBack { detail: format!("revision {seen} was seen before, now it is at {found}") }
    }
}

/// One attempt's error, and whether another is worth it.
pub(crate) enum Attempt {
    Again(String),
    Ends(ClusterError),
}

impl Attempt {
    pub(crate) fn from_backend(what: &'static str, error: BackendError, seen: Revision) -> Self {
        match error {
            BackendError::Unavailable(reason) => Self::Again(reason),
            // Between the pages of a listing; it begins anew.
            BackendError::Compacted { .. } => Self::Again(error.to_string()),
            BackendError::LeaseGone => Self::Again(error.to_string()),
            BackendError::Future { newest, .. } => Self::Ends(ClusterError::lower(seen, newest)),
            BackendError::Refused(reason) => Self::Ends(ClusterError::Refused { what, reason }),
        }
    }
}
