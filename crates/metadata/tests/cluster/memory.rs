//! In memory, and embedded: on a simulated clock, with delays and losses from a seed.

use async_trait::async_trait;
use floe_env::Env;
use floe_formats::etcd::IncarnationEntry;
use floe_metadata::cluster::conformance::{World, conforms};
use floe_metadata::cluster::memory::{Faults, MemoryClient, MemoryEtcd, Snapshot};
use floe_metadata::cluster::{Backend, Cluster, ClusterOptions};
use floe_types::{BrokerId, DiskId, Incarnation};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

struct InMemory {
    name: &'static str,
    env: Env,
    etcd: MemoryEtcd,
    faults: Faults,
    snapshot: Mutex<Option<Snapshot>>,
}

#[async_trait]
impl World for InMemory {
    fn name(&self) -> &str {
        self.name
    }
    fn client(&self) -> Arc<dyn Backend> {
        let client = MemoryClient::new(self.etcd.clone(), self.env.process());
        client.set_faults(self.faults);
        Arc::new(client)
    }
    async fn stop(&self) {
        self.etcd.stop();
    }
    async fn start(&self) {
        self.etcd.start();
    }
    async fn compact(&self) {
        self.etcd.compact();
    }
    async fn snapshot(&self) {
        *self.snapshot.lock() = Some(self.etcd.snapshot());
    }
    async fn set_back(&self) {
        self.etcd.set_back(self.snapshot.lock().as_ref().expect("a snapshot was taken before"));
    }
}

pub(crate) fn simulated<F: Future<Output = ()>>(seed: u64, run: impl FnOnce(Env) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(Env::simulated(seed)));
}

fn suite(name: &'static str, seed: u64, etcd: impl FnOnce(Env) -> MemoryEtcd, faults: Faults) {
    simulated(seed, |env| async move {
        let world = InMemory { name, env: env.clone(), etcd: etcd(env.process()), faults, snapshot: Mutex::default() };
        conforms(&env, &world).await;
    });
}

#[test]
fn memory_conforms() {
    suite("memory", 1, MemoryEtcd::new, Faults::default());
}

#[test]
fn memory_embedded_in_a_single_broker_conforms() {
    suite("embedded", 2, MemoryEtcd::embedded, Faults::default());
}

#[test]
fn slow_memory_conforms() {
    for seed in 3..8 {
        let faults = Faults { delay: Duration::from_millis(5), ..Faults::default() };
        suite("slow memory", seed, MemoryEtcd::new, faults);
    }
}

/// What a run over a bad network did, in words that show every difference.
fn trace(seed: u64) -> String {
    let trace = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&trace);
    simulated(seed, |env| async move {
        let etcd = MemoryEtcd::new(env.process());
        let brokers = (1..=3_u64).map(|n| {
            let (etcd, env, trace) = (etcd.clone(), env.process(), Arc::clone(&kept));
            async move {
                let client = MemoryClient::new(etcd, env.clone());
                client.set_faults(Faults { delay: Duration::from_millis(50), lost_requests: 200, lost_answers: 200, ..Faults::default() });
                let options = ClusterOptions { attempt_timeout: Duration::from_millis(200), ..ClusterOptions::default() };
                let cluster = Cluster::new(env.clone(), Arc::new(client), options);
                let entry = IncarnationEntry { broker: BrokerId(i32::try_from(n).unwrap()), disk: DiskId(u128::from(n)), started_ms: 0 };
                let opened = cluster.open_incarnation(Incarnation(n), &entry).await;
                let announced = cluster.announce_catalog(n).await;
                trace.lock().push_str(&format!("{n} {opened:?} {announced:?} {:?}\n", env.monotonic()));
            }
        });
        futures::future::join_all(brokers).await;
        kept.lock().push_str(&format!("{}\n", etcd.revision()));
    });
    Arc::into_inner(trace).unwrap().into_inner()
}

#[test]
fn a_run_over_a_bad_network_is_the_same_from_the_same_seed_and_another_from_another() {
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
