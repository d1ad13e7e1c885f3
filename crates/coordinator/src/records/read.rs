//! Reading: every version up to 4, which is the first with compact lengths and tagged fields (KIP-482).

use super::{GroupRecord, RecordError, StoredGroup, StoredMember};
use crate::CommittedOffset;
use bytes::Bytes;

/// First version of a value with compact lengths.
const FLEXIBLE: i16 = 4;

pub(super) fn record(key: &Bytes, value: Option<&Bytes>) -> Result<Option<GroupRecord>, RecordError> {
    let mut reader = Reader::new(key);
    match reader.i16()? {
        0 | 1 => {
            let (group, topic, partition) = (reader.text()?, reader.text()?, reader.i32()?);
            let committed = value.map(offset).transpose()?;
            Ok(Some(GroupRecord::Offset { group: group.into(), topic: topic.into(), partition, committed }))
        }
        2 => {
            let group = reader.text()?.into();
            Ok(Some(GroupRecord::Group { group, stored: value.map(stored).transpose()? }))
        }
        _ => Ok(None),
    }
}

fn offset(value: &Bytes) -> Result<CommittedOffset, RecordError> {
    let mut reader = Reader::versioned(value)?;
    let version = reader.version;
    let offset = reader.i64()?;
    let leader_epoch = if version >= 3 { reader.i32()? } else { -1 };
    let metadata = reader.text()?.into();
    let committed_ms = reader.i64()?;
    let expires_ms = if version == 1 { Some(reader.i64()?).filter(|ms| *ms >= 0) } else { None };
    Ok(CommittedOffset { offset, leader_epoch, metadata, committed_ms, expires_ms })
}

fn stored(value: &Bytes) -> Result<StoredGroup, RecordError> {
    let mut reader = Reader::versioned(value)?;
    let version = reader.version;
    let mut group = StoredGroup {
        protocol_type: reader.text()?,
        generation: reader.i32()?,
        protocol: reader.nullable()?,
        leader: reader.nullable()?,
        state_since_ms: if version >= 2 { reader.i64()? } else { -1 },
        members: Vec::new(),
    };
    for _ in 0..reader.length()? {
        group.members.push(member(&mut reader)?);
    }
    Ok(group)
}

fn member(reader: &mut Reader<'_>) -> Result<StoredMember, RecordError> {
    let version = reader.version;
    let mut member = StoredMember {
        member: reader.text()?,
        instance: if version >= 3 { reader.nullable()? } else { None },
        client_id: reader.text()?,
        client_host: reader.text()?,
        ..StoredMember::default()
    };
    let timeout = reader.i32()?;
    // Version 0 has one timeout for both.
    (member.rebalance_timeout_ms, member.session_timeout_ms) = if version >= 1 { (timeout, reader.i32()?) } else { (timeout, timeout) };
    member.subscription = reader.bytes()?;
    member.assignment = reader.bytes()?;
    reader.tags()?;
    Ok(member)
}

/// Reads forward. Nothing is allocated from a length that the bytes do not bear out.
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    version: i16,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0, version: 0 }
    }

    /// A value, whose version says how the rest is to be read.
    fn versioned(bytes: &'a Bytes) -> Result<Self, RecordError> {
        let mut reader = Self::new(bytes);
        reader.version = reader.i16()?;
        if (0..=FLEXIBLE).contains(&reader.version) { Ok(reader) } else { Err(RecordError("its version is not known")) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let end = self.at.checked_add(len).ok_or(RecordError("it is cut"))?;
        let taken = self.bytes.get(self.at..end).ok_or(RecordError("it is cut"))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError("it is cut"))
    }

    pub(crate) fn i16(&mut self) -> Result<i16, RecordError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    fn unsigned(&mut self) -> Result<u32, RecordError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError("a length is too long"))
    }

    /// A length, of text where `short`, else of bytes or an array; none for null.
    fn nullable_length(&mut self, short: bool) -> Result<Option<usize>, RecordError> {
        let length = match (self.version >= FLEXIBLE, short) {
            (true, _) => i64::from(self.unsigned()?).saturating_sub(1),
            (false, true) => i64::from(self.i16()?),
            (false, false) => i64::from(self.i32()?),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| RecordError("a length is negative")),
        }
    }

    /// The length of an array. Each element takes a byte at least, so one that is not there is found while they are read.
    pub(crate) fn length(&mut self) -> Result<usize, RecordError> {
        self.nullable_length(false).map(Option::unwrap_or_default)
    }

    fn nullable(&mut self) -> Result<Option<String>, RecordError> {
        let Some(length) = self.nullable_length(true)? else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| RecordError("a text is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    }

    pub(crate) fn text(&mut self) -> Result<String, RecordError> {
        self.nullable()?.ok_or(RecordError("a text is null"))
    }

    /// A copy, so that one member's bytes do not keep a whole batch in memory.
    fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = self.length()?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    fn tags(&mut self) -> Result<(), RecordError> {
        if self.version >= FLEXIBLE {
            for _ in 0..self.unsigned()? {
                self.unsigned()?;
                let size = usize::try_from(self.unsigned()?).unwrap_or(usize::MAX);
                self.take(size)?;
            }
        }
        Ok(())
    }
}
