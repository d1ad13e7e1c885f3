//! Bounds of a [`super::Cluster`].

use std::time::Duration;

/// How long calls take at most, and how patient watches and leases are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// What all keys begin with.
    pub prefix: String,
    /// A broker whose lease was not renewed for so long is not listed as alive. No safety rests on it.
    pub lease_ttl: Duration,
    /// One attempt of a call.
    pub attempt_timeout: Duration,
    /// A call, with all attempts and pauses.
    pub deadline: Duration,
    /// The pause before the second attempt is up to this long, and doubles from there (full jitter).
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// A watch that gave nothing for so long is checked by a read.
    pub watch_check: Duration,
    /// Keys in one answer of a listing.
    pub page: usize,
    /// Partitions in one transaction.
    pub batch: usize,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            prefix: "/floe".to_owned(),
            lease_ttl: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(1),
            watch_check: Duration::from_secs(10),
            page: 1000,
            batch: 120,
        }
    }
}

/// An answer that tells no revision.
pub(crate) const NO_REVISION: super::Revision = 0;
/// Others' changes that may come first before a call gives up; each was somebody's progress.
pub(crate) const MAX_RACES: u32 = 64;
/// Conditions besides the partitions' own in one transaction: two incarnations' states, the mark.
pub(crate) const CONDITIONS: usize = 4;
