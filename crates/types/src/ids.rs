//! Ids and counters. Each is `Copy`, ordered, serialisable, and displays as it appears in object keys and logs.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A text that is not the hyphenated form of a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id such as 01234567-89ab-cdef-0123-456789abcdef")]
pub struct InvalidId(pub String);

fn parse_uuid(text: &str) -> Result<u128, InvalidId> {
    let invalid = || InvalidId(text.to_owned());
    let well_formed = text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() });
    if !well_formed {
        return Err(invalid());
    }
    u128::from_str_radix(&text.replace('-', ""), 16).map_err(|_| invalid())
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);
        impl Serialize for $name {
            /// For people as it is displayed, in persisted bytes as 16 bytes, big-endian.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.to_be_bytes().serialize(serializer) }
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    return String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom);
                }
                <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_uuid(text).map(Self)
            }
        }
        impl fmt::Display for $name {
            /// The hyphenated form of a UUID.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let h = format!("{:032x}", self.0);
                for (i, part) in [&h[0..8], &h[8..12], &h[12..16], &h[16..20], &h[20..32]].into_iter().enumerate() {
                    if i > 0 {
                        f.write_str("-")?;
                    }
                    f.write_str(part)?;
                }
                Ok(())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

number!(
    /// What Kafka clients see as the node id.
    BrokerId(i32)
);
number!(
    /// One life of a broker: a number greater at every start; what owns partitions. Counted from 1.
    Incarnation(u64)
);
number!(
    /// A stretch of an incarnation's life with a fixed replica set and one WAL, or none. Counted from 0.
    Generation(u32)
);
number!(
    /// Position in an incarnation's row of slots. Counted from 0.
    SlotNumber(u64)
);
number!(
    /// Byte position in a generation's WAL. The first entry of a generation lies at 0.
    Lsn(u64)
);

impl SlotNumber {
    /// The slot behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

id128!(
    /// A topic's identity. A re-created name gets a new one, so that it never meets old data.
    TopicId
);
id128!(
    /// The cluster a store and a data directory belong to.
    ClusterId
);
id128!(
    /// A data directory, for ever: a wiped disk gets a new one, so that it cannot answer for the old (R2).
    DiskId
);
id128!(
    /// Names one write of an object, so that its writer can tell its own body from another's when an answer is lost (R10).
    WriteId
);

/// A partition of a topic, by id: what the log and every stored byte are keyed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    pub topic: TopicId,
    pub index: i32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_display_as_hyphenated_uuids() {
        assert_eq!(TopicId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef).to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(WriteId(1).to_string(), "00000000-0000-0000-0000-000000000001");
    }

    #[test]
    fn ids_read_back_as_displayed_and_nothing_else_is_an_id() {
        let id = TopicId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcde", "+1234567-89ab-cdef-0123-456789abcdef"] {
            assert_eq!(bad.parse::<TopicId>(), Err(InvalidId(bad.into())));
        }
    }
}
