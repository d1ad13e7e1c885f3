//! Random lives of a standby, from a seed: attached, filled, trimmed, killed, without power, with failing syncs - at every step, also
//! of opening - and then sealed and read. The model is what its owner was told.

use super::*;

/// What the owner knows.
#[derive(Debug, Default)]
struct Model {
    /// The most that it was told to be durable.
    told: Lsn,
    /// What it has given back.
    flushed: Lsn,
    /// It was told that the disk is sealed.
    sealed: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Coverage {
    crashes: usize,
    kills: usize,
    cut_openings: usize,
    failed_syncs: usize,
    begun_anew: usize,
    trims: usize,
    sealed_early: usize,
}

struct Life<'a> {
    env: &'a Env,
    bench: Bench,
    model: Model,
    coverage: Coverage,
}

impl Life<'_> {
    fn chance(&self, of: u64) -> bool {
        self.env.random_below(of) == 0
    }

    /// Ends the process: power failure or kill.
    async fn end(mut self) -> Self {
        let power = self.chance(2);
        self.coverage.crashes += usize::from(power);
        self.coverage.kills += usize::from(!power);
        self.bench = self.bench.restart(self.env, if power { power_failure } else { SimDisk::process_died }).await;
        self
    }

    /// Attaches, unless the process ends within it.
    async fn attach(&mut self) -> Result<Option<Attachment>, String> {
        let limit = if self.chance(2) { Duration::from_millis(self.env.random_below(60)) } else { Duration::from_secs(600) };
        let ahead =
            if self.chance(6) { self.bench.entries[usize::try_from(self.env.random_below(150)).unwrap()].1.header.lsn } else { Lsn(0) };
        self.model.flushed = self.model.flushed.max(ahead);
        let attached = self.env.timeout(limit, self.bench.replicas.attach(INCARNATION, GENERATION, self.model.flushed)).await;
        match attached {
            Err(_) => {
                self.coverage.cut_openings += 1;
                Ok(None)
            }
            Ok(Ok(_)) if self.model.sealed => Err("attached to although it is sealed".into()),
            Ok(Ok(attachment)) => {
                let (end, told) = (attachment.end(), self.model.told);
                if end < told.max(self.model.flushed) {
                    return Err(format!("it ends at {end}: {told} was told, {} given back", self.model.flushed));
                }
                self.coverage.begun_anew += usize::from(told < self.model.flushed);
                self.model.told = told.max(attachment.durable());
                Ok(Some(attachment))
            }
            // The answer to who sealed it may have been lost.
            Ok(Err(WalError::Sealed { .. })) if self.coverage.sealed_early > 0 => Ok(None),
            Ok(Err(error)) => Err(format!("cannot attach: {error}")),
        }
    }

    async fn work(&mut self, attachment: &Attachment) {
        for _ in 0..self.env.random_below(12) {
            let next = self.bench.entries.iter().position(|(_, entry)| entry.header.lsn == attachment.end());
            for (_, entry) in self.bench.entries[next.unwrap_or(200)..].iter().take(usize::try_from(self.env.random_below(12)).unwrap()) {
                if attachment.append(entry).is_err() {
                    break;
                }
            }
            match self.env.random_below(10) {
                0 => {
                    self.bench.sim.fail_syncs("replicas", 1);
                    self.coverage.failed_syncs += 1;
                }
                1 => self.trim().await,
                2 => drop(self.env.timeout(Duration::from_millis(10), attachment.remember()).await),
                _ => self.env.sleep(Duration::from_millis(self.env.random_below(8))).await,
            }
            self.model.told = self.model.told.max(attachment.durable());
        }
    }

    async fn trim(&mut self) {
        let told = self.bench.entries.iter().map(|(_, entry)| entry.header.lsn).filter(|lsn| *lsn <= self.model.told);
        let told: Vec<Lsn> = told.collect();
        let to = told[usize::try_from(self.env.random_below(told.len() as u64)).unwrap()];
        self.model.flushed = self.model.flushed.max(to);
        self.coverage.trims += 1;
        drop(self.env.timeout(Duration::from_millis(30), self.bench.replicas.trim(INCARNATION, GENERATION, to)).await);
    }

    /// Seals, perhaps not to its end; what the answer says is kept to.
    async fn seal(&mut self) {
        self.coverage.sealed_early += 1;
        let limit = if self.chance(2) { Duration::from_millis(self.env.random_below(20)) } else { Duration::from_secs(600) };
        self.model.sealed |= matches!(self.env.timeout(limit, self.bench.seal()).await, Ok(Ok(_)));
    }

    /// What a recoverer makes of it.
    async fn read(&self) -> Result<(), String> {
        let Model { told, flushed, .. } = self.model;
        let (replayed, found) = match self.bench.read().await {
            Ok(read) => read,
            Err(WalError::Missing { .. }) if told == Lsn(0) => return Ok(()),
            Err(error) => return Err(format!("no answer: {error}")),
        };
        if told > flushed && replayed.end < told {
            return Err(format!("it ends at {}, {told} was told", replayed.end));
        }
        if replayed.start > flushed {
            return Err(format!("it begins at {}, only what lies below {flushed} was given back", replayed.start));
        }
        let from = self.bench.entries.iter().position(|(_, entry)| entry.header.lsn == replayed.start).unwrap_or(0);
        if same(&found, &self.bench.entries[from..from + found.len()]) { Ok(()) } else { Err("other entries than were sent".into()) }
    }

    /// From process to process.
    async fn lives(mut self) -> (Self, Result<(), String>) {
        for _ in 0..2 + self.env.random_below(8) {
            match self.attach().await {
                Ok(Some(attachment)) => self.work(&attachment).await,
                Ok(None) => {}
                Err(wrong) => return (self, Err(wrong)),
            }
            if self.chance(12) {
                self.seal().await;
            }
            self.bench.sim.fail_syncs("replicas", 0);
            self = self.end().await;
        }
        (self, Ok(()))
    }
}

/// One history: the first thing that is wrong with it, and what it met.
fn history(seed: u64) -> (Result<(), String>, Coverage) {
    simulate(seed, async |env| {
        let life = Life { env: &env, bench: Bench::new(&env).await, model: Model::default(), coverage: Coverage::default() };
        let (mut life, mut result) = life.lives().await;
        if result.is_ok() {
            result = life.bench.seal().await.map(drop).map_err(|error| format!("cannot seal: {error}"));
        }
        // And once more: another recoverer may come later.
        for _ in 0..2 {
            if result.is_ok() {
                result = life.read().await;
                life = life.end().await;
            }
        }
        (result, life.coverage)
    })
}

fn seeds() -> u64 {
    std::env::var("FLOE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300)
}

#[test]
fn no_history_loses_what_was_told_or_takes_a_torn_end_for_damage() {
    let mut all = Coverage::default();
    for seed in 0..seeds() {
        let (result, met) = history(seed);
        assert_eq!(result, Ok(()), "seed {seed}");
        all.crashes += met.crashes;
        all.kills += met.kills;
        all.cut_openings += met.cut_openings;
        all.failed_syncs += met.failed_syncs;
        all.begun_anew += met.begun_anew;
        all.trims += met.trims;
        all.sealed_early += met.sealed_early;
    }
    println!("{all:?}");
    let Coverage { crashes, kills, cut_openings, failed_syncs, begun_anew, trims, sealed_early } = all;
    let rarest = [crashes, kills, cut_openings, failed_syncs, begun_anew, trims, sealed_early].into_iter().min();
    assert!(rarest >= Some(30), "{all:?}");
}

#[cfg(feature = "mutants")]
#[test]
fn each_broken_rule_is_found() {
    use floe_env::set_mutant;
    let rules = [
        Mutant::ReplicaTellsWhatItReceived,
        Mutant::ReplicaKeepsMarks,
        Mutant::TailOnlySynced,
        Mutant::SealNotSynced,
        Mutant::AckBeforeSync,
    ];
    for mutant in rules {
        set_mutant(Some(mutant));
        let found = (0..1_000).find_map(|seed| history(seed).0.err().map(|wrong| (seed, wrong)));
        set_mutant(None);
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{mutant:?} is not found in 1,000 seeds"));
        println!("{mutant:?} was found with seed {seed}: {wrong}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn a_replica_whose_end_was_lost_counts_where_nothing_is_kept_of_it() {
    use floe_env::set_mutant;
    set_mutant(Some(Mutant::AcknowledgedForgotten));
    let read = simulate(1, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        bench.append_durably(&attachment, 0..20).await;
        attachment.remember().await.unwrap();
        let bench = bench.restart(&env, power_failure).await;
        trim::remove_generation(&bench.disk, &dir((INCARNATION, GENERATION))).await.unwrap();
        bench.seal().await.unwrap();
        bench.read().await
    });
    set_mutant(None);
    assert_eq!(read.unwrap().0.entries, 0, "what t56 refuses");
}
