//! Shipping, sealing and reading over a network in memory, on simulated disks, from seeds.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod directed;
mod generations;
mod history;
mod net;
mod world;
