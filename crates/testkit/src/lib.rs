//! What tests and benchmarks of all crates share: simulated and shaped object stores, faults.
//! Never part of a broker's build.

pub mod cluster;
pub mod shaped;
pub mod sim_store;
pub mod simulation;
pub mod store_faults;
