//! The cache itself: look up, or fetch once for all who ask meanwhile.

use crate::lru::Lru;
use floe_env::hash::HashMap;
use parking_lot::Mutex;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one fetch shares with those who wait for it. The lock is held by whoever fetches.
type Flight = Arc<tokio::sync::Mutex<()>>;

/// A single-flight cache with a byte budget. `K` names something immutable.
pub struct Cache<K, V> {
    kept: Mutex<Lru<K, V>>,
    flights: Mutex<HashMap<K, Flight>>,
    weigh: fn(&V) -> u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Counters since the start, and what is held now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    pub hits: u64,
    pub misses: u64,
    pub bytes: u64,
    pub entries: usize,
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// An empty cache of at most `budget` bytes, as `weigh` counts them.
    #[must_use]
    pub fn new(budget: u64, weigh: fn(&V) -> u64) -> Self {
        Self {
            kept: Mutex::new(Lru::new(budget)),
            flights: Mutex::new(HashMap::default()),
            weigh,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The value if it is here.
    pub fn get(&self, key: &K) -> Option<V> {
        self.kept.lock().get(key)
    }

    /// The value, fetched by one of those who ask for it at the same time. Cancelling the one that fetches lets the
    /// next in line fetch; a failed fetch fails its own caller, and the next one tries again.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub async fn get_or_fetch<E>(&self, key: &K, fetch: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        if let Some(value) = self.get(key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        let flight = self.flights.lock().entry(key.clone()).or_default().clone();
        let _landing = Landing { cache: self, key, flight: &flight };
        let _leading = flight.lock().await;
        if let Some(value) = self.get(key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.fetch(key, fetch).await
    }

    /// As [`Cache::get_or_fetch`], without waiting for others who fetch the same: for those who must not be held up by what
    /// holds the others up.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub async fn get_or_fetch_apart<E>(&self, key: &K, fetch: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        if let Some(value) = self.get(key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.fetch(key, fetch).await
    }

    async fn fetch<E>(&self, key: &K, fetch: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let value = fetch.await?;
        self.kept.lock().insert(key.clone(), value.clone(), (self.weigh)(&value));
        Ok(value)
    }

    /// Counters for metrics.
    pub fn stats(&self) -> CacheStats {
        let kept = self.kept.lock();
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: kept.used(),
            entries: kept.len(),
        }
    }
}

/// One caller's interest in a flight: the last to leave, however it leaves, takes the flight off the board.
struct Landing<'a, K: Eq + Hash, V> {
    cache: &'a Cache<K, V>,
    key: &'a K,
    flight: &'a Flight,
}

impl<K: Eq + Hash, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.lock();
        // Held by the map, and by this caller: nobody else waits.
        if Arc::strong_count(self.flight) <= 2 {
            flights.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn cache() -> Cache<u32, u64> {
        Cache::new(100, |_| 10)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_readers_cause_one_fetch() {
        let (cache, fetches) = (cache(), AtomicUsize::new(0));
        let fetch = || async {
            fetches.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<u64, ()>(7)
        };
        let mut readers = Vec::new();
        for _ in 0..100 {
            readers.push(Box::pin(cache.get_or_fetch(&1, fetch())));
        }
        for reader in readers {
            assert_eq!(reader.await, Ok(7));
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
        assert!(cache.flights.lock().is_empty(), "no flight is left behind");
    }

    #[tokio::test]
    async fn a_failed_fetch_is_not_kept_and_the_next_one_tries_again() {
        let cache = cache();
        assert_eq!(cache.get_or_fetch(&1, async { Err::<u64, &str>("store is down") }).await, Err("store is down"));
        assert_eq!(cache.get_or_fetch(&1, async { Ok::<u64, &str>(7) }).await, Ok(7));
    }

    #[tokio::test]
    async fn a_cancelled_fetch_lets_the_next_reader_fetch() {
        let cache = cache();
        {
            let mut first = Box::pin(cache.get_or_fetch(&1, std::future::pending::<Result<u64, ()>>()));
            assert!(futures_poll_once(first.as_mut()).await);
        }
        assert_eq!(cache.get_or_fetch(&1, async { Ok::<u64, ()>(7) }).await, Ok(7));
    }

    #[tokio::test]
    async fn who_fetches_apart_waits_for_nobody() {
        let cache = cache();
        let mut stuck = Box::pin(cache.get_or_fetch(&1, std::future::pending::<Result<u64, ()>>()));
        assert!(futures_poll_once(stuck.as_mut()).await);
        assert_eq!(cache.get_or_fetch_apart(&1, async { Ok::<u64, ()>(7) }).await, Ok(7));
        assert_eq!(cache.get_or_fetch_apart(&1, async { Err::<u64, ()>(()) }).await, Ok(7), "and it is kept");
    }

    /// Polls a future once; true if it is still pending.
    async fn futures_poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }
}
