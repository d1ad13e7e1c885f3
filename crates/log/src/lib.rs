//! Partitions, and the chain that makes them durable: append, commit, flush, read, recover, drain.
//!
//! Read in this order: `partition/append.rs` (a batch gets its offsets), `partition/commit.rs` (when it counts),
//! `flush.rs` (into packs and slots), `chain.rs` (which slots are certain), `recover.rs` (what a successor keeps),
//! `open.rs` (a start, step by step).
//!
//! In every partition, always: `log_start <= committed <= end`, and everything below `certain` is in packs that
//! certain slots or an `end` hold. Is not: Kafka's protocol, which knows requests, versions and error codes.

mod by_epoch;
mod chain;
mod cluster;
pub mod copies;
mod critical;
mod damage;
mod drain;
mod ended;
mod engine;
mod error;
mod exporting;
mod flush;
mod history;
mod index;
mod open;
mod options;
mod pack_reader;
mod partition;
mod recover;
mod row;
mod shared;
mod start;
mod status;
pub mod stored;
pub mod survey;
mod tail_memory;
mod topics;
pub mod verify;
mod wals;

pub use cluster::{Adopted, Links, Membership, PeerIdentity, Peers, adopt};
pub use damage::Damage;
pub use ended::Ended;
pub use engine::Engine;
pub use error::{AppendError, DeleteError, OpenError, ReadError, TopicError};
pub use exporting::{
    EXPORT, EXPORT_FILE_BYTES, EXPORT_FRESHNESS, EXPORT_LAYOUT, EXPORT_MERGE, EXPORT_MODE, EXPORT_TARGET, ExportSettings, LAYOUTS, MODES,
    check_export_setting,
};
pub use history::compact::{DELETE_RETENTION_MS, MAX_COMPACTION_LAG_MS, MIN_CLEANABLE_RATIO, MIN_COMPACTION_LAG_MS, is_compacted};
pub use history::retention::{CLEANUP_POLICY, RETENTION_BYTES, RETENTION_MS};
pub use options::{Durability, EngineOptions};
pub use partition::{Appended, Offsets, Partition, PartitionSizes, ReadRequest, ReadResult, Registration};
pub use status::{EngineStatus, PartitionStatus, Recovering};
pub use topics::{DURABILITY, MIN_INSYNC, NewTopic};
