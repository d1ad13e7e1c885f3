//! Blocks in memory, in two parts: what was fetched ahead of a reader and not used yet, and what was used.
//!
//! A reader who goes through history once uses every block once: kept by last use alone, what he has read would push out
//! what is fetched for him. So what was used gives way first, and what is ahead may take up to three quarters of the
//! budget; there the oldest gives way, which is what a reader who has gone left behind.

use crate::lru::Lru;
use parking_lot::Mutex;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Blocks within a byte budget. `K` names something immutable.
pub struct Blocks<K, V> {
    parts: Mutex<Parts<K, V>>,
    budget: u64,
    weigh: fn(&V) -> u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Parts<K, V> {
    ahead: Lru<K, V>,
    used: Lru<K, V>,
}

/// Counters since the start, and what is held now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockStats {
    pub hits: u64,
    pub misses: u64,
    /// Of both parts.
    pub bytes: u64,
    pub ahead_bytes: u64,
}

impl<K, V> fmt::Debug for Blocks<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Blocks<K, V> {
    /// Empty, for at most `budget` bytes, as `weigh` counts them.
    #[must_use]
    pub fn new(budget: u64, weigh: fn(&V) -> u64) -> Self {
        let parts = Parts { ahead: Lru::new(ahead_of(budget)), used: Lru::new(budget) };
        Self { parts: Mutex::new(parts), budget, weigh, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What may be held ahead of readers, in bytes.
    #[must_use]
    pub fn ahead_budget(&self) -> u64 {
        ahead_of(self.budget)
    }

    /// The block, if it is here; it counts as used from now on.
    pub fn get(&self, key: &K) -> Option<V> {
        let found = self.look(key);
        if found.is_some() { &self.hits } else { &self.misses }.fetch_add(1, Relaxed);
        found
    }

    fn look(&self, key: &K) -> Option<V> {
        let mut parts = self.parts.lock();
        if let Some((value, weight)) = parts.ahead.remove(key) {
            parts.used_gives_way(self.budget);
            parts.used.insert(key.clone(), value.clone(), weight);
            return Some(value);
        }
        parts.used.get(key)
    }

    /// A block that somebody has waited for counts as used.
    pub fn touch(&self, key: &K) {
        self.look(key);
    }

    /// Whether it is here; nothing changes by that.
    pub fn contains(&self, key: &K) -> bool {
        let parts = self.parts.lock();
        parts.ahead.contains(key) || parts.used.contains(key)
    }

    /// Keeps a block that somebody waits for.
    pub fn put(&self, key: K, value: V) {
        let weight = (self.weigh)(&value);
        let mut parts = self.parts.lock();
        parts.ahead.remove(&key);
        parts.used_gives_way(self.budget);
        parts.used.insert(key, value, weight);
    }

    /// Keeps a block that was fetched ahead.
    pub fn put_ahead(&self, key: K, value: V) {
        let weight = (self.weigh)(&value);
        let mut parts = self.parts.lock();
        if parts.used.contains(&key) {
            return;
        }
        parts.ahead.insert(key, value, weight);
        parts.used_gives_way(self.budget);
    }

    /// Counters for metrics.
    pub fn stats(&self) -> BlockStats {
        let parts = self.parts.lock();
        let (ahead, used) = (parts.ahead.used(), parts.used.used());
        BlockStats { hits: self.hits.load(Relaxed), misses: self.misses.load(Relaxed), bytes: ahead + used, ahead_bytes: ahead }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Parts<K, V> {
    fn used_gives_way(&mut self, budget: u64) {
        self.used.set_budget(budget.saturating_sub(self.ahead.used()));
    }
}

fn ahead_of(budget: u64) -> u64 {
    budget / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ahead_is_not_pushed_out_by_what_was_read() {
        let blocks: Blocks<u32, u32> = Blocks::new(100, |_| 10);
        (0..5).for_each(|n| blocks.put_ahead(n, n));
        (100..200).for_each(|n| blocks.put(n, n));
        assert_eq!((0..5).filter(|n| blocks.contains(n)).count(), 5);
        assert_eq!(blocks.stats().bytes, 100);
        assert_eq!(blocks.get(&3), Some(3));
        (200..300).for_each(|n| blocks.put(n, n));
        assert_eq!(blocks.get(&3), None, "it was used, and gives way like others");
        assert!(blocks.stats().bytes <= 100);
    }

    #[test]
    fn what_a_reader_who_has_gone_left_ahead_gives_way_to_what_is_newer() {
        let blocks: Blocks<u32, u32> = Blocks::new(100, |_| 10);
        (0..20).for_each(|n| blocks.put_ahead(n, n));
        assert_eq!(blocks.stats().ahead_bytes, 70, "three quarters of the budget, in whole blocks");
        assert!(!blocks.contains(&0) && blocks.contains(&19));
    }

    #[test]
    fn a_budget_of_nothing_keeps_nothing() {
        let blocks: Blocks<u32, u32> = Blocks::new(0, |_| 10);
        blocks.put(1, 1);
        blocks.put_ahead(2, 2);
        assert_eq!((blocks.get(&1), blocks.get(&2), blocks.stats().bytes), (None, None, 0));
    }
}
