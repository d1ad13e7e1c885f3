//! Three brokers of one kind on this machine: Floe with etcd and a store, or Apache Kafka by itself (three KRaft nodes). They can be hurt one by one.

use crate::candidate::{self, Candidate, Programs};
use crate::process::{Process, Usage};
use crate::rows::Bench;
use crate::rows::s3::start_seaweed;
use crate::{http, load};
use anyhow::{Context, bail};
use rdkafka::producer::{BaseProducer, Producer};
use std::cell::Cell;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub(crate) const BROKERS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(90);

/// What Floe's brokers keep their records in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Seaweed,
    Shaped,
}

/// One broker; without a process it has been ended.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: i32,
    pub(crate) address: SocketAddr,
    /// Of Floe's: where `/metrics` are.
    admin: SocketAddr,
    /// Where the others reach it.
    peer: SocketAddr,
    command: Command,
    log: PathBuf,
    process: Option<Process>,
}

impl Node {
    pub(crate) fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().with_context(|| format!("broker {} does not run", self.id))
    }

    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        self.process = Some(Process::spawn(self.command.stderr(log))?);
        Ok(())
    }

    /// SIGKILL, whatever state it is in.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Waits until it has ended, as it was asked to.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::wait)
    }
}

/// All of it. Dropped: killed, brokers first.
#[derive(Debug)]
pub(crate) struct Cluster {
    candidate: Candidate,
    pub(crate) nodes: Vec<Node>,
    etcd: Option<(Process, String)>,
    store: Option<(Process, String)>,
    data: PathBuf,
    /// Whether there is anything that Floe's brokers keep copies of.
    has_copies: Cell<bool>,
}

impl Cluster {
    /// Starts it, and comes back when all brokers serve.
    pub(crate) fn start(bench: &Bench, candidate: Candidate, store: Store, settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_some(bench, (candidate, BROKERS), store, settings)
    }

    /// The same with another number of brokers, of Floe.
    pub(crate) fn start_some(
        bench: &Bench,
        (candidate, brokers): (Candidate, i32),
        store: Store,
        settings: &[&str],
    ) -> anyhow::Result<Self> {
        let data = bench.fresh(&format!("{}-cluster", candidate.name()))?;
        let mut cluster = Self { candidate, nodes: Vec::new(), etcd: None, store: None, data, has_copies: Cell::new(false) };
        match candidate {
            Candidate::Kafka => cluster.nodes = kafka_nodes(&bench.programs, &cluster.data)?,
            Candidate::Floe => {
                let (process, url) = match store {
                    Store::Seaweed => {
                        let folder = cluster.data.join("seaweed");
                        std::fs::create_dir_all(&folder)?;
                        start_seaweed(bench, &folder)?
                    }
                    Store::Shaped => candidate::start_store(&bench.programs, true)?,
                };
                let mut all = candidate::store_settings(&url);
                all.extend(settings.iter().map(|setting| (*setting).to_owned()));
                cluster.store = Some((process, url));
                let etcd = cluster.etcd.insert(start_etcd(&cluster.data)?).1.clone();
                cluster.nodes =
                    (1..=brokers).map(|id| floe_node(&bench.programs, &cluster.data, (id, &etcd, &all))).collect::<Result<_, _>>()?;
            }
        }
        for node in &mut cluster.nodes {
            node.spawn()?;
        }
        cluster.until_whole()?;
        Ok(cluster)
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.nodes.iter().map(|node| node.address.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The URL of Floe's store, and of its etcd.
    pub(crate) fn store_url(&self) -> anyhow::Result<&str> {
        self.store.as_ref().map(|(_, url)| url.as_str()).context("no store")
    }

    pub(crate) fn etcd_url(&self) -> anyhow::Result<&str> {
        self.etcd.as_ref().map(|(_, url)| url.as_str()).context("no etcd")
    }

    /// A topic with as many copies as this kind of cluster needs to survive a broker; comes back when they count.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let copies = if self.candidate == Candidate::Kafka { BROKERS } else { 1 };
        load::create_topic_with_copies(&self.bootstrap(), (name, partitions, copies), settings)?;
        if self.candidate == Candidate::Floe && !settings.contains(&("floe.durability", "object")) {
            self.has_copies.set(true);
        }
        self.until_whole()
    }

    /// The leader of every partition.
    pub(crate) fn leaders(&self, topic: &str) -> anyhow::Result<Vec<i32>> {
        let client: BaseProducer = load::config(&self.bootstrap()).create()?;
        let metadata = client.client().fetch_metadata(Some(topic), Duration::from_secs(10))?;
        let topic = metadata.topics().first().context("no such topic")?;
        let mut leaders: Vec<(i32, i32)> = topic.partitions().iter().map(|partition| (partition.id(), partition.leader())).collect();
        leaders.sort_unstable();
        Ok(leaders.into_iter().map(|(_, leader)| leader).collect())
    }

    pub(crate) fn peer_ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.peer.port()).collect()
    }

    pub(crate) fn node(&mut self, id: i32) -> anyhow::Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id).with_context(|| format!("no broker {id}"))
    }

    /// Ends a broker as SIGKILL does, starts it again on what it has, and waits until nothing of it is missed.
    pub(crate) fn restart(&mut self, id: i32) -> anyhow::Result<()> {
        let node = self.node(id)?;
        node.kill()?;
        node.spawn()?;
        self.until_whole()
    }

    /// Waits until all brokers are seen by all, and, where Floe's keep copies, all of them count.
    fn until_whole(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Err(error) = self.nodes.iter().try_for_each(|node| self.is_whole(node)) {
            if began.elapsed() > PATIENCE {
                return Err(error).with_context(|| format!("the cluster is not whole; logs are in {}", self.data.display()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn is_whole(&self, node: &Node) -> anyhow::Result<()> {
        TcpStream::connect(node.address)?;
        let client: BaseProducer = load::config(&node.address.to_string()).set("log_level", "0").create()?;
        let metadata = client.client().fetch_metadata(None, Duration::from_secs(5))?;
        if metadata.brokers().len() != self.nodes.len() {
            bail!("broker {} knows of {} brokers", node.id, metadata.brokers().len());
        }
        if self.has_copies.get() && self.metric(node, "floe_log_standbys_counting")? + 1.0 < self.nodes.len() as f64 {
            bail!("copies of broker {} do not count", node.id);
        }
        Ok(())
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&self, node: &Node, name: &str) -> anyhow::Result<f64> {
        sum(&http::get(&format!("http://{}", node.admin), "/metrics")?, name, "")
    }

    /// CPU and written bytes of all brokers together.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let mut sum = Usage::default();
        for node in &self.nodes {
            let usage = node.process()?.usage()?;
            sum = Usage { cpu_seconds: sum.cpu_seconds + usage.cpu_seconds, written_bytes: sum.written_bytes + usage.written_bytes };
        }
        Ok(sum)
    }

    /// CPU of what is beside the brokers, by name.
    pub(crate) fn beside(&self) -> anyhow::Result<Vec<(&'static str, f64)>> {
        let all = [("etcd", &self.etcd), ("store", &self.store)];
        all.into_iter().filter_map(|(name, of)| of.as_ref().map(|(process, _)| Ok((name, process.usage()?.cpu_seconds)))).collect()
    }

    /// Ends it. What it had is gone.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        // All at once: who goes last would otherwise take over what the others had.
        for node in &mut self.nodes {
            node.kill()?;
        }
        (self.etcd, self.store) = (None, None);
        Ok(std::fs::remove_dir_all(&self.data)?)
    }
}

/// The sum of a metric in a page of metrics, over all series that have `label` in them.
pub(crate) fn sum(page: &str, name: &str, label: &str) -> anyhow::Result<f64> {
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
    let values = page.lines().filter(of).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    let values: Vec<f64> = values.collect();
    if values.is_empty() && label.is_empty() {
        bail!("no metric {name}");
    }
    Ok(values.into_iter().sum())
}

/// A port below those that the system gives to outgoing connections: a client that dials a dead broker's port must not get it for itself.
fn low_address() -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 22_000 + u16::try_from(std::process::id() % 500)? * 20;
    let mut addresses = (0..1000).map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, first + NEXT.fetch_add(1, Ordering::Relaxed))));
    addresses.find(|address| TcpListener::bind(address).is_ok()).context("none of a thousand ports is free")
}

fn start_etcd(data: &Path) -> anyhow::Result<(Process, String)> {
    let (address, peer) = (low_address()?, low_address()?);
    let (url, peer) = (format!("http://{address}"), format!("http://{peer}"));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(data.join("etcd")).args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
    let process = Process::spawn(command.stderr(Stdio::null())).context("apt-get install etcd-server")?;
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > PATIENCE {
            bail!("etcd does not listen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((process, url))
}

fn floe_node(programs: &Programs, data: &Path, (id, etcd, settings): (i32, &str, &[String])) -> anyhow::Result<Node> {
    let (address, admin, peer) = (low_address()?, low_address()?, low_address()?);
    let mut command = Command::new(&programs.floe);
    command.args(["serve", "--log", "info", "--etcd", etcd, "--broker-id", &id.to_string()]);
    command.args(["--listen", &address.to_string(), "--admin", &admin.to_string(), "--peer-listen", &peer.to_string()]);
    command.arg("--data").arg(data.join(format!("broker-{id}")));
    for setting in settings {
        command.args(["-o", setting]);
    }
    command.env("AWS_ACCESS_KEY_ID", "bench").env("AWS_SECRET_ACCESS_KEY", "bench").env("AWS_REGION", "us-east-1");
    Ok(Node { id, address, admin, peer, command, log: data.join(format!("broker-{id}.log")), process: None })
}

/// Three nodes that are brokers and controllers, with Kafka's defaults but for those that three copies need.
fn kafka_nodes(programs: &Programs, data: &Path) -> anyhow::Result<Vec<Node>> {
    let libs = format!("{}/*", programs.kafka.as_ref().context("Kafka is not here")?.display());
    let logging = data.join("log4j2.xml");
    std::fs::write(&logging, "<Configuration><Loggers><Root level=\"OFF\"/></Loggers></Configuration>\n")?;
    let logging = format!("-Dlog4j2.configurationFile={}", logging.display());
    let controllers: Vec<SocketAddr> = (1..=BROKERS).map(|_| low_address()).collect::<Result<_, _>>()?;
    let voters = (1..).zip(&controllers).map(|(id, address)| format!("{id}@{address}")).collect::<Vec<_>>().join(",");
    let node = |(id, controller): (i32, &SocketAddr)| -> anyhow::Result<Node> {
        let (address, properties) = (low_address()?, data.join(format!("broker-{id}.properties")));
        let text = format!(
            "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\nadvertised.listeners=PLAINTEXT://{address}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\noffsets.topic.replication.factor=3\nmin.insync.replicas=2\n\
             transaction.state.log.replication.factor=3\ntransaction.state.log.min.isr=2\ngroup.initial.rebalance.delay.ms=0\n",
            data.join(format!("broker-{id}")).display()
        );
        std::fs::write(&properties, text)?;
        let mut format = Command::new("java");
        format.args([&logging, "-cp", &libs, "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"]).arg(&properties);
        let status = format.stdout(Stdio::null()).status()?;
        if !status.success() {
            bail!("Kafka's StorageTool: {status}");
        }
        let mut command = Command::new("java");
        command.args(["-Xms512m", "-Xmx1G", "-XX:+UseG1GC", &logging, "-cp", &libs, "kafka.Kafka"]).arg(&properties);
        Ok(Node { id, address, admin: address, peer: *controller, command, log: data.join(format!("broker-{id}.log")), process: None })
    };
    (1..).zip(&controllers).map(node).collect()
}
