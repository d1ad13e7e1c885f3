//! What can be wrong with a batch, apart enough for the broker's map to Kafka's error codes.

use floe_types::ErrorKind;

use crate::Codec;

/// Why bytes are not an acceptable record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch says it has (CORRUPT_MESSAGE).
    #[error("the batch is cut short: {have} bytes of {need}")]
    Truncated { have: usize, need: usize },
    /// One batch was expected and more bytes follow it (INVALID_RECORD).
    #[error("{extra} bytes follow the batch where exactly one batch was expected")]
    TrailingBytes { extra: usize },
    /// A message format other than v2 (INVALID_RECORD; KIP-724 ended v0 and v1).
    #[error("message format {magic} is not supported, only 2")]
    Magic { magic: i8 },
    /// A length field that no v2 batch can have (CORRUPT_MESSAGE).
    #[error("batch length {length} is impossible")]
    Length { length: i32 },
    /// The checksum does not match (CORRUPT_MESSAGE).
    #[error("checksum mismatch: stored {stored:#010x}, computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    /// Record count and last offset delta contradict each other (INVALID_RECORD).
    #[error("{record_count} records do not fit a last offset delta of {last_offset_delta}")]
    Counts { record_count: i32, last_offset_delta: i32 },
    /// The compression bits name no codec (INVALID_RECORD).
    #[error("compression type {bits} does not exist")]
    UnknownCodec { bits: u8 },
    /// The codec exists, but not for a request of this version: zstd before Produce v7 (UNSUPPORTED_COMPRESSION_TYPE).
    #[error("{codec} is not allowed here")]
    CodecNotAllowed { codec: Codec },
    /// A producer set the log-append-time bit (INVALID_TIMESTAMP).
    #[error("a producer must not set the timestamp type to LogAppendTime")]
    TimestampTypeFromClient,
    /// The batch as sent is larger than allowed (MESSAGE_TOO_LARGE).
    #[error("a batch of {len} bytes is larger than the allowed {limit}")]
    BatchTooLarge { len: usize, limit: usize },
    /// A header field that a producer must not send so (INVALID_RECORD).
    #[error("invalid batch: {why}")]
    Invalid { why: &'static str },
    /// A record inside the batch is malformed; `at` is the position in the uncompressed records (INVALID_RECORD).
    #[error("malformed record at byte {at} of the records: {why}")]
    Record { at: usize, why: &'static str },
    /// The compressed records are malformed (CORRUPT_MESSAGE).
    #[error("cannot decompress {codec}: {why}")]
    Decompress { codec: Codec, why: String },
    /// Decompressing gives more than the caller allows; nothing beyond the limit was allocated (MESSAGE_TOO_LARGE; T41).
    #[error("the decompressed records are larger than the allowed {limit} bytes")]
    TooLarge { limit: usize },
    /// A batch cannot be built of this (a caller's mistake).
    #[error("cannot build the batch: {why}")]
    Build { why: &'static str },
}

impl BatchError {
    /// Whether the bytes are damaged or the sender's batch is wrong. Neither is helped by trying again.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. } | Self::Length { .. } | Self::Crc { .. } | Self::Record { .. } | Self::Decompress { .. } => {
                ErrorKind::Corrupt
            }
            Self::TrailingBytes { .. }
            | Self::Magic { .. }
            | Self::Counts { .. }
            | Self::UnknownCodec { .. }
            | Self::CodecNotAllowed { .. }
            | Self::TimestampTypeFromClient
            | Self::BatchTooLarge { .. }
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::Build { .. } => ErrorKind::Invalid,
        }
    }
}
