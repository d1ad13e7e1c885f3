//! What a store was asked, how long it took and how it failed.
//!
//! One request is one attempt: a call that needed three counts three. Latency is that of an attempt, including failed
//! ones, without the wait for a free place in the concurrency limit.

use crate::{BackendError, Class};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{sync::atomic::AtomicU64, time::Duration};

/// The kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelValue)]
pub enum Op {
    Create,
    Get,
    GetRange,
    GetStart,
    GetTail,
    List,
    ListFolders,
    Delete,
}

impl Op {
    pub const ALL: [Self; 8] =
        [Self::Create, Self::Get, Self::GetRange, Self::GetStart, Self::GetTail, Self::List, Self::ListFolders, Self::Delete];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Failure {
    Exists,
    NotFound,
    Unknown,
    Transient,
    Refused,
    Corrupt,
    Timeout,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpLabels {
    op: Op,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: Class,
    op: Op,
}

/// For whom a place was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    class: Class,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    op: Op,
    kind: Failure,
}

/// Sums over all requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Attempts of any kind, as the store would bill them.
    pub requests: u64,
    /// Attempts that failed in any way but "exists" and "not found", which are answers.
    pub failed: u64,
    /// Bytes of bodies sent, once per attempt.
    pub bytes_written: u64,
    /// Bytes of bodies received.
    pub bytes_read: u64,
}

/// The metrics of one [`crate::Store`]. Clones count into the same counters.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    requests: Family<OpLabels, Counter>,
    by_class: Family<ClassLabels, Counter>,
    waited: Family<WaitLabels, Counter<f64, AtomicU64>>,
    failures: Family<FailureLabels, Counter>,
    seconds: Family<OpLabels, Histogram>,
    bytes_written: Counter,
    bytes_read: Counter,
    unavailable: Counter,
    resolved: Counter,
    hedged: Counter,
}

/// 0.2 ms (a directory) to 13 s (a store in trouble), doubling.
fn latency_histogram() -> Histogram {
    Histogram::new((0..17).map(|power| 0.000_2 * f64::from(1_u32 << power)))
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            by_class: Family::default(),
            waited: Family::default(),
            failures: Family::default(),
            seconds: Family::new_with_constructor(latency_histogram),
            bytes_written: Counter::default(),
            bytes_read: Counter::default(),
            unavailable: Counter::default(),
            resolved: Counter::default(),
            hedged: Counter::default(),
        }
    }
}

impl StoreMetrics {
    /// Registers all of it under `store_...`; the caller's registry gives the prefix of the program.
    pub fn register(&self, registry: &mut Registry) {
        let store = registry.sub_registry_with_prefix("store");
        store.register("requests", "Attempts at requests to the object store", self.requests.clone());
        store.register("class_requests", "The same attempts by whom they were for", self.by_class.clone());
        store.register_with_unit(
            "class_wait",
            "Time that requests waited for a place among those of their class",
            Unit::Seconds,
            self.waited.clone(),
        );
        store.register("request_failures", "Attempts that did not succeed, by what is known of their outcome", self.failures.clone());
        store.register_with_unit("request_duration", "Time of an attempt", Unit::Seconds, self.seconds.clone());
        store.register_with_unit("written", "Bodies sent, once per attempt", Unit::Bytes, self.bytes_written.clone());
        store.register_with_unit("read", "Bodies received", Unit::Bytes, self.bytes_read.clone());
        store.register("unavailable", "Calls given up after all attempts", self.unavailable.clone());
        store.register("hedged", "Reads that were sent a second time because the answer was late", self.hedged.clone());
        store.register("resolved", "Creates whose lost answer was found out by reading what is there", self.resolved.clone());
    }

    /// Attempts of one kind.
    #[must_use]
    pub fn requests(&self, op: Op) -> u64 {
        self.requests.get_or_create(&OpLabels { op }).get()
    }

    /// Attempts of one kind for one class of work.
    #[must_use]
    pub fn requests_of(&self, class: Class, op: Op) -> u64 {
        self.by_class.get_or_create(&ClassLabels { class, op }).get()
    }

    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let failures = |kind| Op::ALL.iter().map(|&op| self.failures.get_or_create(&FailureLabels { op, kind }).get()).sum::<u64>();
        StoreCounts {
            requests: Op::ALL.iter().map(|&op| self.requests(op)).sum(),
            failed: [Failure::Unknown, Failure::Transient, Failure::Refused, Failure::Corrupt, Failure::Timeout].map(failures).iter().sum(),
            bytes_written: self.bytes_written.get(),
            bytes_read: self.bytes_read.get(),
        }
    }

    /// Calls given up after all attempts.
    #[must_use]
    pub fn unavailable(&self) -> u64 {
        self.unavailable.get()
    }

    /// Creates whose lost answer was found out by reading what is there.
    #[must_use]
    pub fn resolved(&self) -> u64 {
        self.resolved.get()
    }

    pub(crate) fn began(&self, class: Class, op: Op, bytes_written: u64) {
        self.requests.get_or_create(&OpLabels { op }).inc();
        self.by_class.get_or_create(&ClassLabels { class, op }).inc();
        self.bytes_written.inc_by(bytes_written);
    }

    pub(crate) fn ended(&self, op: Op, took: Duration, error: Option<&BackendError>, timed_out: bool) {
        self.seconds.get_or_create(&OpLabels { op }).observe(took.as_secs_f64());
        let kind = match error {
            None => return,
            Some(_) if timed_out => Failure::Timeout,
            Some(BackendError::Exists) => Failure::Exists,
            Some(BackendError::NotFound) => Failure::NotFound,
            Some(BackendError::Unknown(_)) => Failure::Unknown,
            Some(BackendError::Transient(_)) => Failure::Transient,
            Some(BackendError::Refused(_)) => Failure::Refused,
            Some(BackendError::Corrupt(_)) => Failure::Corrupt,
        };
        self.failures.get_or_create(&FailureLabels { op, kind }).inc();
    }

    /// Seconds that requests for one class of work have waited for a place, all together.
    #[must_use]
    pub fn seconds_waited(&self, class: Class) -> f64 {
        self.waited.get_or_create(&WaitLabels { class }).get()
    }

    /// So long a request waited before it began, or was given up.
    pub(crate) fn waited(&self, class: Class, time: Duration) {
        if !time.is_zero() {
            self.waited.get_or_create(&WaitLabels { class }).inc_by(time.as_secs_f64());
        }
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.bytes_read.inc_by(bytes);
    }

    pub(crate) fn gave_up(&self) {
        self.unavailable.inc();
    }

    /// Reads that were sent a second time.
    #[must_use]
    pub fn hedges(&self) -> u64 {
        self.hedged.get()
    }

    pub(crate) fn hedged(&self) {
        self.hedged.inc();
    }

    pub(crate) fn resolved_by_reading(&self) {
        self.resolved.inc();
    }
}
