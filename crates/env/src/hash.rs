//! Hash maps whose order is the same in every run of one build, so that a simulation replays.
//!
//! The keys of the hash are fixed and known: what clients may choose freely and in any number (names) belongs in a
//! `BTreeMap`, where nobody can make entries collide.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{BuildHasherDefault, Hasher},
};

/// SipHash with fixed keys.
pub type FixedHasher = BuildHasherDefault<DefaultHasher>;
/// Make it with `HashMap::default()`.
pub type HashMap<K, V> = std::collections::HashMap<K, V, FixedHasher>;
/// Make it with `HashSet::default()`.
pub type HashSet<T> = std::collections::HashSet<T, FixedHasher>;

/// 128 bits of hash that nobody who does not know `secret` can make collide: SipHash twice, each behind another secret of
/// its own. The same in every run of one build.
#[must_use]
pub fn keyed_128(secret: u128, bytes: &[u8]) -> u128 {
    let half = |which: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(secret);
        hasher.write_u8(which);
        hasher.write(bytes);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyed_hash_follows_from_its_secret_and_all_of_the_bytes() {
        assert_eq!(keyed_128(1, b"key"), keyed_128(1, b"key"));
        let all = [keyed_128(1, b"key"), keyed_128(2, b"key"), keyed_128(1, b"kez"), keyed_128(1, b"key\0"), keyed_128(1, b"")];
        let halves: HashSet<u64> = all.iter().flat_map(|hash| [*hash as u64, (hash >> 64) as u64]).collect();
        assert_eq!(halves.len(), 10);
    }

    #[test]
    fn two_maps_of_the_same_entries_iterate_alike() {
        let fill = || (0..1_000_u32).map(|n| (n, ())).collect::<HashMap<_, _>>().into_keys().collect::<Vec<_>>();
        assert_eq!(fill(), fill());
    }
}
