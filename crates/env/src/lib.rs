//! The only doors to what is not a function of its input: clock, randomness, tasks, shutdown, disk, network.
//!
//! Every crate of the broker takes an [`Env`] (and a [`Disk`]) instead of asking the operating system, so that a simulation
//! can replace all of it and replay a run from its seed. Clippy refuses the direct calls everywhere else.
//!
//! | door | real | simulated (feature `sim`) |
//! |---|---|---|
//! | clock | the system's | a fixed date plus tokio's paused clock |
//! | randomness | seeded by the operating system | seeded by the run |
//! | tasks | named, owned, joined | the same; a process's tasks die together, and stand still together |
//! | disk | [`RealDisk`] | [`sim::SimDisk`]: loses, tears and flips what a real one may |
//! | network | [`net`] | not here: a simulation calls the broker directly |
//!
//! This crate decides nothing about the log; it must not know what is written.

mod aside;
mod clock;
mod disk;
mod env;
#[cfg(feature = "sim")]
mod freeze;
pub mod hash;
mod mutants;
pub mod net;
mod random;
mod real_disk;
mod shutdown;
#[cfg(feature = "sim")]
pub mod sim;
mod tasks;
mod watched;

pub use clock::Elapsed;
pub use disk::{BLOCK, Disk, DiskFile, DiskLock, FileEntry};
pub use env::Env;
#[cfg(feature = "mutants")]
pub use mutants::set_mutant;
pub use mutants::{Mutant, mutated, mutated_write};
pub use real_disk::RealDisk;
pub use shutdown::Shutdown;
pub use tasks::{Task, TaskFailed};
pub use watched::Watched;
