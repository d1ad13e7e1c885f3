//! The hook by which a WAL is copied to other disks: told of each group when its local write begins, and when it is done.

use bytes::Bytes;
use floe_types::Lsn;
use std::fmt;

/// A group whose local write begins now: whole entries, from `start` to `end`, in the very memory that is written.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    pub start: Lsn,
    pub end: Lsn,
    pub parts: &'a [Bytes],
}

/// Copies a WAL elsewhere. Called by the WAL's writer: must be quick and must not block. Groups come in LSN order, without a gap.
pub trait Tap: fmt::Debug + Send + Sync {
    /// The copies may begin: the group is not durable here yet, and may never be.
    fn begun(&self, group: Begun<'_>);

    /// Everything below is fsynced on this disk.
    fn durable(&self, upto: Lsn);
}
