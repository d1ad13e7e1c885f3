//! The steps of a run, and the run itself.

use super::producer::Producer;
use super::world::{Deleted, World};
use crate::sim_store::SimFaults;
use floe_formats::keys::{self, Key};
use floe_log::{CLEANUP_POLICY, DURABILITY, Durability, MIN_CLEANABLE_RATIO, NewTopic, Partition, RETENTION_BYTES, TopicError};
use floe_objstore::{Store, StoreOptions};
use floe_types::{ErrorKind, Incarnation, PartitionId};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const MAX_PARTITIONS: usize = 6;

impl World {
    /// Lives through `operations` steps, then heals everything and looks at all of it once more.
    pub(super) async fn live(&mut self, operations: u64) -> Result<(), String> {
        self.start().await?;
        self.create_topic().await?;
        while self.coverage.operations() < operations {
            let die = self.env.random_below(1000);
            self.note(die);
            Box::pin(self.step(die)).await?;
            self.hear_answers().await?;
            self.bury_deposed().await;
            if self.check_ended()? {
                self.coverage.step("broker: failed with its disk");
                self.kill(true).await;
            }
            if self.broker.is_none() {
                self.heal_disk();
                self.start().await?;
            }
        }
        Box::pin(self.finish()).await
    }

    async fn step(&mut self, die: u64) -> Result<(), String> {
        match die {
            0..600 => self.append().await?,
            600..720 => self.read_some().await?,
            720..735 => self.delete_records(),
            735..800 => {
                self.coverage.step("wait");
                self.pass(2_000).await;
            }
            800..840 => self.switch_durability().await?,
            840..860 => self.create_topic().await?,
            860..866 => self.delete_topic().await?,
            866..886 => {
                self.coverage.step("kill");
                self.kill(false).await;
            }
            886..906 => {
                self.coverage.step("power loss");
                self.kill(true).await;
            }
            906..914 => self.drain().await?,
            914..922 => {
                self.coverage.step("take over");
                self.take_over().await?;
            }
            922..942 => self.outage(),
            942..960 => self.append_to_deposed(),
            _ => self.disk_fault(die),
        }
        Ok(())
    }

    async fn append(&mut self) -> Result<(), String> {
        self.coverage.step("append");
        if !self.producers.is_empty() {
            let at = self.pick(self.producers.len());
            self.send(at)?;
        }
        self.pass(if self.chance(8) { 60 } else { 3 }).await;
        Ok(())
    }

    /// Takes in the answers that have come.
    pub(super) async fn hear_answers(&mut self) -> Result<(), String> {
        loop {
            // A moment, so that answers that are due arrive.
            let next = self.env.timeout(Duration::from_millis(1), self.answers.next()).await;
            match next {
                Ok(Some(answer)) => self.answered(answer)?,
                _ => break,
            }
        }
        if let Some(Some(Ok(()))) = self.late_answers.next().now_or_never() {
            return Err("a deposed broker acknowledged an object record".into());
        }
        while let Some(Some(Deleted { partition, result })) = self.deletions.next().now_or_never() {
            if let Ok(start) = result {
                self.coverage.step("delete records: done");
                self.history.deleted(partition, start);
            }
        }
        if let Some(Some(Deleted { partition: id, result: Ok(start) })) = self.late_deletions.next().now_or_never()
            && self.partition(id).is_some_and(|partition| partition.offsets().log_start < start)
        {
            return Err(format!("a deposed broker has deleted {id} up to {start}"));
        }
        Ok(())
    }

    /// Somebody deletes the older records of a partition.
    fn delete_records(&mut self) {
        self.coverage.step("delete records");
        let ids: Vec<PartitionId> = self.topics.keys().filter(|id| !self.retained.contains_key(id)).copied().collect();
        let Some(partition) = ids.get(self.pick(ids.len().max(1))).and_then(|id| self.partition(*id)) else { return };
        let offsets = partition.offsets();
        let most = (offsets.committed - offsets.log_start).unsigned_abs();
        let start = offsets.log_start + i64::try_from(self.env.random_below(most + 1)).unwrap_or(0) / if self.chance(4) { 1 } else { 4 };
        self.history.asked_to_delete(partition.id(), start);
        self.deletions.push(delete(partition, start));
    }

    async fn read_some(&mut self) -> Result<(), String> {
        self.coverage.step("read");
        let ids: Vec<PartitionId> = self.topics.keys().copied().collect();
        let Some(partition) = ids.get(self.pick(ids.len().max(1))).and_then(|id| self.partition(*id)) else { return Ok(()) };
        let offsets = partition.offsets();
        let from = offsets.log_start
            + i64::try_from(self.env.random_below((offsets.committed - offsets.log_start).unsigned_abs() + 1)).unwrap_or(0);
        if let Some(reading) = self.read(&partition, from).await? {
            self.history.read(partition.id(), from, &reading.values)?;
        }
        Ok(())
    }

    async fn create_topic(&mut self) -> Result<(), String> {
        if self.topics.len() >= MAX_PARTITIONS {
            return Ok(());
        }
        self.coverage.step("create topic");
        let durability = if self.chance(2) { Durability::Local } else { Durability::Object };
        let partitions = 1 + i32::from(self.chance(3));
        self.create_topic_with(durability, partitions).await
    }

    pub(super) async fn create_topic_with(&mut self, durability: Durability, partitions: i32) -> Result<(), String> {
        let Some(engine) = self.broker.as_ref().map(|broker| broker.engine.clone()) else { return Ok(()) };
        self.names += 1;
        let mut configs = BTreeMap::from([(DURABILITY.to_string(), durability.to_string())]);
        let retained = self.chance(4).then(|| 500 + self.env.random_below(10_000));
        configs.extend(retained.map(|bytes| (RETENTION_BYTES.to_string(), bytes.to_string())));
        let compacted = retained.is_none() && self.chance(3);
        if compacted {
            let ratio = ["0", "0.5"][self.pick(2)];
            configs.extend([(CLEANUP_POLICY.to_string(), "compact".to_string()), (MIN_CLEANABLE_RATIO.to_string(), ratio.to_string())]);
        }
        match engine.create_topic(NewTopic { name: format!("topic-{}", self.names), partitions, configs }).await {
            Ok(topic) => {
                for index in 0..partitions {
                    let id = PartitionId { topic: topic.id, index };
                    self.topics.insert(id, durability);
                    if compacted {
                        self.compacted.insert(id);
                    }
                    if let Some(bytes) = retained {
                        self.retained.insert(id, bytes);
                        self.history.asked_to_delete(id, 0);
                    }
                    for _ in 0..1 + self.env.random_below(2) {
                        self.producers.push(Producer::new(id, engine.allocate_producer_id()).keyed(compacted));
                    }
                }
                Ok(())
            }
            Err(error) => self.topic_error(&error),
        }
    }

    async fn delete_topic(&mut self) -> Result<(), String> {
        let Some(engine) = self.broker.as_ref().map(|broker| broker.engine.clone()) else { return Ok(()) };
        let Some(topic) = self.topics.keys().next().map(|id| id.topic).filter(|_| self.topics.len() > 2) else { return Ok(()) };
        self.coverage.step("delete topic");
        match engine.delete_topic(topic).await {
            Ok(()) => {
                let gone: Vec<PartitionId> = self.topics.keys().filter(|id| id.topic == topic).copied().collect();
                for id in gone {
                    self.topics.remove(&id);
                    self.history.forget(id);
                    self.retained.remove(&id);
                }
                // Answers are numbered by producer: start all connections afresh.
                self.producers.retain(|producer| producer.partition.topic != topic);
                self.disconnect();
                Ok(())
            }
            // It may be deleted, or not: try until it is known.
            Err(error) => {
                self.topic_error(&error)?;
                self.forget_if_deleted(topic).await
            }
        }
    }

    async fn forget_if_deleted(&mut self, topic: floe_types::TopicId) -> Result<(), String> {
        let gone: Vec<PartitionId> = self.topics.keys().filter(|id| id.topic == topic).copied().collect();
        for id in gone {
            self.topics.remove(&id);
            self.history.forget(id);
        }
        self.producers.retain(|producer| producer.partition.topic != topic);
        self.disconnect();
        Ok(())
    }

    async fn switch_durability(&mut self) -> Result<(), String> {
        self.coverage.step("switch durability");
        let Some(engine) = self.broker.as_ref().map(|broker| broker.engine.clone()) else { return Ok(()) };
        let ids: Vec<PartitionId> = self.topics.keys().copied().collect();
        let Some(id) = ids.get(self.pick(ids.len().max(1))) else { return Ok(()) };
        let durability = if self.topics.get(id) == Some(&Durability::Local) { Durability::Object } else { Durability::Local };
        let result = engine.set_topic_config(id.topic, DURABILITY, Some(durability.to_string())).await;
        // Whatever the answer, the weaker one may be in force.
        let assumed = if result.is_ok() { durability } else { Durability::Local };
        for (_, of_topic) in self.topics.iter_mut().filter(|(other, _)| other.topic == id.topic) {
            *of_topic = assumed;
        }
        result.or_else(|error| self.topic_error(&error))
    }

    fn topic_error(&mut self, error: &TopicError) -> Result<(), String> {
        self.coverage.step("topic: failed");
        match (error.kind(), error) {
            (ErrorKind::Retry | ErrorKind::Overloaded | ErrorKind::Closed, _) | (_, TopicError::Ended(_) | TopicError::Wal(_)) => Ok(()),
            _ => Err(format!("a topic could not be changed: {error}")),
        }
    }

    fn outage(&mut self) {
        let available = !self.store.is_available();
        self.coverage.step(if available { "store: back" } else { "store: gone" });
        self.store.set_available(available);
    }

    /// A client that has not heard of the new broker goes on with the old one. Nothing that it is told counts for the
    /// log, but what the old one says must not disturb the new one.
    fn append_to_deposed(&mut self) {
        let Some(broker) = self.deposed.iter().find(|broker| broker.thaws.is_none()) else { return };
        self.coverage.step("append to a deposed broker");
        for id in self.topics.keys() {
            let Some(partition) = broker.engine.partition(*id) else { continue };
            if self.env.random_below(3) == 0 {
                let everything = partition.offsets().committed;
                self.late_deletions.push(delete(partition.clone(), everything));
            }
            let mut producer = Producer::new(*id, i64::MAX);
            let value = u64::MAX - self.next_value;
            if let Some(batch) = producer.next(|| vec![value], 10)
                && let Ok(header) = floe_records::verify(&batch.bytes)
            {
                let object = broker.object.contains(id);
                // A `local` record that it takes is its own disk's word, which was given up.
                if let (Ok(appended), true) = (partition.append(&batch.bytes, &header), object) {
                    self.late_answers.push(Box::pin(async move { partition.committed(appended.end_offset).await }));
                }
            }
        }
    }

    fn disk_fault(&mut self, die: u64) {
        let Some(broker) = &mut self.broker else { return };
        let machine = &mut self.machines[broker.machine];
        match die % 8 {
            0 => {
                self.coverage.step("disk: sync fails");
                machine.disk.fail_syncs("wal", 1);
                broker.may_fail = true;
            }
            1 | 2 => {
                self.coverage.step("disk: sync hangs");
                machine.disk.hang_syncs_for(Duration::from_secs(1 + self.env.random_below(20)));
            }
            3 => {
                self.coverage.step("disk: full");
                machine.disk.set_capacity(Some(machine.disk.used_bytes() + 10_000));
                broker.may_fail = true;
            }
            4 if self.env.random_below(4) == 0 => {
                self.coverage.step("disk: a bit flips");
                if machine.disk.flip_random_bit("wal").is_some() {
                    machine.damaged = true;
                    broker.may_fail = true;
                    if let Some(id) = machine.id {
                        self.history.give_up(id);
                    }
                }
            }
            _ => {
                self.coverage.step("disk: healed");
                self.heal_disk();
            }
        }
    }

    pub(super) fn heal_disk(&self) {
        let disk = &self.machines[self.current].disk;
        disk.set_capacity(None);
        disk.release_syncs();
        disk.fail_syncs("wal", 0);
    }

    /// Everything heals: every producer gets its answers, the store verifies clean, and a new machine serves it all.
    pub(super) async fn finish(&mut self) -> Result<(), String> {
        self.store.set_faults(SimFaults::none());
        self.store.clear_rules();
        self.store.set_available(true);
        self.heal_disk();
        for _ in 0..2_000 {
            if !self.producers.iter().any(Producer::waits) {
                break;
            }
            for at in 0..self.producers.len() {
                if self.producers[at].waits() {
                    self.send(at)?;
                }
            }
            self.pass(300).await;
            self.hear_answers().await?;
            if self.check_ended()? {
                self.kill(true).await;
                self.start().await?;
            }
        }
        if let Some(stuck) = self.producers.iter().find(|producer| producer.waits()) {
            return Err(format!("a producer of {} never got its answers", stuck.partition));
        }
        self.drain().await?;
        self.kill(false).await;
        // Whatever the deposed still have on their way, they may do now.
        self.thaw_deposed(true);
        self.env.sleep(Duration::from_secs(30)).await;
        self.hear_answers().await?;
        self.new_machine();
        for broker in std::mem::take(&mut self.deposed) {
            broker.env.abort_all();
            broker.env.tasks_ended().await;
        }
        self.store.settled().await;
        self.start().await?;
        // Time for its cleaner.
        self.env.sleep(Duration::from_secs(60)).await;
        let newest = self.broker.as_ref().map_or(Incarnation(0), |broker| broker.engine.incarnation());
        self.kill(false).await;
        self.store.settled().await;
        self.check_store(newest).await
    }

    /// Nothing contradicts anything, and what nobody needs of earlier chains and of deleted topics is gone.
    async fn check_store(&self, newest: Incarnation) -> Result<(), String> {
        let store = Store::new(self.env.process(), self.store.backend(), StoreOptions::default());
        let report = floe_log::verify::verify(&store, |_, _| {}).await.map_err(|error| error.to_string())?;
        if !report.is_clean() {
            return Err(format!("verify: {:?}", report.problems));
        }
        let own = keys::chain_prefix(newest);
        if let Some(left) = report.orphans.iter().find(|key| key.starts_with("chain/") && !key.starts_with(&own)) {
            return Err(format!("{left} is needed by nobody, and was not deleted"));
        }
        let view = floe_metadata::load(&store).await.map_err(|error| error.to_string())?;
        let of_deleted = |key: &String| matches!(Key::parse(key), Ok(Key::Manifest { partition, .. } | Key::OwnPack { partition, .. } | Key::Page { partition, .. }) if view.is_deleted(partition.topic));
        match self.store.peek_keys(&keys::topics_prefix()).iter().find(|key| of_deleted(key)) {
            Some(left) => Err(format!("{left} is of a deleted topic, and was not deleted")),
            None => Ok(()),
        }
    }
}

fn delete(partition: Arc<Partition>, start: i64) -> BoxFuture<'static, Deleted> {
    Box::pin(async move { Deleted { partition: partition.id(), result: partition.delete_records(Some(start)).await } })
}
