//! Hash maps whose order is the same in every run of one build, so that a simulation replays.
//!
//! The keys of the hash are fixed and known: what clients may choose freely and in any number (names) belongs in a
//! `BTreeMap`, where nobody can make entries collide.

use std::{collections::hash_map::DefaultHasher, hash::BuildHasherDefault};

/// SipHash with fixed keys.
pub type FixedHasher = BuildHasherDefault<DefaultHasher>;
/// Make it with `HashMap::default()`.
pub type HashMap<K, V> = std::collections::HashMap<K, V, FixedHasher>;
/// Make it with `HashSet::default()`.
pub type HashSet<T> = std::collections::HashSet<T, FixedHasher>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_maps_of_the_same_entries_iterate_alike() {
        let fill = || (0..1_000_u32).map(|n| (n, ())).collect::<HashMap<_, _>>().into_keys().collect::<Vec<_>>();
        assert_eq!(fill(), fill());
    }
}
