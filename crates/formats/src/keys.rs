//! Where objects live. No key is another's folder; numbers are 16 hex digits, and where the newest is wanted they are stored
//! complemented (`!n`), so that it lists first on every store; ids are UUIDs.
//!
//! | key | what | newest first |
//! |---|---|---|
//! | `cluster` | [`crate::Cluster`] | |
//! | `adopted` | [`crate::Cluster`] | |
//! | `catalog/~v` | [`crate::CatalogVersion`] | yes |
//! | `mark/~n` | [`crate::Mark`] | yes |
//! | `chain/~i/claim/~g` | [`crate::Claim`] | both |
//! | `chain/~i/slot/n` | a pack or a [`crate::Stop`] | |
//! | `chain/~i/recovery/by-n` | a recovery pack | |
//! | `chain/~i/end` | [`crate::End`] | |
//! | `chain/~i/index/~n` | [`crate::Index`] | yes |
//! | `topic/id/p/manifest/~v` | [`crate::Manifest`] | yes |
//! | `topic/id/p/pack/epoch-ulid` | an own pack | |
//! | `topic/id/p/page/epoch-ulid` | [`crate::ManifestPage`] | |

use crate::Ulid;
use floe_types::{Generation, Incarnation, LeaderEpoch, PartitionId, SlotNumber, TopicId};

/// The one key of its kind: names the cluster.
pub const CLUSTER: &str = "cluster";

/// Says that a single broker's store has become a cluster's.
pub const ADOPTED: &str = "adopted";

/// What a key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Cluster,
    Adopted,
    Catalog { version: u64 },
    Mark { number: u64 },
    Claim { incarnation: Incarnation, generation: Generation },
    Slot { incarnation: Incarnation, slot: SlotNumber },
    Recovery { incarnation: Incarnation, by: Incarnation, number: u32 },
    End { incarnation: Incarnation },
    Index { incarnation: Incarnation, number: u64 },
    Manifest { partition: PartitionId, version: u64 },
    OwnPack { partition: PartitionId, epoch: LeaderEpoch, ulid: Ulid },
    Page { partition: PartitionId, epoch: LeaderEpoch, ulid: Ulid },
}

/// A key that is none of Floe's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is no key of Floe's")]
pub struct InvalidKey {
    pub key: String,
}

fn up(n: u64) -> String {
    format!("{n:016x}")
}

fn down(n: u64) -> String {
    up(!n)
}

/// `cluster`
#[must_use]
pub fn cluster() -> String {
    CLUSTER.to_owned()
}

/// `adopted`
#[must_use]
pub fn adopted() -> String {
    ADOPTED.to_owned()
}

/// `catalog/`
#[must_use]
pub fn catalog_prefix() -> String {
    "catalog/".to_owned()
}

/// `catalog/~v`
#[must_use]
pub fn catalog(version: u64) -> String {
    format!("catalog/{}", down(version))
}

/// `mark/~n`
#[must_use]
pub fn mark(number: u64) -> String {
    format!("mark/{}", down(number))
}

/// `chain/`: its folders are chains, the newest first; read their names with [`parse_chain_folder`].
#[must_use]
pub fn chains_prefix() -> String {
    "chain/".to_owned()
}

/// `chain/~i/`
#[must_use]
pub fn chain_prefix(incarnation: Incarnation) -> String {
    format!("chain/{}/", down(incarnation.0))
}

/// `chain/~i/claim/`
#[must_use]
pub fn claims_prefix(incarnation: Incarnation) -> String {
    format!("{}claim/", chain_prefix(incarnation))
}

/// `chain/~i/claim/~g`
#[must_use]
pub fn claim(incarnation: Incarnation, generation: Generation) -> String {
    format!("{}{}", claims_prefix(incarnation), down(generation.0.into()))
}

/// `chain/~i/slot/`
#[must_use]
pub fn slots_prefix(incarnation: Incarnation) -> String {
    format!("{}slot/", chain_prefix(incarnation))
}

/// `chain/~i/slot/n`
#[must_use]
pub fn slot(incarnation: Incarnation, slot: SlotNumber) -> String {
    format!("{}{}", slots_prefix(incarnation), up(slot.0))
}

/// `chain/~i/recovery/`
#[must_use]
pub fn recoveries_prefix(incarnation: Incarnation) -> String {
    format!("{}recovery/", chain_prefix(incarnation))
}

/// `chain/~i/recovery/by-n`
#[must_use]
pub fn recovery(incarnation: Incarnation, by: Incarnation, number: u32) -> String {
    format!("{}{}-{}", recoveries_prefix(incarnation), up(by.0), up(number.into()))
}

/// `chain/~i/end`
#[must_use]
pub fn end(incarnation: Incarnation) -> String {
    format!("{}end", chain_prefix(incarnation))
}

/// `chain/~i/index/`
#[must_use]
pub fn indexes_prefix(incarnation: Incarnation) -> String {
    format!("{}index/", chain_prefix(incarnation))
}

/// `chain/~i/index/~n`
#[must_use]
pub fn index(incarnation: Incarnation, number: u64) -> String {
    format!("{}{}", indexes_prefix(incarnation), down(number))
}

/// `topic/`: its folders are topic ids.
#[must_use]
pub fn topics_prefix() -> String {
    "topic/".to_owned()
}

/// `topic/id/`
#[must_use]
pub fn topic_prefix(topic: TopicId) -> String {
    format!("topic/{topic}/")
}

/// `topic/id/p/`; a partition's number is never negative.
#[must_use]
pub fn partition_prefix(partition: PartitionId) -> String {
    format!("{}{}/", topic_prefix(partition.topic), up(u64::from(partition.index.cast_unsigned())))
}

/// `topic/id/p/manifest/`
#[must_use]
pub fn manifests_prefix(partition: PartitionId) -> String {
    format!("{}manifest/", partition_prefix(partition))
}

/// `topic/id/p/manifest/~v`
#[must_use]
pub fn manifest(partition: PartitionId, version: u64) -> String {
    format!("{}{}", manifests_prefix(partition), down(version))
}

/// `topic/id/p/pack/`
#[must_use]
pub fn own_packs_prefix(partition: PartitionId) -> String {
    format!("{}pack/", partition_prefix(partition))
}

/// `topic/id/p/pack/epoch-ulid`; an epoch is never negative.
#[must_use]
pub fn own_pack(partition: PartitionId, epoch: LeaderEpoch, ulid: Ulid) -> String {
    format!("{}{}-{ulid}", own_packs_prefix(partition), up(u64::from(epoch.cast_unsigned())))
}

/// `topic/id/p/page/`
#[must_use]
pub fn pages_prefix(partition: PartitionId) -> String {
    format!("{}page/", partition_prefix(partition))
}

/// `topic/id/p/page/epoch-ulid`; an epoch is never negative.
#[must_use]
pub fn page(partition: PartitionId, epoch: LeaderEpoch, ulid: Ulid) -> String {
    format!("{}{}-{ulid}", pages_prefix(partition), up(u64::from(epoch.cast_unsigned())))
}

impl Key {
    /// Reads any key that this module builds, and only those: `parse(key).to_key() == key`.
    ///
    /// # Errors
    /// The key, when it is not one of Floe's.
    pub fn parse(key: &str) -> Result<Self, InvalidKey> {
        parse_parts(key).ok_or_else(|| InvalidKey { key: key.to_owned() })
    }

    /// The key as text.
    #[must_use]
    pub fn to_key(&self) -> String {
        match *self {
            Self::Cluster => cluster(),
            Self::Adopted => adopted(),
            Self::Catalog { version } => catalog(version),
            Self::Mark { number } => mark(number),
            Self::Claim { incarnation, generation } => claim(incarnation, generation),
            Self::Slot { incarnation, slot: number } => slot(incarnation, number),
            Self::Recovery { incarnation, by, number } => recovery(incarnation, by, number),
            Self::End { incarnation } => end(incarnation),
            Self::Index { incarnation, number } => index(incarnation, number),
            Self::Manifest { partition, version } => manifest(partition, version),
            Self::OwnPack { partition, epoch, ulid } => own_pack(partition, epoch, ulid),
            Self::Page { partition, epoch, ulid } => page(partition, epoch, ulid),
        }
    }
}

fn parse_parts(key: &str) -> Option<Key> {
    let parts: Vec<&str> = key.splitn(6, '/').collect();
    match parts.as_slice() {
        [CLUSTER] => Some(Key::Cluster),
        [ADOPTED] => Some(Key::Adopted),
        ["catalog", version] => Some(Key::Catalog { version: parse_down(version)? }),
        ["mark", number] => Some(Key::Mark { number: parse_down(number)? }),
        ["chain", chain, rest @ ..] => parse_chain_part(Incarnation(parse_down(chain)?), rest),
        ["topic", topic, index, rest @ ..] => {
            let index = i32::try_from(parse_up(index)?).ok()?;
            parse_partition_part(PartitionId { topic: TopicId(parse_uuid(topic)?), index }, rest)
        }
        _ => None,
    }
}

fn parse_chain_part(incarnation: Incarnation, rest: &[&str]) -> Option<Key> {
    match rest {
        ["end"] => Some(Key::End { incarnation }),
        ["claim", generation] => Some(Key::Claim { incarnation, generation: Generation(u32::try_from(parse_down(generation)?).ok()?) }),
        ["slot", slot] => Some(Key::Slot { incarnation, slot: SlotNumber(parse_up(slot)?) }),
        ["index", number] => Some(Key::Index { incarnation, number: parse_down(number)? }),
        ["recovery", name] => {
            let (by, number) = name.split_once('-')?;
            Some(Key::Recovery { incarnation, by: Incarnation(parse_up(by)?), number: u32::try_from(parse_up(number)?).ok()? })
        }
        _ => None,
    }
}

fn parse_partition_part(partition: PartitionId, rest: &[&str]) -> Option<Key> {
    match rest {
        ["manifest", version] => Some(Key::Manifest { partition, version: parse_down(version)? }),
        ["pack", name] => {
            let (epoch, ulid) = parse_epoch_ulid(name)?;
            Some(Key::OwnPack { partition, epoch, ulid })
        }
        ["page", name] => {
            let (epoch, ulid) = parse_epoch_ulid(name)?;
            Some(Key::Page { partition, epoch, ulid })
        }
        _ => None,
    }
}

fn parse_epoch_ulid(name: &str) -> Option<(LeaderEpoch, Ulid)> {
    let (epoch, ulid) = name.split_once('-')?;
    Some((i32::try_from(parse_up(epoch)?).ok()?, Ulid(parse_hex(ulid, 32)?)))
}

/// Exactly `digits` lower-case hex digits: one number has one spelling.
fn parse_hex(text: &str, digits: usize) -> Option<u128> {
    let well_formed = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if well_formed { u128::from_str_radix(text, 16).ok() } else { None }
}

fn parse_up(text: &str) -> Option<u64> {
    u64::try_from(parse_hex(text, 16)?).ok()
}

fn parse_down(text: &str) -> Option<u64> {
    parse_up(text).map(|n| !n)
}

fn parse_uuid(text: &str) -> Option<u128> {
    let id = parse_hex(&text.replace('-', ""), 32)?;
    (TopicId(id).to_string() == text).then_some(id)
}

/// A folder directly below [`chains_prefix`], as `list_folders` names it (with or without a trailing slash).
///
/// # Errors
/// The name, when it is no chain's.
pub fn parse_chain_folder(name: &str) -> Result<Incarnation, InvalidKey> {
    parse_down(name.trim_end_matches('/')).map(Incarnation).ok_or_else(|| InvalidKey { key: name.to_owned() })
}

/// A folder directly below [`topics_prefix`], as `list_folders` names it (with or without a trailing slash).
///
/// # Errors
/// The name, when it is no topic's.
pub fn parse_topic_folder(name: &str) -> Result<TopicId, InvalidKey> {
    parse_uuid(name.trim_end_matches('/')).map(TopicId).ok_or_else(|| InvalidKey { key: name.to_owned() })
}

/// A key below [`catalog_prefix`].
///
/// # Errors
/// The key, when it is no catalog version's.
pub fn parse_catalog(key: &str) -> Result<u64, InvalidKey> {
    match Key::parse(key)? {
        Key::Catalog { version } => Ok(version),
        _ => Err(InvalidKey { key: key.to_owned() }),
    }
}

/// A key below [`claims_prefix`].
///
/// # Errors
/// The key, when it is no claim's.
pub fn parse_claim(key: &str) -> Result<(Incarnation, Generation), InvalidKey> {
    match Key::parse(key)? {
        Key::Claim { incarnation, generation } => Ok((incarnation, generation)),
        _ => Err(InvalidKey { key: key.to_owned() }),
    }
}

/// A key below [`slots_prefix`].
///
/// # Errors
/// The key, when it is no slot's.
pub fn parse_slot(key: &str) -> Result<(Incarnation, SlotNumber), InvalidKey> {
    match Key::parse(key)? {
        Key::Slot { incarnation, slot } => Ok((incarnation, slot)),
        _ => Err(InvalidKey { key: key.to_owned() }),
    }
}

/// A key below [`indexes_prefix`].
///
/// # Errors
/// The key, when it is no index's.
pub fn parse_index(key: &str) -> Result<(Incarnation, u64), InvalidKey> {
    match Key::parse(key)? {
        Key::Index { incarnation, number } => Ok((incarnation, number)),
        _ => Err(InvalidKey { key: key.to_owned() }),
    }
}

/// A key below [`recoveries_prefix`]: the recovered incarnation, the recovering one, the pack's number.
///
/// # Errors
/// The key, when it is no recovery pack's.
pub fn parse_recovery(key: &str) -> Result<(Incarnation, Incarnation, u32), InvalidKey> {
    match Key::parse(key)? {
        Key::Recovery { incarnation, by, number } => Ok((incarnation, by, number)),
        _ => Err(InvalidKey { key: key.to_owned() }),
    }
}
