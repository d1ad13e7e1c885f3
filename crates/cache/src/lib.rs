//! Values read from the object store, kept in memory within a byte budget, each fetched once however many readers
//! wait for it (single flight).
//!
//! Keeps: the budget is never passed by more than one value; a reader never waits for an eviction (T34). Is not: a
//! place for anything that can change - keys name immutable blocks. The disk tier comes with the history work.

mod lru;
mod single_flight;

pub use single_flight::{Cache, CacheStats};
