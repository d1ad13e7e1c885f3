//! Three brokers, one etcd, one store: brokers are killed, stopped beyond their lease and let go on, and drained, under load.

use crate::kill::rounds;
use crate::{alone, assert_clean};
use floe_e2e::broker::{Broker, Setup, program};
use floe_e2e::etcd::{self, Etcd};
use floe_e2e::history::{Finding, History};
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::wait;
use floe_e2e::wire::Connection;
use floe_env::Env;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) const ACK_LIMIT: Duration = Duration::from_secs(120);
/// The exit code of a broker whose cluster went on without it.
pub(crate) const DEPOSED: i32 = 9;

pub(crate) fn setups(folder: &Path, etcd: &Etcd) -> Vec<Setup> {
    let store = format!("file://{}", folder.join("store").display());
    let setup = |id: usize| {
        let mut setup = Setup::new(folder, &format!("broker-{id}"));
        setup.store = Some(store.clone());
        setup.flags = ["--etcd", &etcd.url, "--broker-id", &id.to_string()].map(str::to_owned).to_vec();
        setup
    };
    (1..=3).map(setup).collect()
}

/// The store alone, read whole: nothing contradicts anything.
fn verify(setup: &Setup) {
    let store = setup.store.as_deref().expect("a cluster's brokers share a store");
    let verified = Command::new(program().unwrap()).args(["verify", "--deep", "--store", store]).output().unwrap();
    assert!(verified.status.success(), "{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
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
    verify(&setups[0]);
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
    verify(&setups[0]);
}

#[test]
fn a_broker_that_drains_says_that_it_leads_nothing_before_it_ends_connections() {
    const NOT_LEADER: i16 = 6;
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a drain as clients see it: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let setup = setups(folder.path(), &etcd).remove(0);
    let broker = setup.start().unwrap();
    create_topics(&setup.bootstrap(), &[Topic::new("drained", 1, "object")]).unwrap();
    let mut connection = Connection::open(&setup.bootstrap()).unwrap();
    let mut produce = || {
        connection.send(*b"0001", "drained", 0, b"value")?;
        connection.any_answer()
    };
    assert_eq!(produce().unwrap().1, 0);
    broker.signal(Signal::TERM);
    // One after the other, without a pause: a drain takes many of them.
    let told =
        std::iter::repeat_with(produce).map(|answer| answer.expect("a word of the drain before the end").1).find(|error| *error != 0);
    assert_eq!(told, Some(NOT_LEADER));
    assert_eq!(broker.exit_code(ACK_LIMIT).unwrap(), 0);
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
    // Topics that are made by being asked for: not every leader knows of them at once.
    let lines = folder.path().join("lines");
    std::fs::write(&lines, "one\ntwo\nthree\n").unwrap();
    for number in 0..10 {
        let mut produce = Command::new(program().unwrap());
        produce.args(["produce", &format!("asked-for-{number}"), "-b", &bootstrap, "--file"]).arg(&lines);
        let output = produce.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
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

/// Runs one of the cluster's commands.
fn command(etcd: &Etcd, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program().unwrap());
    command.args(arguments).args(["--etcd", &etcd.url]).stdin(Stdio::null());
    let output = command.output().unwrap();
    (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

fn good(etcd: &Etcd, arguments: &[&str]) -> String {
    let (good, said) = command(etcd, arguments);
    assert!(good, "{arguments:?}: {said}");
    said
}

fn leads(etcd: &Etcd) -> Vec<(i64, u64)> {
    let brokers: serde_json::Value = serde_json::from_str(&good(etcd, &["broker", "list", "--json"])).unwrap();
    let of = |broker: &serde_json::Value| (broker["broker"].as_i64().unwrap(), broker["leads"].as_u64().unwrap());
    brokers.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn t55_partitions_move_between_brokers_that_live_under_load_and_nobody_is_told_of_a_failure() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP moves: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let setups = setups(folder.path(), &etcd);
    let mut brokers: Vec<Broker> = setups[..2].iter().map(|setup| setup.start().unwrap()).collect();
    let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
    let topics = [Topic::new("moved", 6, "object")];
    create_topics(&bootstrap, &topics).unwrap();
    // librdkafka as it comes: every send is acknowledged, whatever moves.
    let load = Load::with(&bootstrap, &topics, 0..2, &[("enable.idempotence", "true")]).unwrap();
    let follower = Follower::start(&bootstrap, &topics).unwrap();
    assert!(load.wait(200, ACK_LIMIT), "{}", brokers[0].log());
    // A third broker gets its share by itself.
    brokers.push(setups[2].start().unwrap());
    let even = || {
        std::thread::sleep(Duration::from_millis(500));
        let leads = leads(&etcd);
        (leads.len() == 3 && leads.iter().all(|(_, leads)| *leads >= 2)).then_some(())
    };
    assert!(wait::until(ACK_LIMIT, even).is_some(), "{:?}\n{}", leads(&etcd), brokers[0].log());
    let rounds = rounds(2, 20);
    for round in 0..rounds {
        for partition in 0..6 {
            let (index, to) = (partition.to_string(), (1 + (round + partition) % 3).to_string());
            good(&etcd, &["partition", "move", "moved", &index, "--to", &to]);
        }
        assert!(load.wait(100, ACK_LIMIT), "round {round}: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
    }
    let status: serde_json::Value = serde_json::from_str(&good(&etcd, &["cluster", "status", "--json"])).unwrap();
    assert!(status["not_led"].as_array().unwrap().is_empty() && status["moving"].as_array().unwrap().is_empty(), "{status}");
    assert!(good(&etcd, &["broker", "describe", "2"]).contains("moved"));
    good(&etcd, &["broker", "drain", "2"]);
    assert_eq!(brokers.remove(1).exit_code(ACK_LIMIT).unwrap(), 0, "it was asked to drain");
    assert!(load.wait(100, ACK_LIMIT), "after the drain: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
    let (found, said) = command(&etcd, &["broker", "describe", "2"]);
    assert!(!found && said.contains("no broker 2"), "{said}");
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    let read = read_everything(&bootstrap, &topics, &mut history).unwrap();
    println!("{} moves: {} acknowledged, {read} read at last", rounds * 6, history.acknowledgements());
    assert!(read >= history.acknowledgements());
    assert_clean(&history);
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
}

#[test]
fn r12_nobody_guesses_what_two_lost_disks_had_and_a_word_of_the_operator_goes_on_without_them() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP lost disks: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let setups = setups(folder.path(), &etcd);
    let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.start().unwrap()).collect();
    let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
    let topics = [Topic::new("kept", 6, "replicated")];
    create_topics(&bootstrap, &topics).unwrap();
    let mut history = History::default();
    let load = Load::start(&bootstrap, &topics, 0..1).unwrap();
    assert!(load.wait(300, ACK_LIMIT), "{}", brokers[0].log());
    load.finish(&mut history).unwrap();
    // So that nothing is lost in truth: nobody can know.
    let all_flushed = || brokers.iter().all(|broker| broker.status().contains("\"unflushed_batches\":0,")).then_some(());
    assert!(wait::until(ACK_LIMIT, all_flushed).is_some(), "{}", brokers[0].status());
    for broker in brokers.drain(..2) {
        let data = broker.setup.data.clone();
        broker.kill();
        std::fs::remove_dir_all(data).unwrap();
    }
    let waits = || brokers[0].status().contains("disks that must answer did").then_some(());
    assert!(wait::until(ACK_LIMIT, waits).is_some(), "{}", brokers[0].status());
    let (led, said) = command(&etcd, &["cluster", "status"]);
    assert!(!led && said.contains("have no leader"), "{said}");
    for (id, why) in [("3", "is alive"), ("1", "--accept-loss")] {
        let (done, said) = command(&etcd, &["broker", "forget", id]);
        assert!(!done && said.contains(why), "{said}");
    }
    for id in ["1", "2"] {
        good(&etcd, &["broker", "forget", id, "--accept-loss"]);
    }
    let is_led = || command(&etcd, &["cluster", "status"]).0.then_some(());
    assert!(wait::until(ACK_LIMIT, is_led).is_some(), "{}", brokers[0].log());
    let load = Load::start(&bootstrap, &topics, 1..2).unwrap();
    assert!(load.wait(100, ACK_LIMIT), "{}", brokers[0].log());
    load.finish(&mut history).unwrap();
    assert!(read_everything(&bootstrap, &topics, &mut history).unwrap() >= history.acknowledgements());
    assert_clean(&history);
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
    verify(&setups[0]);
}

#[test]
fn a_rolling_restart_of_three_brokers_is_no_error_to_librdkafka_as_it_comes() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a rolling restart: {reason}");
    }
    if std::env::var_os("FLOE_TEST_FULL").is_none() {
        return println!("SKIP a rolling restart: only with --full; tests/clients/rolling has it for four clients");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let setups = setups(folder.path(), &etcd);
    let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.start().unwrap()).collect();
    let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
    let topics = [Topic::new("rolled", 6, "object")];
    create_topics(&bootstrap, &topics).unwrap();
    let load = Load::with(&bootstrap, &topics, 0..2, &[]).unwrap();
    let follower = Follower::start(&bootstrap, &topics).unwrap();
    let rounds = rounds(1, 10);
    for round in 0..rounds * brokers.len() {
        assert!(load.wait(200, ACK_LIMIT), "restart {round}: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
        let broker = brokers.remove(0);
        let setup = broker.setup.clone();
        assert_eq!(broker.stop().unwrap(), 0);
        brokers.push(setup.start().unwrap());
    }
    assert!(load.wait(200, ACK_LIMIT), "in the end: {} acks, and no more\n{}", load.acknowledged(), brokers[0].log());
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    let read = read_everything(&bootstrap, &topics, &mut history).unwrap();
    println!("{} restarts: {} acknowledged, {read} read at last", rounds * 3, history.acknowledgements());
    assert!(read >= history.acknowledgements());
    // Not idempotent, as librdkafka comes: nothing is lost, and what was sent again may be there twice.
    let repeats = |finding: &Finding| matches!(finding, Finding::Duplicate { .. } | Finding::SentOutOfOrder { .. });
    let lost: Vec<_> = history.check().into_iter().filter(|finding| !repeats(finding)).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
}

#[test]
fn a_single_brokers_store_is_adopted_once_it_has_drained_and_nothing_is_lost() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP adoption: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let mut setups = setups(folder.path(), &etcd);
    let store = setups[0].store.clone().unwrap();
    let mut single = Setup::new(folder.path(), "single");
    single.store = Some(store.clone());
    let topics = [Topic::new("local", 3, "local"), Topic::new("object", 3, "object")];
    let mut history = History::default();
    let broker = single.start().unwrap();
    create_topics(&single.bootstrap(), &topics).unwrap();
    let load = Load::start(&single.bootstrap(), &topics, 0..1).unwrap();
    assert!(load.wait(300, ACK_LIMIT), "{}", broker.log());
    load.finish(&mut history).unwrap();
    let adopt = ["cluster", "adopt", "--store", &store];
    let (done, said) = command(&etcd, &adopt);
    assert!(!done && said.contains("has not ended"), "{said}");
    assert_eq!(broker.stop().unwrap(), 0);
    let adopted = good(&etcd, &adopt);
    assert!(adopted.contains("6 partitions"), "{adopted}");
    let refused = single.spawn().unwrap();
    let (log, code) = (refused.setup.log.clone(), refused.exit_code(ACK_LIMIT).unwrap());
    let told = std::fs::read_to_string(log).unwrap();
    assert!(code == 4 && told.contains("start with --etcd"), "exit code {code}: {told}");
    // Ids are left to the cluster, and kept.
    setups.iter_mut().for_each(|setup| setup.flags = ["--etcd", &etcd.url, "--broker-id", "auto"].map(str::to_owned).to_vec());
    let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.start().unwrap()).collect();
    let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
    let load = Load::start(&bootstrap, &topics, 1..2).unwrap();
    assert!(load.wait(300, ACK_LIMIT), "{}", brokers[0].log());
    assert_eq!(leads(&etcd).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [1, 2, 3]);
    let last = brokers.remove(2);
    let setup = last.setup.clone();
    assert_eq!(last.stop().unwrap(), 0);
    brokers.push(setup.start().unwrap());
    assert_eq!(leads(&etcd).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(load.wait(100, ACK_LIMIT), "{}", brokers[0].log());
    load.finish(&mut history).unwrap();
    let read = read_everything(&bootstrap, &topics, &mut history).unwrap();
    assert!(read >= history.acknowledgements());
    assert_clean(&history);
    for broker in brokers {
        assert_eq!(broker.stop().unwrap(), 0);
    }
}
