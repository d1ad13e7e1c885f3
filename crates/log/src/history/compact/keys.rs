//! The newest offset of each key, in memory that is bounded whatever the number of keys: a key is known by 128 bits of its
//! hash under a secret of this map, as nobody can make two keys collide on purpose, and by chance they never do.

use floe_env::hash::keyed_128;
use floe_types::Offset;

/// Bytes that one key takes.
const ENTRY: u64 = std::mem::size_of::<Entry>() as u64;
/// A map is full when so many of four places are taken: probing stays short.
const FULL_QUARTERS: usize = 3;

/// Both halves of the hash, and the offset plus one; 0 there: the place is free.
type Entry = [u64; 3];

#[derive(Debug)]
pub(super) struct KeyMap {
    secret: u128,
    places: Vec<Entry>,
    taken: usize,
}

impl KeyMap {
    /// For `keys` keys, or as many as fit into `budget` bytes. Memory is touched as it fills.
    pub(super) fn new(secret: u128, keys: u64, budget: u64) -> Self {
        let places = (keys.saturating_mul(4) / FULL_QUARTERS as u64 + 2).min(budget / ENTRY).max(4);
        Self { secret, places: vec![[0; 3]; usize::try_from(places).unwrap_or(usize::MAX)], taken: 0 }
    }

    /// Whether so many more keys fit.
    pub(super) fn has_room_for(&self, keys: usize) -> bool {
        self.taken.saturating_add(keys) <= self.places.len() / 4 * FULL_QUARTERS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Makes room for `keys` keys, beyond the budget: a single batch must always fit.
    pub(super) fn make_room_for(&mut self, keys: usize) {
        debug_assert!(self.is_empty(), "what is in it would be lost");
        let places = keys.saturating_mul(2).saturating_add(4);
        if places > self.places.len() {
            self.places = vec![[0; 3]; places];
        }
    }

    /// `key` is at `offset`, and no later record is known.
    pub(super) fn insert(&mut self, key: &[u8], offset: Offset) {
        let at = self.place_of(key);
        if let Some(entry) = self.places.get_mut(at.place) {
            self.taken += usize::from(entry[2] == 0);
            let newest = entry[2].max(offset.unsigned_abs() + 1);
            *entry = [at.hash[0], at.hash[1], newest];
        }
    }

    /// The newest offset of a key.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let place = self.places.get(self.place_of(key).place)?;
        place[2].checked_sub(1).and_then(|offset| Offset::try_from(offset).ok())
    }

    fn place_of(&self, key: &[u8]) -> At {
        let hash = keyed_128(self.secret, key);
        let hash = [hash as u64, (hash >> 64) as u64];
        let len = self.places.len();
        let mut place = (hash[0] % len as u64) as usize;
        while self.places[place][2] != 0 && self.places[place][..2] != hash {
            place = (place + 1) % len;
        }
        At { hash, place }
    }
}

/// Where a key is, or would be.
struct At {
    hash: [u64; 2],
    place: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_known() {
        let mut keys = KeyMap::new(1, 1_000, u64::MAX);
        for offset in 0..3_000_i64 {
            keys.insert(&(offset % 1_000).to_be_bytes(), offset);
        }
        assert!((0..1_000_i64).all(|key| keys.newest(&key.to_be_bytes()) == Some(2_000 + key)));
        assert_eq!(keys.newest(b"another"), None);
    }

    #[test]
    fn it_is_full_before_its_budget_is_used_up_and_takes_a_batch_all_the_same() {
        let mut keys = KeyMap::new(1, u64::MAX, 2_400);
        let mut taken = 0_i64;
        while keys.has_room_for(1) {
            keys.insert(&taken.to_be_bytes(), taken);
            taken += 1;
        }
        assert_eq!(taken, 75, "of 100 places");
        let mut keys = KeyMap::new(1, u64::MAX, 0);
        assert!(!keys.has_room_for(500));
        keys.make_room_for(500);
        assert!(keys.has_room_for(500) && keys.is_empty());
    }
}
