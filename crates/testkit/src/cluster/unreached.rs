//! A broker that one other alone does not reach.

use super::world::World;
use crate::sim_store::SimFaults;
use std::time::Duration;

/// Many times what suspicion takes.
const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(4);

/// Every two brokers are cut from one another once, both ways: nobody puts an end to either. Then a broker is cut from all others: there it ends, or they do,
/// whoever is faster (decision 8).
///
/// # Errors
/// The promise that is broken.
///
/// # Panics
/// The runtime cannot be made.
pub fn who_one_alone_does_not_reach_lives_on(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.store.set_faults(SimFaults::none());
        let nodes = world.nodes.len();
        (0..nodes).for_each(|at| world.start(at));
        world.env.sleep(SOON).await;
        if world.serving().len() != nodes {
            return Err("not everybody serves".into());
        }
        for (one, other) in (0..nodes).flat_map(|one| (0..one).map(move |other| (one, other))) {
            world.cut_off(one, &[other]);
            world.env.sleep(LONG).await;
            let serving = world.serving().len();
            if serving != nodes {
                return Err(format!("{serving} of {nodes} serve after {one} and {other} were cut from one another"));
            }
            world.net.heal();
        }
        let at = world.pick(nodes);
        let others: Vec<usize> = (0..nodes).filter(|other| *other != at).collect();
        world.cut_off(at, &others);
        world.env.sleep(LONG).await;
        let serving: Vec<usize> = world.serving().into_iter().map(|(serving, _)| serving).collect();
        if serving.contains(&at) && others.iter().any(|other| serving.contains(other)) {
            return Err(format!("{at} is cut from all others, and {serving:?} serve on"));
        }
        world.net.heal();
        Ok(())
    })
}

impl World {
    fn cut_off(&self, at: usize, others: &[usize]) {
        for other in others {
            self.net.cut(at, *other);
            self.net.cut(*other, at);
        }
    }
}
