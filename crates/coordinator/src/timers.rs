//! What is due when. The queue is told of every deadline once; whoever moves a deadline later leaves its entry where it is
//! and enters it anew when it comes up, so that a heartbeat costs nothing here.

use crate::Name;
use std::collections::BTreeSet;
use std::time::Duration;

/// What happens at a deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A member has been silent for its session, or a new member's first join has taken too long.
    Session { group: Name, member: Name },
    /// Members without an id that they were told to come back with (KIP-394) are given up.
    Pending { group: Name, member: Name },
    /// Whoever has not joined by now is not waited for.
    Join { group: Name },
    /// Whoever has not asked for its assignment by now is removed.
    Sync { group: Name },
}

/// Deadlines on the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Duration, timer: Timer) {
        self.queue.insert((at, timer));
    }

    pub(crate) fn remove(&mut self, at: Duration, timer: Timer) {
        self.queue.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first().map(|(_, timer)| timer)
    }
}
