//! Brokers, etcd and the store on hosts of their own, cut from one another: from all, from the other brokers, from etcd, from the store; and etcd killed for a while.
//! `FLOE_E2E_SEED` repeats the choice of hosts and the order of cuts; `FLOE_TEST_FULL=1` takes more rounds, and a minute without etcd.

use crate::kill::rounds;
use crate::{alone, assert_clean};
use floe_e2e::broker::{Broker, Setup};
use floe_e2e::etcd::{self, Etcd};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::net::{self, Host, Network};
use floe_e2e::seaweed::{self, Seaweed};
use floe_env::Env;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::path::Path;
use std::time::{Duration, Instant};

const ACK_LIMIT: Duration = Duration::from_secs(120);
/// In so long a broker that was recovered has found that out, and others have copies again.
const QUIET: Duration = Duration::from_secs(8);

/// What a broker's host is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    All,
    Peers,
    Etcd,
    Store,
}

struct World {
    _network: Network,
    brokers: Vec<Host>,
    etcd: Host,
    store: Host,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let mut network = Network::new()?;
        let (etcd, store) = (network.host(2)?, network.host(3)?);
        let brokers = (11..=13).map(|number| network.host(number)).collect::<Result<_, _>>()?;
        Ok(Self { _network: network, brokers, etcd, store })
    }

    /// Cuts one broker's host, or heals it.
    fn cut(&self, at: usize, from: Cut, is_cut: bool) {
        let host = &self.brokers[at];
        let others: Vec<&Host> = match from {
            Cut::All => return host.set_up(!is_cut).unwrap(),
            Cut::Peers => self.brokers.iter().filter(|other| *other != host).collect(),
            Cut::Etcd => vec![&self.etcd],
            Cut::Store => vec![&self.store],
        };
        others.into_iter().for_each(|other| other.set_deaf_to(host, is_cut).unwrap());
    }

    fn setups(&self, folder: &Path, etcd: &Etcd, seaweed: &Seaweed) -> Vec<Setup> {
        let setup = |(at, host): (usize, &Host)| {
            let mut setup = Setup::new(folder, &format!("broker-{}", at + 1));
            (setup.host, setup.wrapper) = (host.address.clone(), host.wrapper());
            let (id, peer) = ((at + 1).to_string(), format!("{}:9093", host.address));
            setup.flags = ["--etcd", &etcd.url, "--broker-id", &id, "--insecure", "--peer-listen", &peer].map(str::to_owned).to_vec();
            seaweed.store(setup, "network")
        };
        self.brokers.iter().enumerate().map(setup).collect()
    }
}

/// Waits for more acks, and for a while in which nobody ends; who was deposed meanwhile is started again, as a supervisor would.
fn go_on(load: &Load, brokers: &mut [Broker]) {
    let (deadline, wanted) = (Instant::now() + ACK_LIMIT, load.acknowledged() + 200);
    let mut since = Instant::now();
    while load.acknowledged() < wanted || since.elapsed() < QUIET {
        for broker in brokers.iter_mut().filter_map(|broker| broker.has_ended().then_some(broker)) {
            *broker = broker.setup.clone().start().unwrap();
            since = Instant::now();
        }
        assert!(Instant::now() < deadline, "{} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Why this cannot be done here.
fn is_here() -> Result<std::path::PathBuf, String> {
    etcd::is_here()?;
    net::is_here()?;
    seaweed::program()
}

#[test]
fn nothing_acknowledged_is_lost_doubled_or_reordered_whatever_a_broker_is_cut_from() {
    let _alone = alone();
    let program = match is_here() {
        Ok(program) => program,
        Err(reason) => return println!("SKIP cuts in the network: {reason}"),
    };
    let seed = Env::real().random_u64();
    let seed = std::env::var("FLOE_E2E_SEED").map_or(seed, |seed| seed.parse().expect("FLOE_E2E_SEED is a number"));
    println!("FLOE_E2E_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (folder, world) = (tempfile::tempdir().unwrap(), World::new().unwrap());
    let seaweed = Seaweed::start_at(&program, folder.path(), (&world.store.address, &world.store.wrapper())).unwrap();
    let mut etcd = Etcd::start_at(folder.path(), (&world.etcd.address, &world.etcd.wrapper())).unwrap();
    let setups = world.setups(folder.path(), &etcd, &seaweed);
    let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.start().unwrap()).collect();
    let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
    let topics = [Topic::new("cut", 6, "object")];
    create_topics(&bootstrap, &topics).unwrap();
    let load = Load::start(&bootstrap, &topics, 0..2).unwrap();
    let follower = Follower::start(&bootstrap, &topics).unwrap();
    let rounds = rounds(1, 3).min(3);
    for round in 0..rounds {
        let mut cuts = [Cut::All, Cut::Peers, Cut::Etcd, Cut::Store];
        cuts.shuffle(&mut random);
        // One of them, another time another, where there is one round.
        for from in cuts.into_iter().take(if rounds == 1 { 1 } else { 4 }) {
            let at = random.random_range(0..brokers.len());
            println!("round {round}: broker {} is cut from {from:?}", at + 1);
            world.cut(at, from, true);
            if from == Cut::Etcd {
                // Longer than its lease: what is led is led on, and nobody recovers it.
                std::thread::sleep(Duration::from_secs(8));
                assert!(!brokers[at].has_ended(), "nobody may recover a broker that answers\n{}", brokers[at].log());
                assert!(load.wait(50, ACK_LIMIT), "without etcd: {} acks, and no more\n{}", load.acknowledged(), brokers[at].log());
            } else {
                std::thread::sleep(Duration::from_millis(random.random_range(3_000..9_000)));
            }
            world.cut(at, from, false);
            go_on(&load, &mut brokers);
        }
        go_on(&load, &mut brokers);
        // The quick suite has the same without cuts (`cluster_faults.rs`).
        if std::env::var_os("FLOE_TEST_FULL").is_none() {
            continue;
        }
        etcd.kill();
        println!("round {round}: no etcd for a minute");
        std::thread::sleep(Duration::from_secs(60));
        assert!(load.wait(100, ACK_LIMIT), "no etcd: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
        assert!(brokers.iter_mut().all(|broker| !broker.has_ended()), "an etcd that is away ends nobody");
        etcd.restart().unwrap();
        assert!(load.wait(100, ACK_LIMIT), "etcd is back: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
    }
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    let read = read_everything(&bootstrap, &topics, &mut history).unwrap();
    println!("{rounds} rounds: {} acknowledged, {read} read at last", history.acknowledgements());
    assert!(read >= history.acknowledgements());
    assert_clean(&history);
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
}
