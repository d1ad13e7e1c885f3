//! How fast the store has answered of late: what read-ahead and hedging are sized by.
//!
//! Reads of ranges are measured from the request to their last byte. A straight line through them, older ones weighing less,
//! gives the time to the first byte and the bandwidth of one connection; the newest of each size class give the
//! time after which an answer is late.

use parking_lot::Mutex;
use std::time::Duration;

/// Before anything is measured: a store in the same region.
const FIRST_BYTE: f64 = 0.05;
const BYTES_PER_SECOND: f64 = 80e6;
/// Weight of a measurement when the next one comes.
const DECAY: f64 = 0.97;
/// Measurements of a size class that are kept, and how many must be there before they say anything.
const KEPT: usize = 128;
const ENOUGH: usize = 32;
/// An answer is late when so many of a hundred came sooner.
const LATE_PERCENTILE: usize = 95;
/// At most one request in so many is sent twice.
const HEDGED_OF: u32 = 20;

/// Shared by all clones of a store.
#[derive(Debug, Default)]
pub struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    line: Line,
    classes: [Class; 5],
    /// Twentieths of a request that may be sent twice.
    allowance: u32,
}

/// Sums for the least squares.
#[derive(Debug, Default)]
struct Line {
    weight: f64,
    bytes: f64,
    seconds: f64,
    bytes_squared: f64,
    bytes_by_seconds: f64,
}

/// The newest durations of one size class, in a ring.
#[derive(Debug, Default)]
struct Class {
    durations: Vec<Duration>,
    next: usize,
}

impl Pace {
    /// A read of `bytes` that took so long, all of it.
    pub(crate) fn measured(&self, bytes: u64, took: Duration) {
        let mut state = self.0.lock();
        state.line.add(bytes as f64, took.as_secs_f64());
        state.class(bytes).add(took);
        state.allowance = (state.allowance + 1).min(4 * HEDGED_OF);
    }

    /// How long one read of so many bytes takes, as measured.
    #[must_use]
    pub fn fetch_time(&self, bytes: u64) -> Duration {
        let (first_byte, bytes_per_second) = self.0.lock().line.fit();
        Duration::from_secs_f64(first_byte + bytes as f64 / bytes_per_second)
    }

    /// When an answer to a read of so many bytes is late; None while too little is known.
    #[must_use]
    pub fn late_after(&self, bytes: u64) -> Option<Duration> {
        self.0.lock().class(bytes).percentile()
    }

    /// Whether one more request may be sent twice; it counts as sent.
    pub(crate) fn may_hedge(&self) -> bool {
        let mut state = self.0.lock();
        let may = state.allowance >= HEDGED_OF;
        if may {
            state.allowance -= HEDGED_OF;
        }
        may
    }
}

impl State {
    /// Up to 64 KiB, 512 KiB, 2 MiB, 6 MiB, more.
    fn class(&mut self, bytes: u64) -> &mut Class {
        let [a, b, c, d, e] = &mut self.classes;
        match bytes >> 10 {
            0..=64 => a,
            65..=512 => b,
            513..=2048 => c,
            2049..=6144 => d,
            _ => e,
        }
    }
}

impl Line {
    fn add(&mut self, bytes: f64, seconds: f64) {
        for sum in [&mut self.weight, &mut self.bytes, &mut self.seconds, &mut self.bytes_squared, &mut self.bytes_by_seconds] {
            *sum *= DECAY;
        }
        self.weight += 1.0;
        self.bytes += bytes;
        self.seconds += seconds;
        self.bytes_squared += bytes * bytes;
        self.bytes_by_seconds += bytes * seconds;
    }

    /// (seconds to the first byte, bytes a second).
    fn fit(&self) -> (f64, f64) {
        if self.weight < 1.0 {
            return (FIRST_BYTE, BYTES_PER_SECOND);
        }
        let (mean_bytes, mean_seconds) = (self.bytes / self.weight, self.seconds / self.weight);
        let spread = self.bytes_squared / self.weight - mean_bytes * mean_bytes;
        let slope = (self.bytes_by_seconds / self.weight - mean_bytes * mean_seconds) / spread;
        // All of one size, or noise: the assumed bandwidth, and what is left is the time to the first byte.
        let slope = if slope.is_finite() && slope > 1e-11 && spread > 1e6 { slope.min(1e-5) } else { 1.0 / BYTES_PER_SECOND };
        ((mean_seconds - slope * mean_bytes).clamp(0.0, 10.0), 1.0 / slope)
    }
}

impl Class {
    fn add(&mut self, took: Duration) {
        match self.durations.get_mut(self.next) {
            Some(oldest) => *oldest = took,
            None => self.durations.push(took),
        }
        self.next = (self.next + 1) % KEPT;
    }

    fn percentile(&self) -> Option<Duration> {
        if self.durations.len() < ENOUGH {
            return None;
        }
        let mut sorted = self.durations.clone();
        let at = (sorted.len() * LATE_PERCENTILE / 100).min(sorted.len() - 1);
        let (_, late, _) = sorted.select_nth_unstable(at);
        Some(*late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Duration, wanted_ms: u64) -> bool {
        found.abs_diff(Duration::from_millis(wanted_ms)) < Duration::from_millis(2)
    }

    #[test]
    fn latency_and_bandwidth_are_found_from_reads_of_different_sizes() {
        let pace = Pace::default();
        assert!(near(pace.fetch_time(8_000_000), 150), "what is assumed before anything is known");
        for n in 0..200_u64 {
            let bytes = 100_000 + n % 7 * 1_000_000;
            pace.measured(bytes, Duration::from_secs_f64(0.03 + bytes as f64 / 40e6));
        }
        assert!(near(pace.fetch_time(0), 30) && near(pace.fetch_time(4_000_000), 130), "{:?}", pace.fetch_time(4_000_000));
        // The store slows down, and that is noticed.
        for n in 0..200_u64 {
            let bytes = 100_000 + n % 7 * 1_000_000;
            pace.measured(bytes, Duration::from_secs_f64(0.09 + bytes as f64 / 20e6));
        }
        assert!(near(pace.fetch_time(4_000_000), 290), "{:?}", pace.fetch_time(4_000_000));
    }

    #[test]
    fn reads_of_one_size_alone_give_no_nonsense() {
        let pace = Pace::default();
        (0..100).for_each(|_| pace.measured(1_000_000, Duration::from_millis(40)));
        assert!(near(pace.fetch_time(1_000_000), 40));
        assert!(pace.fetch_time(10_000_000) < Duration::from_secs(1));
    }

    #[test]
    fn an_answer_is_late_by_the_newest_of_its_size() {
        let pace = Pace::default();
        for n in 0..100 {
            assert_eq!(pace.late_after(1000).is_some(), n >= ENOUGH);
            pace.measured(1000, Duration::from_millis(n as u64));
        }
        assert_eq!(pace.late_after(1000), Some(Duration::from_millis(95)));
        assert_eq!(pace.late_after(8 << 20), None, "of that size nothing is known");
        (0..KEPT).for_each(|_| pace.measured(1000, Duration::from_millis(3)));
        assert_eq!(pace.late_after(1000), Some(Duration::from_millis(3)));
    }

    #[test]
    fn one_request_in_twenty_is_sent_twice_at_most() {
        let pace = Pace::default();
        let mut hedged = 0;
        for _ in 0..1000 {
            pace.measured(1000, Duration::from_millis(1));
            hedged += u32::from(pace.may_hedge());
        }
        assert_eq!(hedged, 1000 / HEDGED_OF);
    }
}
