//! Shipping, sealing and reading over a network in memory, on simulated disks, from seeds.

mod directed;
mod history;
mod net;
mod world;
