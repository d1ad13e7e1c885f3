//! What is stored in fixed layouts, as named fields.

use crate::{EntryHeader, ObjectHeader, Trailer, doc::persisted};
use floe_records::BatchHeader;
use floe_types::{Generation, Incarnation, LeaderEpoch, Lsn, Offset, PartitionId, WriteId};

persisted! {
    /// The 64 bytes before every object.
    pub struct HeaderView {
        /// What the object is.
        pub kind: String,
        /// Version of that kind's format.
        pub version: u16,
        /// Names the write that made the object: retries keep it, another body never has it (R10).
        pub write_id: WriteId,
        /// The incarnation that wrote it; 0 where none existed yet.
        pub incarnation: Incarnation,
        /// The highest etcd revision that its writer had seen; 0 without etcd.
        pub revision: u64,
        /// Bytes behind the header.
        pub body_len: u64,
        /// CRC-32C of the bytes behind the header.
        pub body_crc: String,
    }
}

impl From<ObjectHeader> for HeaderView {
    fn from(header: ObjectHeader) -> Self {
        Self {
            kind: header.kind.name().to_owned(),
            version: header.version,
            write_id: header.writer.write_id,
            incarnation: header.writer.incarnation,
            revision: header.writer.revision,
            body_len: header.body_len,
            body_crc: format!("{:08x}", header.body_crc),
        }
    }
}

persisted! {
    /// A pack's last 32 bytes.
    pub struct TrailerView {
        /// First byte of the footer, counted from the start of the object.
        pub footer_position: u64,
        /// Bytes of the footer, its magic, version and checksum included.
        pub footer_len: u32,
        /// Bytes of the whole pack.
        pub pack_len: u64,
    }
}

impl From<Trailer> for TrailerView {
    fn from(trailer: Trailer) -> Self {
        Self { footer_position: trailer.footer_position, footer_len: trailer.footer_len, pack_len: trailer.pack_len }
    }
}

persisted! {
    /// An entry of a WAL file.
    pub struct EntryView {
        /// Where it stands in the file.
        pub position: u64,
        /// Position of the entry in the generation's WAL, in bytes.
        pub lsn: Lsn,
        /// The incarnation whose WAL it is: another than the file's in what is left of a recycled file.
        pub incarnation: Incarnation,
        /// The generation whose WAL it is.
        pub generation: Generation,
        /// Bytes of the batch, which follows the header.
        pub payload_len: u32,
        /// How far the WAL was known to be fsynced when this entry was written.
        pub synced: Lsn,
        /// The partition that the batch was appended to.
        pub partition: PartitionId,
        /// The leader epoch in which it was appended.
        pub epoch: LeaderEpoch,
        /// The offset at which that epoch began.
        pub epoch_start: Offset,
        /// Offset of the batch's first record.
        pub base_offset: Offset,
        /// The batch, as its own header describes it.
        pub batch: Option<BatchView>,
    }
}

persisted! {
    /// A Kafka record batch, as its header describes it.
    pub struct BatchView {
        /// Offset behind its last record.
        pub end_offset: Offset,
        /// Number of records.
        pub records: i32,
        /// Kafka's attribute bits: codec, timestamp type, transactional, control.
        pub attributes: i16,
        /// Greatest record timestamp, in unix milliseconds; -1 when there is none.
        pub max_timestamp: i64,
        /// The idempotent producer that wrote it; -1 when there is none.
        pub producer_id: i64,
        /// The producer's epoch; -1 when there is none.
        pub producer_epoch: i16,
        /// Sequence number of its first record; -1 when there is none.
        pub base_sequence: i32,
    }
}

persisted! {
    /// Where the entries of a WAL file end.
    pub struct WalEndView {
        /// The first byte of the file that is no part of a sound entry.
        pub position: u64,
        /// What was found there.
        pub found: String,
    }
}

impl EntryView {
    pub(super) fn new(position: u64, entry: &EntryHeader, batch: &[u8]) -> Self {
        Self {
            position,
            lsn: entry.lsn,
            incarnation: entry.incarnation,
            generation: entry.generation,
            payload_len: entry.payload_len,
            synced: entry.synced,
            partition: entry.partition,
            epoch: entry.epoch,
            epoch_start: entry.epoch_start,
            base_offset: entry.base_offset,
            batch: BatchHeader::parse(batch).ok().map(BatchView::from),
        }
    }
}

impl From<BatchHeader> for BatchView {
    fn from(header: BatchHeader) -> Self {
        Self {
            end_offset: header.base_offset.saturating_add(header.last_offset_delta.into()).saturating_add(1),
            records: header.record_count,
            attributes: header.attributes,
            max_timestamp: header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        }
    }
}
