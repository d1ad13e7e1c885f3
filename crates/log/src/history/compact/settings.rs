//! What a topic's settings say of compaction. The defaults are Kafka's.

use crate::history::retention::CLEANUP_POLICY;
use floe_formats::Topic;
use std::str::FromStr;

/// The topic setting for how long a tombstone stays once compaction has met it, in milliseconds.
pub const DELETE_RETENTION_MS: &str = "delete.retention.ms";
/// The topic setting for the part of the log that has to be uncompacted before compaction begins.
pub const MIN_CLEANABLE_RATIO: &str = "min.cleanable.dirty.ratio";
/// The topic setting for the age below which records are not compacted, in milliseconds.
pub const MIN_COMPACTION_LAG_MS: &str = "min.compaction.lag.ms";
/// The topic setting for the age beyond which records do not stay uncompacted, in milliseconds.
pub const MAX_COMPACTION_LAG_MS: &str = "max.compaction.lag.ms";

const A_DAY_MS: i64 = 86_400_000;
const HALF: f64 = 0.5;

/// How a topic is compacted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compaction {
    pub(crate) delete_retention_ms: i64,
    pub(crate) ratio: f64,
    pub(crate) min_lag_ms: i64,
    pub(crate) max_lag_ms: i64,
}

impl Compaction {
    /// None: the topic is not compacted. A setting that cannot be read counts as the default.
    pub(crate) fn of(topic: &Topic) -> Option<Self> {
        fn value<T: FromStr>(topic: &Topic, name: &str) -> Option<T> {
            topic.configs.get(name).and_then(|text| text.trim().parse().ok())
        }
        is_compacted(topic.configs.get(CLEANUP_POLICY).map(String::as_str)).then(|| Self {
            delete_retention_ms: value(topic, DELETE_RETENTION_MS).unwrap_or(A_DAY_MS),
            ratio: value(topic, MIN_CLEANABLE_RATIO).unwrap_or(HALF),
            min_lag_ms: value(topic, MIN_COMPACTION_LAG_MS).unwrap_or(0),
            max_lag_ms: value(topic, MAX_COMPACTION_LAG_MS).unwrap_or(i64::MAX),
        })
    }
}

/// Whether a `cleanup.policy` says that the newest record of each key is kept.
#[must_use]
pub fn is_compacted(policy: Option<&str>) -> bool {
    policy.is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact"))
}
