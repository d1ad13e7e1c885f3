//! What a cluster is promised to survive, one thing at a time: a store with bad days, etcd that is killed or has no quorum or an old
//! snapshot, all brokers killed at once, disks that are lost, full, hung or damaged, a group's coordinator that dies. `cargo xtask chaos` mixes them.

use crate::cluster::{ACK_LIMIT, DEPOSED, setups};
use crate::kill::rounds;
use crate::{alone, assert_clean};
use anyhow::ensure;
use floe_e2e::broker::{Broker, Setup, verify};
use floe_e2e::etcd::{self, Etcd};
use floe_e2e::group::{Member, Seen, committed};
use floe_e2e::history::History;
use floe_e2e::load::{Follower, Load, Topic, create_topics, read_everything};
use floe_e2e::proxy::{Proxy, Trouble};
use floe_e2e::seaweed::{self, Seaweed};
use floe_e2e::volume::Volume;
use floe_e2e::wait;
use floe_e2e::wire::{Connection, request};
use parking_lot::Mutex;
use rustix::process::Signal;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn is_full() -> bool {
    std::env::var_os("FLOE_TEST_FULL").is_some()
}

/// Three brokers under load, and what is read.
struct Cluster {
    brokers: Vec<Broker>,
    bootstrap: String,
    topics: Vec<Topic>,
    load: Load,
    follower: Follower,
}

impl Cluster {
    fn start(setups: &[Setup], topics: &[(&str, &str)]) -> Self {
        let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.spawn().unwrap()).collect();
        brokers.iter_mut().for_each(|broker| drop(broker.ready().unwrap()));
        let bootstrap = setups.iter().map(Setup::bootstrap).collect::<Vec<_>>().join(",");
        let topics: Vec<Topic> = topics.iter().map(|(name, durability)| Topic::new(name, 4, durability)).collect();
        create_topics(&bootstrap, &topics).unwrap();
        let load = Load::start(&bootstrap, &topics, 0..2).unwrap();
        load.pace(Duration::from_millis(10));
        let follower = Follower::start(&bootstrap, &topics).unwrap();
        let cluster = Self { brokers, bootstrap, topics, load, follower };
        cluster.serves("at first");
        cluster
    }

    /// Every partition acknowledges what is sent from now on.
    fn serves(&self, when: &str) {
        let since = Instant::now();
        let all = wait::until(ACK_LIMIT, || self.load.without_acks(since).is_empty().then_some(()));
        assert!(all.is_some(), "{when}: no acks on {:?}\n{}", self.load.without_acks(since), self.brokers[0].log());
    }

    /// kill -9 of all of them; they are gone when this returns.
    fn kill_all(&mut self) -> Vec<Setup> {
        let brokers = std::mem::take(&mut self.brokers);
        let setups = brokers.iter().map(|broker| broker.setup.clone()).collect();
        brokers.into_iter().for_each(Broker::kill);
        setups
    }

    fn start_again(&mut self, setups: &[Setup]) {
        let mut brokers: Vec<Broker> = setups.iter().map(|setup| setup.spawn().unwrap()).collect();
        brokers.iter_mut().for_each(supervise);
        self.brokers = brokers;
    }

    /// Everything acknowledged is there once, in order; brokers end in order.
    fn finish(self) {
        let mut history = History::default();
        self.load.finish(&mut history).unwrap();
        self.follower.finish(&mut history).unwrap();
        let read = read_everything(&self.bootstrap, &self.topics, &mut history).unwrap();
        println!("{} acknowledged, {read} read at last", history.acknowledgements());
        assert!(read >= history.acknowledgements());
        assert_clean(&history);
        let setup = self.brokers[0].setup.clone();
        for broker in self.brokers {
            assert_eq!(broker.stop().unwrap(), 0);
        }
        verify(&setup).unwrap();
    }
}

/// Waits until it is ready; while its id is another disk's, whose lease has not ended, it is started again.
fn supervise(broker: &mut Broker) {
    let deadline = Instant::now() + ACK_LIMIT;
    while let Err(error) = broker.ready() {
        let code = wait::until(ACK_LIMIT, || broker.ended()).and_then(|status| status.code());
        assert!(code == Some(IN_USE) && Instant::now() < deadline, "{code:?}: {error:#}");
        std::thread::sleep(Duration::from_millis(500));
        *broker = broker.setup.clone().spawn().unwrap();
    }
}

/// The exit code of a broker whose id another disk has.
const IN_USE: i32 = 5;
const BOTH: [(&str, &str); 2] = [("object", "object"), ("replicated", "replicated")];

#[test]
fn bad_days_of_the_store_and_all_brokers_killed_at_once_lose_nothing() {
    let _alone = alone();
    let program = match etcd::is_here().and_then(|()| seaweed::program()) {
        Ok(program) => program,
        Err(reason) => return println!("SKIP bad days of a cluster's store: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let (etcd, seaweed) = (Etcd::start(folder.path()).unwrap(), Seaweed::start(&program, folder.path()).unwrap());
    let proxy = Proxy::start("127.0.0.1", &seaweed.address(), 1).unwrap();
    let on_proxy = |setup| seaweed::store_at(&proxy.address.to_string(), setup, "bad");
    let setups: Vec<Setup> = setups(folder.path(), &etcd).into_iter().map(on_proxy).collect();
    let mut cluster = Cluster::start(&setups, &BOTH);
    let second = Duration::from_secs(1);
    for round in 0..rounds(1, 10) {
        let troubles = [Trouble::Refused, Trouble::Slow(second / 4), Trouble::Silent, Trouble::Unanswered, Trouble::FailedAfter];
        for (at, trouble) in troubles.into_iter().enumerate() {
            proxy.set(trouble, if (at + round) % 2 == 0 { 100 } else { 50 });
            // How long the trouble lasts.
            std::thread::sleep(if is_full() { 5 * second } else { second / 2 });
            if trouble == Trouble::Silent {
                // With requests under way, which the store may do or not, later.
                let setups = cluster.kill_all();
                proxy.set(Trouble::Fine, 0);
                cluster.start_again(&setups);
            }
            proxy.set(Trouble::Fine, 0);
            cluster.serves(&format!("after {trouble:?}"));
        }
    }
    println!("{} requests met trouble", proxy.met());
    cluster.finish();
}

#[test]
fn t20_t58_what_is_led_is_led_on_while_etcd_is_silent_or_gone_and_nobody_is_recovered_afterwards() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a cluster without etcd: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(folder.path()).unwrap();
    let mut cluster = Cluster::start(&setups(folder.path(), &etcd), &BOTH);
    // Longer than a lease; its end finds all of them at once.
    let away = Duration::from_secs(if is_full() { 30 } else { 4 });
    let ways = if is_full() { &[false, true][..] } else { &[false] };
    for kills in ways.iter().copied() {
        if kills {
            etcd.kill()
        } else {
            etcd.signal(Signal::STOP)
        }
        std::thread::sleep(away);
        cluster.serves("without etcd");
        if kills {
            etcd.restart().unwrap()
        } else {
            etcd.signal(Signal::CONT)
        }
        cluster.serves("etcd is back");
        std::thread::sleep(Duration::from_secs(if is_full() { 5 } else { 2 }));
        assert!(cluster.brokers.iter_mut().all(|broker| !broker.has_ended()), "nobody is recovered\n{}", cluster.brokers[0].log());
    }
    cluster.finish();
}

#[test]
fn t57_an_old_snapshot_of_etcd_breaks_nothing_that_was_acknowledged() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP an old snapshot of etcd: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(folder.path()).unwrap();
    let mut cluster = Cluster::start(&setups(folder.path(), &etcd), &BOTH);
    let (data, old) = (etcd.data().to_owned(), folder.path().join("snapshot"));
    etcd.kill();
    copy(&data, &old).unwrap();
    etcd.restart().unwrap();
    cluster.serves("etcd was copied");
    // Others lead what it led, and it has come back as another: the snapshot knows neither.
    let broker = cluster.brokers.remove(2);
    let setup = broker.setup.clone();
    broker.kill();
    cluster.serves("without broker 3");
    cluster.brokers.push(setup.start().unwrap());
    cluster.serves("broker 3 is back");
    etcd.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data).unwrap();
    etcd.restart().unwrap();
    let told = || cluster.brokers.iter().any(|broker| std::fs::read_to_string(&broker.setup.log).unwrap().contains("set back"));
    assert!(wait::until(ACK_LIMIT, || told().then_some(())).is_some(), "nobody has found it\n{}", cluster.brokers[0].log());
    // Longer than a lease.
    std::thread::sleep(Duration::from_secs(if is_full() { 30 } else { 4 }));
    cluster.serves("etcd was set back");
    assert!(cluster.brokers.iter_mut().all(|broker| !broker.has_ended()), "owners go on\n{}", cluster.brokers[0].log());
    let Cluster { brokers, bootstrap, topics, load, follower } = cluster;
    let mut history = History::default();
    load.finish(&mut history).unwrap();
    follower.finish(&mut history).unwrap();
    let read = read_everything(&bootstrap, &topics, &mut history).unwrap();
    println!("{} acknowledged, {read} read at last", history.acknowledgements());
    assert_clean(&history);
    // There is no way back yet but a new cluster: none of them can hand over.
    brokers.into_iter().for_each(Broker::kill);
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

#[test]
fn object_topics_lose_nothing_with_two_of_three_disks() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP two lost disks: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let mut setups = setups(folder.path(), &etcd);
    // What groups commit, too: else the loss of two disks would be more than was promised, and nobody would guess.
    setups.iter_mut().for_each(|setup| setup.options.push("floe.durability=object".to_owned()));
    let mut cluster = Cluster::start(&setups, &[("object", "object"), ("other", "object")]);
    for round in 0..rounds(1, 10) {
        let mut setups = cluster.kill_all();
        setups.rotate_left(round % 3);
        for setup in &setups[..2] {
            std::fs::remove_dir_all(&setup.data).unwrap();
        }
        cluster.start_again(&setups);
        cluster.serves("on two new disks");
    }
    // Drained, none of its disk is needed, and its id is free for another disk at once.
    let broker = cluster.brokers.remove(0);
    let setup = broker.setup.clone();
    assert_eq!(broker.stop().unwrap(), 0);
    std::fs::remove_dir_all(&setup.data).unwrap();
    cluster.brokers.push(setup.start().unwrap());
    cluster.serves("on the disk of a drained broker");
    cluster.finish();
}

#[test]
fn a_full_disk_of_one_broker_is_left_out_and_the_others_go_on() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a full disk of a standby: {reason}");
    }
    if !is_full() {
        return println!("SKIP a full disk of a standby: only with --full");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let mut setups = setups(folder.path(), &etcd);
    let volume = match Volume::mount(&setups[2].data, 64 << 20) {
        Ok(volume) => volume,
        Err(reason) => return println!("SKIP a full disk of a standby: {reason}"),
    };
    setups.iter_mut().for_each(|setup| setup.options.push("floe.wal.file.bytes=2MiB".to_owned()));
    let mut cluster = Cluster::start(&setups, &BOTH);
    for round in 0..rounds(1, 3) {
        let filler = setups[2].data.join("filler");
        let rest = usize::try_from(volume.free().unwrap()).unwrap();
        // The last of it fills up by itself.
        match std::fs::write(&filler, vec![0; rest.saturating_sub(1 << 20)]) {
            Err(error) if error.kind() != ErrorKind::StorageFull => panic!("{error}"),
            _ => {}
        }
        std::thread::sleep(Duration::from_secs(10));
        cluster.serves(&format!("round {round}: a disk is full"));
        std::fs::remove_file(&filler).unwrap();
        cluster.serves(&format!("round {round}: it has room again"));
        assert!(cluster.brokers.iter_mut().all(|broker| !broker.has_ended()), "a full disk ends nobody\n{}", cluster.brokers[2].log());
    }
    cluster.finish();
}

#[test]
fn t69_a_disk_that_hangs_ends_its_broker_and_the_others_go_on() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a disk that hangs: {reason}");
    }
    if !is_full() {
        return println!("SKIP a disk that hangs: only with --full");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let mut setups = setups(folder.path(), &etcd);
    let volume = match Volume::in_file(&folder.path().join("image"), &setups[2].data, 256 << 20) {
        Ok(volume) => volume,
        Err(reason) => return println!("SKIP a disk that hangs: {reason}"),
    };
    setups.iter_mut().for_each(|setup| setup.options.push("floe.wal.file.bytes=2MiB".to_owned()));
    let mut cluster = Cluster::start(&setups, &BOTH);
    let hanging = volume.hang().unwrap();
    // At first by the standbys' fsyncs alone; then by whoever has recovered it.
    cluster.serves("a disk hangs");
    let recovered = wait::until(ACK_LIMIT, || (said(&cluster.brokers[..2], "a broker does not answer any more") > 0).then_some(()));
    assert!(recovered.is_some(), "nobody has recovered it\n{}", cluster.brokers[0].log());
    cluster.serves("a disk hangs on");
    drop(hanging);
    let broker = &mut cluster.brokers[2];
    let code = wait::until(ACK_LIMIT, || broker.ended()).and_then(|status| status.code());
    assert_eq!(code, Some(DEPOSED), "it was recovered meanwhile\n{}", broker.log());
    *broker = setups[2].spawn().unwrap();
    supervise(broker);
    cluster.serves("it moves again");
    cluster.finish();
}

const NOT_DONE: &str = "a recovery is not done yet";

/// How often these brokers' logs say something.
fn said(brokers: &[Broker], what: &str) -> usize {
    let log = |broker: &Broker| std::fs::read_to_string(&broker.setup.log).unwrap_or_default();
    brokers.iter().map(|broker| log(broker).matches(what).count()).sum()
}

/// Which bytes of a copy are damaged: what is not zero, one in so many.
const DAMAGE_STEP: usize = 509;

/// The files with something to damage among the copies of the WALs in a folder, and of no others.
fn copies_of(wals: &Path, copies: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for wal in std::fs::read_dir(wals)? {
        let copy = copies.join(wal?.file_name());
        let files = if copy.is_dir() { std::fs::read_dir(copy)?.collect() } else { Vec::new() };
        for file in files {
            let path = file?.path();
            if std::fs::read(&path)?.iter().step_by(DAMAGE_STEP).any(|byte| *byte != 0) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Flips bits all over a file.
fn flip_bits(path: &Path) -> anyhow::Result<()> {
    let mut bytes = std::fs::read(path)?;
    bytes.iter_mut().step_by(DAMAGE_STEP).filter(|byte| **byte != 0).for_each(|byte| *byte ^= 1);
    Ok(std::fs::write(path, bytes)?)
}

#[test]
fn a_damaged_copy_is_no_answer_and_its_owners_disk_is_waited_for() {
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a damaged copy: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let mut cluster = Cluster::start(&setups(folder.path(), &etcd), &[("replicated", "replicated"), ("other", "replicated")]);
    for round in 0..rounds(1, 5) {
        let wals = cluster.brokers[0].setup.data.join("wal");
        let copies = cluster.brokers[1].setup.data.join("replicas");
        // It may have led nothing yet: partitions move to it while they are served.
        let copied = || copies_of(&wals, &copies).ok().filter(|found| !found.is_empty()).map(drop);
        assert!(wait::until(ACK_LIMIT, copied).is_some(), "round {round}: no copy in {}", copies.display());
        // Nobody recovers anything before the copy is damaged.
        cluster.brokers[1..].iter().for_each(|broker| broker.signal(Signal::STOP));
        let owner = cluster.brokers.remove(0);
        let setup = owner.setup.clone();
        owner.kill();
        let before = said(&cluster.brokers, NOT_DONE);
        let damaged = copies_of(&wals, &copies).unwrap();
        assert!(!damaged.is_empty(), "round {round}: what was copied is gone from {}", copies.display());
        damaged.iter().for_each(|copy| flip_bits(copy).unwrap());
        cluster.brokers.iter().for_each(|broker| broker.signal(Signal::CONT));
        let refused = wait::until(ACK_LIMIT, || (said(&cluster.brokers, NOT_DONE) > before).then_some(()));
        assert!(refused.is_some(), "round {round}: a damaged copy was taken for an answer\n{}", cluster.brokers[0].log());
        let mut back = setup.spawn().unwrap();
        supervise(&mut back);
        cluster.brokers.push(back);
        cluster.serves(&format!("round {round}: the owner's disk is back"));
    }
    cluster.finish();
}

/// Which broker answers for a group.
fn coordinator(address: &str, group: &str) -> anyhow::Result<usize> {
    let mut connection = Connection::open(address)?;
    let len = i16::try_from(group.len())?.to_be_bytes();
    connection.send_bytes(&request(10, 0, &[&len[..], group.as_bytes()].concat())?)?;
    let answer = connection.take()?;
    let error = i16::from_be_bytes(answer[4..6].try_into()?);
    ensure!(error == 0, "the broker answered with error {error}");
    Ok(usize::try_from(i32::from_be_bytes(answer[6..10].try_into()?))?)
}

#[test]
fn a_group_whose_coordinator_dies_keeps_its_commits_and_its_members_their_partitions() {
    const GROUP: &str = "stays";
    let _alone = alone();
    if let Err(reason) = etcd::is_here() {
        return println!("SKIP a coordinator that dies: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(folder.path()).unwrap();
    let mut cluster = Cluster::start(&setups(folder.path(), &etcd), &[("read", "replicated")]);
    let (seen, by) = (Arc::new(Mutex::new(Seen::default())), cluster.bootstrap.clone());
    // Longer than any failover: who is silent for so long has left.
    let patient = [("session.timeout.ms", "20000")];
    let members: Vec<Member> = (0..2).map(|_| Member::start((&by, GROUP), "read", &seen, &patient).unwrap()).collect();
    let reads_on = |seen: &Mutex<Seen>| {
        let before = seen.lock().records.len();
        wait::until(ACK_LIMIT, || (seen.lock().records.len() > before + 100).then_some(())).is_some()
    };
    let all_read = || members.iter().all(|member| member.rebalances() > 0) && reads_on(&seen);
    assert!(wait::until(ACK_LIMIT, || all_read().then_some(())).is_some(), "no group\n{}", cluster.brokers[0].log());
    for round in 0..rounds(1, 10) {
        let told: Vec<usize> = members.iter().map(Member::rebalances).collect();
        let number = coordinator(&cluster.brokers[0].setup.bootstrap(), GROUP).unwrap();
        let name = format!("broker-{number}");
        let at = cluster.brokers.iter().position(|broker| broker.setup.data.ends_with(&name)).unwrap();
        let known = seen.lock().committed.clone();
        let broker = cluster.brokers.remove(at);
        let setup = broker.setup.clone();
        broker.kill();
        cluster.serves("a coordinator is dead");
        let found = committed((&by, GROUP), "read", 4).unwrap();
        for (partition, offset) in known {
            assert!(found.get(&partition) >= Some(&offset), "partition {partition}: {found:?} after {offset} was committed");
        }
        assert!(reads_on(&seen), "round {round}: the group reads nothing\n{}", cluster.brokers[0].log());
        cluster.brokers.push(setup.start().unwrap());
        cluster.serves("it is back");
        assert!(reads_on(&seen), "round {round}: the group reads nothing\n{}", cluster.brokers[0].log());
        let now: Vec<usize> = members.iter().map(Member::rebalances).collect();
        assert_eq!(now, told, "round {round}: members were told of their partitions again");
    }
    members.into_iter().for_each(Member::stop);
    cluster.finish();
}
