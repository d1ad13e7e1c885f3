//! What goes wrong, how often, and how long things take.

use crate::Env;
use std::time::Duration;

/// The usual most that each kind of call takes; one in 64 takes up to sixteen times as long. Whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    pub read: Duration,
    pub write: Duration,
    pub sync: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self { read: Duration::from_millis(1), write: Duration::from_millis(1), sync: Duration::from_millis(4) }
    }
}

pub(super) fn draw(env: &Env, most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX / 32);
    let most = if env.random_below(64) == 0 { most.saturating_mul(16) } else { most };
    Duration::from_millis(env.random_below(most.saturating_add(1)))
}

/// Whether syncs hang, until when on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hang {
    No,
    Until(Duration),
    Forever,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) reads: Plan,
    pub(super) writes: Plan,
    pub(super) syncs: Plan,
}

/// So many calls to come fail, of those under a prefix.
#[derive(Debug, Default)]
pub(super) struct Plan {
    prefix: String,
    left: u32,
}

impl Plan {
    pub(super) fn set(&mut self, prefix: &str, count: u32) {
        *self = Self { prefix: prefix.to_string(), left: count };
    }

    pub(super) fn strikes(&mut self, path: &str) -> bool {
        let strikes = self.left > 0 && path.starts_with(&self.prefix);
        self.left -= u32::from(strikes);
        strikes
    }
}
