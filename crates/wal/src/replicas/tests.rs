//! Replicas of other brokers' WALs: what they take and refuse, what they hold after restarts, and what a sealed disk answers.

mod ends;
mod history;

use super::*;
use crate::testing::{GENERATION, INCARNATION, foreign_entries, simulate};
use crate::{ReplayedEntry, WalError, trim};
use bytes::Bytes;
use floe_env::sim::SimDisk;
use floe_formats::EntryHeader;
use std::time::Duration;

fn small_options() -> ReplicasOptions {
    ReplicasOptions { budget: 1 << 20, most: 4, file_bytes: 16 << 10, pending_bytes: 64 << 10, max_group_bytes: 6 << 10 }
}

/// A disk, the process that uses it, and what an owner has to send.
struct Bench {
    sim: SimDisk,
    disk: Arc<dyn Disk>,
    process: Env,
    replicas: Replicas,
    entries: Vec<(Bytes, ReplayedEntry)>,
}

impl Bench {
    async fn new(env: &Env) -> Self {
        Self::with(env, SimDisk::new(env), small_options()).await
    }

    async fn with(env: &Env, sim: SimDisk, options: ReplicasOptions) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let process = env.process();
        let replicas = Replicas::open(process.clone(), Arc::clone(&disk), DiskId(1), options).await.unwrap();
        Self { sim, disk, process, replicas, entries: foreign_entries(Lsn(0), 200, |n| 50 + n * 13 % 900) }
    }

    /// A new process on the same disk, after `end` has ended the one before.
    async fn restart(self, env: &Env, end: impl FnOnce(&SimDisk)) -> Self {
        self.process.abort_all();
        self.process.tasks_ended().await;
        end(&self.sim);
        Self::with(env, self.sim.clone(), small_options()).await
    }

    async fn attach(&self) -> Attachment {
        self.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await.unwrap()
    }

    fn append(&self, attachment: &Attachment, range: std::ops::Range<usize>) {
        for (_, entry) in &self.entries[range] {
            attachment.append(entry).unwrap();
        }
    }

    async fn append_durably(&self, attachment: &Attachment, range: std::ops::Range<usize>) -> Lsn {
        let all: Vec<usize> = range.collect();
        for some in all.chunks(30) {
            self.append(attachment, some[0]..some[0] + some.len());
            while attachment.durable() < attachment.end() {
                attachment.durable_beyond(attachment.durable()).await.unwrap();
            }
        }
        attachment.end()
    }

    async fn seal(&self) -> Result<Vec<HeldWal>, WalError> {
        self.replicas.seal(INCARNATION, Incarnation(99)).await
    }

    async fn read(&self) -> Result<(crate::Replayed, Vec<ReplayedEntry>), WalError> {
        read_all(&self.replicas).await
    }
}

async fn read_all(replicas: &Replicas) -> Result<(crate::Replayed, Vec<ReplayedEntry>), WalError> {
    let mut sealed = replicas.read_sealed(INCARNATION, GENERATION).await?;
    let mut entries = Vec::new();
    while let Some(more) = sealed.next().await? {
        entries.extend(more);
    }
    Ok((sealed.replayed(), entries))
}

fn power_failure(sim: &SimDisk) {
    sim.crash();
}

/// The same entries but for their marks.
fn same(found: &[ReplayedEntry], sent: &[(Bytes, ReplayedEntry)]) -> bool {
    let plain = |entry: &ReplayedEntry| (EntryHeader { synced: Lsn(0), ..entry.header }, entry.batch.clone());
    found.iter().map(plain).eq(sent.iter().map(|(_, entry)| plain(entry)))
}

#[test]
fn entries_are_kept_as_they_came_and_read_back_once_sealed() {
    simulate(1, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        assert_eq!((attachment.end(), attachment.durable()), (Lsn(0), Lsn(0)));
        let mut told = Lsn(0);
        for n in 0..50 {
            bench.append(&attachment, n * 2..n * 2 + 2);
            if n % 7 == 0 {
                told = attachment.durable_beyond(told).await.unwrap();
            }
        }
        let end = bench.append_durably(&attachment, 100..101).await;
        assert!(
            matches!(bench.replicas.read_sealed(INCARNATION, GENERATION).await, Err(WalError::Invalid { .. })),
            "not before it is sealed"
        );
        let held = bench.seal().await.unwrap();
        assert_eq!(held, [HeldWal { generation: GENERATION, trimmed: Lsn(0), acknowledged: end }]);
        let (replayed, found) = bench.read().await.unwrap();
        assert_eq!((replayed.start, replayed.end), (Lsn(0), end));
        assert!(same(&found, &bench.entries[..101]));
        let joined = found.windows(2).any(|two| two[0].header.synced == two[1].header.synced);
        assert!(joined, "groups of the owner's were joined");
        assert!(found.iter().all(|entry| entry.header.synced <= entry.header.lsn));
    });
}

#[test]
fn what_does_not_go_on_at_the_end_is_refused_with_what_was_expected() {
    simulate(2, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        bench.append(&attachment, 0..3);
        for wrong in [0, 2, 4] {
            let refused = attachment.append(&bench.entries[wrong].1).unwrap_err();
            assert!(matches!(refused, WalError::Unexpected { expected, .. } if expected == bench.entries[3].1.header.lsn), "{refused}");
        }
        let mut other = bench.entries[3].1.clone();
        other.header.generation = Generation(5);
        assert!(matches!(attachment.append(&other), Err(WalError::Unexpected { .. })));
        bench.append(&attachment, 3..4);
        let later = bench.attach().await;
        assert_eq!(later.end(), bench.entries[4].1.header.lsn, "goes on behind what was accepted");
        assert!(matches!(attachment.append(&bench.entries[4].1), Err(WalError::Closed)), "the one before is over");
        bench.append(&later, 4..5);
    });
}

#[test]
fn t11_the_first_failure_ends_a_replica_until_the_process_starts_again() {
    simulate(3, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        let good = bench.append_durably(&attachment, 0..20).await;
        env.sleep(Duration::from_secs(1)).await;
        bench.sim.fail_syncs("replicas", 1);
        bench.append(&attachment, 20..22);
        assert!(matches!(attachment.durable_beyond(good).await, Err(WalError::Failed { .. })));
        assert_eq!(attachment.durable(), good);
        assert!(matches!(attachment.append(&bench.entries[22].1), Err(WalError::Failed { .. })));
        for _ in 0..3 {
            let again = bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await;
            assert!(matches!(again, Err(WalError::Failed { .. })), "for ever, as far as this process goes: {again:?}");
        }
        // The failed pages are still readable: they count only once they are written anew.
        let bench = bench.restart(&env, SimDisk::process_died).await;
        let attachment = bench.attach().await;
        let held = attachment.end();
        assert!(held > good && attachment.durable() == held);
        let bench = bench.restart(&env, power_failure).await;
        assert!(bench.attach().await.end() >= held, "what was told survives a power failure");
    });
}

#[test]
fn t69_a_hung_disk_tells_nothing_refuses_what_is_too_much_and_goes_on_when_it_is_back() {
    simulate(4, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        let good = bench.append_durably(&attachment, 0..1).await;
        bench.sim.hang_syncs();
        let refused = bench.entries[1..].iter().find_map(|(_, entry)| attachment.append(entry).err()).unwrap();
        assert!(matches!(refused, WalError::Full { .. }), "{refused}");
        assert!(attachment.end().0 - good.0 <= small_options().pending_bytes);
        env.sleep(Duration::from_secs(30)).await;
        assert_eq!(attachment.durable(), good);
        assert!(attachment.stalled() >= Duration::from_secs(29));
        bench.sim.release_syncs();
        let end = attachment.end();
        while attachment.durable() < end {
            attachment.durable_beyond(attachment.durable()).await.unwrap();
        }
        assert_eq!(attachment.stalled(), Duration::ZERO);
    });
}

#[test]
fn all_replicas_share_a_budget_that_trimming_and_removing_give_back() {
    simulate(5, async |env| {
        let bench = Bench::with(&env, SimDisk::new(&env), ReplicasOptions { budget: 30_000, ..small_options() }).await;
        let first = bench.attach().await;
        let end = bench.append_durably(&first, 0..30).await;
        let other = bench.replicas.attach(INCARNATION, Generation(1), Lsn(0)).await.unwrap();
        let in_other = |entry: &ReplayedEntry| {
            let mut entry = entry.clone();
            entry.header.generation = Generation(1);
            entry
        };
        let refused = bench.entries.iter().find_map(|(_, entry)| other.append(&in_other(entry)).err()).unwrap();
        assert!(matches!(refused, WalError::Full { .. }), "{refused}");
        assert!(bench.replicas.used() <= 30_000 && bench.replicas.used() > 28_000, "{}", bench.replicas.used());
        assert!(matches!(first.append(&bench.entries[30].1), Err(WalError::Full { .. })));
        let mark = bench.entries[20].1.header.lsn;
        let before = bench.replicas.used();
        bench.replicas.trim(INCARNATION, GENERATION, mark).await.unwrap();
        assert_eq!(bench.replicas.used(), before - mark.0);
        bench.append(&first, 30..40);
        bench.replicas.trim(INCARNATION, GENERATION, Lsn(u64::MAX)).await.unwrap();
        assert!(bench.replicas.used() <= before, "what is not durable is not given back");
        assert!(first.end() >= end);
        bench.replicas.remove(INCARNATION).await.unwrap();
        assert_eq!((bench.replicas.used(), bench.replicas.list()), (0, vec![]));
        assert!(bench.disk.list("replicas").await.unwrap().is_empty());
        for generation in 2..6 {
            bench.replicas.attach(INCARNATION, Generation(generation), Lsn(0)).await.unwrap();
        }
        let one_more = bench.replicas.attach(INCARNATION, Generation(6), Lsn(0)).await;
        assert!(matches!(one_more, Err(WalError::Full { .. })), "their number is bounded: {one_more:?}");
    });
}

#[test]
fn a_full_disk_refuses_and_takes_more_once_there_is_room() {
    simulate(6, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        bench.append_durably(&attachment, 0..5).await;
        env.sleep(Duration::from_secs(1)).await;
        bench.sim.set_capacity(Some(bench.sim.used_bytes()));
        let mut next = 5;
        let refused = loop {
            match attachment.append(&bench.entries[next].1) {
                Ok(()) => next += 1,
                Err(error) => break error,
            }
            env.sleep(Duration::from_millis(50)).await;
        };
        assert!(matches!(refused, WalError::Full { .. }), "{refused}");
        bench.sim.set_capacity(None);
        env.sleep(Duration::from_secs(1)).await;
        let end = bench.append_durably(&attachment, next..next + 20).await;
        bench.seal().await.unwrap();
        assert_eq!(bench.read().await.unwrap().0.end, end);
    });
}

#[test]
fn a_replica_that_ends_before_what_the_owner_still_has_begins_anew_there() {
    simulate(7, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        bench.append_durably(&attachment, 0..40).await;
        let bench = bench.restart(&env, power_failure).await;
        let trimmed = bench.entries[90].1.header.lsn;
        let attachment = bench.replicas.attach(INCARNATION, GENERATION, trimmed).await.unwrap();
        assert_eq!(attachment.end(), trimmed);
        let end = bench.append_durably(&attachment, 90..120).await;
        let open = bench.entries[150].1.header.lsn;
        let bench = bench.restart(&env, power_failure).await;
        bench.attach().await;
        assert_eq!(bench.replicas.attach(INCARNATION, GENERATION, open).await.unwrap().end(), open, "one that is open, too");
        assert_eq!(bench.replicas.used(), 0);
        let attachment = bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await.unwrap();
        bench.append_durably(&attachment, 150..160).await;
        let held = bench.seal().await.unwrap();
        assert_eq!((held[0].trimmed, bench.read().await.unwrap().0.start), (open, open));
        assert!(end < open && same(&bench.read().await.unwrap().1, &bench.entries[150..160]));
    });
}

#[test]
fn t64_a_seal_is_given_for_what_was_never_here_and_refuses_all_that_comes_later() {
    simulate(8, async |env| {
        let bench = Bench::new(&env).await;
        assert_eq!(bench.seal().await.unwrap(), []);
        assert!(matches!(bench.read().await, Err(WalError::Missing { .. })));
        let bench = bench.restart(&env, power_failure).await;
        let refused = bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await;
        assert!(matches!(refused, Err(WalError::Sealed { .. })), "{refused:?}");
        assert_eq!(bench.seal().await.unwrap(), [], "twice is fine");
        let other = bench.replicas.attach(Incarnation(INCARNATION.0 + 1), GENERATION, Lsn(0)).await;
        assert!(other.is_ok(), "of this incarnation alone");
    });
}

#[test]
fn a_sealed_replica_takes_nothing_more_is_not_trimmed_and_its_seal_outlives_it() {
    simulate(9, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        bench.append_durably(&attachment, 0..60).await;
        bench.append(&attachment, 60..62);
        let held = bench.seal().await.unwrap();
        assert_eq!(held[0].acknowledged, bench.entries[62].1.header.lsn, "what was accepted before is written to its end");
        assert!(matches!(attachment.append(&bench.entries[62].1), Err(WalError::Sealed { .. })));
        let trimmed = bench.replicas.trim(INCARNATION, GENERATION, bench.entries[50].1.header.lsn).await;
        assert!(matches!(trimmed, Err(WalError::Sealed { .. })));
        assert_eq!(bench.read().await.unwrap().1.len(), 62);
        let bench = bench.restart(&env, power_failure).await;
        assert_eq!(bench.seal().await.unwrap(), held);
        assert!(same(&bench.read().await.unwrap().1, &bench.entries[..62]));
        bench.replicas.remove(INCARNATION).await.unwrap();
        assert!(matches!(bench.read().await, Err(WalError::Missing { .. })));
        let bench = bench.restart(&env, power_failure).await;
        assert!(matches!(bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await, Err(WalError::Sealed { .. })));
    });
}

#[test]
fn the_own_wal_of_this_process_ends_with_its_seal_and_is_read_as_replicas_are() {
    simulate(10, async |env| {
        let bench = Bench::new(&env).await;
        let options = WalOptions { dir: own_dir(INCARNATION, GENERATION), ..crate::testing::small_options() };
        let wal = bench.replicas.create_own(options, None).await.unwrap();
        let batch = crate::testing::batch(100, 1);
        let entry = crate::Entry { partition: crate::testing::partition(0), epoch: 1, epoch_start: 0, base_offset: 0, batch: &batch };
        let told: Arc<dyn crate::Durable> = crate::testing::Told::new();
        let end = wal.append(&entry, &told).unwrap().end;
        assert_eq!(bench.seal().await.unwrap().len(), 1);
        assert_eq!(wal.durable(), end, "what was accepted is written before the answer");
        assert!(matches!(wal.append(&entry, &told), Err(WalError::Sealed { .. })), "R10");
        assert_eq!(bench.read().await.unwrap().0.end, end);
    });
}

#[test]
fn t56_a_replica_that_has_lost_its_files_is_no_answer() {
    for lost in ["folder", "state", "first file", "last file"] {
        simulate(11, async |env| {
            let bench = Bench::new(&env).await;
            let attachment = bench.attach().await;
            bench.append_durably(&attachment, 0..120).await;
            attachment.remember().await.unwrap();
            let bench = bench.restart(&env, power_failure).await;
            let (dir, state) = (dir((INCARNATION, GENERATION)), state_path((INCARNATION, GENERATION)));
            let files: Vec<String> = bench.disk.list(&dir).await.unwrap().into_iter().map(|entry| entry.name).collect();
            let wal_files: Vec<&String> = files.iter().filter(|name| name.ends_with(".wal")).collect();
            let begun: Vec<&&String> =
                wal_files.iter().filter(|name| name[..16] < *format!("{:016x}", bench.entries[120].1.header.lsn.0)).collect();
            assert!(begun.len() > 2);
            match lost {
                "folder" => trim::remove_generation(&bench.disk, &dir).await.unwrap(),
                "state" => bench.disk.remove(&state).await.unwrap(),
                "first file" => bench.disk.remove(&format!("{dir}/{}", begun[0])).await.unwrap(),
                _ => bench.disk.remove(&format!("{dir}/{}", begun[begun.len() - 1])).await.unwrap(),
            }
            let attached = bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await;
            assert!(matches!(attached, Err(WalError::Damaged { .. })), "{lost}: {attached:?}");
            let held = bench.seal().await.unwrap();
            assert_eq!(held.len(), 1, "{lost}: it is known that there was one");
            let read = bench.read().await;
            assert!(matches!(read, Err(WalError::Damaged { .. })), "{lost}: {:?}", read.map(|read| read.0));
        });
    }
}

#[test]
fn t67_a_bit_that_flips_below_what_is_kept_is_always_told() {
    let mut told = 0;
    for seed in 0..60 {
        told += usize::from(simulate(seed, async |env| {
            let bench = Bench::new(&env).await;
            let attachment = bench.attach().await;
            let count = 1 + usize::try_from(env.random_below(60)).unwrap();
            let end = bench.append_durably(&attachment, 0..count).await;
            attachment.remember().await.unwrap();
            let bench = bench.restart(&env, power_failure).await;
            bench.sim.flip_random_bit(&dir((INCARNATION, GENERATION))).unwrap();
            bench.seal().await.unwrap();
            match bench.read().await {
                Ok((replayed, found)) => {
                    assert!(
                        replayed.end == end && same(&found, &bench.entries[..count]),
                        "seed {seed}: the bit lay behind the end, or in padding"
                    );
                    false
                }
                Err(error) => {
                    assert!(matches!(error, WalError::Damaged { .. }), "seed {seed}: {error}");
                    true
                }
            }
        }));
    }
    assert!(told > 5, "{told} of 60 flips met an entry");
}

#[test]
fn who_is_cancelled_while_it_attaches_leaves_nothing_half_done() {
    for millis in 0..30 {
        simulate(100 + millis, async |env| {
            let bench = Bench::new(&env).await;
            let attachment = bench.attach().await;
            let end = bench.append_durably(&attachment, 0..30).await;
            bench.append(&attachment, 30..34);
            env.sleep(Duration::from_millis(millis % 4)).await;
            let bench = bench.restart(&env, SimDisk::process_died).await;
            let _ = env.timeout(Duration::from_millis(millis), bench.replicas.attach(INCARNATION, GENERATION, Lsn(0))).await;
            let attachment = bench.attach().await;
            assert!(attachment.end() >= end);
            let next = bench.entries.iter().position(|(_, entry)| entry.header.lsn == attachment.end()).unwrap();
            let end = bench.append_durably(&attachment, next..next + 5).await;
            bench.seal().await.unwrap();
            let (replayed, found) = bench.read().await.unwrap();
            assert!(replayed.end == end && same(&found, &bench.entries[..next + 5]));
        });
    }
}

#[test]
fn t24_what_cannot_be_read_is_an_error_and_not_an_empty_replica() {
    simulate(12, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        let end = bench.append_durably(&attachment, 0..10).await;
        let bench = bench.restart(&env, power_failure).await;
        for path in ["replicas/0000000000000007-00000000.state", "replicas/0000000000000007-00000000/"] {
            bench.sim.fail_reads(path, 1);
            let attached = bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await;
            assert!(matches!(attached, Err(WalError::Disk { .. })), "{path}: {attached:?}");
        }
        assert_eq!(bench.attach().await.end(), end);
    });
}
