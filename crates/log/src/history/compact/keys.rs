//! The newest offset of each key, in memory that is bounded whatever the number of keys: a key is known by 96 bits of its
//! hash under a secret of this map, as nobody can make two keys collide on purpose, and by chance they never do (ten million keys: 10^-15).

use floe_env::hash::keyed_128;
use floe_types::Offset;

/// Bytes that one key takes.
const ENTRY: u64 = std::mem::size_of::<Entry>() as u64;
/// A map is full when so many of four places are taken: probing stays short.
const FULL_QUARTERS: usize = 3;

/// 96 bits of the hash, and how far behind the map's first offset its own is, plus one; 0 there: the place is free.
type Entry = [u32; 4];

#[derive(Debug)]
pub(super) struct KeyMap {
    secret: u128,
    /// Offsets are counted from here.
    base: Offset,
    places: Vec<Entry>,
    taken: usize,
}

impl KeyMap {
    /// For `keys` keys, or as many as fit into `budget` bytes. Memory is touched as it fills.
    pub(super) fn new(secret: u128, keys: u64, budget: u64) -> Self {
        let places = (keys.saturating_mul(4) / FULL_QUARTERS as u64 + 2).min(budget / ENTRY).max(4);
        Self { secret, base: 0, places: vec![[0; 4]; usize::try_from(places).unwrap_or(usize::MAX)], taken: 0 }
    }

    /// Whether so many more keys fit, of records below `end`.
    pub(super) fn has_room_for(&self, keys: usize, end: Offset) -> bool {
        let fits = self.taken.saturating_add(keys) <= self.places.len() / 4 * FULL_QUARTERS;
        fits && end.saturating_sub(self.base) < i64::from(u32::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Makes room for `keys` keys of records from `base` on, beyond the budget: a single batch must always fit.
    pub(super) fn begin(&mut self, keys: usize, base: Offset) {
        debug_assert!(self.is_empty(), "what is in it would be lost");
        self.base = base;
        if !self.has_room_for(keys, base) {
            self.places = vec![[0; 4]; keys.saturating_mul(2).saturating_add(4)];
        }
    }

    /// `key` is at `offset`, and no later record is known.
    pub(super) fn insert(&mut self, key: &[u8], offset: Offset) {
        let Some(behind) = offset.checked_sub(self.base).and_then(|behind| u32::try_from(behind).ok()?.checked_add(1)) else { return };
        let at = self.place_of(key);
        if let Some(entry) = self.places.get_mut(at.place) {
            self.taken += usize::from(entry[3] == 0);
            *entry = [at.hash[0], at.hash[1], at.hash[2], entry[3].max(behind)];
        }
    }

    /// The newest offset of a key.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let place = self.places.get(self.place_of(key).place)?;
        place[3].checked_sub(1).map(|behind| self.base + i64::from(behind))
    }

    fn place_of(&self, key: &[u8]) -> At {
        let hash = keyed_128(self.secret, key);
        let len = self.places.len();
        let mut place = (hash as u64 % len as u64) as usize;
        let hash = [(hash >> 32) as u32, (hash >> 64) as u32, (hash >> 96) as u32];
        while self.places[place][3] != 0 && self.places[place][..3] != hash {
            place = (place + 1) % len;
        }
        At { hash, place }
    }
}

/// Where a key is, or would be.
struct At {
    hash: [u32; 3],
    place: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_known() {
        let mut keys = KeyMap::new(1, 1_000, u64::MAX);
        keys.begin(1, 0);
        for offset in 0..3_000_i64 {
            keys.insert(&(offset % 1_000).to_be_bytes(), offset);
        }
        assert!((0..1_000_i64).all(|key| keys.newest(&key.to_be_bytes()) == Some(2_000 + key)));
        assert_eq!(keys.newest(b"another"), None);
    }

    #[test]
    fn it_is_full_before_its_budget_is_used_up_and_takes_a_batch_all_the_same() {
        let mut keys = KeyMap::new(1, u64::MAX, 1_600);
        let mut taken = 0_i64;
        while keys.has_room_for(1, taken) {
            keys.insert(&taken.to_be_bytes(), taken);
            taken += 1;
        }
        assert_eq!(taken, 75, "of 100 places");
        let mut keys = KeyMap::new(1, u64::MAX, 0);
        assert!(!keys.has_room_for(500, 500));
        keys.begin(500, 0);
        assert!(keys.has_room_for(500, 500) && keys.is_empty());
    }

    #[test]
    fn it_is_full_where_offsets_go_further_than_it_can_count() {
        const FAR: Offset = 1 << 40;
        let mut keys = KeyMap::new(1, 10, u64::MAX);
        keys.begin(2, FAR);
        keys.insert(b"first", FAR);
        keys.insert(b"last", FAR + i64::from(u32::MAX) - 2);
        assert_eq!((keys.newest(b"first"), keys.newest(b"last")), (Some(FAR), Some(FAR + i64::from(u32::MAX) - 2)));
        assert!(keys.has_room_for(1, FAR + i64::from(u32::MAX) - 1) && !keys.has_room_for(1, FAR + i64::from(u32::MAX)));
    }
}
