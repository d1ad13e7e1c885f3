//! What a load measures: counts, and how long batches or records took.

use crate::exit::Failure;
use floe_env::Env;
use hdrhistogram::Histogram;
use indicatif::HumanCount;
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest time that is told apart, in microseconds.
const LONGEST: u64 = 600_000_000;
const MEBIBYTE: f64 = 1_048_576.0;

/// Of one producer or consumer, or of many added up.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) records: u64,
    /// Of values, uncompressed.
    pub(super) bytes: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    /// From the beginning of the load to the last record.
    pub(super) took: Duration,
    /// In microseconds.
    times: Histogram<u64>,
}

impl Default for Figures {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds and digits are those that it takes");
        Self { records: 0, bytes: 0, errors: 0, first_error: None, took: Duration::ZERO, times }
    }
}

impl Figures {
    pub(super) const HEADINGS: &[&str] = &["", "records", "records/s", "MiB/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms"];
    const PERCENTILES: [(&str, f64); 5] = [("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("p999_ms", 0.999), ("max_ms", 1.0)];

    /// `count` records took so long, all of them.
    pub(super) fn time(&mut self, took: Duration, count: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        self.times.saturating_record_n(micros, count);
    }

    pub(super) fn error(&mut self, error: &Failure) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
        self.took = self.took.max(other.took);
        self.times.add(&other.times).expect("all have the same bounds");
    }

    fn rates(&self) -> (f64, f64) {
        let seconds = self.took.as_secs_f64().max(0.001);
        (self.records as f64 / seconds, self.bytes as f64 / MEBIBYTE / seconds)
    }

    fn percentile(&self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64 / 1_000.0
    }

    pub(super) fn row(&self, name: &str) -> Vec<String> {
        let (records, bytes) = self.rates();
        let times = Self::PERCENTILES.iter().map(|(_, quantile)| format!("{:.1}", self.percentile(*quantile)));
        [name.to_owned(), self.records.to_string(), format!("{records:.0}"), format!("{bytes:.1}")].into_iter().chain(times).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        let (records, bytes) = self.rates();
        let mut out = json!({
            "records": self.records, "bytes": self.bytes, "seconds": self.took.as_secs_f64(), "errors": self.errors,
            "records_per_second": records, "mebibytes_per_second": bytes,
        });
        for (name, quantile) in Self::PERCENTILES {
            out[name] = self.percentile(quantile).into();
        }
        out
    }
}

/// Counts of all while the load runs, for whoever watches.
#[derive(Debug, Default)]
pub(super) struct Live {
    produced: AtomicU64,
    consumed: AtomicU64,
}

impl Live {
    pub(super) fn produced(&self, records: u64) {
        self.produced.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn consumed(&self, records: u64) {
        self.consumed.fetch_add(records, Ordering::Relaxed);
    }

    /// A line on stderr every second, until it is aborted.
    pub(super) async fn show(&self, env: &Env) {
        let (mut second, mut before) = (0, (0, 0));
        loop {
            env.sleep(Duration::from_secs(1)).await;
            second += 1;
            let now = (self.produced.load(Ordering::Relaxed), self.consumed.load(Ordering::Relaxed));
            let (produced, consumed) = (HumanCount(now.0 - before.0), HumanCount(now.1 - before.1));
            before = now;
            // Whoever has closed stderr does not want to know.
            drop(writeln!(std::io::stderr(), "{second:4} s  {produced} records/s produced, {consumed} consumed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up_and_keep_the_first_error() {
        let mut one = Figures { records: 3, bytes: 3 << 20, took: Duration::from_secs(2), ..Figures::default() };
        one.time(Duration::from_millis(1), 2);
        one.time(Duration::from_millis(50), 1);
        let mut other = Figures { records: 1, bytes: 1 << 20, took: Duration::from_secs(1), ..Figures::default() };
        other.time(Duration::from_secs(2), 1);
        other.error(&Failure::error("first"));
        other.error(&Failure::error("second"));
        one.add(&other);
        let json = one.to_json();
        assert_eq!((json["records"].as_u64(), json["errors"].as_u64(), one.first_error.as_deref()), (Some(4), Some(2), Some("first")));
        assert_eq!((json["records_per_second"].as_f64(), json["mebibytes_per_second"].as_f64()), (Some(2.0), Some(2.0)));
        let near = |name: &str, value: f64| assert!((json[name].as_f64().unwrap() - value).abs() < value / 100.0, "{name}: {json}");
        near("p50_ms", 1.0);
        near("max_ms", 2_000.0);
        assert_eq!(one.row("x").len(), Figures::HEADINGS.len());
    }

    #[test]
    fn nothing_measured_is_nothing_and_not_a_fault() {
        assert_eq!(Figures::default().to_json()["records_per_second"], 0.0);
    }
}
