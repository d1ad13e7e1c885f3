//! Consumer groups as a pure state machine: (state, request, now) to (records to append, replies, timers).
//!
//! Read in this order: [`shard`] (what goes in and comes out), `group.rs` (one group's data), `join.rs`, `rebalance.rs`,
//! `sync.rs` (the way to an assignment), `offsets.rs`, `expiry.rs` (what time does), [`records`] (Kafka's own schema),
//! `checkpoint.rs` (the state as records, so that older ones can go).
//!
//! A [`Shard`] owns the groups of one partition of `__consumer_offsets`. It never waits, reads no clock and does no I/O: it
//! is told the time, says which records it wants appended and what to answer once they are committed, and is told how the
//! append went. Behaviour and error codes are those of Kafka 4.1's classic protocol (KIP-62, 134, 211, 345, 394, 814);
//! subscriptions and assignments are the members' own bytes and are only ever passed on (T46). Invariants:
//! * a group's generation only grows; in one generation a member gets one assignment;
//! * every request gets exactly one reply, parked ones included;
//! * nothing that a refused append should have made durable is kept.
//!
//! Is not: Kafka's wire, nor the log, nor the place where tasks and timers run; that is `floe-groups`.

mod checkpoint;
mod describe;
mod error;
mod expiry;
mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod offsets;
mod rebalance;
pub mod records;
mod replay;
mod request;
mod route;
pub mod shard;
mod subscription;
mod sync;
mod timers;

pub use error::{GroupError, WriteFailed};
pub use request::{
    ByPartition, Commit, CommitPartition, CommittedOffset, DescribedMember, Description, Fetch, GroupState, Heartbeat, Join, Joined,
    JoinedMember, Leave, LeavingMember, Listed, Name, Reply, Request, Sync, Synced, TopicPartitions,
};
pub use route::{OFFSETS_TOPIC, partition_of};
pub use shard::{Answer, Effects, GroupConfig, Now, Shard, Waiter, Write};
