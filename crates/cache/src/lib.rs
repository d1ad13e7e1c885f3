//! Values read from the object store, kept near: in memory within a byte budget, and on the local disk within another.
//!
//! Keeps: the budgets are never passed by more than one value; a reader never waits for an eviction (T34), and what was
//! fetched ahead of a reader is not pushed out by what others have read. Is not: a place for anything that can change -
//! keys name immutable blocks - nor anything whose loss is more than a request to the store.

mod blocks;
mod disk;
mod lru;
mod single_flight;

pub use blocks::{BlockStats, Blocks};
pub use disk::{DiskCache, DiskCacheOptions, DiskCacheStats};
pub use single_flight::{Cache, CacheStats};
