//! Least recently used order with weights: a map and a queue of ticks. Stale queue entries are skipped when met and
//! bounded by compaction, so that a hit costs one push.

use floe_env::hash::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    tick: u64,
}

#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    queue: VecDeque<(u64, K)>,
    tick: u64,
    used: u64,
    budget: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Lru<K, V> {
    pub(crate) fn new(budget: u64) -> Self {
        Self { entries: HashMap::default(), queue: VecDeque::new(), tick: 0, used: 0, budget }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.tick += 1;
        let entry = self.entries.get_mut(key)?;
        entry.tick = self.tick;
        let value = entry.value.clone();
        self.queue.push_back((self.tick, key.clone()));
        if self.queue.len() > 64 + 4 * self.entries.len() {
            self.compact();
        }
        Some(value)
    }

    /// Puts a value in and evicts the least recently used until the budget holds. A value heavier than the budget is
    /// not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: u64) {
        if weight > self.budget {
            return;
        }
        self.tick += 1;
        self.queue.push_back((self.tick, key.clone()));
        if let Some(old) = self.entries.insert(key, Entry { value, weight, tick: self.tick }) {
            self.used -= old.weight;
        }
        self.used += weight;
        while self.used > self.budget && self.evict_one() {}
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Takes a value out; its place in the order is skipped when it comes up.
    pub(crate) fn remove(&mut self, key: &K) -> Option<(V, u64)> {
        let entry = self.entries.remove(key)?;
        self.used -= entry.weight;
        if self.queue.len() > 64 + 4 * self.entries.len() {
            self.compact();
        }
        Some((entry.value, entry.weight))
    }

    /// From now on at most so much is kept.
    pub(crate) fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
        while self.used > self.budget && self.evict_one() {}
    }

    fn evict_one(&mut self) -> bool {
        while let Some((tick, key)) = self.queue.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.tick == tick)
                && let Some(entry) = self.entries.remove(&key)
            {
                self.used -= entry.weight;
                return true;
            }
        }
        false
    }

    fn compact(&mut self) {
        let entries = &self.entries;
        self.queue.retain(|(tick, key)| entries.get(key).is_some_and(|entry| entry.tick == *tick));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_the_budget_holds() {
        let mut lru = Lru::new(10);
        lru.insert("a", 1, 4);
        lru.insert("b", 2, 4);
        assert_eq!(lru.get(&"a"), Some(1));
        lru.insert("c", 3, 4);
        assert_eq!(lru.get(&"b"), None, "b was used longest ago");
        assert_eq!((lru.get(&"a"), lru.get(&"c"), lru.used()), (Some(1), Some(3), 8));
    }

    #[test]
    fn a_value_beyond_the_budget_is_not_kept_and_evicts_nobody() {
        let mut lru = Lru::new(10);
        lru.insert("a", 1, 4);
        lru.insert("huge", 2, 11);
        assert_eq!((lru.get(&"huge"), lru.get(&"a")), (None, Some(1)));
    }

    #[test]
    fn many_hits_do_not_grow_the_queue() {
        let mut lru = Lru::new(10);
        lru.insert("a", 1, 4);
        for _ in 0..10_000 {
            lru.get(&"a");
        }
        assert!(lru.queue.len() <= 64 + 4 + 1, "{}", lru.queue.len());
    }
}
