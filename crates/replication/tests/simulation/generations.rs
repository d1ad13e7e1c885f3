//! A changed set of copies is a new generation (R2): while a standby of the old one is still being filled up, or is gone for good, the owner closes its WAL and goes
//! on in another, with other copies. An entry is acknowledged once it, and all before it in its partition, are committed, in whichever generation they lie. Then the
//! power fails, machines are lost - no more than either generation can bear -, the owner's own disk may have lost its WAL's first files, and recovery gathers both.

use crate::world::{DISKS, GENERATION, Machine, OWNER, Owner, PARTITIONS, SPARE, World, both, simulate};
use floe_env::{Disk, Env, Mutant, set_mutant, sim::SimDisk};
use floe_formats::{Claim, ClaimState, WalKind, WalPosition};
use floe_log::copies::{Sealed, unflushed};
use floe_replication::{CopySet, PeerCopies, StandbyState};
use floe_types::{BrokerId, DiskId, Generation, Incarnation, Lsn};
use floe_wal::own_dir;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const NEXT: Generation = Generation(1);

/// What happens to the standby that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Old {
    /// Its machine never comes back.
    Gone,
    /// It is cut off, and comes back later.
    CutOff,
    /// It has just started again, and is being filled up.
    Filling,
}

#[derive(Debug, Default, Clone, Copy)]
struct Coverage {
    /// Something of the second generation was acknowledged.
    acknowledged: usize,
    /// Something of it was committed that waited for an entry of the first one.
    waited: usize,
    filling: usize,
    gone: usize,
    trimmed: usize,
    front_lost: usize,
}

struct Change {
    world: World,
    /// By name; none: gone for good.
    machines: [Option<Machine>; 4],
    owners: Vec<Owner>,
    trimmed: Lsn,
    coverage: Coverage,
}

fn claim(generation: Generation, disks: [DiskId; 3], previous_end: Option<Lsn>) -> Claim {
    Claim {
        incarnation: OWNER,
        generation,
        state: ClaimState::Open,
        broker: BrokerId(0),
        disk: Some(DISKS[0]),
        replicas: disks.to_vec(),
        quorum: 2,
        window: 4,
        wal: WalKind::Replicated,
        previous_end,
        base: None,
        created_ms: 0,
    }
}

impl Change {
    async fn begin(env: &Env) -> Self {
        let world = World::new(env);
        let machines =
            [Some(world.machine(0).await), Some(world.machine(1).await), Some(world.machine(2).await), Some(world.machine(3).await)];
        let first = Owner::start(machines[0].as_ref().unwrap(), &both()).await;
        Self { world, machines, owners: vec![first], trimmed: Lsn(0), coverage: Coverage::default() }
    }

    fn below(&self, n: u64) -> u64 {
        self.world.env.random_below(n)
    }

    async fn append(&mut self, rounds: u64) {
        for _ in 0..rounds {
            for _ in 0..self.below(12) {
                let bytes = usize::try_from(20 + self.below(1_500)).unwrap();
                let _ = self.owners.last_mut().unwrap().append(bytes);
            }
            self.world.env.sleep(Duration::from_millis(self.below(15))).await;
        }
    }

    async fn restart(&mut self, which: usize, end: impl FnOnce(&SimDisk)) {
        if let Some(machine) = self.machines[which].take() {
            self.machines[which] = Some(self.world.restart(machine, end).await);
        }
    }

    /// The third machine's standby is replaced by the fourth's, in a new generation.
    async fn change(&mut self) -> Old {
        let old = [Old::Gone, Old::CutOff, Old::Filling][usize::try_from(self.below(3)).unwrap()];
        match old {
            Old::Gone => {
                let _ = self.machines[2].take().unwrap().end(&self.world.net, |_| {}).await;
                self.coverage.gone += 1;
            }
            Old::CutOff => {
                self.world.net.cut("a", "c");
                self.world.net.cut("c", "a");
            }
            Old::Filling => {
                self.world.net.lose("c");
                self.append(8).await;
                self.restart(2, SimDisk::process_died).await;
            }
        }
        let rounds = self.below(8);
        self.append(rounds).await;
        let first = self.owners.first().unwrap();
        let states = first.shipping.standbys();
        self.coverage.filling += usize::from(states.iter().any(|standby| matches!(standby.state, StandbyState::Filling { .. })));
        let end = first.wal.close().await.unwrap();
        assert_eq!(end, first.wal.end(), "nothing is appended there from here on");
        let set = CopySet { standbys: vec![DISKS[1], SPARE], quorum: 2 };
        let next = Owner::begin(self.machines[0].as_ref().unwrap(), &set, NEXT, first.sent.len()).await;
        self.owners.push(next);
        old
    }

    /// One standby of the new generation, or of both, is cut off for a while.
    async fn fault(&mut self) {
        let which = usize::try_from(self.below(4)).unwrap();
        let Some(machine) = [None, None, self.machines[1].as_ref(), self.machines[3].as_ref()][which] else { return };
        let name = machine.name;
        self.world.net.cut("a", name);
        self.world.net.cut(name, "a");
        self.world.net.lose(name);
        if name == "b" && self.below(2) == 0 {
            self.restart(1, SimDisk::process_died).await;
        }
    }

    /// What certain slots are said to cover goes.
    async fn trim(&mut self) {
        let first = self.owners.first().unwrap();
        let limit = first.shipping.committed().min(first.wal.durable());
        let to = first.sent[..first.sent.len() / 3].iter().map(|sent| sent.0).filter(|start| *start <= limit).max();
        if let Some(to) = to.filter(|to| *to > self.trimmed) {
            first.wal.trim(to).await.unwrap();
            first.shipping.trim(to);
            self.trimmed = to;
            self.coverage.trimmed += 1;
        }
    }

    /// The generation and LSN of each entry that its client was told of, but for those that slots cover.
    fn acknowledged(&mut self) -> BTreeSet<(Generation, Lsn)> {
        let mut acknowledged = BTreeSet::new();
        for partition in 0..PARTITIONS {
            let mut open = true;
            let mut number = 0;
            for (generation, owner) in [GENERATION, NEXT].into_iter().zip(&self.owners) {
                let committed = owner.shipping.committed();
                for (start, end, _) in &owner.sent {
                    let ours = number % PARTITIONS == partition;
                    number += 1;
                    if !ours {
                        continue;
                    }
                    self.coverage.waited += usize::from(!open && generation == NEXT && *end <= committed);
                    open &= *end <= committed;
                    if open && (generation, *start) >= (GENERATION, self.trimmed) {
                        acknowledged.insert((generation, *start));
                    }
                }
            }
        }
        self.coverage.acknowledged += usize::from(acknowledged.iter().any(|(generation, _)| *generation == NEXT));
        acknowledged
    }

    /// Power fails everywhere; one machine more is lost, if both generations can bear it, or the owner's disk has lost the front of a WAL.
    async fn lose(&mut self, old: Old) {
        self.world.net.heal();
        for which in 0..4 {
            self.restart(which, |sim| {
                sim.crash();
            })
            .await;
        }
        if self.below(2) == 0 && old != Old::Gone {
            let machine = self.machines[0].as_ref().unwrap();
            let disk: Arc<dyn Disk> = Arc::new(machine.sim.clone());
            let dir = own_dir(OWNER, [GENERATION, NEXT][usize::try_from(self.below(2)).unwrap()]);
            let files: Vec<String> =
                disk.list(&dir).await.unwrap().into_iter().map(|entry| entry.name).filter(|name| name.ends_with(".wal")).collect();
            if files.len() > 2 {
                let lost = 1 + usize::try_from(self.below(files.len() as u64 - 1)).unwrap();
                for file in &files[..lost] {
                    disk.remove(&format!("{dir}/{file}")).await.unwrap();
                }
                self.coverage.front_lost += 1;
            }
            return;
        }
        let bearable: &[usize] = if old == Old::Gone { &[3] } else { &[0, 1, 2, 3] };
        let lost = bearable[usize::try_from(self.below(bearable.len() as u64)).unwrap()];
        if let Some(machine) = self.machines[lost].take() {
            let _ = machine.end(&self.world.net, |_| {}).await;
        }
    }

    async fn gather(&self) -> Result<BTreeSet<(Generation, Lsn)>, String> {
        let recoverer = self.machines.iter().flatten().next().unwrap();
        let copies = PeerCopies::new(recoverer.brokers.clone(), recoverer.replicas.clone());
        let end = self.owners[0].wal.end();
        let claims = [claim(GENERATION, DISKS, None), claim(NEXT, [DISKS[0], DISKS[1], SPARE], Some(end))];
        let covered = WalPosition { generation: GENERATION, lsn: self.trimmed };
        let asked = unflushed(&claims, Some(covered));
        let sealed = Sealed::of((&copies, &BTreeSet::new()), OWNER, Incarnation(99), &asked).await.map_err(|few| few.to_string())?;
        let mut gather = sealed.read(Some(covered));
        let mut found = BTreeSet::new();
        while let Some(entries) = gather.next().await.map_err(|few| few.to_string())? {
            found.extend(entries.into_iter().map(|entry| (entry.header.generation, entry.header.lsn)));
        }
        Ok(found)
    }
}

fn history(seed: u64) -> (Result<(), String>, Coverage) {
    simulate(seed, async |env| {
        let mut change = Change::begin(&env).await;
        let rounds = 10 + change.below(20);
        change.append(rounds).await;
        if change.below(2) == 0 {
            change.trim().await;
        }
        let old = change.change().await;
        change.fault().await;
        let rounds = change.below(30);
        change.append(rounds).await;
        if old == Old::CutOff && change.below(2) == 0 {
            change.world.net.heal();
            let rounds = change.below(10);
            change.append(rounds).await;
        }
        let acknowledged = change.acknowledged();
        change.lose(old).await;
        let result = change.gather().await.and_then(|found| {
            let lost = acknowledged.difference(&found).next();
            lost.map_or(Ok(()), |(generation, lsn)| {
                Err(format!("{lsn} of generation {generation} was acknowledged, and recovery has it not"))
            })
        });
        (result, change.coverage)
    })
}

fn seeds() -> u64 {
    std::env::var("FLOE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

#[test]
fn r2_what_was_acknowledged_is_found_across_a_changed_set_of_copies() {
    let mut all = [0; 6];
    for seed in 0..seeds() {
        let (result, met) = history(seed);
        assert_eq!(result, Ok(()), "seed {seed}");
        let Coverage { acknowledged, waited, filling, gone, trimmed, front_lost } = met;
        all.iter_mut().zip([acknowledged, waited, filling, gone, trimmed, front_lost]).for_each(|(sum, met)| *sum += met);
    }
    println!("acknowledged in the second, waited for the first, filling, gone, trimmed, fronts lost: {all:?}");
    assert!(all.iter().all(|met| *met > 0), "{all:?}");
}

#[test]
fn a_rule_that_is_broken_across_generations_is_found() {
    for mutant in [Mutant::CopyFrontNotChecked, Mutant::OneSealIsEnough, Mutant::OneIsAQuorum] {
        set_mutant(Some(mutant));
        let found = (0..300).find_map(|seed| history(seed).0.err().map(|wrong| (seed, wrong)));
        set_mutant(None);
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{mutant:?} is not found in 300 seeds"));
        println!("{mutant:?} was found with seed {seed}: {wrong}");
    }
}
