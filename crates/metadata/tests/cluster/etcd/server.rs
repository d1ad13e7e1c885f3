//! etcd as child processes: one member or three, on free ports, in a folder that goes with them.

use async_trait::async_trait;
use floe_env::{Env, net};
use floe_metadata::cluster::conformance::World;
use floe_metadata::cluster::etcd::{EtcdBackend, EtcdOptions};
use floe_metadata::cluster::{Backend, Cluster, ClusterOptions};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Dropped: killed, all of them.
pub(super) struct Servers {
    env: Env,
    folder: tempfile::TempDir,
    members: Vec<Member>,
    initial: String,
}

struct Member {
    client: u16,
    peer: u16,
    child: Mutex<Option<Child>>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn free_ports(count: usize) -> Vec<u16> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(net::listen("127.0.0.1:0").await.unwrap());
    }
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn run(command: &mut Command) {
    let done = command.status().expect("a program of every Unix");
    assert!(done.success(), "{command:?}");
}

fn client<'a>(members: impl Iterator<Item = &'a Member>) -> Arc<dyn Backend> {
    let endpoints = members.map(|member| format!("http://127.0.0.1:{}", member.client)).collect();
    Arc::new(EtcdBackend::new(&EtcdOptions::new(endpoints)).unwrap())
}

impl Servers {
    /// None, and the reason printed: there is no etcd on this machine.
    pub(super) async fn started(env: &Env, count: usize) -> Option<Self> {
        if let Err(error) = Command::new("etcd").arg("--version").stdout(Stdio::null()).status() {
            println!("SKIP: no etcd ({error}): apt-get install etcd-server");
            return None;
        }
        let ports = free_ports(2 * count).await;
        let members: Vec<Member> =
            ports.chunks(2).map(|ports| Member { client: ports[0], peer: ports[1], child: Mutex::default() }).collect();
        let initial: Vec<String> = members.iter().enumerate().map(|(n, m)| format!("m{n}=http://127.0.0.1:{}", m.peer)).collect();
        let servers = Self { env: env.clone(), folder: tempfile::tempdir().unwrap(), members, initial: initial.join(",") };
        (0..count).for_each(|n| servers.spawn(n));
        servers.answers().await;
        Some(servers)
    }

    fn data(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("m{n}"))
    }

    fn spawn(&self, n: usize) {
        let member = &self.members[n];
        let (client, peer) = (format!("http://127.0.0.1:{}", member.client), format!("http://127.0.0.1:{}", member.peer));
        let mut command = Command::new("etcd");
        command.args(["--name", &format!("m{n}")]).arg("--data-dir").arg(self.data(n));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", &self.initial]);
        command.args(["--heartbeat-interval", "50", "--election-timeout", "500", "--logger", "zap"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        *member.child.lock() = Some(child.expect("etcd is not here: apt-get install etcd-server"));
    }

    /// Waits until it takes a transaction.
    async fn answers(&self) {
        let options = ClusterOptions { prefix: "/answers".into(), deadline: LIMIT, ..ClusterOptions::default() };
        let cluster = Cluster::new(self.env.clone(), self.client(), options);
        cluster.founded().await.expect("etcd answers");
    }

    pub(super) fn client(&self) -> Arc<dyn Backend> {
        client(self.members.iter())
    }

    pub(super) fn client_without(&self, n: usize) -> Arc<dyn Backend> {
        client(self.members.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, member)| member))
    }

    /// A way to one member alone.
    pub(super) fn client_of(&self, n: usize) -> Arc<dyn Backend> {
        client(std::iter::once(&self.members[n]))
    }

    pub(super) async fn signal(&self, n: usize, signal: &str) {
        let pid = self.members[n].child.lock().as_ref().expect("it runs").id();
        run(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]));
    }

    /// kill -9.
    pub(super) async fn stop_member(&self, n: usize) {
        let mut child = self.members[n].child.lock().take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) async fn start_member(&self, n: usize) {
        self.spawn(n);
    }

    async fn stop_all(&self) {
        for n in 0..self.members.len() {
            self.stop_member(n).await;
        }
    }

    async fn start_all(&self) {
        (0..self.members.len()).for_each(|n| self.spawn(n));
        self.answers().await;
    }

    fn copy(from: &Path, to: &Path) {
        run(Command::new("rm").arg("-rf").arg(to));
        run(Command::new("cp").arg("-a").args([from, to]));
    }
}

#[async_trait]
impl World for Servers {
    fn name(&self) -> &str {
        "etcd"
    }
    fn client(&self) -> Arc<dyn Backend> {
        Self::client(self)
    }
    async fn stop(&self) {
        self.stop_all().await;
    }
    async fn start(&self) {
        self.start_all().await;
    }
    async fn compact(&self) {
        let client = format!("http://127.0.0.1:{}", self.members[0].client);
        floe_metadata::cluster::etcd::compact(&EtcdOptions::new(vec![client])).await.expect("etcd compacts");
    }
    async fn snapshot(&self) {
        self.stop_all().await;
        (0..self.members.len()).for_each(|n| Self::copy(&self.data(n), &self.folder.path().join(format!("kept{n}"))));
        self.start_all().await;
    }
    async fn set_back(&self) {
        self.stop_all().await;
        (0..self.members.len()).for_each(|n| Self::copy(&self.folder.path().join(format!("kept{n}")), &self.data(n)));
        self.start_all().await;
    }
}
