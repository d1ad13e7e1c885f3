//! Which partition a record goes to: by its key as Kafka's Java client does, else in turn, round by round.

use crate::exit::Failure;

#[derive(Debug)]
pub(super) struct Partitioner {
    partitions: Vec<i32>,
    fixed: Option<i32>,
    turn: usize,
}

impl Partitioner {
    pub(super) fn new(partitions: Vec<i32>, fixed: Option<i32>) -> Result<Self, Failure> {
        match fixed {
            Some(index) if !partitions.contains(&index) => Err(Failure::error(format!("there is no partition {index}"))),
            _ if partitions.is_empty() => Err(Failure::error("the topic has no partitions")),
            _ => Ok(Self { partitions, fixed, turn: 0 }),
        }
    }

    pub(super) fn of(&self, key: Option<&[u8]>) -> i32 {
        let place = |number: usize| self.partitions[number % self.partitions.len()];
        match (self.fixed, key) {
            (Some(fixed), _) => fixed,
            (None, Some(key)) => place((murmur2(key) & 0x7fff_ffff) as usize),
            (None, None) => place(self.turn),
        }
    }

    /// Records without a key go to the next partition from here on.
    pub(super) fn end_of_round(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }
}

/// MurmurHash2 (Austin Appleby) with the seed of Kafka's `Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (shift, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * shift);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Apache Kafka's own UtilsTest.testMurmur2.
    #[test]
    fn keys_hash_as_in_kafkas_clients() {
        for (key, hash) in
            [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536), ("abc", 479_470_107)]
        {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_stays_where_it_is_and_records_without_go_in_turn() {
        let mut partitioner = Partitioner::new(vec![0, 1, 2], None).unwrap();
        let of_key = partitioner.of(Some(b"a"));
        assert_eq!((partitioner.of(None), partitioner.of(None)), (0, 0));
        partitioner.end_of_round();
        assert_eq!((partitioner.of(None), partitioner.of(Some(b"a"))), (1, of_key));
        assert_eq!(Partitioner::new(vec![0, 1], Some(1)).unwrap().of(Some(b"a")), 1);
        assert!(Partitioner::new(vec![0, 1], Some(2)).is_err());
    }
}
