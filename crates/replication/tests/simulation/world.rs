//! Machines: one writes a WAL, two keep copies of it; a fourth is there when one of them is to be replaced.

use crate::net::Net;
use bytes::Bytes;
use floe_env::{Disk, Env, sim::SimDisk};
use floe_records::{BatchBuilder, Codec};
use floe_replication::{Addresses, Brokers, CopySet, Identity, Me, ReplicationOptions, Server, Shipping, Vitals, WalVitals};
use floe_types::{BrokerId, ClusterId, DiskId, Generation, Incarnation, Lsn, PartitionId, TopicId};
use floe_wal::{Durable, Entry, Replicas, ReplicasOptions, Wal, WalError, WalOptions, own_dir};
use parking_lot::Mutex;
use std::{future::Future, sync::Arc, time::Duration};

pub(crate) const OWNER: Incarnation = Incarnation(7);
pub(crate) const GENERATION: Generation = Generation(0);
pub(crate) const DISKS: [DiskId; 3] = [DiskId(0xa), DiskId(0xb), DiskId(0xc)];
/// The fourth machine's.
pub(crate) const SPARE: DiskId = DiskId(0xd);
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) fn simulate<T, F: Future<Output = T>>(seed: u64, run: impl FnOnce(Env) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(Env::simulated(seed)))
}

pub(crate) fn options() -> ReplicationOptions {
    ReplicationOptions {
        piece_bytes: 3_000,
        ring_bytes: 40_000,
        window_bytes: 32 << 10,
        ack_timeout: Duration::from_secs(2),
        call_timeout: Duration::from_secs(3),
        ..ReplicationOptions::default()
    }
}

fn replica_options() -> ReplicasOptions {
    ReplicasOptions { budget: 4 << 20, most: 8, file_bytes: 16 << 10, pending_bytes: 40 << 10, max_group_bytes: 6 << 10 }
}

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

#[derive(Debug)]
struct Quiet;

impl Vitals for Quiet {
    fn wal(&self) -> Option<WalVitals> {
        None
    }
}

/// A machine, and the process that runs on it.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) disk_id: DiskId,
    pub(crate) sim: SimDisk,
    pub(crate) process: Env,
    pub(crate) brokers: Brokers,
    pub(crate) replicas: Replicas,
    _server: Server,
}

impl Machine {
    pub(crate) async fn start(world: &World, index: usize, sim: SimDisk, disk_id: DiskId, incarnation: Incarnation) -> Self {
        let (env, net, name) = (&world.env, &world.net, NAMES[index]);
        let process = env.process();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let broker = BrokerId(i32::try_from(index).unwrap());
        let me = Arc::new(Me::new(Identity { cluster: ClusterId(1), broker, disk: disk_id, incarnation }));
        let replicas = Replicas::open(process.clone(), disk, disk_id, replica_options()).await.unwrap();
        let directory = Arc::clone(&world.directory);
        let brokers = Brokers { env: process.clone(), me: Arc::clone(&me), network: net.host(name), directory, options: options() };
        let server = Server::start(&process, net.listen(name), me, replicas.clone(), Arc::new(Quiet), options());
        Self { name, disk_id, sim, process, brokers, replicas, _server: server }
    }

    /// The process is gone; `end` says what becomes of the disk.
    pub(crate) async fn end(self, net: &Net, end: impl FnOnce(&SimDisk)) -> (SimDisk, DiskId) {
        self.process.thaw();
        self.process.abort_all();
        net.down(self.name);
        self.process.tasks_ended().await;
        end(&self.sim);
        (self.sim.clone(), self.disk_id)
    }
}

pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) net: Net,
    pub(crate) directory: Arc<Addresses>,
}

impl World {
    pub(crate) fn new(env: &Env) -> Self {
        let directory = Arc::new(Addresses::default());
        for (disk, name) in DISKS.into_iter().chain([SPARE]).zip(NAMES) {
            directory.set(disk, name);
        }
        Self { env: env.clone(), net: Net::new(env), directory }
    }

    pub(crate) async fn machine(&self, index: usize) -> Machine {
        let sim = SimDisk::new(&self.env);
        let disk = DISKS.get(index).copied().unwrap_or(SPARE);
        Machine::start(self, index, sim, disk, Incarnation(1 + index as u64)).await
    }

    /// Ends a machine's process and starts another on its disk.
    pub(crate) async fn restart(&self, machine: Machine, end: impl FnOnce(&SimDisk)) -> Machine {
        let index = NAMES.iter().position(|name| *name == machine.name).unwrap();
        let (sim, disk) = machine.end(&self.net, end).await;
        Machine::start(self, index, sim, disk, Incarnation(20 + index as u64)).await
    }
}

/// Remembers what it was told.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Lsn>);

impl Durable for Told {
    fn durable(&self, upto: Lsn) {
        let mut told = self.0.lock();
        assert!(upto >= *told, "told {upto} after {told}", told = *told);
        *told = upto;
    }
}

/// The WAL that is copied.
pub(crate) struct Owner {
    pub(crate) wal: Arc<Wal>,
    pub(crate) shipping: Arc<Shipping>,
    pub(crate) told: Arc<Told>,
    /// Where each entry starts, where it ends, and its batch.
    pub(crate) sent: Vec<(Lsn, Lsn, Bytes)>,
    /// The number of the first of them.
    first: usize,
}

pub(crate) const PARTITIONS: usize = 3;

impl Owner {
    pub(crate) async fn start(machine: &Machine, set: &CopySet) -> Self {
        Self::begin(machine, set, GENERATION, 0).await
    }

    /// A generation whose first entry has that number.
    pub(crate) async fn begin(machine: &Machine, set: &CopySet, generation: Generation, first: usize) -> Self {
        let shipping = Shipping::new(machine.brokers.clone(), set).unwrap();
        let options = WalOptions {
            file_bytes: 16 << 10,
            budget: 4 << 20,
            pending_bytes: 256 << 10,
            chunk_bytes: 8 << 10,
            max_group_bytes: 6 << 10,
            ..WalOptions::new(OWNER, generation, own_dir(OWNER, generation))
        };
        let wal = machine.replicas.create_own(options, Some(Arc::clone(&shipping) as _)).await.unwrap();
        shipping.start(&wal);
        Self { wal, shipping, told: Arc::default(), sent: Vec::new(), first }
    }

    pub(crate) fn append(&mut self, bytes: usize) -> Result<Lsn, WalError> {
        let n = self.first + self.sent.len();
        let batch = batch(bytes, n as u64);
        let partition = PartitionId { topic: TopicId(1), index: i32::try_from(n % PARTITIONS).unwrap() };
        let entry = Entry { partition, epoch: 3, epoch_start: 0, base_offset: i64::try_from(n).unwrap(), batch: &batch };
        let told: Arc<dyn Durable> = Arc::clone(&self.told) as _;
        let appended = self.wal.append(&entry, &told)?;
        self.sent.push((appended.start, appended.end, appended.batch));
        Ok(appended.end)
    }
}

pub(crate) fn both() -> CopySet {
    CopySet { standbys: vec![DISKS[1], DISKS[2]], quorum: 2 }
}
