//! The 61 bytes that every v2 batch starts with, and what their attributes say.
//!
//! ```text
//!  0 base offset i64 | 8 batch length i32 | 12 leader epoch i32 | 16 magic i8 | 17 crc u32   (outside the checksum)
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32   (inside), then the records
//! ```
//! Source: Kafka's `DefaultRecordBatch`. All integers are big-endian.

use crate::{BatchError, Codec, cursor::Cursor};

/// Length of a v2 batch's header, in bytes.
pub const HEADER_LEN: usize = 61;
/// Where the bytes under the checksum start.
pub const CRC_START: usize = 21;
/// A record's timestamp when it has none.
pub const NO_TIMESTAMP: i64 = -1;

/// Bytes before those that the length field counts.
pub(crate) const LENGTH_OVERHEAD: usize = 12;
/// Smallest legal value of the length field: a header and no records.
pub(crate) const MIN_LENGTH: i32 = 49;
/// The only message format Floe stores.
pub(crate) const MAGIC: i8 = 2;

pub(crate) const CODEC_MASK: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME_BIT: i16 = 0x08;
pub(crate) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(crate) const CONTROL_BIT: i16 = 0x20;
/// The base timestamp is the time until which the batch's tombstones are kept (KIP-534). Only compaction sets it.
pub(crate) const DELETE_HORIZON_BIT: i16 = 0x40;

/// What a record's timestamp means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Given by the producer.
    CreateTime,
    /// Given by the broker: all records of the batch have its max timestamp.
    LogAppendTime,
}

/// A parsed view of a batch's header. Timestamps are unix milliseconds, -1 for none; producer fields are -1 where there is no producer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    pub leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may hold more or less than the whole batch but needs [`HEADER_LEN`] bytes.
    /// Checks the magic and that the length is possible; the rest is [`crate::verify`]'s.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut cursor = Cursor::new(bytes);
        let header = Self::read(&mut cursor).ok_or(BatchError::Truncated { have: bytes.len(), need: HEADER_LEN });
        // Formats 0 and 1 have their magic at the same place and may be shorter: name the real reason.
        let magic = bytes.get(16).map_or(MAGIC, |byte| byte.cast_signed());
        if magic != MAGIC {
            return Err(BatchError::Magic { magic });
        }
        let header = header?;
        if header.batch_length < MIN_LENGTH {
            return Err(BatchError::Length { length: header.batch_length });
        }
        Ok(header)
    }

    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            base_offset: cursor.i64()?,
            batch_length: cursor.i32()?,
            leader_epoch: cursor.i32()?,
            magic: cursor.i8()?,
            crc: cursor.u32()?,
            attributes: cursor.i16()?,
            last_offset_delta: cursor.i32()?,
            base_timestamp: cursor.i64()?,
            max_timestamp: cursor.i64()?,
            producer_id: cursor.i64()?,
            producer_epoch: cursor.i16()?,
            base_sequence: cursor.i32()?,
            record_count: cursor.i32()?,
        })
    }

    /// The header as bytes; of a parsed header, exactly those it was parsed from.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let mut rest = out.as_mut_slice();
        let mut put = |field: &[u8]| {
            let (here, after) = std::mem::take(&mut rest).split_at_mut(field.len());
            here.copy_from_slice(field);
            rest = after;
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.batch_length.to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&self.magic.to_be_bytes());
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        out
    }

    /// Bytes of the whole batch, header included.
    pub fn total_len(&self) -> usize {
        usize::try_from(self.batch_length).unwrap_or(0).saturating_add(LENGTH_OVERHEAD)
    }

    /// Offset of the last record the batch stands for, whether or not compaction left it.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the batch.
    pub fn end_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence of the last record; sequences wrap from 2^31-1 to 0. -1 without a base sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    /// The codec of the records, or [`BatchError::UnknownCodec`].
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch is a transaction marker or the like, not records of a client.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Until when (unix milliseconds) compaction keeps the batch's tombstones; None if it has not met them yet.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }
}
