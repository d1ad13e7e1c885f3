//! Random histories: delays, broken and cut connections, frozen and killed standbys, power failures, hung, full and failing disks. In each, nothing is told
//! to be committed that is not fsynced on two of the three disks; when all is well again everything becomes committed; and what recovery gathers from the
//! disks that it seals, of which one may be gone, is everything that was committed.

use crate::world::{DISKS, GENERATION, Machine, OWNER, Owner, World, both, simulate};
use floe_env::{Env, sim::SimDisk};
use floe_formats::{Claim, ClaimState, WalKind, WalPosition};
use floe_log::copies::{Copies, CopyError, Sealed, unflushed};
use floe_replication::{PeerCopies, StandbyState};
use floe_types::{BrokerId, Incarnation, Lsn};
use floe_wal::ReplayedEntry;
use std::{collections::BTreeSet, time::Duration};

#[derive(Debug, Default, Clone, Copy)]
struct Coverage {
    committed: usize,
    restarts: usize,
    power_failures: usize,
    cuts: usize,
    lost_connections: usize,
    hangs: usize,
    freezes: usize,
    failed_syncs: usize,
    trims: usize,
    owner_failed: usize,
    fillings: usize,
}

struct History {
    world: World,
    owner: Owner,
    a: Machine,
    standbys: Vec<Machine>,
    coverage: Coverage,
    trimmed: Lsn,
}

fn power_failure(sim: &SimDisk) {
    sim.crash();
}

impl History {
    async fn begin(env: &Env) -> Self {
        let world = World::new(env);
        let a = world.machine(0).await;
        let standbys = vec![world.machine(1).await, world.machine(2).await];
        let owner = Owner::start(&a, &both()).await;
        Self { world, owner, a, standbys, coverage: Coverage::default(), trimmed: Lsn(0) }
    }

    fn below(&self, n: u64) -> u64 {
        self.world.env.random_below(n)
    }

    async fn pause(&self, most: u64) {
        self.world.env.sleep(Duration::from_millis(self.below(most))).await;
    }

    fn append(&mut self, count: u64) {
        for _ in 0..count {
            let large = self.below(40) == 0;
            let bytes = usize::try_from(if large { 5_000 + self.below(60_000) } else { 20 + self.below(900) }).unwrap();
            if self.owner.append(bytes).is_err() {
                break;
            }
        }
    }

    async fn restart(&mut self, which: usize) {
        let power = self.below(2) == 0;
        self.coverage.restarts += 1;
        self.coverage.power_failures += usize::from(power);
        let machine = self.standbys.remove(which);
        machine.sim.fail_syncs("", 0);
        machine.sim.release_syncs();
        let again = self.world.restart(machine, |sim| if power { power_failure(sim) } else { sim.process_died() }).await;
        self.standbys.insert(which, again);
    }

    async fn fault(&mut self) {
        let which = usize::try_from(self.below(2)).unwrap();
        let name = self.standbys[which].name;
        match self.below(9) {
            0 => self.restart(which).await,
            1 => {
                self.coverage.cuts += 1;
                let kind = self.below(3);
                if kind != 0 {
                    self.world.net.cut("a", name);
                }
                if kind != 1 {
                    self.world.net.cut(name, "a");
                }
                self.pause(6_000).await;
            }
            2 => self.world.net.heal(),
            3 => {
                self.coverage.lost_connections += 1;
                self.world.net.lose(name);
            }
            4 => {
                self.coverage.hangs += 1;
                let duration = Duration::from_millis(self.below(8_000));
                self.standbys[which].sim.hang_syncs_for(duration);
            }
            5 => {
                self.coverage.freezes += 1;
                self.standbys[which].process.freeze();
                self.pause(5_000).await;
                self.standbys[which].process.thaw();
            }
            6 => {
                self.coverage.failed_syncs += 1;
                self.standbys[which].sim.fail_syncs("replicas", 1);
            }
            7 => {
                self.a.sim.hang_syncs_for(Duration::from_millis(self.below(3_000)));
            }
            _ => {
                let to = self
                    .owner
                    .sent
                    .iter()
                    .map(|sent| sent.0)
                    .filter(|lsn| *lsn <= self.owner.shipping.committed().min(self.owner.wal.durable()))
                    .max();
                let to = to.unwrap_or(Lsn(0));
                if self.owner.wal.trim(to).await.is_ok() {
                    self.coverage.trims += 1;
                    self.trimmed = self.trimmed.max(to);
                    self.owner.shipping.trim(to);
                }
            }
        }
    }

    async fn run(&mut self) {
        for _ in 0..20 + self.below(30) {
            let count = self.below(20);
            self.append(count);
            if self.below(2) == 0 {
                self.fault().await;
            }
            self.pause(if self.below(8) == 0 { 2_000 } else { 20 }).await;
            let filling = self.owner.shipping.standbys().iter().any(|standby| matches!(standby.state, StandbyState::Filling { .. }));
            self.coverage.fillings += usize::from(filling);
        }
        if self.below(6) == 0 {
            self.a.sim.fail_syncs("wal", 1);
            self.append(10);
            self.pause(1_000).await;
            self.coverage.owner_failed += usize::from(self.owner.wal.failure().is_some());
        }
    }

    /// Everything works again: what was appended becomes committed.
    async fn heal(&mut self) -> Result<(), String> {
        self.world.net.heal();
        self.a.sim.release_syncs();
        self.a.sim.fail_syncs("", 0);
        for which in 0..2 {
            self.restart(which).await;
        }
        if self.owner.wal.failure().is_some() {
            return Ok(());
        }
        self.append(3);
        let end = self.owner.wal.end();
        match self.world.env.timeout(Duration::from_secs(300), self.owner.shipping.wait_committed(end)).await {
            Ok(_) if *self.owner.told.0.lock() == end => Ok(()),
            Ok(_) => Err("committed, and nobody was told".into()),
            Err(_) => {
                Err(format!("not committed up to {end}: {:?}, {:?}", self.owner.shipping.committed(), self.owner.shipping.standbys()))
            }
        }
    }

    /// All power is gone; then what the disks hold is compared with what was told.
    async fn judge(self) -> (Result<(), String>, Coverage) {
        let Self { world, owner, a, standbys, mut coverage, trimmed } = self;
        let committed = owner.shipping.committed();
        coverage.committed += usize::from(committed > Lsn(0));
        let Owner { sent, .. } = owner;
        world.net.heal();
        // Whoever recovers is on the owner's machine: its own disk is asked directly, the others over the network.
        let a = world.restart(a, power_failure).await;
        let mut machines = vec![];
        for machine in standbys {
            machines.push(world.restart(machine, power_failure).await);
        }
        let copies = PeerCopies::new(a.brokers.clone(), a.replicas.clone());
        let mut enough = 0;
        let mut result = Ok(());
        for disk in DISKS {
            match read(&copies, disk, &sent).await {
                Ok((start, end)) if start <= trimmed => enough += usize::from(end >= committed),
                Ok((start, _)) => result = Err(format!("{disk} begins at {start}, {trimmed} was given back")),
                Err(wrong) => result = Err(format!("{disk}: {wrong}")),
            }
        }
        if result.is_ok() && enough < 2 {
            result = Err(format!("{committed} was committed, and {enough} disks have it"));
        }
        if result.is_ok() {
            // One machine never comes back.
            let lost = usize::try_from(world.env.random_below(3)).unwrap();
            if lost > 0 {
                machines.remove(lost - 1).end(&world.net, |_| {}).await;
            }
            result = gather(&copies, committed, trimmed, &sent).await;
        }
        (result, coverage)
    }
}

/// What recovery gathers holds all that was committed, whichever copies answer first (R5, R7).
async fn gather(copies: &PeerCopies, committed: Lsn, trimmed: Lsn, sent: &[(Lsn, Lsn, bytes::Bytes)]) -> Result<(), String> {
    let claims = [Claim {
        incarnation: OWNER,
        generation: GENERATION,
        state: ClaimState::Open,
        broker: BrokerId(0),
        disk: Some(DISKS[0]),
        replicas: DISKS.to_vec(),
        quorum: 2,
        window: 4,
        wal: WalKind::Replicated,
        previous_end: None,
        base: None,
        created_ms: 0,
    }];
    let sealed =
        Sealed::of((copies, &BTreeSet::new()), OWNER, Incarnation(99), &unflushed(&claims, None)).await.map_err(|few| few.to_string())?;
    let mut gather = sealed.read(Some(WalPosition { generation: GENERATION, lsn: trimmed }));
    let mut found = BTreeSet::new();
    while let Some(entries) = gather.next().await.map_err(|few| few.to_string())? {
        found.extend(entries.into_iter().map(|entry| entry.header.lsn));
    }
    let wanted = sent.iter().filter(|(start, end, _)| *start >= trimmed && *end <= committed);
    match wanted.map(|sent| sent.0).find(|lsn| !found.contains(lsn)) {
        Some(lsn) => Err(format!("{committed} was committed, and recovery has no entry at {lsn}")),
        None => Ok(()),
    }
}

/// What a disk holds once it is sealed: from where to where. Entries must be those that were sent.
async fn read(copies: &PeerCopies, disk: floe_types::DiskId, sent: &[(Lsn, Lsn, bytes::Bytes)]) -> Result<(Lsn, Lsn), String> {
    let wrong = |error: CopyError| error.to_string();
    let held = copies.seal(disk, OWNER, Incarnation(99)).await.map_err(wrong)?;
    let Some(mut reader) = copies.read(disk, OWNER, GENERATION).await.map_err(wrong)? else {
        return if held.is_empty() { Ok((Lsn(0), Lsn(0))) } else { Err("what it held is missing".into()) };
    };
    let mut found: Vec<ReplayedEntry> = Vec::new();
    while let Some(more) = reader.next().await.map_err(wrong)? {
        found.extend(more);
    }
    let (start, end) = (reader.replayed().start, reader.replayed().end);
    let from = sent.iter().position(|sent| sent.0 == start).unwrap_or(sent.len());
    let same = found.iter().map(|entry| (entry.header.lsn, entry.header.end(), &entry.batch));
    if !same.eq(sent[from..].iter().take(found.len()).map(|(start, end, batch)| (*start, *end, batch))) {
        return Err("it holds other entries than were sent".into());
    }
    Ok((start, end.max(reader.trimmed())))
}

fn history(seed: u64) -> (Result<(), String>, Coverage) {
    simulate(seed, async |env| {
        let mut history = History::begin(&env).await;
        history.run().await;
        if env.random_below(2) == 0
            && let Err(wrong) = history.heal().await
        {
            return (Err(wrong), history.coverage);
        }
        history.judge().await
    })
}

fn seeds() -> u64 {
    std::env::var("FLOE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

#[test]
fn nothing_is_committed_that_two_disks_have_not_fsynced_and_all_is_once_all_is_well() {
    let mut all = [0; 11];
    for seed in 0..seeds() {
        let (result, met) = history(seed);
        assert_eq!(result, Ok(()), "seed {seed}");
        let Coverage {
            committed,
            restarts,
            power_failures,
            cuts,
            lost_connections,
            hangs,
            freezes,
            failed_syncs,
            trims,
            owner_failed,
            fillings,
        } = met;
        let met =
            [committed, restarts, power_failures, cuts, lost_connections, hangs, freezes, failed_syncs, trims, owner_failed, fillings];
        all.iter_mut().zip(met).for_each(|(sum, met)| *sum += met);
    }
    println!(
        "committed, restarts, power failures, cuts, lost connections, hangs, freezes, failed syncs, trims, failed owners, fillings: {all:?}"
    );
    assert!(all.iter().all(|met| *met > 0), "{all:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let trace = |seed| format!("{:?}", history(seed));
    for seed in [3, 4] {
        assert_eq!(trace(seed), trace(seed));
    }
}

#[test]
fn each_broken_rule_is_found() {
    use floe_env::{Mutant, set_mutant};
    let mutants = [
        Mutant::StandbyCountsSent,
        Mutant::OneIsAQuorum,
        Mutant::ReplicaTellsWhatItReceived,
        Mutant::AckBeforeSync,
        Mutant::OneSealIsEnough,
    ];
    for mutant in mutants {
        set_mutant(Some(mutant));
        let found = (0..300).find_map(|seed| history(seed).0.err().map(|wrong| (seed, wrong)));
        set_mutant(None);
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{mutant:?} is not found in 300 seeds"));
        println!("{mutant:?} was found with seed {seed}: {wrong}");
    }
}
