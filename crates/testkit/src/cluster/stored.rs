//! What the store alone has in the end: nothing that contradicts anything, while brokers are at work and after the last has drained, and then every record.

use super::steps::RECOVERED;
use super::world::{World, take_records};
use floe_formats::keys::{self, Key};
use floe_log::stored::StoredLog;
use floe_objstore::{Store, StoreOptions};
use floe_types::{PartitionId, SlotNumber};
use std::time::Duration;

/// Memory for the reader of the store.
const CACHE: u64 = 1 << 20;
/// Looks at a store that brokers write meanwhile.
const LOOKS: u32 = 20;

impl World {
    fn reading(&self) -> Store {
        Store::new(self.env.process(), self.store.backend(), StoreOptions::default())
    }

    /// Problems that a look finds; none when it is clean.
    async fn verify(&self) -> Result<Option<String>, String> {
        let report = floe_log::verify::verify(&self.reading(), |_, _| {}).await.map_err(|error| error.to_string())?;
        Ok((!report.is_clean()).then(|| format!("verify: {:?}", report.problems)))
    }

    pub(super) async fn check_store(&mut self) -> Result<(), String> {
        let mut problems = None;
        for _ in 0..LOOKS {
            problems = self.verify().await?;
            if problems.is_none() {
                break;
            }
            self.env.sleep(Duration::from_millis(500)).await;
        }
        if let Some(problems) = problems {
            return Err(format!("while brokers are at work: {problems}"));
        }
        let of_groups = self.groups_partitions();
        self.drain_all().await?;
        if let Some(problems) = self.verify().await? {
            return Err(format!("after all have drained: {problems}"));
        }
        self.coverage.step("store: nothing contradicts anything");
        let all = self.store.peek_keys(&keys::chains_prefix());
        let ended = all.iter().filter_map(|key| match Key::parse(key) {
            Ok(Key::End { incarnation }) => Some(incarnation),
            _ => None,
        });
        // A stop there would stay, so it was a pack.
        for _ in ended.filter(|incarnation| !all.contains(&keys::slot(*incarnation, SlotNumber(0)))) {
            self.coverage.step("store: slots of an ended chain deleted");
        }
        self.read_stored(&of_groups).await
    }

    async fn drain_all(&mut self) -> Result<(), String> {
        let give_up = self.env.monotonic() + RECOVERED;
        while self.nodes.iter().any(|node| node.process.is_some()) {
            if self.env.monotonic() > give_up {
                let told: Vec<_> = self.serving().iter().map(|(at, engine)| format!("{at}: {:?}", engine.status())).collect();
                return Err(format!(
                    "{RECOVERED:?} after they were told to, not all brokers have drained: {}; {}",
                    told.join(", "),
                    self.what_is_stuck()
                ));
            }
            for (at, engine) in self.serving() {
                self.drain(at, engine);
            }
            self.env.sleep(Duration::from_millis(50)).await;
            self.reap()?;
        }
        self.store.settled().await;
        Ok(())
    }

    /// Every partition, without any broker.
    async fn read_stored(&mut self, of_groups: &[PartitionId]) -> Result<(), String> {
        let text = |error: floe_log::stored::StoredError| error.to_string();
        let stored = StoredLog::open(self.env.process(), &self.reading(), CACHE).await.map_err(text)?;
        for id in self.partitions.clone() {
            let mut partition = stored.partition(id).await.map_err(|error| format!("{id} in the store: {error}"))?;
            let start = partition.log_start();
            let (mut values, mut offset) = (Vec::new(), start);
            while offset < partition.end() {
                let stretch = partition.read(offset, 64 << 10).await.map_err(|error| format!("{id} in the store at {offset}: {error}"))?;
                for batch in &stretch.batches {
                    take_records(id, batch, (&mut values, &mut offset))?;
                }
                if offset < stretch.next || stretch.batches.is_empty() {
                    return Err(format!("{id} in the store: nothing at {offset}"));
                }
            }
            self.history.restarted(id, start, &values).map_err(|broken| format!("in the store: {broken}"))?;
        }
        for id in of_groups {
            if let Some(groups) = &self.groups {
                groups.read_stored(&stored, *id).await?;
            }
        }
        Ok(())
    }
}
