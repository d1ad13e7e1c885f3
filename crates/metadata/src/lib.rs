//! The cluster's truth behind one door: the catalog in the object store - topics and their settings, as versioned create-only objects (R16) - and what brokers
//! agree on besides, in etcd or in memory ([`cluster`]).
//!
//! Owns: reading the catalog back, changing it, telling who waits that it changed. Keeps: a change is in the store
//! before anybody hears of it. Is not: a lock - whoever finds a version taken rebases upon it.

mod catalog;
pub mod cluster;
mod error;
mod view;

pub use catalog::{Catalog, load};
pub use error::MetadataError;
pub use view::View;
