//! The write-ahead log of one generation: what makes a record durable on this disk, and copies of other brokers' WALs.
//!
//! ```text
//!  trimmed        durable                     end        LSN: a byte position, from 0, never reused
//!     |--------------|--------------------------|
//!     |  on the disk | being written | filling  |
//! ```
//! `trimmed <= durable <= end`, and durability advances in LSN order only (T05).
//!
//! | file | step |
//! |---|---|
//! | `append.rs` | gives LSNs, copies an entry into memory, fills groups; never waits |
//! | `writer.rs` | one task: writes and syncs a group, then tells whose entries are durable |
//! | `files.rs` | preallocated files and their names; the next one is made ahead of need |
//! | `read.rs` | one entry, from the file |
//! | `trim.rs` | gives back files whose entries are elsewhere |
//! | `replay.rs`, `scan.rs` | reads all entries after a crash; tells a torn end from damage |
//! | `seal.rs` | the word of this disk to accept nothing more of an incarnation |
//! | `tap.rs`, `commit.rs` | the hook by which a WAL is copied elsewhere, and who is told once enough copies have an entry |
//! | `incoming.rs` | entries that come from another broker, in pieces |
//! | `replica.rs`, `reopen.rs` | a copy of another broker's WAL on this disk; what of it is certain after a restart |
//! | `replicas.rs`, `room.rs` | all of them: attach, trim, seal, read, remove, within a budget of their own |
//!
//! Not here: the layout of a file's bytes (`floe_formats::wal_entry`), what an entry means, when it may be trimmed.

mod append;
mod commit;
mod error;
mod files;
mod incoming;
mod read;
mod reopen;
mod replay;
mod replica;
mod replicas;
mod room;
mod scan;
mod seal;
mod tap;
#[cfg(test)]
mod testing;
mod trim;
mod wal;
mod writer;

pub use append::{Appended, Durable, Entry, MAX_BATCH_BYTES};
pub use error::WalError;
pub use floe_formats::EntryHeader;
pub use incoming::Incoming;
pub use replay::{Replay, Replayed, ReplayedEntry};
pub use replica::Attachment;
pub use replicas::{HeldWal, Replicas, ReplicasOptions, SealedReplica, own_dir};
pub use seal::{is_sealed, seal};
pub use tap::{Begun, Tap};
pub use trim::remove_generation;
pub use wal::{Wal, WalOptions, WalStats};
