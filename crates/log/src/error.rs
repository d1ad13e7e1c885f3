//! One enum per family of operations; each answers what to do.

use crate::copies::TooFew;
use crate::{Damage, Ended};
use floe_formats::FormatError;
use floe_metadata::MetadataError;
use floe_metadata::cluster::ClusterError;
use floe_objstore::{ProbeError, StoreError};
use floe_types::{DiskId, ErrorKind, Incarnation, Offset, PartitionId, SlotNumber};
use floe_wal::WalError;
use std::sync::Arc;

/// Why a batch was not appended, or will not be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("producer {producer_id}: sequence {found} where {expected} is next")]
    OutOfOrderSequence { producer_id: i64, expected: i32, found: i32 },
    #[error("producer {producer_id}: sequence {found} is a duplicate older than the batches remembered")]
    DuplicateSequence { producer_id: i64, found: i32 },
    #[error("producer {producer_id}: epoch {found} is older than {current}")]
    InvalidProducerEpoch { producer_id: i64, current: i16, found: i16 },
    #[error("the budget for unflushed records is used up; the object store is behind")]
    Overloaded,
    #[error("partition is not led here any more")]
    NotOwner,
    #[error("partition is damaged: {0}")]
    Broken(String),
    #[error("{0}")]
    Ended(Ended),
}

impl AppendError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfOrderSequence { .. } | Self::DuplicateSequence { .. } | Self::InvalidProducerEpoch { .. } => ErrorKind::Invalid,
            Self::Overloaded => ErrorKind::Overloaded,
            Self::NotOwner => ErrorKind::NotFound,
            Self::Broken(_) => ErrorKind::Corrupt,
            Self::Ended(Ended::Fenced { .. }) => ErrorKind::Fenced,
            Self::Ended(_) => ErrorKind::Closed,
        }
    }
}

/// Why records were not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    #[error("offset {offset} is outside 0..={committed}")]
    OutOfRange { offset: Offset, committed: Offset },
    #[error("partition is not led here any more")]
    NotOwner,
    #[error("partition is damaged: {0}")]
    Broken(String),
    #[error("{0}")]
    Ended(Ended),
}

impl DeleteError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfRange { .. } => ErrorKind::Invalid,
            Self::NotOwner => ErrorKind::NotFound,
            Self::Broken(_) => ErrorKind::Corrupt,
            Self::Ended(Ended::Fenced { .. }) => ErrorKind::Fenced,
            Self::Ended(_) => ErrorKind::Closed,
        }
    }
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is outside {log_start}..={committed}")]
    OutOfRange { offset: Offset, log_start: Offset, committed: Offset },
    #[error("partition is not led here any more")]
    NotOwner,
    #[error("partition is damaged: {0}")]
    Broken(String),
    #[error(transparent)]
    Damaged(Box<Damage>),
    #[error("{what}: {source}")]
    Format { what: String, source: FormatError },
    #[error("records: {0}")]
    Batch(#[from] floe_records::BatchError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error("{0}")]
    Ended(Ended),
}

impl ReadError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfRange { .. } => ErrorKind::Invalid,
            Self::NotOwner => ErrorKind::NotFound,
            Self::Broken(_) | Self::Batch(_) | Self::Damaged(_) => ErrorKind::Corrupt,
            Self::Format { source, .. } => source.kind(),
            Self::Store(e) => e.kind(),
            Self::Wal(e) => e.kind(),
            Self::Ended(Ended::Fenced { .. }) => ErrorKind::Fenced,
            Self::Ended(_) => ErrorKind::Closed,
        }
    }
}

/// Why a start was refused or failed. The message names what and where, and what the operator can do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("data directory: {0}")]
    Disk(#[from] std::io::Error),
    #[error("data directory is in use by another process")]
    DataInUse,
    #[error("data directory belongs to cluster {data}, the store to cluster {store}")]
    OtherCluster { data: String, store: String },
    #[error("the store belongs to a cluster of brokers; start with --etcd")]
    ClusterStore,
    #[error("the store belongs to a single broker; start without --etcd, or with another store or prefix")]
    SingleStore,
    #[error(
        "incarnation {0} has not ended: a broker runs on this store, or has died on it. Start it once more without --etcd, on its data directory, and drain it \
         (SIGTERM): then everything it has is in the store"
    )]
    NotDrained(Incarnation),
    #[error("etcd, under this prefix, belongs to cluster {etcd}, the store to cluster {store}")]
    OtherEtcd { etcd: String, store: String },
    #[error("the store has the records of cluster {store}, and etcd, under this prefix, knows nothing of it: is it the right etcd?")]
    EtcdForgot { store: String },
    #[error(
        "incarnation {incarnation} has a local WAL on disk {disk}, which is not this broker's: records acknowledged there and not flushed \
         would be missing. Start the broker on that data directory, or give them up with --take-over"
    )]
    LocalElsewhere { incarnation: Incarnation, disk: DiskId },
    #[error(
        "the WAL of incarnation {incarnation} on this disk is damaged: {source}. What is whole stays readable by `floe inspect`; give up the rest with --take-over"
    )]
    WalDamaged { incarnation: Incarnation, source: WalError },
    #[error("could not stop the row of incarnation {0}: its owner went on writing faster than it could be stopped")]
    RowNotStopped(Incarnation),
    #[error(
        "slot {slot} of incarnation {incarnation} cannot be read, and no index says what it holds: {key}: {source}. Records in it, and in the \
         slots behind it, may have been acknowledged, so that nothing is served without it. Bring the object back as it was written (an \
         older version in the bucket, a copy) and start again. Do not delete it: the log would end there. `floe verify --store URL` lists \
         what else is damaged, docs/operations.md says more"
    )]
    DamagedSlot { incarnation: Incarnation, slot: SlotNumber, key: String, source: FormatError },
    #[error(
        "{key} is damaged: {source}. It says what the log holds, so that nothing is served without it. Bring it back as it was written (an \
         older version in the bucket, a copy) and start again. `floe verify --store URL` lists what else is damaged, docs/operations.md says more"
    )]
    DamagedObject { key: String, source: FormatError },
    #[error("{key}: {source}")]
    Format { key: String, source: FormatError },
    #[error("the store is not safe for Floe: {0}. `floe store check` says more")]
    UnsafeStore(#[from] ProbeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(
        "the end of incarnation {base} has no line for {partition}, which it owned: where its records lie is not known, so that it is not served"
    )]
    NotInherited { partition: PartitionId, base: Incarnation },
    #[error("what incarnation {incarnation} inherited of {partition} cannot be read: {error}")]
    Inherits { incarnation: Incarnation, partition: PartitionId, error: Arc<OpenError> },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A manifest, where a partition is opened by it.
    #[error(transparent)]
    Manifest(#[from] ReadError),
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A copy may come back (R12).
    #[error("too few copies of its WAL can be asked: {0}. What it led waits until one of them comes back")]
    TooFew(#[from] TooFew),
    #[error("{0}")]
    Ended(Ended),
}

impl OpenError {
    /// An object of the store that is not what it should be: damaged, or another version's.
    pub(crate) fn of_object(key: &str, source: FormatError) -> Self {
        let key = key.to_owned();
        match source.kind() {
            ErrorKind::Corrupt => Self::DamagedObject { key, source },
            _ => Self::Format { key, source },
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Disk(_) | Self::RowNotStopped(_) | Self::TooFew(_) => ErrorKind::Retry,
            Self::DataInUse
            | Self::OtherCluster { .. }
            | Self::ClusterStore
            | Self::SingleStore
            | Self::NotDrained(_)
            | Self::OtherEtcd { .. }
            | Self::EtcdForgot { .. }
            | Self::LocalElsewhere { .. } => ErrorKind::Invalid,
            Self::Inherits { error, .. } => error.kind(),
            Self::Cluster(e) => e.kind(),
            Self::Manifest(e) => e.kind(),
            Self::WalDamaged { .. } | Self::DamagedSlot { .. } | Self::DamagedObject { .. } | Self::NotInherited { .. } => {
                ErrorKind::Corrupt
            }
            Self::UnsafeStore(e) => e.kind(),
            Self::Format { source, .. } => source.kind(),
            Self::Store(e) => e.kind(),
            Self::Metadata(e) => e.kind(),
            Self::Wal(e) => e.kind(),
            Self::Ended(_) => ErrorKind::Fenced,
        }
    }
}

/// Why a topic was not created, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    #[error("topic {0} exists already")]
    Exists(String),
    #[error("topic '{name}' collides with existing topic '{with}': names that differ by '.' and '_' alone would share their metrics")]
    Collides { name: String, with: String },
    #[error("there is no topic {0}")]
    NotFound(String),
    /// A setting's value cannot be.
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Ended(Ended),
}

impl TopicError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) | Self::Collides { .. } | Self::Invalid(_) | Self::Config(_) => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Metadata(e) => e.kind(),
            Self::Wal(e) => e.kind(),
            Self::Store(e) => e.kind(),
            Self::Ended(_) => ErrorKind::Closed,
        }
    }
}
