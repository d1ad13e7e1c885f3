//! How a block lies in a file of the cache: a header with magic, version and checksums, the key, the bytes.
//!
//! ```text
//! "FLCE" | version u16 | key length u16 | body length u32 | CRC-32C of the body u32 | CRC-32C of these 16 bytes and the key u32
//! ```
//!
//! Little-endian. Nothing is synced: after a crash anything may be there, and what does not verify is not in the cache.

use bytes::Bytes;

const MAGIC: [u8; 4] = *b"FLCE";
const VERSION: u16 = 1;
/// Bytes before the key.
pub(super) const HEADER_LEN: usize = 20;
/// Longer keys are not kept: no object's name is.
pub(super) const LONGEST_KEY: usize = 1024;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) body_len: u32,
    body_crc: u32,
}

impl Entry {
    /// An entry for these bytes; None if they cannot be kept.
    pub(super) fn new(key: &str, body: &[u8]) -> Option<Self> {
        let body_len = u32::try_from(body.len()).ok()?;
        (key.len() <= LONGEST_KEY && !key.is_empty()).then(|| Self { key: key.to_owned(), body_len, body_crc: crc(body) })
    }

    /// Header and key.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_LEN + self.key.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.key.len()).expect("no longer than LONGEST_KEY").to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        let sum = crc_of_two(&out, self.key.as_bytes());
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(self.key.as_bytes());
        Bytes::from(out)
    }

    /// Reads header and key from the start of `bytes`; None if they are not there or not whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_LEN)?;
        let u32_at = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let u16_at = |at: usize| header.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
        if header.get(..4)? != MAGIC || u16_at(4)? != VERSION {
            return None;
        }
        let key = rest.get(..usize::from(u16_at(6)?))?;
        if u32_at(16)? != crc_of_two(header.get(..16)?, key) {
            return None;
        }
        Some(Self { key: String::from_utf8(key.to_vec()).ok()?, body_len: u32_at(8)?, body_crc: u32_at(12)? })
    }

    /// Bytes of the whole entry in its file.
    pub(super) fn len(&self) -> u64 {
        (HEADER_LEN + self.key.len()) as u64 + u64::from(self.body_len)
    }

    /// The body out of a whole entry's bytes, if it is this key's and sound.
    pub(super) fn open(key: &str, stored: &Bytes) -> Option<Bytes> {
        let entry = Self::decode(stored)?;
        let body = stored.slice(HEADER_LEN + entry.key.len()..);
        (entry.key == key && body.len() as u64 == u64::from(entry.body_len) && crc(&body) == entry.body_crc).then_some(body)
    }
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

fn crc_of_two(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    u32::try_from(digest.finalize()).expect("a 32-bit CRC has no bits above 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_and_any_flipped_bit_is_found() {
        let body = b"some bytes of a block".as_slice();
        let entry = Entry::new("chain/~1/slot/2@64", body).expect("it can be kept");
        let stored = Bytes::from([&entry.encode(), body].concat());
        assert_eq!(stored.len() as u64, entry.len());
        assert_eq!(Entry::open("chain/~1/slot/2@64", &stored).as_deref(), Some(body));
        assert_eq!(Entry::open("chain/~1/slot/2@65", &stored), None, "another key's");
        for at in 0..stored.len() {
            let mut flipped = stored.to_vec();
            flipped[at] ^= 1;
            assert_eq!(Entry::open("chain/~1/slot/2@64", &Bytes::from(flipped)), None, "byte {at}");
            assert_eq!(Entry::open("chain/~1/slot/2@64", &stored.slice(..at)), None, "cut at {at}");
        }
    }

    #[test]
    fn the_layout_is_the_one_that_is_described() {
        let stored = Entry::new("k", b"abc").expect("it can be kept").encode();
        assert_eq!(&stored[..12], b"FLCE\x01\x00\x01\x00\x03\x00\x00\x00");
        assert_eq!(stored[12..16], crc(b"abc").to_le_bytes());
        assert_eq!((stored.len(), stored[20]), (21, b'k'));
    }
}
