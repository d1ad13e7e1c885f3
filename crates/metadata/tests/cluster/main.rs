//! Cluster truth: one suite for every implementation.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests fail as tests do, and say why they do not run")]

mod etcd;
mod memory;
mod simulation;
