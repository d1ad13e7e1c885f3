//! Machines, brokers on them, what they share, and the clients.

use super::groups::{self, GroupClients};
use super::net::Net;
use super::pipes::Pipes;
use crate::sim_store::{SimFaults, SimStore};
use crate::simulation::{Coverage, History, Producer, Word, mild, options};
use bytes::Bytes;
use floe_env::Env;
use floe_env::sim::SimDisk;
use floe_log::{AppendError, Durability, Engine, EngineOptions, Membership, OpenError, Partition, ReadRequest};
use floe_metadata::cluster::memory::{MemoryClient, MemoryEtcd};
use floe_metadata::cluster::{Cluster, ClusterOptions};
use floe_objstore::{Store, StoreOptions};
use floe_types::{BrokerId, ErrorKind, Incarnation, Offset, PartitionId};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One machine: its disk outlives the processes on it.
pub(super) struct Node {
    pub(super) disk: SimDisk,
    pub(super) process: Option<Process>,
}

/// One life of a broker, from its start on.
pub(super) struct Process {
    pub(super) env: Env,
    pub(super) etcd: MemoryClient,
    /// What came of its start.
    started: Arc<Mutex<Option<Result<Engine, OpenError>>>>,
    pub(super) thaws: Option<Duration>,
    pub(super) drains: bool,
    /// Its generation, and bytes that it has recovered from copies.
    pub(super) noticed: (u64, u64),
}

impl Process {
    pub(super) fn engine(&self) -> Option<Engine> {
        if self.thaws.is_some() {
            return None;
        }
        self.started.lock().as_ref().and_then(|started| started.as_ref().ok().cloned())
    }

    fn failed(&self) -> Option<(ErrorKind, String)> {
        let started = self.started.lock();
        let error = started.as_ref()?.as_ref().err()?;
        Some((error.kind(), error.to_string()))
    }
}

/// The answer to one batch.
pub(super) struct Answer {
    producer: usize,
    connection: u64,
    first: u64,
    base_offset: Offset,
    result: Result<(), AppendError>,
}

/// A producer, and whom it talks to.
pub(super) struct Client {
    pub(super) producer: Producer,
    /// Counts its connections; answers on earlier ones are not heard.
    connection: u64,
    leader: Option<Incarnation>,
    /// The greatest leader epoch that it has heard of.
    epoch: i32,
    /// Its topic is deleted.
    stopped: bool,
}

pub(super) struct World {
    pub(super) env: Env,
    pub(super) store: SimStore,
    pub(super) etcd: MemoryEtcd,
    pub(super) net: Net,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(super) partitions: BTreeSet<PartitionId>,
    pub(super) answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Log starts that were asked for, and what was answered.
    pub(super) deletions: FuturesUnordered<BoxFuture<'static, (PartitionId, Option<Offset>)>>,
    pub(super) history: History,
    pub(super) coverage: Coverage,
    pub(super) topics: u64,
    /// A disk was lost, or damaged: no more than one at a time can be borne.
    pub(super) lost_disk: bool,
    /// Once groups consume.
    pub(super) groups: Option<GroupClients>,
    options: EngineOptions,
    next_value: u64,
    hash: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        let store =
            SimStore::new(&env, if env.random_below(4) == 0 { SimFaults { late_ms: 10..20_000, ..SimFaults::rough() } } else { mild() });
        let etcd = MemoryEtcd::new(env.clone());
        let count = 3 + env.random_below(5);
        let nodes = (0..count).map(|_| Node { disk: SimDisk::new(&env), process: None }).collect();
        let durability = if env.random_below(4) == 0 { Durability::Object } else { Durability::Replicated };
        let options = EngineOptions { durability, replace_standby_after: Duration::from_secs(3), ..options(&env) };
        Self {
            store,
            etcd,
            net: Net::new(&env),
            nodes,
            clients: Vec::new(),
            partitions: BTreeSet::new(),
            answers: FuturesUnordered::new(),
            deletions: FuturesUnordered::new(),
            history: History::default(),
            coverage: Coverage::default(),
            topics: 0,
            lost_disk: false,
            groups: None,
            options,
            next_value: 1,
            hash: 0xcbf2_9ce4_8422_2325,
            env,
        }
    }

    /// Of topics that name none.
    pub(super) fn set_durability(&mut self, durability: Durability) {
        self.options.durability = durability;
    }

    pub(super) fn trace(&self) -> u64 {
        self.store.trace() ^ self.hash ^ self.groups.as_ref().map_or(0, |groups| groups.observed().hash)
    }

    pub(super) fn coverage(&self) -> Coverage {
        let mut coverage = self.coverage.clone();
        let store = self.store.counts();
        for (name, count) in &store.faults {
            coverage.faults(name, *count);
        }
        coverage.faults("store: outage", store.unavailable);
        coverage.faults("store: landed late", store.landed_late);
        for (name, count) in self.groups.iter().flat_map(|groups| groups.observed().steps) {
            *coverage.steps.entry(name).or_default() += count;
        }
        coverage
    }

    pub(super) fn pick(&self, len: usize) -> usize {
        usize::try_from(self.env.random_below(len as u64)).unwrap_or(0)
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.env.random_below(one_in) == 0
    }

    /// Of a wall clock, in milliseconds: up to a day, either way.
    pub(super) fn some_jump(&self) -> i64 {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        i64::try_from(self.env.random_below(2 * DAY)).unwrap_or(0) - i64::try_from(DAY).unwrap_or(0)
    }

    fn note(&mut self, what: u64) {
        self.hash = (self.hash ^ what).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    /// Starts a broker on a machine that has none.
    pub(super) fn start(&mut self, at: usize) {
        let env = self.env.process();
        if self.chance(4) {
            env.jump_clock(self.some_jump());
        }
        let etcd = MemoryClient::new(self.etcd.clone(), env.clone());
        let membership = Membership {
            cluster: Cluster::new(env.clone(), Arc::new(etcd.clone()), ClusterOptions::default()),
            links: self.net.links(env.clone(), at, Arc::new(self.nodes[at].disk.clone())),
            auto_id: false,
            rack: String::new(),
            host: "localhost".to_owned(),
            port: 9092,
            peer: Pipes::address(at),
        };
        let options = EngineOptions { broker: BrokerId(i32::try_from(at).unwrap_or(0)), ..self.options.clone() };
        let store = Store::new(env.clone(), self.store.backend(), StoreOptions::default());
        let started = Arc::new(Mutex::new(None));
        let (result, disk, env_of) = (started.clone(), Arc::new(self.nodes[at].disk.clone()), env.clone());
        let brokers = self.groups.as_ref().map(|groups| groups.brokers.clone());
        let start = async move {
            let joined = Box::pin(Engine::join(env_of.clone(), store, disk, options, membership)).await;
            if let (Ok(engine), Some(brokers)) = (&joined, brokers) {
                brokers.serves(at, env_of, engine.clone());
            }
            *result.lock() = Some(joined);
        };
        env.spawn("start", start).detach_to_group();
        self.nodes[at].process = Some(Process { env, etcd, started, thaws: None, drains: false, noticed: (0, 0) });
        self.coverage.step("broker: started");
    }

    /// Ends the process of a machine: by kill -9, or with the machine's power.
    pub(super) fn end(&mut self, at: usize, with_power: bool) {
        let Some(process) = self.nodes[at].process.take() else { return };
        process.env.abort_all();
        self.net.died(at);
        if let Some(groups) = &self.groups {
            groups.brokers.died(at);
        }
        if with_power {
            self.nodes[at].disk.crash();
        } else {
            self.nodes[at].disk.process_died();
        }
    }

    /// Brokers that serve, with their machines.
    pub(super) fn serving(&self) -> Vec<(usize, Engine)> {
        let engines = self.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.process.as_ref()?.engine()?)));
        engines.filter(|(_, engine)| engine.has_ended().is_none()).collect()
    }

    /// Starts that failed, and lives that have ended: their processes exit.
    pub(super) fn reap(&mut self) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            let Some(process) = &self.nodes[at].process else { continue };
            match (process.failed(), process.engine().and_then(|engine| engine.has_ended())) {
                (Some((ErrorKind::Retry | ErrorKind::Fenced | ErrorKind::Closed | ErrorKind::Overloaded, _)), _) => {
                    self.coverage.step("broker: start failed");
                }
                (Some((kind, error)), _) => return Err(format!("a start was refused ({kind:?}): {error}")),
                (None, Some(floe_log::Ended::Failed { why })) => return Err(format!("a broker failed without a reason: {why}")),
                (None, Some(floe_log::Ended::Fenced { .. })) => self.coverage.step("broker: deposed"),
                (None, Some(floe_log::Ended::Drained)) => self.coverage.step("broker: drained"),
                (None, None) => continue,
            }
            self.end(at, false);
        }
        Ok(())
    }

    /// Who owns a partition in truth, and serves it.
    pub(super) fn owner(&self, id: PartitionId) -> Option<(Incarnation, Arc<Partition>)> {
        let serving = self.serving();
        // Of views the newest: no broker knows more than etcd has said.
        let view = serving.iter().filter_map(|(_, engine)| engine.cluster_view()).max_by_key(|view| view.revision())?;
        let owner = view.owner(id)?;
        let (_, engine) = serving.iter().find(|(_, engine)| engine.incarnation() == owner.incarnation)?;
        let partition = engine.partition(id).filter(|partition| partition.leader_epoch() == owner.epoch)?;
        Some((owner.incarnation, partition))
    }

    /// Partitions that keep groups, as far as anybody serves who knows of them.
    pub(super) fn groups_partitions(&self) -> Vec<PartitionId> {
        if self.groups.is_none() {
            return Vec::new();
        }
        self.serving().iter().map(|(_, engine)| groups::partitions(engine)).find(|partitions| !partitions.is_empty()).unwrap_or_default()
    }

    /// Some partition that anybody knows of: one in three times one that keeps groups.
    pub(super) fn some_partition(&self) -> Option<PartitionId> {
        let of_groups = self.groups_partitions();
        if !of_groups.is_empty() && self.chance(3) {
            return of_groups.get(self.pick(of_groups.len())).copied();
        }
        self.partitions.iter().nth(self.pick(self.partitions.len().max(1))).copied()
    }

    /// Adds a producer for each partition.
    pub(super) fn produce_to(&mut self, id: PartitionId, producer_id: i64) {
        self.partitions.insert(id);
        self.clients.push(Client { producer: Producer::new(id, producer_id), connection: 0, leader: None, epoch: 0, stopped: false });
    }

    /// The producer's next batch goes to whom it takes for the leader: what a random broker says.
    pub(super) fn send(&mut self, at: usize) -> Result<(), String> {
        let serving = self.serving();
        if serving.is_empty() || self.clients[at].stopped {
            return Ok(());
        }
        let id = self.clients[at].producer.partition;
        let asked = &serving[self.pick(serving.len())].1;
        let owner = asked.cluster_view().and_then(|view| view.owner(id));
        // Clients go back to no leader of an earlier epoch than they know (KIP-320).
        let Some(owner) = owner.filter(|owner| owner.epoch >= self.clients[at].epoch) else { return Ok(()) };
        self.clients[at].epoch = owner.epoch;
        let believed = Some(owner.incarnation);
        let leader = serving.iter().find(|(_, engine)| Some(engine.incarnation()) == believed);
        let Some((leader, partition)) = leader.and_then(|(_, engine)| Some((engine.incarnation(), engine.partition(id)?))) else {
            return Ok(());
        };
        if self.clients[at].leader != Some(leader) {
            self.reconnect(at, Some(leader));
        }
        let (count, padding) = (1 + self.env.random_below(3), self.pick(300));
        let first = self.next_value;
        let Some(batch) = self.clients[at].producer.next(|| (first..first + count).collect(), padding) else { return Ok(()) };
        self.next_value += count;
        let header = floe_records::verify(&batch.bytes).map_err(|error| error.to_string())?;
        match partition.append(&batch.bytes, &header) {
            Ok(appended) => {
                self.clients[at].producer.sent += 1;
                let (connection, first) = (self.clients[at].connection, batch.values.first().copied().unwrap_or(0));
                self.answers.push(Box::pin(async move {
                    let result = partition.committed(appended.end_offset).await;
                    Answer { producer: at, connection, first, base_offset: appended.base_offset, result }
                }));
                self.note(appended.base_offset.unsigned_abs());
                Ok(())
            }
            Err(AppendError::Overloaded) => Ok(()),
            Err(AppendError::Ended(_) | AppendError::NotOwner) => {
                self.reconnect(at, None);
                Ok(())
            }
            Err(error) => Err(format!("{id}: an innocent producer was refused by incarnation {leader}: {error}")),
        }
    }

    /// Producers of a topic that goes stop; those behind them keep their places, which answers name.
    pub(super) fn forget_clients(&mut self, topic: floe_types::TopicId) {
        for at in 0..self.clients.len() {
            if self.clients[at].producer.partition.topic == topic {
                self.reconnect(at, None);
                self.clients[at].stopped = true;
            }
        }
    }

    /// A producer that waits for an answer.
    pub(super) fn waits(&self, at: usize) -> bool {
        !self.clients[at].stopped && self.clients[at].producer.waits()
    }

    fn reconnect(&mut self, at: usize, leader: Option<Incarnation>) {
        let client = &mut self.clients[at];
        client.connection += 1;
        client.leader = leader;
        client.producer.reconnect();
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        let client = &mut self.clients[answer.producer];
        if answer.connection != client.connection {
            return;
        }
        if answer.result.is_err() {
            self.reconnect(answer.producer, None);
            return;
        }
        let partition = client.producer.partition;
        let Some(batch) = client.producer.answered(answer.first) else { return };
        self.coverage.step("append: acknowledged");
        for (offset, value) in (answer.base_offset..).zip(&batch.values) {
            self.history.acknowledged(partition, offset, *value, Word::Store);
        }
        self.note(answer.base_offset.unsigned_abs() ^ 0xac);
    }

    /// Everything committed, and where it starts. None if it cannot be read at the moment.
    pub(super) async fn read(&self, partition: &Partition) -> Result<Option<(Offset, Vec<Option<u64>>)>, String> {
        let from = partition.offsets().log_start;
        let (mut values, mut offset) = (Vec::new(), from);
        loop {
            let request = ReadRequest::new(offset, 64 << 10);
            let read = match partition.read(request).await {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Corrupt => return Err(format!("{}: read: {error}", partition.id())),
                Err(_) => return Ok(None),
            };
            if read.batches.is_empty() {
                return Ok((offset == read.committed).then_some((from, values)));
            }
            for batch in &read.batches {
                take_records(partition.id(), batch, (&mut values, &mut offset))?;
            }
        }
    }
}

/// Takes the values of a batch from `offset` on, which moves behind it.
pub(super) fn take_records(id: PartitionId, batch: &Bytes, (values, offset): (&mut Vec<Option<u64>>, &mut Offset)) -> Result<(), String> {
    for record in floe_records::records(batch, 1 << 20).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        if record.offset < *offset {
            continue;
        }
        if record.offset != *offset {
            return Err(format!("{id}: offset {} follows {offset}", record.offset));
        }
        let value = record.value.as_ref().and_then(|value| value.first_chunk::<8>()).ok_or("a record without a value")?;
        values.push(Some(u64::from_be_bytes(*value)));
        *offset += 1;
    }
    Ok(())
}
