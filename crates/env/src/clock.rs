//! Time: a wall clock for records and display, a monotonic clock for everything else.
//!
//! No safety rests on either (P3). The simulated clock starts at a fixed date and moves with tokio's paused clock.

use floe_types::ErrorKind;
#[cfg(feature = "sim")]
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, Ordering::Relaxed},
};
use std::time::Duration;

/// A wait took longer than it was allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done within {0:?}")]
pub struct Elapsed(pub Duration);

impl Elapsed {
    /// What the caller is to do: the work may be tried again.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Retry
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Clock {
    Real {
        origin: std::time::Instant,
    },
    /// The origin is the first reading, since a clock may be made before its runtime runs.
    #[cfg(feature = "sim")]
    Simulated {
        origin: Arc<OnceLock<tokio::time::Instant>>,
        /// Of one process.
        skew_ms: Arc<AtomicI64>,
    },
}

/// 2026-01-01T00:00:00Z: where every simulated wall clock starts.
#[cfg(feature = "sim")]
const SIMULATED_EPOCH_MS: i64 = 1_767_225_600_000;

#[expect(clippy::disallowed_methods, reason = "this is the door")]
impl Clock {
    pub(crate) fn real() -> Self {
        Self::Real { origin: std::time::Instant::now() }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn simulated() -> Self {
        Self::Simulated { origin: Arc::new(OnceLock::new()), skew_ms: Arc::default() }
    }

    /// Another process's: its wall clock is wrong by so much more.
    #[cfg(feature = "sim")]
    pub(crate) fn skewed(&self, by_ms: i64) -> Self {
        match self {
            Self::Real { .. } => self.clone(),
            Self::Simulated { origin, skew_ms } => {
                let skew_ms = skew_ms.load(Relaxed).saturating_add(by_ms);
                Self::Simulated { origin: Arc::clone(origin), skew_ms: Arc::new(AtomicI64::new(skew_ms)) }
            }
        }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn jump(&self, by_ms: i64) {
        if let Self::Simulated { skew_ms, .. } = self {
            skew_ms.fetch_add(by_ms, Relaxed);
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            Self::Real { .. } => match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
                Ok(since) => saturating_ms(since),
                Err(before) => -saturating_ms(before.duration()),
            },
            #[cfg(feature = "sim")]
            Self::Simulated { skew_ms, .. } => {
                SIMULATED_EPOCH_MS.saturating_add(saturating_ms(self.monotonic())).saturating_add(skew_ms.load(Relaxed))
            }
        }
    }

    pub(crate) fn monotonic(&self) -> Duration {
        match self {
            Self::Real { origin } => origin.elapsed(),
            #[cfg(feature = "sim")]
            Self::Simulated { origin, .. } => {
                let now = tokio::time::Instant::now();
                now.saturating_duration_since(*origin.get_or_init(|| now))
            }
        }
    }
}

fn saturating_ms(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
