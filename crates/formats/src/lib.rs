//! Every byte that Floe persists: objects of the store, files of the local disk, entries of the WAL.
//!
//! | module | owns |
//! |---|---|
//! | [`header`], [`object`] | the 64-byte envelope of every object, `encode`, `decode`, `peek` |
//! | [`keys`] | where objects live: build and parse |
//! | [`cluster`], [`claim`], [`stop`], [`end`], [`index`], [`catalog`], [`manifest`], [`page`], [`mark`], [`disk`] | one persisted thing each |
//! | [`etcd`] | the values in etcd |
//! | [`segment`], [`pack`] | packs: what they hold, how they are built and read |
//! | [`wal_entry`] | the WAL: file header and entries |
//! | [`inspect`] | any of them as JSON, every field named and explained |
//!
//! Invariants: a decoder never panics, never allocates more than a small multiple of its input, and tells a wrong magic,
//! a newer version, a checksum, a truncation and trailing bytes apart. What this version writes, every later version
//! reads (`docs/formats.md`, `goldens/`).
//!
//! It is not I/O, and it decides nothing: who may write what, and what counts, is `log`'s.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::cast_sign_loss)
)]

mod body;
pub mod catalog;
pub mod checksum;
pub mod claim;
pub mod cluster;
pub mod disk;
pub mod doc;
pub mod end;
mod error;
pub mod etcd;
pub mod header;
pub mod index;
pub mod inspect;
pub mod keys;
pub mod manifest;
pub mod mark;
pub mod object;
pub mod pack;
pub mod page;
mod read;
pub mod segment;
pub mod stop;
pub mod wal_entry;

pub use catalog::{CatalogBody, CatalogChange, CatalogState, CatalogVersion, Topic};
pub use claim::{Claim, ClaimState, WalKind};
pub use cluster::{Cluster, Mode};
pub use disk::{DiskIdentity, Replica, Seal};
pub use end::End;
pub use error::FormatError;
pub use header::{Kind, ObjectHeader, Writer};
pub use index::{EpochStart, Index, PartitionIndex};
pub use manifest::Manifest;
pub use mark::Mark;
pub use object::{Object, decode, encode, peek};
pub use pack::{
    BatchSlice, Block, BlockCodec, BuiltPack, DEFAULT_BLOCK_TARGET, PACK_VERSION, PackBuilder, PackFooter, PackKind, PackTail, SegmentMeta,
    SlotTail, TRAILER_LEN, Trailer, WalPosition, decode_footer, decode_slot_tail, decode_tail, decode_trailer, open_block, verify_block,
    verify_pack,
};
pub use page::{ManifestPage, PageRef};
pub use segment::{PackRef, PartitionEvent, ProducerBatch, ProducerUpdate, Segment, SegmentRef, Ulid};
pub use stop::Stop;
pub use wal_entry::{ENTRY_HEADER_LEN, ENTRY_PREFIX_LEN, EntryHeader, WAL_FILE_HEADER_LEN, WalFileHeader};
