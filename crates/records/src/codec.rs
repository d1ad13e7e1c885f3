//! The codecs of Kafka's batches. Compressing is for what Floe writes itself; decompressing is always bounded.
//!
//! "Bounded" means: the output never has a capacity of more than the limit (and one byte), whatever the stored bytes declare; beside it a
//! codec needs working memory of a size that no input decides (inflate about 50 KiB, zstd about 160 KiB, snappy and lz4 none).

mod gzip;
mod lz4;
mod output;
mod snappy;
mod xxhash;
mod zstd;

use std::fmt;

use bytes::Bytes;

use crate::{BatchError, header::CODEC_MASK};

/// How the records of a batch are compressed; the numbers are those of the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// Every codec, in the order of its bits.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that a batch's attributes name.
    pub fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        let bits = attributes & CODEC_MASK;
        Self::ALL.into_iter().find(|codec| codec.bits() == bits).ok_or(BatchError::UnknownCodec { bits: bits.to_be_bytes()[1] })
    }

    /// Its bits in a batch's attributes.
    pub fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of that name; `uncompressed` is Kafka's other name of none.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "uncompressed" { Some(Self::None) } else { Self::ALL.into_iter().find(|codec| codec.name() == name) }
    }

    /// `raw` compressed as Kafka's clients expect it, at the codec's default level.
    pub fn compress(self, raw: &[u8]) -> Bytes {
        match self {
            Self::None => Bytes::copy_from_slice(raw),
            Self::Gzip => gzip::compress(raw).into(),
            Self::Snappy => snappy::compress(raw).into(),
            Self::Lz4 => lz4::compress(raw).into(),
            Self::Zstd => zstd::compress(raw).into(),
        }
    }

    /// What `stored` holds: at most `limit` bytes, or [`BatchError::TooLarge`] before more is allocated. Uncompressed bytes are returned as
    /// they are, without a copy.
    pub fn decompress(self, stored: &Bytes, limit: usize) -> Result<Bytes, BatchError> {
        let raw = match self {
            Self::None if stored.len() > limit => Err(Failure::Full),
            Self::None => return Ok(stored.clone()),
            Self::Gzip => gzip::decompress(stored, limit),
            Self::Snappy => snappy::decompress(stored, limit),
            Self::Lz4 => lz4::decompress(stored, limit),
            Self::Zstd => zstd::decompress(stored, limit),
        };
        match raw {
            Ok(mut raw) => {
                if raw.len() < raw.capacity() / 2 {
                    raw.shrink_to_fit(); // records are slices of it and may live long
                }
                Ok(raw.into())
            }
            Err(Failure::Full) => Err(BatchError::TooLarge { limit }),
            Err(Failure::Malformed(why)) => Err(BatchError::Decompress { codec: self, why }),
        }
    }
}

/// Why decompressing stopped.
#[derive(Debug)]
enum Failure {
    /// The output would pass the limit.
    Full,
    Malformed(String),
}

impl Failure {
    fn malformed(why: impl fmt::Display) -> Self {
        Self::Malformed(why.to_string())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{gzip, lz4, snappy, zstd};

    /// Sizes that doubling from any start would overshoot.
    #[test]
    fn t41_no_buffer_has_room_beyond_the_limit() {
        for len in [0, 1, 1025, 5000, 70_000, 300_001] {
            let raw = vec![b'a'; len];
            let buffers = [
                gzip::decompress(&gzip::compress(&raw), len),
                snappy::decompress(&snappy::compress(&raw), len),
                lz4::decompress(&lz4::compress(&raw), len),
                zstd::decompress(&zstd::compress(&raw), len),
            ];
            for buffer in buffers {
                let buffer = buffer.expect("it is as long as allowed");
                assert_eq!(buffer, raw);
                assert!(buffer.capacity() <= len + 1, "{} for {len}", buffer.capacity());
            }
        }
    }
}
