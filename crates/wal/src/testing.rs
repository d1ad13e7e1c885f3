//! What the tests of this crate share: a paused runtime, batches, sinks that remember, a WAL with what was appended to it.

use crate::{Appended, Durable, Entry, Replay, ReplayedEntry, Wal, WalError, WalOptions};
use bytes::Bytes;
use floe_env::{Disk, Env, sim::SimDisk};
use floe_formats::{ENTRY_HEADER_LEN, EntryHeader, wal_entry::append_entry};
use floe_records::{BatchBuilder, Codec};
use floe_types::{Generation, Incarnation, Lsn, PartitionId, TopicId};
use parking_lot::Mutex;
use std::{future::Future, sync::Arc};

pub(crate) const INCARNATION: Incarnation = Incarnation(7);
pub(crate) const GENERATION: Generation = Generation(0);
pub(crate) const DIR: &str = "wal/7-0";

pub(crate) fn simulate<T, F: Future<Output = T>>(seed: u64, run: impl FnOnce(Env) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(Env::simulated(seed)))
}

/// A batch of one record of about `bytes` bytes, which differ from batch to batch.
pub(crate) fn batch(bytes: usize, salt: u64) -> Bytes {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let value: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(bytes)
    .collect();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1, None, Some(&value)).unwrap();
    builder.build()
}

pub(crate) fn partition(index: i32) -> PartitionId {
    PartitionId { topic: TopicId(0xfeed), index }
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<Lsn>>);

impl Durable for Told {
    fn durable(&self, upto: Lsn) {
        self.0.lock().push(upto);
    }
}

impl Told {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn last(&self) -> Lsn {
        self.0.lock().last().copied().unwrap_or_default()
    }
}

pub(crate) fn small_options() -> WalOptions {
    WalOptions {
        file_bytes: 16 << 10,
        budget: 1 << 20,
        pending_bytes: 256 << 10,
        chunk_bytes: 8 << 10,
        max_group_bytes: 6 << 10,
        ..WalOptions::new(INCARNATION, GENERATION, DIR)
    }
}

/// What was appended, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) batch: Bytes,
}

/// A WAL on a simulated disk, what was appended to it, and what each partition was told.
pub(crate) struct Bench {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) sim: SimDisk,
    pub(crate) process: Env,
    pub(crate) wal: Arc<Wal>,
    pub(crate) records: Mutex<Vec<Record>>,
    /// What was durable when the record was appended.
    pub(crate) durable_then: Mutex<Vec<Lsn>>,
    pub(crate) told: Vec<Arc<Told>>,
}

impl Bench {
    pub(crate) async fn new(env: &Env, options: WalOptions) -> Self {
        let sim = SimDisk::new(env);
        Self::on(env, sim, options).await
    }

    pub(crate) async fn on(env: &Env, sim: SimDisk, options: WalOptions) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let process = env.process();
        let wal = Wal::create(process.clone(), Arc::clone(&disk), options).await.unwrap();
        Self {
            disk,
            sim,
            process,
            wal,
            records: Mutex::default(),
            durable_then: Mutex::default(),
            told: (0..4).map(|_| Told::new()).collect(),
        }
    }

    pub(crate) fn append(&self, index: i32, bytes: usize) -> Result<Appended, WalError> {
        let mut records = self.records.lock();
        let offset = records.len() as i64;
        let batch = batch(bytes, offset.cast_unsigned());
        let entry = Entry { partition: partition(index), epoch: 3, epoch_start: 0, base_offset: offset, batch: &batch };
        let sink: Arc<dyn Durable> = Arc::clone(&self.told[usize::try_from(index).unwrap()]) as _;
        let durable_then = self.wal.durable();
        let appended = self.wal.append(&entry, &sink)?;
        self.durable_then.lock().push(durable_then);
        let (start, end, batch) = (appended.start, appended.end, appended.batch.clone());
        records.push(Record { start, end, partition: index, offset, batch });
        Ok(appended)
    }

    /// Appends until everything is durable.
    pub(crate) async fn append_durably(&self, index: i32, bytes: usize) -> Appended {
        let appended = self.append(index, bytes).unwrap();
        self.wal.wait_durable(appended.end).await.unwrap();
        appended
    }

    pub(crate) async fn replay(&self) -> Result<(crate::Replayed, Vec<ReplayedEntry>), WalError> {
        replay_all(&self.disk).await
    }

    /// Power loss: the process is gone, the disk keeps what it must, and a bit of the rest.
    pub(crate) async fn crash(&self) {
        self.process.abort_all();
        self.process.tasks_ended().await;
        self.sim.crash();
    }
}

pub(crate) async fn replay_all(disk: &Arc<dyn Disk>) -> Result<(crate::Replayed, Vec<ReplayedEntry>), WalError> {
    replay_of(disk, INCARNATION, GENERATION).await
}

pub(crate) async fn replay_of(
    disk: &Arc<dyn Disk>,
    incarnation: Incarnation,
    generation: Generation,
) -> Result<(crate::Replayed, Vec<ReplayedEntry>), WalError> {
    let mut replay = Replay::open(disk, DIR, incarnation, generation).await?;
    let mut entries = Vec::new();
    while let Some(more) = replay.next().await? {
        entries.extend(more);
    }
    assert_eq!(replay.replayed().entries, entries.len() as u64);
    Ok((replay.replayed(), entries))
}

/// Entries as an owner's WAL has them from `start` on, each with what it holds; every one was a group of its own there, so that the
/// marks claim all that marks can.
pub(crate) fn foreign_entries(start: Lsn, count: usize, bytes: impl Fn(usize) -> usize) -> Vec<(Bytes, ReplayedEntry)> {
    let mut at = start;
    let mut entries = Vec::with_capacity(count);
    for n in 0..count {
        let batch = batch(bytes(n), n as u64);
        let header = EntryHeader {
            lsn: at,
            incarnation: INCARNATION,
            generation: GENERATION,
            payload_len: u32::try_from(batch.len()).unwrap(),
            synced: at,
            partition: partition(i32::try_from(n % 4).unwrap()),
            epoch: 3,
            epoch_start: 0,
            base_offset: n as i64,
        };
        let mut whole = bytes::BytesMut::new();
        append_entry(&mut whole, &header, &batch).unwrap();
        let whole = whole.freeze();
        at = header.end();
        entries.push((whole.clone(), ReplayedEntry { header, batch: whole.slice(ENTRY_HEADER_LEN..) }));
    }
    entries
}

/// As a [`Record`], to be compared with what was appended.
pub(crate) fn record_of(entry: &ReplayedEntry) -> Record {
    Record {
        start: entry.header.lsn,
        end: entry.header.end(),
        partition: entry.header.partition.index,
        offset: entry.header.base_offset,
        batch: entry.batch.clone(),
    }
}
