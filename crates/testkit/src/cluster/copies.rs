//! What copies are for: acknowledgements that need no store, and a set that is whole again after a loss.

use super::world::World;
use crate::sim_store::SimFaults;
use floe_log::{DURABILITY, Durability, NewTopic};
use floe_types::PartitionId;
use std::time::Duration;

/// What a change of the set may take, the standby's absence included.
const CHANGED: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(2);

/// While the store is away, `replicated` records are acknowledged, and `object` ones are not; the power of a broker fails meanwhile. Then a machine is gone for good with its
/// disk: the others' sets are whole without it, and the same holds again.
///
/// # Errors
/// The promise that is broken.
///
/// # Panics
/// The runtime cannot be made.
pub fn records_are_acknowledged_while_the_store_is_away(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.store.set_faults(SimFaults::none());
        world.set_durability(Durability::Replicated);
        (0..world.nodes.len()).for_each(|at| world.start(at));
        world.env.sleep(SOON * 2).await;
        let replicated = world.topic_of("replicated", Durability::Replicated).await?;
        let object = world.topic_of("object", Durability::Object).await?;
        world.sets_are_whole().await?;
        world.without_the_store(&replicated, &object).await?;
        let at = world.pick(world.nodes.len());
        world.end(at, true);
        world.store.set_available(true);
        world.env.sleep(CHANGED).await;
        world.start(at);
        world.sets_are_whole().await?;
        let gone = world.pick(world.nodes.len());
        world.lose_machine(gone);
        world.env.sleep(CHANGED).await;
        world.sets_are_whole().await?;
        world.without_the_store(&replicated, &object).await?;
        world.store.set_available(true);
        world.end_well().await
    })
}

impl World {
    async fn topic_of(&mut self, name: &str, durability: Durability) -> Result<Vec<usize>, String> {
        let serving = self.serving();
        let (_, engine) = serving.first().ok_or("nobody serves")?;
        let configs = [(DURABILITY.to_owned(), durability.to_string())].into();
        let topic =
            engine.create_topic(NewTopic { name: name.to_owned(), partitions: 4, configs }).await.map_err(|error| error.to_string())?;
        let first = self.clients.len();
        for index in 0..4 {
            self.produce_to(PartitionId { topic: topic.id, index }, engine.allocate_producer_id());
        }
        self.env.sleep(SOON).await;
        Ok((first..self.clients.len()).collect())
    }

    /// Every broker has as many standbys that count as there can be.
    async fn sets_are_whole(&self) -> Result<(), String> {
        let give_up = self.env.monotonic() + CHANGED;
        loop {
            let serving = self.serving();
            let most = serving.len().saturating_sub(1).min(2);
            let found: Vec<_> = serving.iter().map(|(at, engine)| (*at, engine.status())).collect();
            if found.iter().all(|(_, status)| status.standbys == most && status.standbys_counting == most) {
                return Ok(());
            }
            if self.env.monotonic() > give_up {
                let told =
                    found.iter().map(|(at, s)| format!("{at}: generation {}, {} of {}", s.generation, s.standbys_counting, s.standbys));
                return Err(format!("{most} standbys should count, and do not: {}", told.collect::<Vec<_>>().join("; ")));
            }
            self.env.sleep(SOON / 10).await;
        }
    }

    async fn without_the_store(&mut self, replicated: &[usize], object: &[usize]) -> Result<(), String> {
        let give_up = self.env.monotonic() + CHANGED;
        // Led, and nobody waits: what is sent again, and was stored before, needs no store.
        let all: Vec<usize> = replicated.iter().chain(object).copied().collect();
        while self.partitions.iter().any(|id| self.owner(*id).is_none()) || all.iter().any(|at| self.waits(*at)) {
            if self.env.monotonic() > give_up {
                return Err("not everything is led and answered".into());
            }
            let waiting: Vec<usize> = all.iter().copied().filter(|at| self.waits(*at)).collect();
            waiting.into_iter().try_for_each(|at| self.send(at))?;
            self.env.sleep(SOON / 10).await;
            self.hear().await;
        }
        self.store.set_available(false);
        for at in &all {
            self.send(*at)?;
            if !self.waits(*at) {
                return Err(format!("{} is not led", self.clients[*at].producer.partition));
            }
        }
        self.env.sleep(SOON).await;
        self.hear().await;
        match replicated.iter().find(|at| self.waits(**at)) {
            Some(at) => Err(format!("{} is not acknowledged without the store", self.clients[*at].producer.partition)),
            None if object.iter().all(|at| self.waits(*at)) => Ok(()),
            None => Err("an `object` record was acknowledged without the store".into()),
        }
    }

    /// A machine is gone with its disk, and nobody takes its place for now.
    fn lose_machine(&mut self, at: usize) {
        self.end(at, false);
        self.nodes[at].disk = floe_env::sim::SimDisk::new(&self.env);
    }
}
