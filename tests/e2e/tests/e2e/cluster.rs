//! Three brokers, one etcd, one store: brokers are killed, stopped beyond their lease and let go on, and drained, under load.

use crate::kill::rounds;
use crate::{alone, assert_clean};
use floe_e2e::broker::{Broker, Setup, program};
use floe_e2e::etcd::{self, Etcd};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::wait;
use floe_env::Env;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ACK_LIMIT: Duration = Duration::from_secs(120);
/// The exit code of a broker whose cluster went on without it.
const DEPOSED: i32 = 9;

fn setups(folder: &Path, etcd: &Etcd) -> Vec<Setup> {
    let store = format!("file://{}", folder.join("store").display());
    let setup = |id: usize| {
        let mut setup = Setup::new(folder, &format!("broker-{id}"));
        setup.store = Some(store.clone());
        setup.flags = ["--etcd", &etcd.url, "--broker-id", &id.to_string()].map(str::to_owned).to_vec();
        setup
    };
    (1..=3).map(setup).collect()
}

/// Ends one broker in one of three ways, and starts it again.
fn hurt(broker: Broker, random: &mut StdRng) -> Broker {
    let setup = broker.setup.clone();
    match random.random_range(0..4) {
        0 => assert_eq!(broker.stop().unwrap(), 0, "a drain"),
        1 => {
            broker.signal(Signal::STOP);
            // Beyond its lease: the others recover it meanwhile.
            std::thread::sleep(Duration::from_millis(random.random_range(6_000..9_000)));
            broker.signal(Signal::CONT);
            assert_eq!(broker.exit_code(ACK_LIMIT).unwrap(), DEPOSED, "it was recovered by the others");
        }
        _ => broker.kill(),
    }
    setup.start().unwrap()
}

#[test]
fn a_cluster_loses_and_doubles_nothing_whichever_broker_ends_and_however() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a cluster of brokers: {reason}");
    }
    let seed = Env::real().random_u64();
    let seed = std::env::var("FLOE_E2E_SEED").map_or(seed, |seed| seed.parse().expect("FLOE_E2E_SEED is a number"));
    println!("FLOE_E2E_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let setups = setups(folder.path(), &etcd);
    let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.start().unwrap()).collect();
    let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
    let topics = [Topic::new("object", 6, "object"), Topic::new("replicated", 6, "replicated")];
    create_topics(&bootstrap, &topics).unwrap();
    let load = Load::start(&bootstrap, &topics, 0..2).unwrap();
    let follower = Follower::start(&bootstrap, &topics).unwrap();
    let rounds = rounds(6, 60);
    for round in 0..rounds {
        let acks = random.random_range(1..800);
        assert!(load.wait(acks, ACK_LIMIT), "round {round}: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
        let broker = brokers.remove(random.random_range(0..brokers.len()));
        brokers.push(hurt(broker, &mut random));
    }
    assert!(load.wait(300, ACK_LIMIT), "no acks in the end\n{}", brokers[0].log());
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    let followed = follower.finish(&mut history).unwrap();
    let read = read_everything(&bootstrap, &topics, &mut history).unwrap();
    println!("{rounds} rounds: {} acknowledged, {followed} followed, {read} read at last", history.acknowledgements());
    assert!(read >= history.acknowledgements() && history.acknowledgements() >= rounds);
    assert_clean(&history);
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
}

#[test]
fn what_belongs_to_another_cluster_or_to_a_single_broker_is_refused() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP refusals of a cluster: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let setup = setups(folder.path(), &etcd).remove(0);
    assert_eq!(setup.start().unwrap().stop().unwrap(), 0);
    let refused = |setup: &Setup, why: &str| {
        let broker = setup.spawn().unwrap();
        let (log, code) = (broker.setup.log.clone(), broker.exit_code(ACK_LIMIT).unwrap());
        let told = std::fs::read_to_string(log).unwrap();
        assert!(code == 4 && told.contains(why), "exit code {code}: {told}");
    };
    let mut single = setup.clone();
    single.flags.clear();
    single.data = folder.path().join("single");
    refused(&single, "start with --etcd");
    let mut of_another = setup.clone();
    of_another.data = folder.path().join("another");
    of_another.store = Some(format!("file://{}", folder.path().join("another-store").display()));
    refused(&of_another, "belongs to cluster");
    single.store = Some(format!("file://{}", folder.path().join("single-store").display()));
    assert_eq!(single.start().unwrap().stop().unwrap(), 0);
    let mut on_single = single.clone();
    on_single.flags = setup.flags.clone();
    on_single.data = folder.path().join("third");
    refused(&on_single, "belongs to a single broker");
    let mut forgot = setup.clone();
    forgot.data = folder.path().join("fourth");
    forgot.options.push("etcd.prefix=/elsewhere".to_owned());
    refused(&forgot, "knows nothing of it");
}

#[test]
fn a_cluster_on_this_machine_is_one_command_and_ends_as_a_whole() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP floe dev cluster: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program().unwrap());
    command.args(["dev", "cluster", "--brokers", "3", "--port", "0", "--data"]).arg(folder.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let bootstrap = line.strip_prefix("floe ready: bootstrap ").and_then(|rest| rest.split(", ").next()).expect(&line).to_owned();
    let topics = [Topic::new("object", 3, "object"), Topic::new("replicated", 3, "replicated")];
    create_topics(&bootstrap, &topics).unwrap();
    let load = Load::start(&bootstrap, &topics, 0..1).unwrap();
    assert!(load.wait(100, ACK_LIMIT));
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    assert!(read_everything(&bootstrap, &topics, &mut history).unwrap() >= 100);
    assert_clean(&history);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(wait::until(ACK_LIMIT, || child.try_wait().unwrap()).expect("it ends").success());
}
