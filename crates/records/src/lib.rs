//! Kafka v2 record batches as bytes: reading their header, proving them whole, stamping them, and - only where something
//! needs records - decompressing, walking and building them.
//!
//! A batch travels through Floe as the bytes its producer sent. This crate owns what those bytes mean; it owns no I/O, no
//! state and no policy beyond the checks every broker makes of a produced batch. Invariants:
//! * nothing read from a batch sizes an allocation beyond an explicit limit or the bytes that are really there (T41);
//! * no input makes it panic; a broken batch is a [`BatchError`];
//! * records keep everything they came with: null keys, duplicate headers, the order of both.
//!
//! It is not a codec of Kafka's requests (crate `protocol`), and it knows nothing of packs or WAL entries (crate `formats`).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

mod batches;
mod builder;
mod check;
mod codec;
mod compact;
mod cursor;
mod edit;
mod error;
mod header;
mod records;
mod times;

pub use batches::Batches;
pub use builder::{BatchBuilder, MAX_RECORDS_LEN};
pub use check::{ValidateOptions, first_without_key, validate, verify};
pub use codec::Codec;
pub use compact::{KeyedRecord, Left, keyed_records, retain};
pub use edit::{recompress, set_log_append_time, stamp};
pub use error::BatchError;
pub use header::{BatchHeader, CRC_START, HEADER_LEN, NO_TIMESTAMP, TimestampType};
pub use records::{Header, Record, RecordView, Records, records};
pub use times::{TimedOffset, first_offset_at_or_after, first_offset_from, max_timestamp_from, max_timestamp_offset};

/// CRC-32C (Castagnoli, `CRC_32_ISCSI` in the catalogue's words) of `bytes`: the checksum of record batches.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}
