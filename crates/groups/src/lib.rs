//! Consumer groups on a log: which partition of `__consumer_offsets` keeps a group, that partition loaded when it comes to be led here, and each request waiting for what it rests on.
//!
//! Read in this order: [`groups`] (partitions and slots), `slot.rs` (one partition: lock, append, wait, clock), `load.rs`, `slot/checkpoint.rs`.
//!
//! All decisions are the state machine's (`floe-coordinator`). Keeps: a reply that rests on records is given once they are committed; records lie in the log in the order of the decisions; whoever leads a
//! partition coordinates its groups, and nobody else writes there. Is not: Kafka's wire, which is the broker's, nor the log.

pub mod groups;
mod load;
mod slot;

pub use groups::{Groups, GroupsOptions};
