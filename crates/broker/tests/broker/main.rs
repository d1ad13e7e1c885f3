//! A whole broker behind a real socket on loopback: an engine over a store in memory and a disk in a temporary folder,
//! and a client that speaks frames.

mod administration;
mod delete_records;
mod durability;
mod fetch;
mod groups;
mod handshake;
mod hostile;
mod idempotence;
mod listeners;
mod offsets;
mod partitions;
mod produce;
mod settings;
mod support;
mod topics;
