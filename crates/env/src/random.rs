//! Randomness: one generator per process, seeded by the operating system or by the simulation.

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{fmt, sync::Arc};

#[derive(Clone)]
pub(crate) struct Random(Arc<Mutex<StdRng>>);

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    pub(crate) fn from_os() -> Self {
        let rng = StdRng::try_from_rng(&mut rand::rngs::SysRng).expect("the operating system has entropy");
        Self(Arc::new(Mutex::new(rng)))
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    pub(crate) fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }

    pub(crate) fn next_u128(&self) -> u128 {
        let mut rng = self.0.lock();
        (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64())
    }

    /// Uniform in `0..n`; 0 where `n` is 0. Draws again what lies in the last, incomplete stretch of `n` values.
    pub(crate) fn below(&self, n: u64) -> u64 {
        if n <= 1 {
            return 0;
        }
        let incomplete = (u64::MAX % n + 1) % n;
        let mut rng = self.0.lock();
        loop {
            let drawn = rng.next_u64();
            if drawn <= u64::MAX - incomplete {
                return drawn % n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let r = Random::from_seed(seed);
            (r.next_u64(), r.next_u128(), r.below(1_000_000))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn draws_below_a_bound_reach_all_of_it_and_nothing_else() {
        let r = Random::from_seed(1);
        let mut seen = [0_u32; 5];
        for _ in 0..5_000 {
            seen[usize::try_from(r.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (800..1_200).contains(n)), "{seen:?}");
        assert_eq!((r.below(0), r.below(1)), (0, 0));
        assert!(r.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn entropy_differs_between_generators() {
        assert_ne!(Random::from_os().next_u128(), Random::from_os().next_u128());
    }
}
