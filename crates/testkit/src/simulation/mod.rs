//! The whole write path of a single broker in simulation, from a seed: engine, WAL, object store, disk, clock.
//!
//! A run takes several hundred random steps - appends by idempotent producers, reads, kills, power losses, drains,
//! take-overs by another disk, switches of durability, topics that come and go - while disk and store misbehave.
//! After every step the promises are checked as far as one can see them from outside: [`History`] says which. The same
//! seed gives the same trace. What it leaves out: Kafka's protocol and sockets.

mod coverage;
mod history;
mod outage;
mod producer;
mod starts;
mod steps;
mod world;

pub use coverage::Coverage;
pub use history::History;
pub(crate) use history::Word;
pub use outage::{Hour, hour_without_store};
pub(crate) use producer::Producer;
pub(crate) use world::{mild, options};

use std::time::Duration;
use world::World;

/// Operations of one run; together with starts and fault-free finish it takes a few simulated minutes.
pub const OPERATIONS: u64 = 600;

/// What one run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub seed: u64,
    /// A hash over every request, every disk access and every step.
    pub trace: u64,
    pub coverage: Coverage,
    /// The promise that was broken, if one was.
    pub violation: Option<String>,
}

/// Simulated time that a run may take: many times what the slowest needs. Whatever waits for ever is found by it.
const MOST_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Runs one seed on this thread.
///
/// # Panics
/// The runtime cannot be made.
#[must_use]
pub fn run(seed: u64, operations: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(async {
        let mut world = World::new(seed);
        let env = world.env.clone();
        let lived = env.timeout(MOST_TIME, Box::pin(world.live(operations))).await;
        let violation = lived.unwrap_or_else(|_| Err(format!("after {MOST_TIME:?} of simulated time it has not come to its end"))).err();
        Outcome { seed, trace: world.trace(), coverage: world.coverage(), violation }
    })
}
