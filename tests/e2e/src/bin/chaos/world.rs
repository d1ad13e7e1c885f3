//! Three brokers, etcd, and SeaweedFS behind a proxy; on hosts of their own where this process may make network namespaces. Acts are done
//! here, and brokers that ended and are wanted are started again, as a supervisor would.

use crate::plan::{Act, BROKERS, From};
use anyhow::{Context, bail, ensure};
use floe_e2e::broker::{Broker, Setup, program, verify};
use floe_e2e::etcd::Etcd;
use floe_e2e::load::{Topic, alter_topic};
use floe_e2e::net::{self, Host, Network};
use floe_e2e::proxy::{Proxy, Trouble};
use floe_e2e::seaweed::{self, Seaweed};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The exit code of a broker whose cluster went on without it.
const DEPOSED: i32 = 9;
/// A drain that takes longer, with everything healed, hangs.
const DRAIN_LIMIT: Duration = Duration::from_secs(90);
/// Sets of copies are changed ever more rarely while brokers come and go, but not as rarely as this.
const COPIES_LIMIT: Duration = Duration::from_secs(300);
/// What a former set has acknowledged is in the store then.
const FLUSHED: Duration = Duration::from_secs(5);
/// A supervisor's, before it starts again what has ended by itself.
const PAUSE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(5);

struct Node {
    setup: Setup,
    broker: Option<Broker>,
    is_ready: bool,
    /// It is to run: whoever ended is started again.
    is_wanted: bool,
    not_before: Option<Instant>,
    drains_since: Option<Instant>,
    /// With its disk, once it has drained.
    goes_for_good: bool,
}

struct Hosts {
    network: Network,
    brokers: Vec<Host>,
    etcd: Host,
}

pub(crate) struct World {
    began: Instant,
    nodes: Vec<Node>,
    etcd: Etcd,
    pub(crate) proxy: Proxy,
    _seaweed: Seaweed,
    // Behind those who run in it: they end first.
    hosts: Option<Hosts>,
    pub(crate) ends: BTreeMap<String, usize>,
    pub(crate) findings: Vec<String>,
}

impl Hosts {
    fn new() -> anyhow::Result<Self> {
        let mut network = Network::new()?;
        let etcd = network.host(2)?;
        let brokers = (11..).take(BROKERS).map(|number| network.host(number)).collect::<Result<_, _>>()?;
        Ok(Self { network, brokers, etcd })
    }
}

impl World {
    /// All of it, running.
    pub(crate) fn start(folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let hosts = match net::is_here() {
            Ok(()) => Some(Hosts::new()?),
            Err(reason) => {
                println!("SKIP cuts: {reason}");
                None
            }
        };
        let weed = seaweed::program().map_err(anyhow::Error::msg)?;
        let seaweed = Seaweed::start(&weed, folder)?;
        let outside = hosts.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |hosts| hosts.network.outside());
        let proxy = Proxy::start(&outside, &seaweed.address(), seed)?;
        let etcd = match &hosts {
            Some(hosts) => Etcd::start_at(folder, (&hosts.etcd.address, &hosts.etcd.wrapper()))?,
            None => Etcd::start(folder)?,
        };
        let node = |at: usize| {
            let mut setup = Setup::new(folder, &format!("broker-{}", at + 1));
            let mut flags = vec!["--etcd".to_owned(), etcd.url.clone(), "--broker-id".to_owned(), (at + 1).to_string()];
            if let Some(hosts) = &hosts {
                let host = &hosts.brokers[at];
                (setup.host, setup.wrapper) = (host.address.clone(), host.wrapper());
                flags.extend(["--insecure".to_owned(), "--peer-listen".to_owned(), format!("{}:9093", host.address)]);
            }
            setup.flags = flags;
            let setup = seaweed::store_at(&proxy.address.to_string(), setup, "chaos");
            Node { setup, broker: None, is_ready: false, is_wanted: true, not_before: None, drains_since: None, goes_for_good: false }
        };
        let nodes = (0..BROKERS).map(node).collect();
        let (ends, findings) = (BTreeMap::new(), Vec::new());
        let mut world = Self { began: Instant::now(), nodes, etcd, proxy, _seaweed: seaweed, hosts, ends, findings };
        world.until("all brokers are ready", Duration::from_secs(60), Self::is_whole)?;
        Ok(world)
    }

    pub(crate) fn has_network(&self) -> bool {
        self.hosts.is_some()
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.nodes.iter().map(|node| node.setup.bootstrap()).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn logs(&self) -> Vec<std::path::PathBuf> {
        self.nodes.iter().map(|node| node.setup.log.clone()).collect()
    }

    pub(crate) fn say(&self, what: &str) {
        println!("[{:9.3}] {what}", self.began.elapsed().as_secs_f64());
    }

    fn is_whole(&mut self) -> bool {
        self.nodes.iter().all(|node| node.is_ready && node.drains_since.is_none())
    }

    /// Waits, and looks after brokers meanwhile.
    pub(crate) fn until(&mut self, what: &str, limit: Duration, mut so: impl FnMut(&mut Self) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            self.look()?;
            if so(self) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not within {} s: {what}\n{}", limit.as_secs(), self.status());
            std::thread::sleep(LOOK);
        }
    }

    /// All brokers run.
    pub(crate) fn runs(&mut self) -> anyhow::Result<()> {
        self.until("all brokers run", Duration::from_secs(120), Self::is_whole)
    }

    /// All brokers run, and have two whole copies of their logs elsewhere: any one disk may be lost from now on.
    pub(crate) fn has_copies(&mut self) -> anyhow::Result<()> {
        let (began, mut looked) = (Instant::now(), None);
        self.until("every broker has two copies that count", COPIES_LIMIT, |world| {
            if looked.is_some_and(|at: Instant| at.elapsed() < Duration::from_millis(200)) {
                return false;
            }
            looked = Some(Instant::now());
            let counting = |node: &Node| node.broker.as_ref()?.metric("floe_log_standbys_counting");
            world.is_whole() && world.nodes.iter().all(|node| counting(node) == Some(2.0))
        })?;
        self.say(&format!("copies are whole after {:.1} s", began.elapsed().as_secs_f64()));
        self.sleep_until(Instant::now() + FLUSHED)
    }

    pub(crate) fn sleep_until(&mut self, then: Instant) -> anyhow::Result<()> {
        self.until("", Duration::from_secs(3600), |_| Instant::now() >= then)
    }

    /// Looks after brokers.
    fn look(&mut self) -> anyhow::Result<()> {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if let Some(broker) = &mut node.broker {
                node.is_ready = node.is_ready || broker.is_ready();
                if let Some(status) = broker.ended() {
                    let was_ready = node.is_ready;
                    self.ended(at, (status.code(), status.signal()), was_ready)?;
                } else if node.drains_since.is_some_and(|since| since.elapsed() > DRAIN_LIMIT) {
                    bail!("broker {} drains for more than {} s", at + 1, DRAIN_LIMIT.as_secs());
                }
            }
            let node = &mut self.nodes[at];
            if node.broker.is_none() && node.is_wanted && node.not_before.is_none_or(|at| Instant::now() >= at) {
                node.broker = Some(node.setup.spawn()?);
                node.is_ready = false;
            }
        }
        Ok(())
    }

    fn ended(&mut self, at: usize, (code, signal): (Option<i32>, Option<i32>), was_ready: bool) -> anyhow::Result<()> {
        let node = &mut self.nodes[at];
        let (drained, for_good) = (node.drains_since.take().is_some(), std::mem::take(&mut node.goes_for_good));
        (node.broker, node.is_ready, node.not_before) = (None, false, Some(Instant::now() + PAUSE));
        if for_good && code == Some(0) {
            std::fs::remove_dir_all(&node.setup.data).context("the disk of a drained broker")?;
        }
        let how = code.map_or_else(|| format!("signal {}", signal.unwrap_or_default()), |code| format!("exit code {code}"));
        let when = if drained {
            "drained"
        } else if was_ready {
            "serving"
        } else {
            "starting"
        };
        let what = format!("{when}: {how}");
        self.say(&format!("broker {} ended, {what}", at + 1));
        *self.ends.entry(what.clone()).or_default() += 1;
        // Whoever starts in trouble may not come up; the others end in order, or were recovered.
        let is_fine = matches!((code, drained), (Some(DEPOSED), _) | (Some(0), true)) || code.is_some() && !was_ready;
        if !is_fine {
            self.findings.push(format!("broker {} ended, {what}", at + 1));
        }
        Ok(())
    }

    /// Does it.
    pub(crate) fn act(&mut self, act: Act, topics: &[Topic]) -> anyhow::Result<()> {
        self.say(&format!("{act:?}"));
        match act {
            Act::Kill(at) => self.kill(at),
            Act::LoseDisk(at) => {
                self.kill(at);
                std::fs::remove_dir_all(&self.nodes[at].setup.data).context("a disk that is lost")?;
            }
            Act::KillAll => (0..BROKERS).for_each(|at| self.kill(at)),
            Act::Start(at) => self.nodes[at].is_wanted = true,
            Act::Freeze(at) => self.signal(at, Signal::STOP),
            Act::Thaw(at) => self.signal(at, Signal::CONT),
            Act::Drain(at) => self.drain(at, false),
            Act::DrainForGood(at) => self.drain(at, true),
            Act::KillEtcd => self.etcd.kill(),
            Act::StartEtcd => self.etcd.restart()?,
            Act::FreezeEtcd => self.etcd.signal(Signal::STOP),
            Act::ThawEtcd => self.etcd.signal(Signal::CONT),
            Act::Store(trouble, share) => self.proxy.set(trouble, share),
            Act::StoreIsFine => self.proxy.set(Trouble::Fine, 0),
            Act::Cut(at, from) => self.cut(at, from, true)?,
            Act::Heal(at, from) => self.cut(at, from, false)?,
            Act::Durability(is_replicated) => self.durability(is_replicated),
            Act::Move(partition, to) => self.move_it(&topics[partition as usize % topics.len()], partition, to)?,
        }
        Ok(())
    }

    fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        (node.is_wanted, node.is_ready, node.drains_since, node.goes_for_good) = (false, false, None, false);
        node.not_before = None;
        if let Some(broker) = node.broker.take() {
            broker.kill();
        }
    }

    fn signal(&self, at: usize, signal: Signal) {
        // It may have ended by itself.
        if let Some(broker) = &self.nodes[at].broker {
            broker.signal(signal);
        }
    }

    fn drain(&mut self, at: usize, for_good: bool) {
        self.signal(at, Signal::TERM);
        let node = &mut self.nodes[at];
        node.is_wanted = false;
        if node.broker.is_some() {
            (node.drains_since, node.goes_for_good) = (Some(Instant::now()), for_good);
        }
    }

    fn cut(&self, at: usize, from: From, is_cut: bool) -> anyhow::Result<()> {
        let hosts = self.hosts.as_ref().context("cuts are planned only where there are hosts")?;
        let host = &hosts.brokers[at];
        match from {
            From::All => host.set_up(!is_cut),
            From::Etcd => hosts.etcd.set_deaf_to(host, is_cut),
            From::Store => {
                self.proxy.cut(host.address.parse::<IpAddr>()?, is_cut);
                Ok(())
            }
            From::Peers => hosts.brokers.iter().filter(|other| *other != host).try_for_each(|other| other.set_deaf_to(host, is_cut)),
            From::OneWay(other) => host.set_deaf_to(&hosts.brokers[other], is_cut),
        }
    }

    /// In the background: it may not be possible just now.
    fn durability(&self, is_replicated: bool) {
        let bootstrap = self.bootstrap();
        let topic = Topic::new(crate::CHANGING, 0, if is_replicated { "replicated" } else { "object" });
        std::thread::spawn(move || drop(alter_topic(&bootstrap, &topic)));
    }

    fn move_it(&self, topic: &Topic, partition: i32, to: usize) -> anyhow::Result<()> {
        let mut command = Command::new("timeout");
        command.arg("20").arg(program()?).args(["partition", "move", &topic.name, &partition.to_string(), "--to", &(to + 1).to_string()]);
        command.args(["--no-wait", "--etcd", &self.etcd.url]);
        std::thread::spawn(move || drop(command.output()));
        Ok(())
    }

    /// What the cluster says of itself.
    pub(crate) fn status(&self) -> String {
        let output = program().and_then(|program| {
            let mut command = Command::new("timeout");
            Ok(command.arg("20").arg(program).args(["cluster", "status", "--etcd", &self.etcd.url]).output()?)
        });
        match output {
            Ok(output) => format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
            Err(error) => format!("no status: {error:#}"),
        }
    }

    /// Drains all, one after the other; their disks are thrown away.
    fn drain_all(&mut self) -> anyhow::Result<()> {
        for at in 0..BROKERS {
            self.drain(at, true);
            self.until("it has drained", DRAIN_LIMIT, |world| world.nodes[at].broker.is_none())?;
        }
        Ok(())
    }

    /// Ends all, and checks what they leave in the store by `floe verify --deep`.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.drain_all()?;
        verify(&self.nodes[0].setup)
    }

    /// Ends all, and starts them again on empty disks.
    pub(crate) fn renew(&mut self) -> anyhow::Result<()> {
        self.drain_all()?;
        self.nodes.iter_mut().for_each(|node| node.is_wanted = true);
        self.until("all brokers are ready again", Duration::from_secs(60), Self::is_whole)
    }
}
