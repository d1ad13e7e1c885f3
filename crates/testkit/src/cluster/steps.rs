//! What happens, at random.

use super::groups::GroupClients;
use super::world::World;
use floe_env::sim::SimDisk;
use floe_log::{DURABILITY, Durability, NewTopic};
use floe_metadata::cluster::memory::Faults;
use floe_types::{BrokerId, Offset, PartitionId};
use futures::StreamExt;
use std::time::Duration;

/// How long the world gets to be whole again in the end.
pub(super) const RECOVERED: Duration = Duration::from_secs(600);
const MOST_TOPICS: u64 = 4;
/// How long a partition that moves may have nobody to read it from.
const MOVED: Duration = Duration::from_secs(60);

impl World {
    pub(super) async fn live(&mut self, operations: u64) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            self.start(at);
        }
        self.pass(5_000).await;
        for _ in 0..operations {
            self.step().await?;
            self.hear().await;
            self.notice();
            self.thaw();
            self.reap()?;
            self.check_groups()?;
        }
        self.end_well().await
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.env.random_below(100) {
            0..=49 => {
                for _ in 0..=self.env.random_below(4) {
                    if !self.clients.is_empty() {
                        self.send(self.pick(self.clients.len()))?;
                    }
                }
                self.pass(30).await;
            }
            50..=69 => self.pass(400).await,
            70..=77 => self.look().await?,
            78 => self.create_topic().await,
            79 if self.chance(2) => self.create_topic().await,
            79 => self.delete_records(),
            80 => self.move_one().await,
            81 => self.switch_durability().await,
            82..=86 => self.start_one(),
            87..=88 => self.end_one(),
            89..=90 => self.freeze_one(),
            91..=92 => self.cut_some(),
            93 => self.net.heal(),
            94 => self.cut_from_etcd(),
            95 => self.etcd_away().await,
            96 => self.store_away().await,
            97 if self.chance(2) => self.jump_clock(),
            97 => self.drain_one(),
            98 if self.chance(2) => self.lose_disk(),
            98 => self.delete_topic().await,
            _ if self.chance(2) => self.move_one().await,
            _ => self.pass(5_000).await,
        }
        Ok(())
    }

    pub(super) async fn pass(&self, most_ms: u64) {
        self.env.sleep(Duration::from_millis(self.env.random_below(most_ms + 1))).await;
    }

    /// Takes the answers that have come.
    pub(super) async fn hear(&mut self) {
        while let Some(Some(answer)) = futures::FutureExt::now_or_never(self.answers.next()) {
            self.answered(answer);
        }
        while let Some(Some((id, start))) = futures::FutureExt::now_or_never(self.deletions.next()) {
            if let Some(start) = start {
                self.coverage.step("records: deleted");
                self.history.deleted(id, start);
            }
        }
    }

    /// What brokers say of their copies, for the coverage.
    fn notice(&mut self) {
        for (at, engine) in self.serving() {
            let status = engine.status();
            let now = (status.generation, status.recovered_bytes);
            let Some(process) = self.nodes[at].process.as_mut() else { continue };
            let before = std::mem::replace(&mut process.noticed, now);
            if now.0 > before.0 {
                self.coverage
                    .step(["generation: without copies", "generation: two copies", "generation: three copies"][status.standbys.min(2)]);
            }
            if now.1 > before.1 {
                self.coverage.step("recovery: records from copies");
            }
        }
    }

    fn thaw(&mut self) {
        let now = self.env.monotonic();
        for at in 0..self.nodes.len() {
            if let Some(process) = self.nodes[at].process.as_mut().filter(|process| process.thaws.is_some_and(|thaws| thaws <= now)) {
                process.thaws = None;
                process.env.thaw();
                self.net.set_frozen(at, false);
            }
        }
    }

    /// Reads a partition at a broker that leads it or believes so.
    async fn look(&mut self) -> Result<(), String> {
        let Some(id) = self.partitions.iter().nth(self.pick(self.partitions.len().max(1))).copied() else { return Ok(()) };
        let serving = self.serving();
        for (_, engine) in serving {
            let Some(partition) = engine.partition(id) else { continue };
            // One that is not the owner any more knows less, and nothing else.
            let read = self.env.timeout(Duration::from_secs(30), Box::pin(self.read(&partition))).await;
            if let Some((start, values)) = read.unwrap_or(Ok(None))? {
                self.coverage.step("partition: read");
                self.history
                    .read(id, start, &values)
                    .map_err(|broken| format!("{broken} (read at incarnation {})", engine.incarnation()))?;
            }
        }
        Ok(())
    }

    async fn create_topic(&mut self) {
        let serving = self.serving();
        if serving.is_empty() || self.topics >= MOST_TOPICS {
            return;
        }
        let engine = serving[self.pick(serving.len())].1.clone();
        self.topics += 1;
        let partitions = 1 + i32::try_from(self.env.random_below(4)).unwrap_or(0);
        let configs = self.some_durability().map(|durability| (DURABILITY.to_owned(), durability)).into_iter().collect();
        let new = NewTopic { name: format!("topic-{}", self.topics), partitions, configs };
        // A lost answer: it may be there all the same, and nobody writes to it.
        if let Ok(Ok(topic)) = self.env.timeout(Duration::from_secs(20), engine.create_topic(new)).await {
            self.coverage.step("topic: created");
            for index in 0..partitions {
                self.produce_to(PartitionId { topic: topic.id, index }, engine.allocate_producer_id());
            }
        }
    }

    /// None: the brokers' own.
    fn some_durability(&self) -> Option<String> {
        [None, Some(Durability::Object), Some(Durability::Replicated)][self.pick(3)].map(|durability| durability.to_string())
    }

    /// What is appended from now on counts when the new word is given; what was, keeps its own.
    async fn switch_durability(&mut self) {
        let serving = self.serving();
        let Some(id) = self.some_partition().filter(|_| !serving.is_empty()) else { return };
        let engine = serving[self.pick(serving.len())].1.clone();
        let change = engine.set_topic_config(id.topic, DURABILITY, self.some_durability());
        let _answer = self.env.timeout(Duration::from_secs(20), change).await;
        self.coverage.step("topic: durability switched");
    }

    fn jump_clock(&mut self) {
        let (at, by) = (self.pick(self.nodes.len()), self.some_jump());
        if let Some(process) = &self.nodes[at].process {
            process.env.jump_clock(by);
            self.coverage.step("broker: wall clock jumped");
        }
    }

    /// A machine is gone with its disk; another takes its place, once.
    fn lose_disk(&mut self) {
        if self.lost_disk {
            return;
        }
        self.lost_disk = true;
        let at = self.pick(self.nodes.len());
        self.end(at, false);
        self.nodes[at].disk = SimDisk::new(&self.env);
        self.coverage.step("disk: lost");
    }

    async fn delete_topic(&mut self) {
        let serving = self.serving();
        let Some(id) = self.partitions.first().copied().filter(|_| !serving.is_empty() && self.chance(3)) else { return };
        let engine = serving[self.pick(serving.len())].1.clone();
        // From here on nobody knows whether it is there.
        let gone: Vec<PartitionId> = self.partitions.iter().filter(|other| other.topic == id.topic).copied().collect();
        for id in gone {
            self.partitions.remove(&id);
            self.history.forget(id);
        }
        self.forget_clients(id.topic);
        let _answer = self.env.timeout(Duration::from_secs(20), engine.delete_topic(id.topic)).await;
        self.coverage.step("topic: deleted");
    }

    /// Some client, wherever it has been told, wants what lies before some offset deleted.
    fn delete_records(&mut self) {
        let serving = self.serving();
        let Some(id) = self.partitions.iter().nth(self.pick(self.partitions.len().max(1))).copied().filter(|_| !serving.is_empty()) else {
            return;
        };
        let Some(partition) = serving.iter().find_map(|(_, engine)| engine.partition(id)) else { return };
        let there = partition.offsets();
        let most = u64::try_from(there.committed - there.log_start).unwrap_or(0);
        let start = there.log_start + i64::try_from(self.env.random_below(most + 1)).unwrap_or(0);
        self.history.asked_to_delete(id, start);
        self.coverage.step("records: to be deleted");
        self.deletions.push(Box::pin(async move { (id, partition.delete_records(Some(start)).await.ok()) }));
    }

    fn start_one(&mut self) {
        let dead: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].process.is_none()).collect();
        if !dead.is_empty() {
            self.start(dead[self.pick(dead.len())]);
        }
    }

    fn end_one(&mut self) {
        let at = self.pick(self.nodes.len());
        if self.nodes[at].process.is_some() {
            let with_power = self.chance(3);
            self.coverage.step(if with_power { "broker: power lost" } else { "broker: killed" });
            self.end(at, with_power);
        }
    }

    fn freeze_one(&mut self) {
        let (at, until) = (self.pick(self.nodes.len()), self.env.monotonic() + Duration::from_millis(self.env.random_below(20_000)));
        if let Some(process) = self.nodes[at].process.as_mut().filter(|process| process.thaws.is_none()) {
            process.thaws = Some(until);
            process.env.freeze();
            self.net.set_frozen(at, true);
            self.coverage.step("broker: frozen");
        }
    }

    fn cut_some(&mut self) {
        let (from, to) = (self.pick(self.nodes.len()), self.pick(self.nodes.len()));
        self.net.cut(from, to);
        self.coverage.step("brokers: cut from one another");
    }

    fn cut_from_etcd(&mut self) {
        let at = self.pick(self.nodes.len());
        let is_cut = self.chance(2);
        // What is asked for happens, and nobody is told: for as long as a call may take, and longer.
        let drop_answers = if !is_cut && self.chance(2) { 60 } else { 0 };
        let faults =
            Faults { delay: Duration::from_millis(self.env.random_below(50)), lost_requests: 20, lost_answers: 20, is_cut, drop_answers };
        if let Some(process) = &self.nodes[at].process {
            process.etcd.set_faults(faults);
            let step = match (is_cut, drop_answers) {
                (true, _) => "broker: cut from etcd",
                (false, 0) => "broker: a bad way to etcd",
                (false, _) => "broker: hears nothing of etcd",
            };
            self.coverage.step(step);
        }
    }

    async fn etcd_away(&mut self) {
        self.etcd.stop();
        self.pass(15_000).await;
        self.etcd.start();
        self.coverage.step("etcd: away");
    }

    async fn store_away(&mut self) {
        self.store.set_available(false);
        self.pass(10_000).await;
        self.store.set_available(true);
        self.coverage.step("store: away");
    }

    fn drain_one(&mut self) {
        let serving = self.serving();
        if serving.is_empty() {
            return;
        }
        let (at, engine) = serving[self.pick(serving.len())].clone();
        self.drain(at, engine);
    }

    pub(super) fn drain(&mut self, at: usize, engine: floe_log::Engine) {
        if let Some(process) = self.nodes[at].process.as_mut().filter(|process| !process.drains) {
            process.drains = true;
            let drain = async move {
                engine.drain().await;
            };
            process.env.spawn("drain", drain).detach_to_group();
            self.coverage.step("broker: drain begun");
        }
    }

    /// Says who should lead some partition: one of the machines, or anybody.
    async fn move_one(&mut self) {
        let serving = self.serving();
        let Some(id) = self.some_partition() else { return };
        if serving.is_empty() {
            return;
        }
        let to = i32::try_from(self.pick(self.nodes.len() + 1)).ok().filter(|at| usize::try_from(*at) != Ok(self.nodes.len()));
        let engine = serving[self.pick(serving.len())].1.clone();
        let asked = self.env.timeout(Duration::from_secs(20), engine.prefer_leaders(&[(id, to.map(BrokerId))])).await;
        if matches!(asked, Ok(Ok(()))) {
            self.coverage.step("partition: to be moved");
        }
    }

    /// Everything is whole again: every producer is answered, and every partition holds what was acknowledged.
    pub(super) async fn end_well(&mut self) -> Result<(), String> {
        self.net.heal();
        self.store.set_faults(crate::sim_store::SimFaults::none());
        if let Some(groups) = &self.groups {
            groups.begin_to_end();
        }
        let give_up = self.env.monotonic() + RECOVERED;
        loop {
            for at in 0..self.nodes.len() {
                match &mut self.nodes[at].process {
                    Some(process) => {
                        process.etcd.set_faults(Faults::default());
                        process.thaws = process.thaws.map(|_| Duration::ZERO);
                    }
                    None => self.start(at),
                }
            }
            self.thaw();
            for at in 0..self.clients.len() {
                if self.waits(at) {
                    self.send(at)?;
                }
            }
            self.env.sleep(Duration::from_millis(50)).await;
            self.hear().await;
            self.reap()?;
            self.check_groups()?;
            let nobody_waits = !(0..self.clients.len()).any(|at| self.waits(at)) && self.waiting_groups().is_empty();
            if self.unled().is_empty() && self.nobody_is_deposed() && nobody_waits {
                break;
            }
            if self.env.monotonic() > give_up {
                return Err(self.what_is_stuck());
            }
        }
        for id in self.partitions.clone() {
            let (start, values) = self.read_at_owner(id).await?;
            self.history.restarted(id, start, &values)?;
            self.coverage.step("partition: whole in the end");
            if self.is_moved(id) {
                self.coverage.step("partition: in the end of an owner without a base");
            }
        }
        if let Some(groups) = &mut self.groups {
            groups.stop();
        }
        self.check_store().await
    }

    fn check_groups(&self) -> Result<(), String> {
        self.groups.as_ref().map_or(Ok(()), GroupClients::check)
    }

    fn waiting_groups(&self) -> Vec<String> {
        self.groups.as_ref().map(GroupClients::waiting).unwrap_or_default()
    }

    /// Partitions, those that keep groups among them, that nobody leads.
    fn unled(&self) -> Vec<PartitionId> {
        let all = self.partitions.iter().copied().chain(self.groups_partitions());
        all.filter(|id| self.owner(*id).is_none()).collect()
    }

    /// Everything that its owner has of it; one that is being moved, or has just been, is looked for again.
    async fn read_at_owner(&self, id: PartitionId) -> Result<(Offset, Vec<Option<u64>>), String> {
        let give_up = self.env.monotonic() + MOVED;
        loop {
            if let Some((_, partition)) = self.owner(id)
                && let Some(read) = self.read(&partition).await?
            {
                return Ok(read);
            }
            if self.env.monotonic() > give_up {
                return Err(format!("{id} cannot be read although everything is whole"));
            }
            self.env.sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether its owner has it from one that lived, or took it back.
    fn is_moved(&self, id: PartitionId) -> bool {
        let serving = self.serving();
        let view = serving.iter().filter_map(|(_, engine)| engine.cluster_view()).max_by_key(|view| view.revision());
        view.and_then(|view| view.owner(id)).is_some_and(|owner| owner.epoch > 0 && owner.base.is_none())
    }

    /// Whoever was recovered while it stood still has found that out, whether or not it has anything to say.
    fn nobody_is_deposed(&self) -> bool {
        let serving = self.serving();
        let view = serving.iter().filter_map(|(_, engine)| engine.cluster_view()).max_by_key(|view| view.revision());
        let is_open = |engine: &floe_log::Engine| {
            view.as_ref().is_some_and(|view| view.lives().get(&engine.incarnation()) == Some(&floe_formats::etcd::Life::Open))
        };
        serving.iter().all(|(_, engine)| is_open(engine))
    }

    pub(super) fn what_is_stuck(&self) -> String {
        let unled: Vec<String> = self.unled().into_iter().map(|id| self.told_of(id)).collect();
        let waiting = (0..self.clients.len()).filter(|at| self.waits(*at)).count();
        let serving = self.serving();
        let view = serving.iter().filter_map(|(_, engine)| engine.cluster_view()).max_by_key(|view| view.revision());
        let lives: Vec<String> = serving
            .iter()
            .map(|(at, engine)| {
                let life = view.as_ref().and_then(|view| view.lives().get(&engine.incarnation()).copied());
                format!("{} on {at}: {life:?}", engine.incarnation())
            })
            .collect();
        let (unled, lives, groups) = (unled.join("; "), lives.join(", "), self.waiting_groups().join(", "));
        format!(
            "{RECOVERED:?} after everything was whole again {waiting} producers wait and groups [{groups}], nobody leads: {unled}; serving: {lives}"
        )
    }

    fn told_of(&self, id: PartitionId) -> String {
        let serving = self.serving();
        let view = serving.iter().filter_map(|(_, engine)| engine.cluster_view()).max_by_key(|view| view.revision());
        let owner = view.as_ref().and_then(|view| view.owner(id));
        let life = owner.and_then(|owner| view.as_ref().and_then(|view| view.lives().get(&owner.incarnation).copied()));
        let alive: Vec<u64> = serving.iter().map(|(_, engine)| engine.incarnation().0).collect();
        format!("{id}: {owner:?} {life:?}, serving {alive:?}")
    }
}
