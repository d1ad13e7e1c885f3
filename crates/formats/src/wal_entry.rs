//! The WAL on disk: a header for each file, then entries, one behind the other. The hot path: fixed little-endian fields, no postcard.
//!
//! An entry's own checksum covers its header and the first 21 bytes of the batch as stamped; the batch's own CRC covers the
//! rest, so that a produced byte is summed once. Every entry names its position and its WAL, so that what a recycled file
//! still holds of another life is never taken for an entry, and how far the WAL was known synced when it was written: an
//! entry that is damaged below such a mark was durable once, so its damage is no torn end (R7, T67).
//!
//! It is not the WAL: files, syncs and replay are `floe-wal`'s.

use crate::{FormatError, checksum::crc32c, doc::persisted, header::Kind, object::known_version, read::Fields};
use bytes::{BufMut, BytesMut};
use floe_types::{Generation, Incarnation, LeaderEpoch, Lsn, Offset, PartitionId, TopicId};

/// Length of a WAL file's header, in bytes.
pub const WAL_FILE_HEADER_LEN: usize = 64;
/// Length of an entry's header, in bytes.
pub const ENTRY_HEADER_LEN: usize = 88;
/// Bytes of the batch that the entry's checksum covers: base offset, length, leader epoch, magic, CRC.
pub const BATCH_PREFIX_LEN: usize = 21;
/// What [`EntryHeader::parse`] needs: the header and the batch's first bytes.
pub const ENTRY_PREFIX_LEN: usize = ENTRY_HEADER_LEN + BATCH_PREFIX_LEN;
/// The version that is written.
pub const WAL_VERSION: u16 = 1;
/// The first four bytes of a WAL file.
pub const WAL_MAGIC: &[u8; 4] = b"FLWF";

/// The first four bytes of an entry: what a search for later entries looks for.
pub const ENTRY_MAGIC: &[u8; 4] = b"FLWE";

const KIND_BATCH: u16 = 1;
const FILE_CRC_AT: usize = 60;
/// Magic and checksum; the checksum covers what follows them, up to and with the batch's first bytes.
const ENTRY_COVERED_FROM: usize = 8;
const FILE: &str = "WAL file header";
const ENTRY: &str = "WAL entry";

persisted! {
    /// The first 64 bytes of a WAL file.
    #[derive(Copy)]
    pub struct WalFileHeader {
        /// The incarnation whose WAL it is.
        pub incarnation: Incarnation,
        /// Position of the first entry of this file in the generation's WAL.
        pub start: Lsn,
        /// The generation whose WAL it is.
        pub generation: Generation,
    }
}

persisted! {
    /// What stands before every batch in the WAL.
    #[derive(Copy)]
    pub struct EntryHeader {
        /// Position of this entry in the generation's WAL, in bytes.
        pub lsn: Lsn,
        /// The incarnation whose WAL it is.
        pub incarnation: Incarnation,
        /// The generation whose WAL it is.
        pub generation: Generation,
        /// Bytes of the batch, which follows the header.
        pub payload_len: u32,
        /// How far the WAL was known to be fsynced when this entry was written: damage below it is damage, not a torn end.
        pub synced: Lsn,
        /// The partition that the batch was appended to.
        pub partition: PartitionId,
        /// The leader epoch in which it was appended.
        pub epoch: LeaderEpoch,
        /// The offset at which that epoch began: with it, recovery tells a hole from an epoch's start (R7, T54).
        pub epoch_start: Offset,
        /// Offset of the batch's first record.
        pub base_offset: Offset,
    }
}

impl WalFileHeader {
    /// The 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; WAL_FILE_HEADER_LEN] {
        let mut out = Vec::with_capacity(WAL_FILE_HEADER_LEN);
        out.extend_from_slice(WAL_MAGIC);
        out.extend_from_slice(&WAL_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.incarnation.0.to_le_bytes());
        out.extend_from_slice(&self.start.0.to_le_bytes());
        out.extend_from_slice(&self.generation.0.to_le_bytes());
        out.resize(FILE_CRC_AT, 0);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.try_into().expect("the fields above add up to 64 bytes")
    }

    /// Reads and checks the first 64 bytes of `bytes`; entries follow behind them.
    ///
    /// # Errors
    /// Truncated, wrong magic, checksum, a newer version.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if let Some(magic) = bytes.first_chunk::<4>().filter(|magic| *magic != WAL_MAGIC) {
            return Err(FormatError::WrongMagic { what: FILE, at: 0, expected: WAL_MAGIC, found: magic.to_vec() });
        }
        let Some(header) = bytes.first_chunk::<WAL_FILE_HEADER_LEN>() else {
            return Err(FormatError::Truncated { what: FILE, needed: WAL_FILE_HEADER_LEN as u64, found: bytes.len() as u64 });
        };
        let (covered, stored) = header.split_at(FILE_CRC_AT);
        let (stored, computed) = (Fields(stored).u32(), crc32c(covered));
        if stored != computed {
            return Err(FormatError::Checksum { what: FILE, at: 0, stored, computed });
        }
        let mut fields = Fields(covered);
        let _magic: [u8; 4] = fields.take();
        let (version, reserved) = (fields.u16(), fields.u16());
        known_version(Kind::WalFile, version, WAL_VERSION)?;
        let header = Self { incarnation: Incarnation(fields.u64()), start: Lsn(fields.u64()), generation: Generation(fields.u32()) };
        if version == 0 || reserved != 0 || fields.take::<32>() != [0; 32] {
            return Err(FormatError::Malformed { what: FILE, at: 0, problem: "this format version never existed" });
        }
        Ok(header)
    }
}

/// An entry's header and the batch's first bytes: what the entry's checksum covers, in one piece.
fn encode_prefix(header: &EntryHeader, batch_prefix: &[u8; BATCH_PREFIX_LEN]) -> [u8; ENTRY_PREFIX_LEN] {
    let mut bytes = [0; ENTRY_PREFIX_LEN];
    let (head, covered) = bytes.split_at_mut(ENTRY_COVERED_FROM);
    let mut rest = &mut *covered;
    rest.put_u64_le(header.lsn.0);
    rest.put_u64_le(header.incarnation.0);
    rest.put_u32_le(header.generation.0);
    rest.put_u32_le(header.payload_len);
    rest.put_u64_le(header.synced.0);
    rest.put_u128(header.partition.topic.0);
    rest.put_i32_le(header.partition.index);
    rest.put_i32_le(header.epoch);
    rest.put_i64_le(header.epoch_start);
    rest.put_i64_le(header.base_offset);
    rest.put_u16_le(KIND_BATCH);
    rest.put_slice(&[0; 6]);
    rest.put_slice(batch_prefix);
    let crc = crc32c(covered);
    let mut head = head;
    head.put_slice(ENTRY_MAGIC);
    head.put_u32_le(crc);
    bytes
}

/// Appends an entry's header. `batch_prefix`: the batch's first 21 bytes as stamped, which the header's checksum covers.
pub fn encode_entry_header(out: &mut BytesMut, header: &EntryHeader, batch_prefix: &[u8; BATCH_PREFIX_LEN]) {
    let prefix = encode_prefix(header, batch_prefix);
    let (header, _) = prefix.split_at(ENTRY_HEADER_LEN);
    out.put_slice(header);
}

/// Appends a whole entry: the header, then `batch` stamped with the header's base offset and epoch. One copy of the batch.
///
/// # Errors
/// `Unencodable` when `batch` is shorter than a batch's header or not as long as the header says.
pub fn append_entry(out: &mut BytesMut, header: &EntryHeader, batch: &[u8]) -> Result<(), FormatError> {
    let unencodable = |problem| FormatError::Unencodable { what: ENTRY, problem };
    let Some((prefix, rest)) = batch.split_first_chunk::<BATCH_PREFIX_LEN>() else {
        return Err(unencodable("the batch is shorter than its header"));
    };
    if header.payload_len as usize != batch.len() || batch.len() < floe_records::HEADER_LEN {
        return Err(unencodable("the batch is not as long as its entry says"));
    }
    let mut stamped = *prefix;
    floe_records::stamp(&mut stamped, header.base_offset, header.epoch);
    out.reserve(ENTRY_HEADER_LEN.saturating_add(batch.len()));
    out.put_slice(&encode_prefix(header, &stamped));
    out.put_slice(rest);
    Ok(())
}

impl EntryHeader {
    /// Bytes of the whole entry: how far behind its LSN the next one begins.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        u64::from(self.payload_len).saturating_add(ENTRY_HEADER_LEN as u64)
    }

    /// Position of the entry behind this one.
    #[must_use]
    pub fn end(&self) -> Lsn {
        Lsn(self.lsn.0.saturating_add(self.total_len()))
    }

    /// Reads and checks an entry's header from the first [`ENTRY_PREFIX_LEN`] bytes of `bytes`: once this is `Ok`, `payload_len` is as
    /// written. Whether it is the entry that is expected here (LSN, incarnation, generation) is the caller's to compare.
    ///
    /// # Errors
    /// Truncated, wrong magic (zeros: nothing was written here), checksum, a kind of entry that a later version writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if let Some(magic) = bytes.first_chunk::<4>().filter(|magic| *magic != ENTRY_MAGIC) {
            return Err(FormatError::WrongMagic { what: ENTRY, at: 0, expected: ENTRY_MAGIC, found: magic.to_vec() });
        }
        let Some((head, covered)) = bytes.first_chunk::<ENTRY_PREFIX_LEN>().map(|prefix| prefix.split_at(ENTRY_COVERED_FROM)) else {
            return Err(FormatError::Truncated { what: ENTRY, needed: ENTRY_PREFIX_LEN as u64, found: bytes.len() as u64 });
        };
        let stored = head.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc));
        let computed = crc32c(covered);
        if stored != computed {
            return Err(FormatError::Checksum { what: ENTRY, at: 0, stored, computed });
        }
        let mut fields = Fields(covered);
        let (lsn, incarnation, generation) = (Lsn(fields.u64()), Incarnation(fields.u64()), Generation(fields.u32()));
        let (payload_len, synced) = (fields.u32(), Lsn(fields.u64()));
        let partition = PartitionId { topic: TopicId(fields.id()), index: fields.i32() };
        let (epoch, epoch_start, base_offset) = (fields.i32(), fields.i64(), fields.i64());
        let (kind, reserved) = (fields.u16(), fields.take::<6>());
        if kind != KIND_BATCH {
            return Err(FormatError::Unsupported { what: ENTRY, detail: "it is of a kind that a later version writes" });
        }
        if reserved != [0; 6] {
            return Err(FormatError::Malformed { what: ENTRY, at: 82, problem: "reserved bytes are not zero" });
        }
        let header = Self { lsn, incarnation, generation, synced, partition, epoch, epoch_start, base_offset, payload_len };
        header.check_against(fields.0)?;
        Ok(header)
    }

    /// Header and stamped batch say the same.
    fn check_against(&self, batch_prefix: &[u8]) -> Result<(), FormatError> {
        let malformed = |problem| Err(FormatError::Malformed { what: ENTRY, at: ENTRY_HEADER_LEN as u64, problem });
        if (self.payload_len as usize) < floe_records::HEADER_LEN {
            return malformed("the batch is shorter than its header");
        }
        let mut batch = Fields(batch_prefix);
        let base_offset = i64::from_be_bytes(batch.take());
        let batch_len = u32::from_be_bytes(batch.take());
        let epoch = i32::from_be_bytes(batch.take());
        if (base_offset, epoch) != (self.base_offset, self.epoch) {
            return malformed("the batch is stamped with another offset or epoch");
        }
        if u64::from(batch_len).saturating_add(12) != u64::from(self.payload_len) {
            return malformed("the batch is not as long as its entry says");
        }
        Ok(())
    }
}

/// Reads and checks the entry at the start of `bytes`: its header, and its batch with the batch's own checksum. More may follow.
///
/// # Errors
/// As [`EntryHeader::parse`]; truncated, checksum of the batch.
pub fn decode_entry(bytes: &[u8]) -> Result<(EntryHeader, &[u8]), FormatError> {
    let header = EntryHeader::parse(bytes)?;
    let batch = bytes.get(ENTRY_HEADER_LEN..).and_then(|rest| rest.get(..header.payload_len as usize));
    let Some(batch) = batch else {
        return Err(FormatError::Truncated { what: ENTRY, needed: header.total_len(), found: bytes.len() as u64 });
    };
    verify_payload(batch)?;
    Ok((header, batch))
}

/// Checks a batch against its own CRC. Its first 21 bytes are the entry header's to check.
///
/// # Errors
/// Truncated, checksum.
pub fn verify_payload(batch: &[u8]) -> Result<(), FormatError> {
    const WHAT: &str = "batch of a WAL entry";
    let Some((prefix, covered)) = batch.split_first_chunk::<BATCH_PREFIX_LEN>() else {
        return Err(FormatError::Truncated { what: WHAT, needed: BATCH_PREFIX_LEN as u64, found: batch.len() as u64 });
    };
    let stored = prefix.last_chunk::<4>().map_or(0, |crc| u32::from_be_bytes(*crc));
    let computed = crc32c(covered);
    if stored != computed {
        return Err(FormatError::Checksum { what: WHAT, at: ENTRY_HEADER_LEN as u64, stored, computed });
    }
    Ok(())
}

/// Whether nothing was ever written here: preallocated files hold zeros.
#[must_use]
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().take(ENTRY_HEADER_LEN).all(|byte| *byte == 0)
}
