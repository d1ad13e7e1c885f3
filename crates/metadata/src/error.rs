//! What can go wrong with the catalog.

use floe_formats::FormatError;
use floe_objstore::StoreError;
use floe_types::{ErrorKind, Incarnation};

/// Errors of loading or changing the catalog.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("catalog: {0}")]
    Store(#[from] StoreError),
    #[error("catalog object {key}: {source}")]
    Format { key: String, source: FormatError },
    #[error("catalog version {missing} is missing below version {newest}")]
    Gap { missing: u64, newest: u64 },
    #[error("catalog: gave up after {0} other writers came first")]
    Contended(u32),
    #[error("the catalog is incarnation {by}'s")]
    Fenced { by: Incarnation },
}

impl MetadataError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(e) => e.kind(),
            Self::Format { source, .. } => source.kind(),
            Self::Gap { .. } => ErrorKind::Corrupt,
            Self::Contended(_) => ErrorKind::Retry,
            Self::Fenced { .. } => ErrorKind::Fenced,
        }
    }
}
