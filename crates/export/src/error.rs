//! Why an export ended early. What was written until then stands, and the next run goes on behind it.

use floe_log::ReadError;
use floe_log::stored::StoredError;
use floe_objstore::{ProbeError, StoreError};
use floe_types::{ErrorKind, Offset};

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("there is no topic {0}")]
    NoTopic(String),
    #[error("topic {topic} has no partition {partition}")]
    NoPartition { topic: String, partition: i32 },
    /// The options contradict what the target holds, or each other.
    #[error("{0}")]
    Refused(String),
    /// Nothing is wrong: the next try begins from what the others wrote.
    #[error("other mergers of this table were first {0} times")]
    Overtaken(usize),
    /// It did not answer before anything was decided.
    #[error("{0}")]
    Registry(String),
    #[error("the target is not safe for an export: {0}")]
    UnsafeTarget(#[from] ProbeError),
    #[error("the target holds {key}, which is not an export's: {why}")]
    Foreign { key: String, why: String },
    #[error("{0}")]
    Stored(#[from] StoredError),
    #[error("target: {0}")]
    Target(#[from] StoreError),
    #[error("records at offset {offset}: {source}")]
    Records { offset: Offset, source: floe_records::BatchError },
    /// A batch of a transaction, whose end is not known here.
    #[error("offset {offset} is part of a transaction, which this version cannot tell from an aborted one")]
    Transaction { offset: Offset },
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("columns: {0}")]
    Columns(#[from] arrow_schema::ArrowError),
    #[error("a task of the export ended: {0}")]
    Task(String),
}

impl ExportError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTopic(_) | Self::NoPartition { .. } => ErrorKind::NotFound,
            Self::Refused(_) | Self::Foreign { .. } | Self::Transaction { .. } => ErrorKind::Invalid,
            Self::Registry(_) | Self::Overtaken(_) => ErrorKind::Retry,
            Self::UnsafeTarget(error) => error.kind(),
            Self::Stored(error) => error.kind(),
            Self::Target(error) => error.kind(),
            Self::Records { source, .. } => source.kind(),
            Self::Parquet(_) | Self::Columns(_) | Self::Task(_) => ErrorKind::Bug,
        }
    }
}

impl From<ReadError> for ExportError {
    fn from(error: ReadError) -> Self {
        Self::Stored(error.into())
    }
}
