//! Between brokers: a WAL is shipped to the disks that keep copies of it, and disks are sealed, read and asked whether they are alive.
//!
//! ```text
//!            Wal's writer ──begun──▶ ring ──▶ shipper ═══ Attach ═══▶ server ──▶ Replicas (crate wal)
//!                 │                             │   ◀══ durable LSN ══    │
//!                 └──────durable──▶ quorum ◀────┘                         └─ seal, read, ping
//!                                     └─▶ Wal::commit
//! ```
//! | file | step |
//! |---|---|
//! | `shipping.rs`, `ring.rs`, `shipper.rs` | the owner's side: what is begun, to each standby, from memory or from the WAL's files |
//! | `quorum.rs` | how far enough disks have the WAL |
//! | `server.rs`, `standby.rs` | the other side: one stream for each attached WAL, and single questions |
//! | `choose.rs` | which disks keep copies |
//! | `peer.rs`, `copies.rs` | asking one broker; recovery's view of all disks |
//! | `links.rs` | the peer listener of a running broker, how it watches others, and its own WALs |
//! | `identity.rs`, `wire.rs` | who asks whom, in which version |
//! | `network.rs` | connections, real or a test's |
//!
//! Nothing is safe because of a time limit here: limits decide who is asked again, never what counts. What counts is said by the disk that is named (R2), after
//! its fsync, and in LSN order (T05).
//!
//! Is not: who makes claims, who suspects whom, and what is done with what sealed disks hold.

mod choose;
mod copies;
mod error;
mod identity;
mod links;
mod network;
mod options;
mod peer;
mod quorum;
mod ring;
mod server;
mod shipper;
mod shipping;
mod standby;
mod wire;

pub use choose::choose;
pub use copies::PeerCopies;
pub use error::{Refusal, ReplicationError};
pub use identity::{Identity, Me, NEWEST_VERSION, OLDEST_VERSION};
pub use links::PeerLinks;
pub use network::{Accept, Addresses, Dial, Directory, Io, Tcp};
pub use options::ReplicationOptions;
pub use peer::{Brokers, Peer, Pong, Reading};
pub use server::{Server, Vitals, WalVitals};
pub use shipping::Shipping;

pub use floe_log::copies::{Candidate, CopySet, StandbyState, StandbyStatus};
