//! The values in etcd: what elects and announces, none of it the truth about records.
//!
//! Each is a version byte, a postcard body, and the CRC-32C of both (4 bytes, little-endian). Keys are `floe-metadata`'s.

use crate::{
    FormatError, body,
    checksum::crc32c,
    doc::{Described, persisted},
};
use bytes::Bytes;
use floe_types::{BrokerId, ClusterId, DiskId, Incarnation, LeaderEpoch, WriteId};
use serde::{Serialize, de::DeserializeOwned};

/// A value under a key of etcd. Its version is the first byte; what a version wrote, every later program reads.
pub trait Value: Serialize + DeserializeOwned + Described {
    /// The value's name in errors.
    const NAME: &'static str;
    /// The version that is written.
    const VERSION: u8 = 1;
}

persisted! {
    /// `cluster`: the cluster that an etcd prefix belongs to. Created once, never changed.
    pub struct ClusterEntry {
        /// The cluster's id, the same as in the store's `cluster` object.
        pub cluster: ClusterId,
    }
}

persisted! {
    /// `brokers/<id>`: a broker that is alive, under its lease.
    pub struct BrokerEntry {
        /// The life of the broker that wrote this.
        pub incarnation: Incarnation,
        /// Its data directory: another disk under the same broker id is another broker.
        pub disk: DiskId,
        /// Where it runs, for the spread of copies and leaders; empty if it was not told.
        pub rack: String,
        /// The host that Kafka clients are told.
        pub host: String,
        /// The port that Kafka clients are told.
        pub port: u16,
        /// Where other brokers reach it, `host:port`.
        pub peer: String,
    }
}

persisted! {
    /// `incarnations/<i>`: whose life an incarnation is. Written with its state, and deleted with it.
    pub struct IncarnationEntry {
        /// The broker whose life this is.
        pub broker: BrokerId,
        /// The broker's data directory.
        pub disk: DiskId,
        /// When it registered, in unix milliseconds. For people only.
        pub started_ms: i64,
    }
}

persisted! {
    /// `lives/<i>`: how far an incarnation has come. Only ever goes on, from each to the next.
    #[derive(Copy, PartialOrd, Ord, Hash)]
    pub enum Life {
        /// It may own partitions.
        Open,
        /// Somebody recovers it, or it drains: nothing is given to it any more (R4).
        Sealing,
        /// Its `end` stands: what it owned can be taken over (R9).
        Closed,
    }
}

persisted! {
    /// `partitions/<topic>/<p>`: who leads a partition. Changes by a comparison of the whole value only (R13).
    #[derive(Copy, PartialOrd, Ord, Hash)]
    pub struct OwnerEntry {
        /// The owner.
        pub incarnation: Incarnation,
        /// The leader epoch; one more at each change.
        pub epoch: LeaderEpoch,
        /// A closed incarnation whose index the owner builds on; none where the manifest is all.
        pub base: Option<Incarnation>,
    }
}

persisted! {
    /// `preferred/<topic>/<p>`: who should lead a partition, while it is alive. A wish: its owner moves it there, and nobody moves it away.
    #[derive(Copy)]
    pub struct PreferredEntry {
        /// The broker, in whichever life.
        pub broker: BrokerId,
    }
}

persisted! {
    /// `drain/<i>`: an incarnation should drain and end. A wish, which it follows by itself.
    #[derive(Copy)]
    pub struct DrainEntry {
        /// When that was asked for, in unix milliseconds. For people only.
        pub asked_ms: i64,
    }
}

persisted! {
    /// `lost/<i>`: an operator has declared disks lost that may hold copies of an incarnation's WALs. Its recovery goes on without them, whatever only they have (R12).
    pub struct LostEntry {
        /// The disks.
        pub disks: Vec<DiskId>,
        /// When that was declared, in unix milliseconds. For people only.
        pub accepted_ms: i64,
    }
}

persisted! {
    /// `catalog`: the newest version of the catalog that is announced. Only ever grows.
    #[derive(Copy)]
    pub struct CatalogEntry {
        /// The version; the object of that number stands in the store.
        pub version: u64,
    }
}

persisted! {
    /// `counter`: a hint at the greatest incarnation that ever registered. The claims in the store are the truth.
    #[derive(Copy)]
    pub struct CounterEntry {
        /// The greatest number that is known here.
        pub greatest: Incarnation,
    }
}

persisted! {
    /// `cleaning/<i>`: who cleans a closed chain, under its lease. It spares others the work; no safety rests on it.
    #[derive(Copy)]
    pub struct CleanerEntry {
        /// The life of the broker that cleans.
        pub by: Incarnation,
    }
}

persisted! {
    /// `mark`: by which a restored snapshot is known. Each has the number behind the one before, and stands in the store, too, before anybody relies on it.
    #[derive(Copy)]
    pub struct MarkEntry {
        /// Counted from 1.
        pub number: u64,
        /// Drawn for this mark alone.
        pub nonce: WriteId,
    }
}

macro_rules! values {
    ($($type:ident $name:literal;)+) => {
        $(impl Value for $type {
            const NAME: &'static str = $name;
        })+
    };
}

values! {
    ClusterEntry "etcd cluster entry";
    BrokerEntry "etcd broker entry";
    IncarnationEntry "etcd incarnation entry";
    Life "etcd life entry";
    OwnerEntry "etcd owner entry";
    PreferredEntry "etcd preferred entry";
    DrainEntry "etcd drain entry";
    LostEntry "etcd lost entry";
    CatalogEntry "etcd catalog entry";
    CounterEntry "etcd counter entry";
    CleanerEntry "etcd cleaner entry";
    MarkEntry "etcd mark entry";
}

const CRC_LEN: usize = 4;
/// A version and a checksum.
const FEWEST: u64 = 5;

/// The bytes of a value.
#[must_use]
pub fn encode_value<T: Value>(value: &T) -> Bytes {
    let mut bytes = body::append(vec![T::VERSION], value);
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Bytes::from(bytes)
}

/// Reads a whole value.
///
/// # Errors
/// Truncated, damaged, or of another version.
pub fn decode_value<T: Value>(bytes: &[u8]) -> Result<T, FormatError> {
    let what = T::NAME;
    let truncated = FormatError::Truncated { what, needed: FEWEST, found: bytes.len() as u64 };
    let (front, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(truncated.clone())?;
    let (version, rest) = front.split_first().ok_or(truncated)?;
    let (stored, computed) = (u32::from_le_bytes(*crc), crc32c(front));
    if stored != computed {
        return Err(FormatError::Checksum { what, at: 0, stored, computed });
    }
    if *version != T::VERSION {
        return Err(FormatError::Unsupported { what, detail: "another version of floe wrote it" });
    }
    body::read(what, rest, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner() -> impl Strategy<Value = OwnerEntry> {
        (any::<u64>(), any::<i32>(), any::<Option<u64>>()).prop_map(|(incarnation, epoch, base)| OwnerEntry {
            incarnation: Incarnation(incarnation),
            epoch,
            base: base.map(Incarnation),
        })
    }

    #[test]
    fn values_are_the_bytes_that_they_always_were() {
        let hex = |bytes: Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (disk, nonce) = (DiskId(0x0123_4567_89ab_cdef_0011_2233_4455_6677), WriteId(7));
        let owner = OwnerEntry { incarnation: Incarnation(300), epoch: 5, base: Some(Incarnation(7)) };
        let broker =
            BrokerEntry { incarnation: Incarnation(300), disk, rack: "a".into(), host: "h".into(), port: 9092, peer: "h:9093".into() };
        let found = [
            hex(encode_value(&ClusterEntry { cluster: ClusterId(1) })),
            hex(encode_value(&broker)),
            hex(encode_value(&IncarnationEntry { broker: BrokerId(3), disk, started_ms: 1000 })),
            hex(encode_value(&Life::Sealing)),
            hex(encode_value(&owner)),
            hex(encode_value(&PreferredEntry { broker: BrokerId(3) })),
            hex(encode_value(&DrainEntry { asked_ms: 1000 })),
            hex(encode_value(&LostEntry { disks: vec![disk], accepted_ms: 1000 })),
            hex(encode_value(&CatalogEntry { version: 9 })),
            hex(encode_value(&CounterEntry { greatest: Incarnation(300) })),
            hex(encode_value(&CleanerEntry { by: Incarnation(300) })),
            hex(encode_value(&MarkEntry { number: 2, nonce })),
        ];
        assert_eq!(found, GOLDEN);
    }

    const GOLDEN: [&str; 12] = [
        "0100000000000000000000000000000001b5fc6277",
        "01ac020123456789abcdef001122334455667701610168844706683a39303933db325bc2",
        "01060123456789abcdef0011223344556677d00f6972f113",
        "0101a66ca810",
        "01ac020a01076c7103e7",
        "01064d0862c4",
        "01d00f5cc027a0",
        "01010123456789abcdef0011223344556677d00fcf0f6532",
        "01096934719a",
        "01ac026cfac873",
        "01ac026cfac873",
        "0102000000000000000000000000000000075a134fad",
    ];

    proptest! {
        #[test]
        fn owners_read_back(owner in owner()) {
            prop_assert_eq!(decode_value::<OwnerEntry>(&encode_value(&owner)), Ok(owner));
        }

        #[test]
        fn no_bytes_make_it_panic_and_no_flipped_bit_is_read(owner in owner(), bytes in any::<Vec<u8>>(), bit in any::<prop::sample::Index>()) {
            let _ = decode_value::<BrokerEntry>(&bytes);
            let mut damaged = encode_value(&owner).to_vec();
            let bit = bit.index(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_value::<OwnerEntry>(&damaged).is_err());
        }
    }
}
