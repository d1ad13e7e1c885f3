//! One member of a group.

use crate::shard::Waiter;
use crate::{Join, Name};
use bytes::Bytes;
use std::time::Duration;

/// A member that has joined, or was read from the log.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: Name,
    pub(crate) instance: Option<Name>,
    pub(crate) client_id: Name,
    pub(crate) client_host: Name,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// By preference, with the member's metadata for each.
    pub(crate) protocols: Vec<(Name, Bytes)>,
    /// Empty until the leader has said.
    pub(crate) assignment: Bytes,
    pub(crate) awaiting_join: Option<Waiter>,
    pub(crate) awaiting_sync: Option<Waiter>,
    /// It does not know its id yet, because its first join has not been answered: it cannot send heartbeats.
    pub(crate) is_new: bool,
    /// When its session ends, unless it is heard of.
    pub(crate) session_ends: Duration,
    /// Where the timers have it; it may be sooner than `session_ends`, never later.
    pub(crate) armed: Option<Duration>,
}

impl Member {
    pub(crate) fn new(id: Name, join: &Join) -> Self {
        Self {
            id,
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: owned(&join.protocols),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session_ends: Duration::ZERO,
            armed: None,
        }
    }

    pub(crate) fn session(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// Its metadata for a protocol.
    pub(crate) fn metadata(&self, protocol: Option<&Name>) -> Bytes {
        self.protocols.iter().find(|(name, _)| Some(name) == protocol).map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

/// Copies, so that a member's bytes do not keep the whole request in memory.
pub(crate) fn owned(protocols: &[(Name, Bytes)]) -> Vec<(Name, Bytes)> {
    protocols.iter().map(|(name, metadata)| (name.clone(), Bytes::copy_from_slice(metadata))).collect()
}

/// A time that a client gave; negative counts as none.
pub(crate) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
