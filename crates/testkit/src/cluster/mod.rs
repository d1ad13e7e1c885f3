//! Brokers of a cluster in simulation, from a seed: engines, object store, etcd, disks, the way between brokers, clocks.
//!
//! A run takes several hundred random steps - appends by idempotent producers, reads, kills, power losses, freezes, drains, clocks that jump, cuts between brokers and to etcd, an etcd
//! and a store that are away, a disk that is lost, topics of each durability that come and go and change it. What was acknowledged is in the log of whoever owns the partition, at its offset, for ever, and once; in the end,
//! when everything is whole again, every partition is led, every producer is answered, and the store alone has every record once all have drained. Meanwhile groups consume (`groups.rs`): what was committed never goes back.
//! The same seed gives the same trace. Left out: Kafka's protocol, sockets.

mod copies;
mod damage;
mod groups;
mod net;
mod pipes;
mod steps;
mod stored;
mod unreached;
mod world;

pub use crate::simulation::Outcome;
pub use copies::records_are_acknowledged_while_the_store_is_away;
pub use damage::an_end_is_damaged_for_a_while;
pub use unreached::who_one_alone_does_not_reach_lives_on;

use std::time::Duration;
use world::World;

/// Operations of one run.
pub const OPERATIONS: u64 = 500;
/// Simulated time that a run may take: many times what the slowest needs.
const MOST_TIME: Duration = Duration::from_secs(3 * 60 * 60);

/// Groups consume in every other world: they take about as much of a run as all the rest.
const fn has_groups(seed: u64) -> bool {
    seed % 2 == 1
}

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
        if has_groups(seed) {
            world.groups = Some(groups::GroupClients::new(&world.env));
        }
        let lived = env.timeout(MOST_TIME, Box::pin(world.live(operations))).await;
        let violation = lived.unwrap_or_else(|_| Err(format!("after {MOST_TIME:?} of simulated time it has not come to its end"))).err();
        Outcome { seed, trace: world.trace(), coverage: world.coverage(), violation }
    })
}
