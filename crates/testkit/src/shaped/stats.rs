//! What a shaped store was asked, and what a cloud would ask for it.

use crate::store_faults::{StoreOp, price_nanodollars};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsSnapshot {
    pub requests: BTreeMap<StoreOp, u64>,
    /// Requests that met a fault on demand or an outage.
    pub faults: u64,
    /// Bodies of writes that came in whole.
    pub bytes_in: u64,
    /// Bodies of reads and listings that were to go out.
    pub bytes_out: u64,
    /// Of the requests, at the list prices of S3 Standard.
    pub cost_dollars: f64,
}

/// The counters.
#[derive(Debug, Default)]
pub struct Stats(Mutex<StatsSnapshot>);

impl Stats {
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let stats = self.0.lock().clone();
        let nanodollars: u64 = stats.requests.iter().map(|(op, n)| n * price_nanodollars(*op)).sum();
        StatsSnapshot { cost_dollars: nanodollars as f64 / 1e9, ..stats }
    }

    pub fn reset(&self) {
        *self.0.lock() = StatsSnapshot::default();
    }

    pub(crate) fn request(&self, op: StoreOp) {
        *self.0.lock().requests.entry(op).or_default() += 1;
    }

    pub(crate) fn fault(&self) {
        self.0.lock().faults += 1;
    }

    pub(crate) fn bytes_in(&self, bytes: u64) {
        self.0.lock().bytes_in += bytes;
    }

    pub(crate) fn bytes_out(&self, bytes: u64) {
        self.0.lock().bytes_out += bytes;
    }
}
