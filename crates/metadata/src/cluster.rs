//! What a cluster agrees on, apart from records: who is alive, which incarnations there are, who owns what, which catalog is announced.
//!
//! | module | owns |
//! |---|---|
//! | [`backend`] | the one trait: transactions, leases, watches; its contract |
//! | [`memory`], [`etcd`] | its implementations: in memory (also for a single broker, embedded), and etcd |
//! | [`handle`] | [`Cluster`]: repeats, time limits, what is announced |
//! | [`lives`] | incarnations: open, sealing, closed, forgotten |
//! | [`owners`] | who owns partitions (R13) |
//! | [`register`] | brokers that are alive, under leases |
//! | [`view`], [`watch`] | everything at one revision, and kept up to date |
//! | [`lineage`] | marks: whether etcd was set back |
//!
//! Invariants: no partition changes its owner but by a comparison of its whole record; states of incarnations only go forward; announcements only grow; a
//! repeated call knows its own work again; nothing waits for ever but a watch. Is not: safety of records, which rests on claims, seals, stops and `end` in the store and
//! on disks; whatever is said here may be late, lost, or of yesterday.

pub mod backend;
#[cfg(feature = "testing")]
pub mod conformance;
mod error;
pub mod etcd;
mod handle;
mod keys;
mod lineage;
mod lives;
pub mod memory;
mod options;
mod owners;
mod register;
mod row;
mod view;
mod watch;

pub use backend::{Backend, BackendError, Revision};
pub use error::ClusterError;
pub use floe_formats::etcd::BrokerEntry;
pub use handle::Cluster;
pub use lineage::{Lineage, MarkRow};
pub use options::ClusterOptions;
pub use owners::{Outcome, Owned};
pub use register::{Registration, Renewed};
pub use row::StoreMarks;
pub use view::{Change, ClusterView};
pub use watch::Watch;
