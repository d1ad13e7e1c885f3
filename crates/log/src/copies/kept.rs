//! Copies of one's own WAL, as the engine sees them: which disks are to keep them, and a generation's WAL while it is copied.
//!
//! Who reaches the disks is known elsewhere (crate `replication`).

use async_trait::async_trait;
use floe_types::{DiskId, ErrorKind, Lsn};
use floe_wal::Wal;
use std::fmt::Debug;
use std::sync::Arc;

/// The copies of one generation's WAL, as its claim names them (R2, R3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySet {
    /// The disks of the standbys: the own one is not among them.
    pub standbys: Vec<DiskId>,
    /// How many disks, the own one among them, must have an entry before it is committed.
    pub quorum: usize,
}

/// A live broker, as somebody who may keep a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub disk: DiskId,
    /// Empty: not known, which is a rack like any other.
    pub rack: String,
    /// Bytes of others' WALs that it keeps, or any other measure that all share.
    pub load: u64,
}

/// How it stands with a standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandbyState {
    /// Not attached. `kind` says whether that may change: `Corrupt` and `Closed` do not before somebody does something about it.
    Away { error: String, kind: ErrorKind },
    /// Attached, and behind what is committed.
    Filling { durable: Lsn },
    /// Its fsyncs count.
    Counting { durable: Lsn },
    /// It has no copy any more: [`CopiedWal::finish`] has reached it.
    Forgotten,
}

/// One standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyStatus {
    pub disk: DiskId,
    pub state: StandbyState,
}

/// One generation's WAL, which is written here and copied to its standbys. Dropping it ends that.
#[async_trait]
pub trait CopiedWal: Debug + Send + Sync {
    /// Its sinks are told once enough disks have an entry, in LSN order.
    fn wal(&self) -> &Arc<Wal>;

    /// Everything below is fsynced on enough of the disks, and sinks have been told.
    fn committed(&self) -> Lsn;

    /// How it stands with each.
    fn standbys(&self) -> Vec<StandbyStatus>;

    /// Standbys may give back what lies below: it is in certain slots (R11).
    fn trim(&self, to: Lsn);

    /// All of it is in certain slots, whose footers say so, and nothing more is appended: standbys delete their copies (R11).
    fn finish(&self);

    /// Waits until no standby has a copy any more; for ever, if one never comes back. Cancellation safe.
    async fn forgotten(&self);

    /// Resolves when a disk has refused because this incarnation is sealed there (R10). Cancellation safe.
    async fn fenced(&self) -> DiskId;
}
