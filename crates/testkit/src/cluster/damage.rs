//! One object that cannot be read: what it costs, and what it does not.

use super::world::World;
use crate::sim_store::SimFaults;
use crate::store_faults::StoreOp;
use bytes::Bytes;
use floe_formats::keys;
use floe_log::NewTopic;
use floe_types::PartitionId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: i32 = 6;
/// Long enough that every attempt at what cannot be read has been put off.
const LONG: Duration = Duration::from_secs(300);
/// What a new topic's leaders may take, whatever else is wrong.
const SOON: Duration = Duration::from_secs(3);

/// The `end` of a broker that died is damaged for a while: what it led has no leader until it is whole again, and then has every record. Everybody else's partitions are led all
/// the time, and new ones are at once.
///
/// # Errors
/// The promise that is broken.
///
/// # Panics
/// The runtime cannot be made.
pub fn an_end_is_damaged_for_a_while(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O");
    runtime.block_on(async {
        let mut world = World::new(seed);
        world.store.set_faults(SimFaults::none());
        (0..world.nodes.len()).for_each(|at| world.start(at));
        world.env.sleep(SOON).await;
        let before = world.topic_with_records("before").await?;
        let (dead, _) = before.first().and_then(|id| world.owner(*id)).ok_or("nobody leads")?;
        let at = world.serving().iter().find(|(_, engine)| engine.incarnation() == dead).map(|(at, _)| *at).ok_or("nobody serves")?;
        let lost: BTreeSet<PartitionId> =
            before.iter().filter(|id| world.owner(**id).is_some_and(|(owner, _)| owner == dead)).copied().collect();
        let (key, kept) = (keys::end(dead), Arc::new(Mutex::new(None)));
        let (store, taken, damaged) = (world.store.clone(), kept.clone(), key.clone());
        world.store.then(Some(StoreOp::Create), &key, 0, move || {
            *taken.lock() = store.peek(&damaged);
            store.plant(&damaged, Bytes::from_static(b"nothing that anyone wrote"));
        });
        world.end(at, false);
        world.env.sleep(LONG).await;
        let unled: BTreeSet<PartitionId> = before.iter().filter(|id| world.owner(**id).is_none()).copied().collect();
        if lost.is_empty() || unled != lost {
            return Err(format!("{lost:?} cannot be read, and these are not led: {unled:?}"));
        }
        world.topic_with_records("after").await?;
        let end = kept.lock().take().ok_or("no end was created")?;
        world.store.plant(&key, end);
        world.end_well().await
    })
}

impl World {
    /// A new topic, each partition of which has leaders soon, and an acknowledged record before long.
    async fn topic_with_records(&mut self, name: &str) -> Result<Vec<PartitionId>, String> {
        let serving = self.serving();
        let (_, engine) = serving.first().ok_or("nobody serves")?;
        let new = NewTopic { name: name.to_owned(), partitions: PARTITIONS, configs: BTreeMap::new() };
        let topic = engine.create_topic(new).await.map_err(|error| error.to_string())?;
        let ids: Vec<PartitionId> = (0..PARTITIONS).map(|index| PartitionId { topic: topic.id, index }).collect();
        let first = self.clients.len();
        for id in &ids {
            self.produce_to(*id, engine.allocate_producer_id());
        }
        self.env.sleep(SOON).await;
        if let Some(id) = ids.iter().find(|id| self.owner(**id).is_none()) {
            return Err(format!("{name}: {id} has no leader {SOON:?} after it was created"));
        }
        (first..self.clients.len()).try_for_each(|at| self.send(at))?;
        self.env.sleep(SOON).await;
        self.hear().await;
        match (first..self.clients.len()).find(|at| self.waits(*at)) {
            Some(at) => Err(format!("{name}: {} has acknowledged nothing in {SOON:?}", self.clients[at].producer.partition)),
            None => Ok(ids),
        }
    }
}
