//! Values of which half the bytes are random: neither a phrase that any codec shrinks to nothing, nor noise that none can.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Length of every value.
pub(crate) const VALUE_LEN: usize = 1_000;
const RANDOM_LEN: usize = VALUE_LEN / 2;
/// Random bytes come out of a pool of this size: far beyond the window of every codec at a batch of 1 MB.
const POOL_LEN: usize = 32 << 20;
const TEXT: &[u8] =
    b"{\"level\":\"info\",\"service\":\"checkout\",\"region\":\"eu-central-1\",\"message\":\"order accepted\",\"payload\":\"";

/// An endless supply.
#[derive(Debug)]
pub(crate) struct Values {
    pool: Vec<u8>,
    position: usize,
    value: [u8; VALUE_LEN],
}

impl Values {
    pub(crate) fn new(seed: u64) -> Self {
        let mut pool = vec![0; POOL_LEN];
        StdRng::seed_from_u64(seed).fill_bytes(&mut pool);
        let mut value = [0; VALUE_LEN];
        for (index, byte) in value.iter_mut().enumerate() {
            *byte = TEXT[index % TEXT.len()];
        }
        Self { pool, position: 0, value }
    }

    /// The next value: the first half fixed text, the second random.
    pub(crate) fn next_value(&mut self) -> &[u8] {
        if self.position + RANDOM_LEN > self.pool.len() {
            // Another alignment in every lap.
            self.position = self.position % RANDOM_LEN + 1;
        }
        self.value[VALUE_LEN - RANDOM_LEN..].copy_from_slice(&self.pool[self.position..self.position + RANDOM_LEN]);
        self.position += RANDOM_LEN;
        &self.value
    }
}
