//! etcd in memory: deterministic, over an [`Env`], for simulation, for tests, and - alone in its process - for a single broker.
//!
//! A [`MemoryEtcd`] is the server: it can be stopped and started, compacted, and set back to a snapshot. A [`MemoryClient`] is one process's way to it, which can be slow, be
//! cut off, and lose requests and answers. A request that is on its way arrives even if its sender is dead by then, as real ones do.
//!
//! Kept as long as nobody compacts: every value that ever was. That is the test's affair; [`MemoryEtcd::embedded`] compacts by itself.

mod client;
mod server;

pub use client::{Faults, MemoryClient};
pub use server::{MemoryEtcd, Snapshot};
