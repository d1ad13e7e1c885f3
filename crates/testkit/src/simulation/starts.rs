//! How brokers come and go: kills, power losses, drains, take-overs - and what must be true when the next one serves.

use super::world::{Broker, Machine, Reading, World};
use floe_env::Disk;
use floe_env::sim::SimDisk;
use floe_formats::DiskIdentity;
use floe_log::{Durability, Ended, Engine, EngineOptions, OpenError, Partition};
use floe_objstore::{Store, StoreOptions};
use floe_types::{ErrorKind, Offset};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Starts that may fail in a row before the run is called stuck: the store's worst day is not that long.
const MAX_STARTS: u32 = 60;
/// The same for reads of one partition, while store and disk hang.
const MAX_READS: u32 = 500;

impl World {
    /// Starts a broker on the current machine, as often as it takes, and checks what it serves.
    pub(super) async fn start(&mut self) -> Result<(), String> {
        for attempt in 0..MAX_STARTS {
            let env = self.env.process();
            let take_over = self.machines[self.current].damaged;
            match self.open(&env, take_over).await {
                Ok(engine) => {
                    let machine = self.current;
                    let may_fail = self.machines[machine].damaged;
                    self.broker = Some(Broker { env, engine, machine, may_fail, object: BTreeSet::new(), thaws: None });
                    self.learn_disk_id().await;
                    self.disconnect();
                    return self.check_all().await;
                }
                Err(error) => {
                    env.abort_all();
                    env.tasks_ended().await;
                    self.machines[self.current].disk.process_died();
                    self.failed_start(&error)?;
                    self.env.sleep(Duration::from_millis(500)).await;
                    if attempt % 4 == 3 {
                        self.coverage.step("store: back for a start");
                        self.store.set_available(true);
                    }
                }
            }
        }
        Err("the broker does not start".into())
    }

    async fn open(&self, env: &floe_env::Env, take_over: bool) -> Result<Engine, OpenError> {
        let store = Store::new(env.clone(), self.store.backend(), StoreOptions::default());
        let disk: Arc<dyn Disk> = Arc::new(self.machines[self.current].disk.clone());
        Box::pin(Engine::open(env.clone(), store, disk, EngineOptions { take_over, ..self.options.clone() })).await
    }

    fn failed_start(&mut self, error: &OpenError) -> Result<(), String> {
        self.coverage.step("start: failed");
        match error {
            OpenError::WalDamaged { .. } if self.machines[self.current].damaged => Ok(()),
            OpenError::Disk(_) | OpenError::Wal(_) if self.machines[self.current].damaged => Ok(()),
            error if error.kind() == ErrorKind::Retry => Ok(()),
            error => Err(format!("the start was refused: {error}")),
        }
    }

    async fn learn_disk_id(&mut self) {
        let machine = &mut self.machines[self.current];
        if machine.id.is_none()
            && let Ok(bytes) = machine.disk.read("identity").await
        {
            machine.id = floe_formats::decode::<DiskIdentity>(&bytes).ok().map(|(_, identity)| identity.disk);
        }
        if let Some(id) = machine.id.filter(|_| machine.damaged) {
            self.history.give_up(id);
        }
    }

    /// Reads every partition from its beginning: everything that was promised is there.
    pub(super) async fn check_all(&mut self) -> Result<(), String> {
        for id in self.topics.keys().copied().collect::<Vec<_>>() {
            let Some(partition) = self.partition(id) else { return Err(format!("partition {id} is gone")) };
            let Some((start, reading)) = self.read_all(&partition).await? else { return Ok(()) };
            if let Some(least) = self.retained.get(&id) {
                if start > 0 && reading.bytes < *least {
                    return Err(format!("{id}: retention left {} bytes from {start} on, {least} are to stay", reading.bytes));
                }
                self.history.asked_to_delete(id, start);
            }
            self.history.restarted(id, start, &reading.values)?;
        }
        Ok(())
    }

    /// The whole committed log and where it starts; None if the broker ends meanwhile.
    async fn read_all(&self, partition: &Partition) -> Result<Option<(Offset, Reading)>, String> {
        for _ in 0..MAX_READS {
            // Retention may move the start under a reader.
            let start = partition.offsets().log_start;
            if let Some(reading) = self.read(partition, start).await? {
                return Ok(Some((start, reading)));
            }
            if self.check_ended()? {
                return Ok(None);
            }
            self.env.sleep(Duration::from_millis(700)).await;
        }
        Err(format!("{} cannot be read", partition.id()))
    }

    /// Kill -9, or power loss.
    pub(super) async fn kill(&mut self, power_loss: bool) {
        let Some(broker) = self.broker.take() else { return };
        self.count_work(&broker);
        broker.env.abort_all();
        broker.env.tasks_ended().await;
        let disk = &self.machines[broker.machine].disk;
        if power_loss {
            disk.crash();
        } else {
            disk.release_syncs();
            disk.process_died();
        }
        drop(broker);
        self.disconnect();
    }

    fn count_work(&mut self, broker: &Broker) {
        let status = broker.engine.status();
        self.coverage.works("settled packs", status.settled_packs);
        self.coverage.works("merged segments", status.remerged_segments);
        self.coverage.works("compacted bytes", status.compacted_bytes);
        self.coverage.works("manifest pages", status.manifest_pages);
        self.coverage.works("deleted objects", status.deleted_objects);
    }

    /// SIGTERM. A drain that takes too long is killed, as an operator would.
    pub(super) async fn drain(&mut self) -> Result<(), String> {
        let Some(broker) = &self.broker else { return Ok(()) };
        let engine = broker.engine.clone();
        match self.env.timeout(Duration::from_secs(120), engine.drain()).await {
            Ok(Ended::Drained) => {
                self.coverage.step("drain: done");
                self.hear_answers().await?;
                drop(engine);
                self.kill(false).await;
                if self.chance(2) {
                    self.new_machine();
                }
            }
            Ok(Ended::Failed { .. }) if broker.may_fail => self.kill(false).await,
            Ok(ended) => return Err(format!("the drain ended otherwise: {ended}")),
            Err(_) => self.kill(false).await,
        }
        Ok(())
    }

    /// Clients and the store move to a machine with an empty disk.
    pub(super) fn new_machine(&mut self) {
        self.coverage.step("new disk");
        self.machines.push(Machine { disk: SimDisk::new(&self.env), id: None, damaged: false });
        self.current = self.machines.len() - 1;
    }

    /// Another machine takes the store over while this broker lives on and does not know. Records that its disk alone
    /// vouched for are excused if it had a WAL.
    pub(super) async fn take_over(&mut self) -> Result<(), String> {
        let Some(mut old) = self.broker.take() else { return Ok(()) };
        old.object = self.topics.iter().filter(|(_, durability)| **durability == Durability::Object).map(|(id, _)| *id).collect();
        let old_disk = self.machines[old.machine].id;
        if self.chance(2) {
            // With whatever it has on its way (T13): it does not even know that time passes.
            self.coverage.step("deposed: stands still");
            old.env.freeze();
            old.thaws = Some(self.env.monotonic() + Duration::from_millis(self.env.random_below(60_000)));
        }
        self.deposed.push(old);
        self.disconnect();
        self.new_machine();
        if let Some(id) = old_disk {
            self.history.give_up(id);
        }
        self.machines[self.current].damaged = true;
        let started = self.start().await;
        self.machines[self.current].damaged = false;
        // `damaged` made the start a take-over; the new disk itself is sound.
        if let Some(broker) = &mut self.broker {
            broker.may_fail = false;
        }
        started
    }

    /// Those who stand still go on when their time has come, or at once.
    pub(super) fn thaw_deposed(&mut self, at_once: bool) {
        let now = self.env.monotonic();
        for broker in self.deposed.iter_mut().filter(|broker| broker.thaws.is_some_and(|at| at_once || at <= now)) {
            self.coverage.step("deposed: goes on");
            broker.env.thaw();
            broker.thaws = None;
        }
    }

    /// Deposed brokers end once they have something to tell the store. Those that have are gone.
    pub(super) async fn bury_deposed(&mut self) {
        self.thaw_deposed(false);
        let (gone, alive): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.deposed).into_iter().partition(|broker| broker.engine.has_ended().is_some());
        self.deposed = alive;
        for broker in gone {
            self.coverage.step("deposed: ended");
            self.count_work(&broker);
            broker.env.abort_all();
            broker.env.tasks_ended().await;
            self.machines[broker.machine].disk.process_died();
        }
    }
}
