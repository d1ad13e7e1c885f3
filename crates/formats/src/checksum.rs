//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the one checksum of all formats, and how sums of parts become the sum of the whole.

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    low(crc_fast::checksum(Crc32Iscsi, bytes))
}

/// The CRC-32C of two byte strings, one behind the other, from their sums: no byte is read again.
#[must_use]
pub fn combine(first: u32, second: u32, second_len: u64) -> u32 {
    low(crc_fast::checksum_combine(Crc32Iscsi, u64::from(first), u64::from(second), second_len))
}

/// The CRC-32C of `first` followed by `second`.
#[must_use]
pub fn crc32c_pair(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    low(digest.finalize())
}

fn low(sum: u64) -> u32 {
    u32::try_from(sum).expect("a 32-bit CRC has no bits above 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_checksum_kafka_and_iscsi_use() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn sums_of_parts_give_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for cut in [0, 1, 21, 500, 999, 1000] {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(combine(crc32c(a), crc32c(b), b.len() as u64), crc32c(&bytes), "cut at {cut}");
            assert_eq!(crc32c_pair(a, b), crc32c(&bytes), "cut at {cut}");
        }
    }
}
