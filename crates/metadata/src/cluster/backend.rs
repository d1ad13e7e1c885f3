//! What a cluster's truth is kept in: ordered keys, transactions that compare, leases, and watches. etcd offers exactly this; memory plays it.
//!
//! Contract, the same for every implementation:
//! - Every change has a **revision**, one more than the change before; a transaction is one change. What a call answers is linearizable.
//! - A call that answers [`BackendError::Unavailable`] **may have happened, and may still happen at any time later**, the process that sent it notwithstanding.
//! - A watch gives each change at or above its first revision once, in order, whole transactions at a time, or says that it cannot.
//! - Dropping a future gives the call up, as if its answer were lost.
//!
//! No implementation repeats anything by itself: that is [`super::Cluster`]'s, which knows what may be repeated.

use async_trait::async_trait;
use bytes::Bytes;
use std::fmt::Debug;
use std::time::Duration;

/// Counts changes; 0 is before the first.
pub type Revision = u64;

/// Most comparisons, or writes, or reads, in one transaction (etcd's `--max-txn-ops`).
pub const MAX_OPERATIONS: usize = 128;
/// Most bytes of keys and values in one transaction. etcd refuses requests above 1.5 MiB; its framing needs some of that.
pub const MAX_BYTES: usize = 1_400_000;

/// A lease, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A key as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: Bytes,
    /// The revision that wrote this value.
    pub revision: Revision,
    /// The lease that it lives under.
    pub lease: Option<LeaseId>,
}

/// What a transaction demands of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    Absent { key: String },
    Is { key: String, value: Bytes },
}

/// What a transaction does to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put { key: String, value: Bytes, lease: Option<LeaseId> },
    Delete { key: String },
}

/// If all comparisons hold, all writes happen; else the keys are read. Either is one instant. No key is written twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub writes: Vec<Write>,
    /// Answered when a comparison fails.
    pub reads: Vec<String>,
}

impl Txn {
    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let compares = self.compares.iter().map(|compare| match compare {
            Compare::Absent { key } => key.len(),
            Compare::Is { key, value } => key.len() + value.len(),
        });
        let writes = self.writes.iter().map(|write| match write {
            Write::Put { key, value, .. } => key.len() + value.len(),
            Write::Delete { key } => key.len(),
        });
        compares.chain(writes).chain(self.reads.iter().map(String::len)).sum()
    }

    /// Whether it is within [`MAX_OPERATIONS`] and [`MAX_BYTES`].
    #[must_use]
    pub fn fits(&self) -> bool {
        let most = self.compares.len().max(self.writes.len()).max(self.reads.len());
        most <= MAX_OPERATIONS && self.bytes() <= MAX_BYTES
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The newest revision; if it won and wrote, its own.
    pub revision: Revision,
    pub won: bool,
    /// If it lost: each of its reads, in order.
    pub found: Vec<Option<KeyValue>>,
}

/// Keys in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The newest revision, also where an older one was asked for.
    pub revision: Revision,
    pub entries: Vec<KeyValue>,
    /// There is more behind the last.
    pub more: bool,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Put(KeyValue),
    Deleted { key: String },
}

/// All changes up to a revision, behind those given before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    pub revision: Revision,
    pub events: Vec<Event>,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// No answer, or one that says nothing. It may have happened, and may still happen.
    #[error("no answer: {0}")]
    Unavailable(String),
    /// What was asked for is older than what is kept.
    #[error("revisions before {oldest} are compacted")]
    Compacted { oldest: Revision },
    /// The revision asked for is one that never was: it lies ahead of the newest.
    #[error("revision {asked} is ahead of the newest, {newest}")]
    Future { asked: Revision, newest: Revision },
    /// The lease is gone; nothing was written.
    #[error("the lease is gone")]
    LeaseGone,
    /// It will never be done: wrong credentials, or more than the limits.
    #[error("refused: {0}")]
    Refused(String),
}

/// See the module.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// The keys that begin with `prefix` and lie behind `after`, at most `limit`, as of revision `at` or now.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: Option<Revision>) -> Result<Listed, BackendError>;

    /// One transaction.
    async fn commit(&self, txn: &Txn) -> Result<Committed, BackendError>;

    /// A lease that ends, with all its keys, when it was not renewed for `ttl` (whole seconds, rounded up).
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, BackendError>;

    /// Renews a lease. False: it is gone.
    async fn renew(&self, lease: LeaseId) -> Result<bool, BackendError>;

    /// Ends a lease and its keys; one that is gone is no error.
    async fn revoke(&self, lease: LeaseId) -> Result<(), BackendError>;

    /// Watches the keys that begin with `prefix`, from revision `from` on.
    ///
    /// # Errors
    /// `Compacted`: list, and watch from there. `Future`: `from` is more than one ahead of the newest revision.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watching>, BackendError>;
}

/// A running watch. Dropped, it ends.
#[async_trait]
pub trait Watching: Debug + Send {
    /// The next changes; waits for them. Cancellation safe.
    ///
    /// # Errors
    /// The watch is over: begin another behind the last revision that was given.
    async fn next(&mut self) -> Result<Events, BackendError>;
}
