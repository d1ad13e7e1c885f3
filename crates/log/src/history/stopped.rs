//! Work on a partition that stopped because what it would be built on is damaged.
//!
//! Nothing is published, and nothing deleted, on the word of what cannot be read. It is logged once, counted for as long as it
//! lasts, and taken up again when the log starts behind the damage, or after a while, in case the object was brought back.
//! Other partitions go on.

use crate::Damage;
use floe_types::{Offset, PartitionId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Until it is looked at again: each look may read as much as one merge.
const AGAIN: Duration = Duration::from_secs(600);

/// What stops, each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Settling,
    Merging,
    Compaction,
    Retention,
    Deleting,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settling => "settling",
            Self::Merging => "merging within the chain",
            Self::Compaction => "compaction",
            Self::Retention => "retention",
            Self::Deleting => "deletion of what lies below the log start",
        })
    }
}

#[derive(Debug)]
struct Stop {
    damage: Damage,
    /// When it is tried again, on the monotonic clock.
    again: Duration,
}

/// All that has stopped. One entry at most for each partition led here and each kind of work.
#[derive(Debug, Default)]
pub(crate) struct Stopped(Mutex<BTreeMap<(PartitionId, Work), Stop>>);

impl Stopped {
    /// Stops work on the partition whose damage this is.
    pub(crate) fn stop(&self, work: Work, damage: Damage, now: Duration) {
        let (partition, text) = (damage.partition, damage.to_string());
        let known = |before: &Stop| before.damage == damage;
        let mut stopped = self.0.lock();
        if !stopped.get(&(partition, work)).is_some_and(known) {
            tracing::error!(%partition, %work, damage = text, "stopped for this partition: what it would be built on is damaged");
        }
        stopped.insert((partition, work), Stop { damage, again: now.saturating_add(AGAIN) });
    }

    /// Whether it waits. What lies below the log start is needed no more, damaged or not.
    pub(crate) fn waits(&self, work: Work, partition: PartitionId, log_start: Offset, now: Duration) -> bool {
        let mut stopped = self.0.lock();
        let Some(stop) = stopped.get(&(partition, work)) else { return false };
        if log_start >= stop.damage.end && stop.damage.start < stop.damage.end {
            stopped.remove(&(partition, work));
            return false;
        }
        now < stop.again
    }

    /// Whether it has stopped, and did not go through since.
    pub(crate) fn is_stopped(&self, work: Work, partition: PartitionId) -> bool {
        self.0.lock().contains_key(&(partition, work))
    }

    /// It went through.
    pub(crate) fn over(&self, work: Work, partition: PartitionId) {
        if self.0.lock().remove(&(partition, work)).is_some() {
            tracing::info!(%partition, %work, "goes on for this partition");
        }
    }

    /// How much is stopped, and of the first `most`, what and why. What is not led here any more, its topic deleted, is forgotten.
    pub(crate) fn list(&self, most: usize, is_led: impl Fn(PartitionId) -> bool) -> (usize, Vec<String>) {
        let mut stopped = self.0.lock();
        stopped.retain(|(partition, _), _| is_led(*partition));
        let told = stopped.iter().take(most).map(|((_, work), stop)| format!("{work}: {}", stop.damage)).collect();
        (stopped.len(), told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_types::TopicId;

    fn damage(start: Offset, end: Offset) -> Damage {
        let partition = PartitionId { topic: TopicId(1), index: 0 };
        Damage { partition, start, end, key: "k".into(), what: "bits have flipped".into(), missing: false }
    }

    #[test]
    fn it_waits_until_it_is_time_or_the_log_starts_behind_the_damage() {
        let (stopped, now) = (Stopped::default(), Duration::from_secs(5));
        let id = damage(0, 0).partition;
        let waits = |log_start, now| stopped.waits(Work::Settling, id, log_start, now);
        assert!(!waits(0, now));
        stopped.stop(Work::Settling, damage(10, 20), now);
        assert!(waits(0, now) && waits(19, now) && !stopped.waits(Work::Compaction, id, 0, now));
        assert!(!waits(0, now + AGAIN), "it is tried again");
        let count = || stopped.list(9, |_| true).0;
        assert_eq!(count(), 1, "and counts until it went through");
        stopped.stop(Work::Settling, damage(10, 20), now + AGAIN);
        assert!(waits(0, now + AGAIN));
        assert!(!waits(20, now + AGAIN));
        assert_eq!(count(), 0);
        stopped.stop(Work::Merging, damage(10, 20), now);
        stopped.over(Work::Merging, id);
        assert_eq!(count(), 0);
        stopped.stop(Work::Merging, damage(10, 20), now);
        assert_eq!(stopped.list(9, |_| false), (0, Vec::new()), "its topic was deleted");
        assert_eq!(count(), 0);
    }
}
