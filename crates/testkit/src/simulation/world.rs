//! One simulated machine room: a store, disks, at most one broker that clients talk to, and older ones that do not
//! know yet that they were taken over.

use super::coverage::Coverage;
use super::history::{History, Word};
use super::producer::{Batch, Producer};
use crate::sim_store::{SimFaults, SimStore};
use floe_env::Env;
use floe_env::sim::SimDisk;
use floe_log::{AppendError, DeleteError, Durability, Ended, Engine, EngineOptions, Partition, ReadRequest};
use floe_types::{DiskId, Offset, PartitionId};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A disk with the id that its owner gave it, known once a broker has started on it.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) disk: SimDisk,
    pub(super) id: Option<DiskId>,
    /// Its WAL may be damaged, or its syncs failed.
    pub(super) damaged: bool,
}

/// A living broker process.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) env: Env,
    pub(super) engine: Engine,
    pub(super) machine: usize,
    /// A disk fault was injected in its life, so that it may fail.
    pub(super) may_fail: bool,
    /// Once deposed: partitions whose records it may acknowledge only when the store has them.
    pub(super) object: BTreeSet<PartitionId>,
    /// It stands still until then.
    pub(super) thaws: Option<Duration>,
}

/// The answer to one batch.
pub(super) struct Answer {
    pub(super) producer: usize,
    /// Which connection it belongs to: answers of earlier ones are not heard.
    pub(super) connection: u64,
    pub(super) first: u64,
    pub(super) base_offset: Offset,
    pub(super) word: Word,
    pub(super) result: Result<(), AppendError>,
}

/// The answer to a request to delete records.
pub(super) struct Deleted {
    pub(super) partition: PartitionId,
    pub(super) result: Result<Offset, DeleteError>,
}

/// A committed log, as a reader saw it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// One for each offset; none where compaction left the record out.
    pub(super) values: Vec<Option<u64>>,
    /// Bytes of its batches.
    pub(super) bytes: u64,
}

impl Reading {
    /// Goes on at `to`: what is before it, compaction has left out.
    fn skip(&mut self, offset: &mut Offset, to: Offset) {
        self.values.extend((*offset..to).map(|_| None));
        *offset = to.max(*offset);
    }
}

pub(super) struct World {
    pub(super) env: Env,
    pub(super) store: SimStore,
    pub(super) machines: Vec<Machine>,
    pub(super) current: usize,
    pub(super) broker: Option<Broker>,
    pub(super) deposed: Vec<Broker>,
    pub(super) producers: Vec<Producer>,
    pub(super) topics: BTreeMap<PartitionId, Durability>,
    pub(super) answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// What deposed brokers say to records of `object` topics that they were sent after the take-over.
    pub(super) late_answers: FuturesUnordered<BoxFuture<'static, Result<(), AppendError>>>,
    pub(super) deletions: FuturesUnordered<BoxFuture<'static, Deleted>>,
    /// What deposed brokers say to those who want records deleted after the take-over.
    pub(super) late_deletions: FuturesUnordered<BoxFuture<'static, Deleted>>,
    /// Bytes that a topic's settings keep at least.
    pub(super) retained: BTreeMap<PartitionId, u64>,
    pub(super) compacted: BTreeSet<PartitionId>,
    pub(super) connection: u64,
    pub(super) history: History,
    pub(super) coverage: Coverage,
    pub(super) options: EngineOptions,
    pub(super) next_value: u64,
    /// Batches that clients know to be safe, by whose word.
    pub(super) acknowledged_by_store: u64,
    pub(super) acknowledged_by_disk: u64,
    pub(super) names: u64,
    pub(super) steps_hash: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        let faults = if env.random_below(4) == 0 { SimFaults { late_ms: 10..20_000, ..SimFaults::rough() } } else { mild() };
        let store = SimStore::new(&env, faults);
        let options = options(&env);
        let machines = vec![Machine { disk: SimDisk::new(&env), id: None, damaged: false }];
        Self {
            store,
            machines,
            current: 0,
            broker: None,
            deposed: Vec::new(),
            producers: Vec::new(),
            topics: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            late_answers: FuturesUnordered::new(),
            deletions: FuturesUnordered::new(),
            late_deletions: FuturesUnordered::new(),
            retained: BTreeMap::new(),
            compacted: BTreeSet::new(),
            connection: 0,
            history: History::default(),
            coverage: Coverage::default(),
            options,
            next_value: 1,
            acknowledged_by_store: 0,
            acknowledged_by_disk: 0,
            names: 0,
            steps_hash: 0xcbf2_9ce4_8422_2325,
            env,
        }
    }

    pub(super) fn trace(&self) -> u64 {
        self.machines.iter().fold(self.store.trace() ^ self.steps_hash, |hash, machine| {
            let counts = machine.disk.counts();
            [counts.reads, counts.writes, counts.syncs, counts.pages_lost].iter().fold(hash, |hash, count| mix(hash, *count))
        })
    }

    pub(super) fn coverage(&self) -> Coverage {
        let mut coverage = self.coverage.clone();
        let store = self.store.counts();
        for (name, count) in &store.faults {
            coverage.faults(name, *count);
        }
        coverage.faults("store: outage", store.unavailable);
        coverage.faults("store: landed late", store.landed_late);
        for machine in &self.machines {
            let counts = machine.disk.counts();
            coverage.faults("disk: pages lost", counts.pages_lost);
            coverage.faults("disk: pages torn", counts.pages_torn);
            coverage.faults("disk: failed syncs", counts.failed_syncs);
            coverage.faults("disk: full", counts.refused_as_full);
            coverage.faults("disk: flipped bits", counts.flipped_bits);
        }
        coverage
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.env.random_below(one_in) == 0
    }

    pub(super) fn pick(&self, len: usize) -> usize {
        usize::try_from(self.env.random_below(len as u64)).unwrap_or(0)
    }

    pub(super) fn note(&mut self, what: u64) {
        self.steps_hash = mix(self.steps_hash, what);
    }

    /// Forgets the connection: nothing that is answered on it is heard any more.
    pub(super) fn disconnect(&mut self) {
        self.connection += 1;
        self.answers.clear();
        self.deletions.clear();
        for producer in &mut self.producers {
            producer.reconnect();
        }
    }

    /// Sends a producer's next batch to the broker.
    pub(super) fn send(&mut self, at: usize) -> Result<(), String> {
        let Some(broker) = &self.broker else { return Ok(()) };
        let count = 1 + self.env.random_below(3);
        let padding = usize::try_from(self.env.random_below(if self.chance(20) { 20_000 } else { 300 })).unwrap_or(0);
        let first = self.next_value;
        let Some(batch) = self.producers[at].next(|| (first..first + count).collect(), padding) else { return Ok(()) };
        self.next_value += count;
        let partition_id = self.producers[at].partition;
        let Some(partition) = broker.engine.partition(partition_id) else {
            return Err(format!("partition {partition_id} is not served"));
        };
        let header = floe_records::verify(&batch.bytes).map_err(|error| error.to_string())?;
        let word = self.word(partition_id);
        match partition.append(&batch.bytes, &header) {
            Ok(appended) => {
                self.producers[at].sent += 1;
                let (connection, first) = (self.connection, batch.values.first().copied().unwrap_or(0));
                // The durability of a record is that of its topic when it was appended: its repetition is answered by the same word (R23).
                let word = batch.word.filter(|_| appended.duplicate).unwrap_or(word);
                self.producers[at].appended(first, word);
                self.answers.push(Box::pin(async move {
                    let result = partition.committed(appended.end_offset).await;
                    Answer { producer: at, connection, first, base_offset: appended.base_offset, word, result }
                }));
                self.note(appended.base_offset.unsigned_abs());
                Ok(())
            }
            Err(AppendError::Overloaded) => {
                self.coverage.step("append: refused for room");
                Ok(())
            }
            Err(AppendError::Ended(_)) => Ok(()),
            Err(error) => self.refused(at, &batch, &error),
        }
    }

    /// A producer is told that its sequence does not fit: innocent unless acknowledged records were excused.
    fn refused(&mut self, at: usize, _batch: &Batch, error: &AppendError) -> Result<(), String> {
        if !self.machines.iter().any(|machine| machine.id.is_some_and(|id| self.history.is_failed(id))) {
            return Err(format!("an innocent producer was refused: {error}"));
        }
        self.coverage.step("producer: started over");
        let id = self.broker.as_ref().map_or(0, |broker| broker.engine.allocate_producer_id());
        self.producers[at].start_over(id);
        Ok(())
    }

    /// Whose word an acknowledgement is, by the durability that the partition has now.
    fn word(&self, partition: PartitionId) -> Word {
        match (self.topics.get(&partition), self.machines[self.current].id) {
            (Some(Durability::Local), Some(disk)) => Word::Disk(disk),
            _ => Word::Store,
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Result<(), String> {
        if answer.connection != self.connection || answer.result.is_err() {
            return Ok(());
        }
        let producer = &mut self.producers[answer.producer];
        let partition = producer.partition;
        let Some(batch) = producer.answered(answer.first) else { return Ok(()) };
        self.note(answer.base_offset.unsigned_abs() ^ 0xac);
        self.coverage.step("append: acknowledged");
        match answer.word {
            Word::Store => self.acknowledged_by_store += 1,
            Word::Disk(_) => self.acknowledged_by_disk += 1,
        }
        for (offset, value) in (answer.base_offset..).zip(&batch.values) {
            self.history.acknowledged(partition, offset, *value, answer.word);
        }
        Ok(())
    }

    /// Everything committed of a partition from `from` on.
    pub(super) async fn read(&self, partition: &Partition, from: Offset) -> Result<Option<Reading>, String> {
        let (mut reading, mut offset) = (Reading::default(), from);
        let is_compacted = self.compacted.contains(&partition.id());
        loop {
            let request = ReadRequest::new(offset, 64 << 10);
            let read = match partition.read(request).await {
                Ok(read) => read,
                // A bit that we flipped under a running broker is found, not served.
                Err(error) if error.kind() == floe_types::ErrorKind::Corrupt && !self.machines[self.current].damaged => {
                    return Err(format!("read: {error}"));
                }
                Err(_) => return Ok(None),
            };
            if read.batches.is_empty() {
                return if offset == read.committed { Ok(Some(reading)) } else { Ok(None) };
            }
            for batch in &read.batches {
                let header = floe_records::verify(batch).map_err(|error| format!("read: {error}"))?;
                reading.bytes += batch.len() as u64;
                for record in floe_records::records(batch, 1 << 20).map_err(|error| error.to_string())? {
                    let record = record.map_err(|error| error.to_string())?;
                    if record.offset < offset {
                        continue;
                    }
                    if is_compacted {
                        reading.skip(&mut offset, record.offset);
                    }
                    if record.offset != offset {
                        return Err(format!("{}: offset {} follows {offset}", partition.id(), record.offset));
                    }
                    let value = record.value.as_ref().and_then(|value| value.first_chunk::<8>()).ok_or("a record without a value")?;
                    let value = u64::from_be_bytes(*value);
                    if value >= self.next_value {
                        return Err(format!("{}: {value} at {offset} was sent to a deposed broker", partition.id()));
                    }
                    reading.values.push(Some(value));
                    offset += 1;
                }
                if is_compacted {
                    reading.skip(&mut offset, header.end_offset());
                }
                if header.end_offset() > read.committed {
                    return Err(format!(
                        "{}: a batch up to {} is visible, committed is {}",
                        partition.id(),
                        header.end_offset(),
                        read.committed
                    ));
                }
            }
        }
    }

    pub(super) fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.broker.as_ref()?.engine.partition(id)
    }

    /// A broker may end only for a reason that we gave it.
    pub(super) fn check_ended(&self) -> Result<bool, String> {
        match self.broker.as_ref().map(|broker| (broker.engine.has_ended(), broker.may_fail)) {
            Some((Some(Ended::Failed { .. }), true)) => Ok(true),
            Some((Some(ended), _)) => Err(format!("the broker ended without a reason: {ended}")),
            _ => Ok(false),
        }
    }

    pub(super) async fn pass(&self, most_ms: u64) {
        self.env.sleep(Duration::from_millis(self.env.random_below(most_ms + 1))).await;
    }
}

fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
}

/// A store on an ordinary day.
pub(crate) fn mild() -> SimFaults {
    SimFaults { way_ms: 1..20, before: 50, lost: 30, after: 50, late: 20, late_ms: 10..10_000, hang: 5, slow: 100, ..SimFaults::rough() }
}

/// Settings that make much happen in little: small packs, small files, small budgets.
pub(crate) fn options(env: &Env) -> EngineOptions {
    let pick = |choices: &[u64]| choices[usize::try_from(env.random_below(choices.len() as u64)).unwrap_or(0)];
    EngineOptions {
        durability: if env.random_below(2) == 0 { Durability::Local } else { Durability::Object },
        flush_bytes: pick(&[2_000, 10_000, 100_000]),
        flush_age: Duration::from_millis(pick(&[100, 400, 1000])),
        object_flush_age: Duration::from_millis(pick(&[5, 50])),
        pack_bytes: pick(&[4_000, 30_000, 1 << 20]),
        own_pack_bytes: pick(&[2_000, 20_000]),
        window: u32::try_from(pick(&[1, 2, 4])).unwrap_or(1),
        index_every_slots: pick(&[1, 3, 10]),
        wal_budget: pick(&[400_000, 4 << 20]),
        wal_file_bytes: pick(&[8_000, 100_000]),
        tail_bytes: pick(&[5_000, 60_000, 4 << 20]),
        object_unflushed_bytes: pick(&[30_000, 1 << 20]),
        cache_bytes: pick(&[10_000, 1 << 20]),
        settle_bytes: pick(&[3_000, 20_000, 1 << 20]),
        settle_age: Duration::from_millis(pick(&[5_000, 60_000])),
        settle_least_bytes: pick(&[1, 1_000, 1 << 20]),
        merge_segments: usize::try_from(pick(&[8, 40, 4096])).unwrap_or(8),
        merge_size_bits: u32::try_from(pick(&[2, 3])).unwrap_or(2),
        manifest_segments: usize::try_from(pick(&[2, 4, 128])).unwrap_or(2),
        compaction_bytes: pick(&[1_000, 50_000]),
        settle_check: Duration::from_millis(pick(&[500, 5_000])),
        retention_check: Duration::from_millis(pick(&[1_000, 20_000])),
        ..EngineOptions::default()
    }
}
