//! Over real sockets and on real disks: shipped, committed, sealed and read.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use floe_env::{Disk, Env, RealDisk, net};
use floe_records::{BatchBuilder, Codec};
use floe_replication::{
    Addresses, Brokers, CopySet, Identity, Me, ReplicationOptions, Server, Shipping, StandbyState, Tcp, Vitals, WalVitals,
};
use floe_types::{BrokerId, ClusterId, DiskId, Generation, Incarnation, Lsn, PartitionId, TopicId};
use floe_wal::{Durable, Entry, Replicas, ReplicasOptions, Wal, WalOptions, own_dir};
use std::{sync::Arc, time::Duration};

const OWNER: Incarnation = Incarnation(7);
const LONG: Duration = Duration::from_secs(30);

struct Nobody;

impl Durable for Nobody {
    fn durable(&self, _: Lsn) {}
}

/// A ping is answered with how this WAL gets on.
#[derive(Debug)]
struct Of(Arc<Wal>);

impl Vitals for Of {
    fn wal(&self) -> Option<WalVitals> {
        let (end, durable, committed, stalled) = (self.0.end(), self.0.durable(), self.0.committed(), self.0.stalled());
        Some(WalVitals { generation: Generation(0), end, durable, committed, stalled })
    }
}

#[derive(Debug)]
struct NoWal;

impl Vitals for NoWal {
    fn wal(&self) -> Option<WalVitals> {
        None
    }
}

struct Broker {
    brokers: Brokers,
    replicas: Replicas,
    _folder: tempfile::TempDir,
}

async fn broker(env: &Env, id: i32, directory: &Arc<Addresses>) -> Broker {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path().to_path_buf()));
    let disk_id = DiskId(u128::try_from(id).unwrap());
    let identity =
        Identity { cluster: ClusterId(1), broker: BrokerId(id), disk: disk_id, incarnation: Incarnation(u64::try_from(id).unwrap()) };
    let replicas = Replicas::open(env.clone(), disk, disk_id, ReplicasOptions::default()).await.unwrap();
    let brokers = Brokers {
        env: env.clone(),
        me: Arc::new(Me::new(identity)),
        network: Arc::new(Tcp),
        directory: Arc::clone(directory) as _,
        options: ReplicationOptions::default(),
    };
    Broker { brokers, replicas, _folder: folder }
}

async fn serve(env: &Env, broker: &Broker, vitals: Arc<dyn Vitals>, directory: &Addresses) -> Server {
    let listener = net::listen("127.0.0.1:0").await.unwrap();
    directory.set(broker.replicas.disk_id(), listener.local_addr().unwrap().to_string());
    let Brokers { me, options, .. } = broker.brokers.clone();
    Server::start(env, Arc::new(listener), me, broker.replicas.clone(), vitals, options)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wal_is_shipped_committed_sealed_and_read() {
    let (env, directory) = (Env::real(), Arc::new(Addresses::default()));
    let (a, b, c) = (broker(&env, 1, &directory).await, broker(&env, 2, &directory).await, broker(&env, 3, &directory).await);
    let shipping = Shipping::new(a.brokers.clone(), &CopySet { standbys: vec![DiskId(2), DiskId(3)], quorum: 2 }).unwrap();
    let options = WalOptions::new(OWNER, Generation(0), own_dir(OWNER, Generation(0)));
    let wal = a.replicas.create_own(options, Some(Arc::clone(&shipping) as _)).await.unwrap();
    let _a_serves = serve(&env, &a, Arc::new(Of(Arc::clone(&wal))), &directory).await;
    let b_serves = serve(&env, &b, Arc::new(NoWal), &directory).await;
    let _c_serves = serve(&env, &c, Arc::new(NoWal), &directory).await;
    shipping.start(&wal);
    let sink: Arc<dyn Durable> = Arc::new(Nobody);
    let append = |n: i64, bytes: usize| {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(1, None, Some(&vec![u8::try_from(n % 251).unwrap(); bytes])).unwrap();
        let batch = builder.build();
        let partition = PartitionId { topic: TopicId(1), index: 0 };
        wal.append(&Entry { partition, epoch: 1, epoch_start: 0, base_offset: n, batch: &batch }, &sink).unwrap().end
    };
    for n in 0..400 {
        append(n, 2_000);
    }
    // Larger than a message.
    let end = append(400, 3 << 20);
    env.timeout(LONG, shipping.wait_committed(end)).await.unwrap();
    let all =
        |states: &std::collections::BTreeMap<DiskId, StandbyState>| states.values().all(|s| *s == StandbyState::Counting { durable: end });
    env.timeout(LONG, shipping.wait_standbys(all)).await.unwrap();

    // One is gone: the other and the own disk are enough.
    b_serves.stop(&env, Duration::from_secs(1)).await;
    let end = append(401, 100);
    env.timeout(LONG, shipping.wait_committed(end)).await.unwrap();

    // Now the owner is suspected: it answers, so it is alive; then its disk and a standby's are sealed all the same.
    let asks = c.brokers.peer(DiskId(1)).unwrap();
    let pong = asks.ping().await.unwrap();
    assert_eq!(pong.from, a.brokers.me.identity());
    assert!(pong.is_alive(Duration::from_secs(1)) && pong.wal.unwrap().committed == end);
    for peer in [asks, a.brokers.peer(DiskId(3)).unwrap()] {
        assert_eq!(peer.seal(OWNER, Incarnation(9)).await.unwrap().len(), 1);
        let mut reading = peer.read(OWNER, Generation(0)).await.unwrap();
        let mut offsets = Vec::new();
        while let Some(entries) = reading.next().await.unwrap() {
            offsets.extend(entries.iter().map(|entry| entry.header.base_offset));
        }
        assert_eq!(offsets, (0..402).collect::<Vec<_>>());
        assert_eq!(reading.replayed().end, end);
    }
    assert!(
        wal.append(
            &Entry { partition: PartitionId { topic: TopicId(1), index: 0 }, epoch: 1, epoch_start: 0, base_offset: 402, batch: &[] },
            &sink
        )
        .is_err()
    );
}
