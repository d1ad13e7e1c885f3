//! How the program ends: every exit code, once, and the failure that carries it. docs/operations.md says what to do about each.

use floe_broker::BindError;
use floe_formats::FormatError;
use floe_log::{Ended, OpenError};
use floe_metadata::MetadataError;
use floe_metadata::cluster::ClusterError;
use floe_objstore::{OpenError as StoreOpenError, StoreError};
use floe_wal::WalError;
use std::fmt;
use std::io::ErrorKind;

/// The exit codes of all commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; for `serve`: drained.
    Ok = 0,
    /// Failed for a reason that has no code of its own. The message says it.
    Error = 1,
    /// The command line or a setting was refused. Nothing was touched.
    Refused = 2,
    /// Stopped by a newer broker on the same store: a supervisor must not start this one again.
    Superseded = 3,
    /// The data refused: a local WAL on another disk, a damaged WAL or object, another cluster, a newer format, an unsafe store.
    DataRefused = 4,
    /// The port or the data directory is in use.
    InUse = 5,
    /// The object store, or the broker that a command asked, does not answer.
    Unavailable = 6,
    /// `verify` or `store check` found something wrong.
    NotClean = 7,
    /// The drain did not end in time. What is not flushed stays in the WAL: start again on the same data directory.
    NotDrained = 8,
    /// The cluster went on without this broker, which was not heard of for too long: it can be started again.
    Deposed = 9,
    /// A second signal ended the broker at once, as kill -9 would have.
    Interrupted = 130,
}

/// Why a command failed, and the code it ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::AddrInUse => Exit::InUse,
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::TimedOut => Exit::Unavailable,
            _ => Exit::Error,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Config(error) => Self::new(Exit::Refused, error.to_string()),
            BindError::NothingToDial(_) => Self::new(Exit::Refused, format!("advertise: {error}")),
            BindError::Listen(error) if error.kind() == ErrorKind::AddrInUse => error.into(),
            BindError::Listen(error) => Self::new(Exit::Refused, format!("listen: {error}")),
        }
    }
}

impl From<StoreOpenError> for Failure {
    fn from(error: StoreOpenError) -> Self {
        Self::new(Exit::Refused, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(of_store(&error), error.to_string())
    }
}

fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Unavailable { .. } => Exit::Unavailable,
        StoreError::Refused { .. } => Exit::Refused,
        StoreError::Corrupt { .. } => Exit::DataRefused,
        StoreError::NotFound { .. } => Exit::Error,
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Self {
        Self::new(Exit::DataRefused, error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::DataInUse => Exit::InUse,
            OpenError::OtherCluster { .. }
            | OpenError::ClusterStore
            | OpenError::SingleStore
            | OpenError::NotDrained(_)
            | OpenError::OtherEtcd { .. }
            | OpenError::EtcdForgot { .. }
            | OpenError::LocalElsewhere { .. }
            | OpenError::WalDamaged { .. }
            | OpenError::DamagedSlot { .. }
            | OpenError::DamagedObject { .. }
            | OpenError::UnsafeStore(_)
            | OpenError::Format { .. } => Exit::DataRefused,
            OpenError::Store(error) | OpenError::Metadata(MetadataError::Store(error)) => of_store(error),
            OpenError::Metadata(MetadataError::Format { .. } | MetadataError::Gap { .. }) => Exit::DataRefused,
            OpenError::Wal(WalError::Damaged { .. }) => Exit::DataRefused,
            OpenError::Cluster(ClusterError::Unavailable { .. }) => Exit::Unavailable,
            OpenError::Cluster(ClusterError::Refused { .. }) => Exit::Refused,
            OpenError::Cluster(ClusterError::BrokerIdTaken { .. }) => Exit::InUse,
            OpenError::Ended(ended) => of_end(ended),
            _ => Exit::Error,
        };
        Self::new(exit, error.to_string())
    }
}

/// How a broker ends whose engine has ended.
pub(crate) fn of_end(ended: &Ended) -> Exit {
    match ended {
        Ended::Fenced { .. } => Exit::Superseded,
        Ended::Failed { .. } => Exit::Error,
        Ended::Drained => Exit::Ok,
    }
}
