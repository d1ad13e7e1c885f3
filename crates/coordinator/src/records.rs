//! The records of `__consumer_offsets`, byte for byte as Kafka 4.1 writes them (`OffsetCommitKey` 1, `OffsetCommitValue` 3 or
//! 1, `GroupMetadataKey` 2, `GroupMetadataValue` 3), so that tools which read the topic work. Read are all versions up to 4.
//!
//! A key starts with its version, which tells its kind too; a null value deletes. Keys of kinds that are not known are
//! skipped by readers, as Kafka does.

mod read;
mod write;

pub(crate) use read::Reader;

use crate::{CommittedOffset, Name};
use bytes::Bytes;
use floe_types::ErrorKind;

/// Longest text that a record can hold, in bytes.
pub const MAX_TEXT: usize = i16::MAX as usize;

/// A key and a value of the coordinator's log.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupRecord {
    /// An offset; none deletes it.
    Offset { group: Name, topic: Name, partition: i32, committed: Option<CommittedOffset> },
    /// A group's members and assignments; none deletes them.
    Group { group: Name, stored: Option<StoredGroup> },
}

/// A group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredGroup {
    /// Empty for none.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Unix milliseconds; -1 where an old version did not say.
    pub state_since_ms: i64,
    pub members: Vec<StoredMember>,
}

/// A member as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredMember {
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Its metadata for the protocol that was chosen.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the group coordinator is damaged: {0}")]
pub struct RecordError(pub(crate) &'static str);

impl RecordError {
    /// Damage.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

impl GroupRecord {
    /// The record's key.
    #[must_use]
    pub fn key(&self) -> Bytes {
        write::key(self)
    }

    /// The record's value; none for a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<Bytes> {
        write::value(self)
    }

    /// Reads a record; none if its key is of a kind that is not known.
    ///
    /// # Errors
    /// Bytes that are no such record, or a value of a version that is not known.
    pub fn read(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, RecordError> {
        read::record(key, value)
    }
}

#[cfg(test)]
mod tests;
