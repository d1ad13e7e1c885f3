//! Building batches: for the CLI, for tests, and for compaction, which must keep the offsets of what it keeps.

use bytes::Bytes;

use crate::{
    BatchError, BatchHeader, Codec, NO_TIMESTAMP, Record,
    cursor::put_varlong,
    edit::assemble,
    header::{CONTROL_BIT, DELETE_HORIZON_BIT, LOG_APPEND_TIME_BIT, MAGIC, TRANSACTIONAL_BIT},
};

/// Most uncompressed bytes of records that one built batch takes: with any codec's overhead its length still fits the field.
pub const MAX_RECORDS_LEN: usize = 1 << 30;
/// Most bytes that a record's own length takes.
const MAX_LEN_BYTES: usize = 5;

/// Collects records into one v2 batch. Records keep their offsets, which must grow and may have gaps.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    codec: Codec,
    /// Offset the next record gets from [`BatchBuilder::append`]; end of the batch.
    end: i64,
    records: Vec<u8>,
    /// The record being encoded, kept for its capacity.
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// A batch of no producer at base offset 0, with create timestamps.
    pub fn new(codec: Codec) -> Self {
        let header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: codec.bits(),
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        Self { header, codec, end: 0, records: Vec::new(), scratch: Vec::new() }
    }

    /// Where the batch starts; the first record may be later. To be called before any record is added.
    #[must_use]
    pub fn base_offset(mut self, offset: i64) -> Self {
        self.header.base_offset = offset;
        self.end = offset;
        self
    }

    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.header.leader_epoch = epoch;
        self
    }

    /// Makes it a batch of an idempotent producer.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    #[must_use]
    pub fn transactional(self) -> Self {
        self.attribute(TRANSACTIONAL_BIT)
    }

    #[must_use]
    pub fn control(self) -> Self {
        self.attribute(CONTROL_BIT)
    }

    /// Gives all records one append time (unix milliseconds) instead of their own timestamps.
    #[must_use]
    pub fn log_append_time(mut self, now_ms: i64) -> Self {
        self.header.max_timestamp = now_ms;
        self.attribute(LOG_APPEND_TIME_BIT)
    }

    /// Says until when (unix milliseconds) compaction keeps the batch's tombstones. To be called before any record is added.
    #[must_use]
    pub fn delete_horizon(mut self, until_ms: i64) -> Self {
        self.header.base_timestamp = until_ms;
        self.attribute(DELETE_HORIZON_BIT)
    }

    fn attribute(mut self, bit: i16) -> Self {
        self.header.attributes |= bit;
        self
    }

    /// Adds a record at the next offset, without headers.
    pub fn append(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), BatchError> {
        let own = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        let record = Record { offset: self.end, timestamp, key: own(key), value: own(value), headers: Vec::new() };
        self.push(&record)
    }

    /// Adds a record at its own offset, which must not be below [`BatchBuilder::next_offset`]. Fails with [`BatchError::Build`] if it does
    /// not fit; the batch is then as it was.
    pub fn push(&mut self, record: &Record) -> Result<(), BatchError> {
        let refuse = |why| BatchError::Build { why };
        if record.offset < self.end {
            return Err(refuse("offsets must grow"));
        }
        let delta = record.offset.checked_sub(self.header.base_offset).and_then(|delta| i32::try_from(delta).ok());
        let delta = delta.ok_or_else(|| refuse("offsets too far apart"))?;
        let from_first = self.records.is_empty() && self.header.delete_horizon().is_none();
        let base_timestamp = if from_first { record.timestamp } else { self.header.base_timestamp };
        let time = record.timestamp.checked_sub(base_timestamp).ok_or_else(|| refuse("timestamps too far apart"))?;
        self.encode(record, time, delta);
        if self.scratch.len().saturating_add(MAX_LEN_BYTES) > MAX_RECORDS_LEN.saturating_sub(self.records.len()) {
            return Err(refuse("more than 1 GiB of records"));
        }
        self.header.base_timestamp = base_timestamp;
        if self.header.attributes & LOG_APPEND_TIME_BIT == 0 {
            self.header.max_timestamp = self.header.max_timestamp.max(record.timestamp);
        }
        self.header.last_offset_delta = delta;
        self.header.record_count = self.header.record_count.saturating_add(1);
        self.end = record.offset.saturating_add(1);
        put_len(&mut self.records, self.scratch.len());
        self.records.append(&mut self.scratch);
        Ok(())
    }

    fn encode(&mut self, record: &Record, time: i64, offset: i32) {
        let body = &mut self.scratch;
        body.clear();
        body.push(0); // attributes: unused
        put_varlong(body, time);
        put_varlong(body, i64::from(offset));
        put_bytes(body, record.key.as_deref());
        put_bytes(body, record.value.as_deref());
        put_len(body, record.headers.len());
        for (key, value) in &record.headers {
            put_bytes(body, Some(key));
            put_bytes(body, value.as_deref());
        }
    }

    /// Lets the batch stand for all offsets up to `offset`, though its last record is before: what compaction leaves of a batch.
    #[must_use]
    pub fn last_offset(mut self, offset: i64) -> Self {
        let delta = offset.saturating_sub(self.header.base_offset);
        self.header.last_offset_delta = self.header.last_offset_delta.max(i32::try_from(delta).unwrap_or(i32::MAX));
        self.end = self.header.end_offset();
        self
    }

    /// The offset after the last one the batch stands for.
    pub fn next_offset(&self) -> i64 {
        self.end
    }

    /// Records added.
    pub fn len(&self) -> usize {
        usize::try_from(self.header.record_count).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// Bytes of the records before compression.
    pub fn records_len(&self) -> usize {
        self.records.len()
    }

    /// The batch. Without records it stands for the offset range alone (at least one offset).
    pub fn build(mut self) -> Bytes {
        self.header.last_offset_delta = self.header.last_offset_delta.max(0);
        let stored = if self.records.is_empty() { Bytes::new() } else { self.codec.compress(&self.records) };
        assemble(self.header, &stored)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varlong(out, -1),
        Some(bytes) => {
            put_len(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    put_varlong(out, i64::try_from(len).expect("lengths in memory fit i64"));
}
