//! Crashes at random instants, torn tails, flipped bits: everything durable is replayed, nothing is invented, damage is told.

use super::*;
use crate::{
    WalOptions,
    files::file_name,
    testing::{Bench, DIR, GENERATION, INCARNATION, Record, record_of, replay_of, simulate, small_options},
};
use floe_env::Env;
use std::time::Duration;

/// How many seeds a test runs; settable, so that a night can be spent on it.
fn seeds(quick: u64) -> u64 {
    std::env::var("FLOE_WAL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(quick)
}

/// Appends, waits and trims at random for a random time, then loses power or is killed. What was durable at that instant.
async fn a_life(env: &Env, bench: &Bench) -> Lsn {
    let work = async {
        loop {
            for _ in 0..env.random_below(6) {
                let bytes = match env.random_below(20) {
                    0 => 20_000 + env.random_below(30_000),
                    1..5 => 3_000 + env.random_below(6_000),
                    _ => env.random_below(700),
                };
                let _ = bench.append(env.random_below(4) as i32, bytes as usize);
            }
            if env.random_below(12) == 0 {
                let to = bench.wal.durable().0.saturating_sub(env.random_below(40_000));
                bench.wal.trim(Lsn(to)).await.unwrap();
            }
            env.sleep(Duration::from_millis(env.random_below(4))).await;
        }
    };
    let life = 1 + env.random_below(400);
    let _ = env.timeout(Duration::from_millis(life), work).await;
    let durable = bench.wal.durable();
    if env.random_below(3) == 0 {
        bench.process.abort_all();
        bench.process.tasks_ended().await;
        bench.sim.process_died();
    } else {
        bench.crash().await;
    }
    durable
}

/// The records that a replay should give, when it gives as many as it does.
fn expected(bench: &Bench, replayed: &Replayed, entries: usize) -> Vec<Record> {
    let records = bench.records.lock();
    let first = records.iter().position(|record| record.start == replayed.start).unwrap_or(records.len());
    records[first..].iter().take(entries).cloned().collect()
}

fn options(env: &Env) -> WalOptions {
    let file_bytes = [8 << 10, 16 << 10, 40_000][env.random_below(3) as usize];
    WalOptions { file_bytes, max_group_bytes: 1 << (10 + env.random_below(5)), ..small_options() }
}

#[test]
fn t05_what_is_durable_at_a_crash_is_replayed_in_order_and_nothing_is_invented() {
    let (mut torn, mut trimmed, mut lost) = (0, 0, 0);
    for seed in 0..seeds(400) {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, options(&env)).await;
            let durable = a_life(&env, &bench).await;
            let (replayed, entries) = bench.replay().await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert!(replayed.end >= durable, "seed {seed}: {durable} was durable, {replayed:?} is left");
            assert!(replayed.end <= bench.wal.end(), "seed {seed}");
            assert!(replayed.start <= bench.wal.trimmed(), "seed {seed}: {replayed:?}");
            let found: Vec<Record> = entries.iter().map(record_of).collect();
            assert_eq!(found, expected(&bench, &replayed, entries.len()), "seed {seed}");
            for told in &bench.told {
                assert!(told.last() <= durable, "seed {seed}: told more than was durable");
                assert!(told.0.lock().is_sorted(), "seed {seed}");
            }
            for entry in &entries {
                assert!(entry.header.synced <= entry.header.lsn, "seed {seed}");
            }
            assert_eq!(bench.replay().await.unwrap().0, replayed, "seed {seed}: twice gives the same");
            torn += u32::from(replayed.torn);
            trimmed += u32::from(replayed.start > Lsn(0));
            lost += u32::from(replayed.end < bench.wal.end());
        });
    }
    assert!(torn > 5 && trimmed > 20 && lost > 20, "the test has met torn {torn}, trimmed {trimmed}, lost {lost}");
}

#[test]
fn t67_a_flipped_bit_is_damage_wherever_a_later_entry_proves_it_and_never_a_wrong_record() {
    let (mut damaged, mut taken_for_end, mut harmless) = (0, 0, 0);
    for seed in 0..seeds(400) {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, options(&env)).await;
            a_life(&env, &bench).await;
            let (before, entries) = bench.replay().await.unwrap();
            let Some((path, position)) = bench.sim.flip_random_bit(DIR) else { return };
            // Which entry was hit?
            let hit = path.strip_prefix(DIR).and_then(|name| parse_name(&name[1..])).and_then(|start| {
                let next = entries.iter().map(|entry| entry.header.lsn).chain([before.end]).find(|lsn| *lsn > start);
                let lsn = Lsn(start.0 + position.checked_sub(FILE_HEADER)?);
                next.and_then(|_| entries.iter().find(|entry| entry.header.lsn <= lsn && lsn < entry.header.end())).filter(|entry| {
                    // The rest of a file behind its last entry has no LSNs: those are the next file's.
                    file_of(&entries, &bench, entry.header.lsn) == start
                })
            });
            let after = bench.replay().await;
            let Some(hit) = hit else {
                let (after, found) = after.unwrap_or_else(|error| panic!("seed {seed}: {path} {position}: {error}"));
                assert_eq!((after.entries, after.end), (before.entries, before.end), "seed {seed}: {path} {position}");
                assert_eq!(found.len(), entries.len());
                harmless += 1;
                return;
            };
            let at = hit.header.lsn;
            // Not by the marks themselves: by what was durable when a later entry, which is still there, was appended.
            let durable_then = |entry: &ReplayedEntry| bench.durable_then.lock()[usize::try_from(entry.header.base_offset).unwrap()];
            let proven = entries.iter().any(|entry| entry.header.lsn > at && durable_then(entry) > at);
            match after {
                Err(WalError::Damaged { at: told, .. }) => {
                    assert_eq!(told, at, "seed {seed}");
                    damaged += 1;
                }
                Err(other) => panic!("seed {seed}: {other}"),
                Ok((after, found)) => {
                    assert!(!proven, "seed {seed}: damage at {at} was taken for the end");
                    assert_eq!(after.end, at, "seed {seed}");
                    let records: Vec<Record> = found.iter().map(record_of).collect();
                    assert_eq!(records, expected(&bench, &after, found.len()), "seed {seed}");
                    taken_for_end += 1;
                }
            }
        });
    }
    assert!(damaged > 20 && harmless > 20, "the test has met damaged {damaged}, ends {taken_for_end}, harmless {harmless}");
}

/// The start of the file that an entry lies in, from what the appender would have done.
fn file_of(entries: &[ReplayedEntry], bench: &Bench, lsn: Lsn) -> Lsn {
    let mut file = entries[0].header.lsn;
    let mut room = room_of(bench, &entries[0]);
    for entry in entries {
        if entry.header.end().0 - file.0 > room {
            file = entry.header.lsn;
            room = room_of(bench, entry);
        }
        if entry.header.lsn == lsn {
            return file;
        }
    }
    file
}

fn room_of(bench: &Bench, first: &ReplayedEntry) -> u64 {
    let file_bytes = bench.wal.options().file_bytes;
    let total = first.header.total_len();
    if total + FILE_HEADER <= file_bytes { file_bytes - FILE_HEADER } else { crate::files::bytes_for(total) - FILE_HEADER }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let run = || {
            simulate(seed, async |env| {
                let bench = Bench::new(&env, options(&env)).await;
                let durable = a_life(&env, &bench).await;
                let (replayed, _) = bench.replay().await.unwrap();
                let told: Vec<Vec<Lsn>> = bench.told.iter().map(|told| told.0.lock().clone()).collect();
                (durable, replayed, told, bench.sim.counts(), env.random_u64())
            })
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

#[test]
fn a_missing_file_in_the_middle_is_damage() {
    simulate(1, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        for _ in 0..40 {
            bench.append_durably(0, 1_500).await;
        }
        bench.crash().await;
        let starts: Vec<Lsn> = bench.disk.list(DIR).await.unwrap().iter().filter_map(|entry| parse_name(&entry.name)).collect();
        bench.disk.remove(&format!("{DIR}/{}", file_name(starts[1]))).await.unwrap();
        match bench.replay().await {
            Err(WalError::Damaged { at, .. }) => assert_eq!(at, starts[1]),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn t67_damage_in_front_of_damage_is_still_found() {
    simulate(2, async |env| {
        let bench = Bench::new(&env, WalOptions { file_bytes: 1 << 20, ..small_options() }).await;
        for _ in 0..30 {
            bench.append_durably(0, 1_500).await;
        }
        bench.crash().await;
        let records = bench.records.lock().clone();
        let path = format!("{DIR}/{}", file_name(Lsn(0)));
        // Headers of all but the last entry from the tenth on: no length can be followed to it.
        for record in &records[10..29] {
            bench.sim.flip_bit(&path, FILE_HEADER + record.start.0 + 9, 1).unwrap();
        }
        match bench.replay().await {
            Err(WalError::Damaged { at, .. }) => assert_eq!(at, records[10].start),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_damaged_file_header_hides_no_entry() {
    simulate(3, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        for _ in 0..40 {
            bench.append_durably(0, 1_500).await;
        }
        bench.crash().await;
        for entry in bench.disk.list(DIR).await.unwrap().iter().filter(|entry| parse_name(&entry.name).is_some()) {
            bench.sim.flip_bit(&format!("{DIR}/{}", entry.name), 12, 3).unwrap();
        }
        let (replayed, entries) = bench.replay().await.unwrap();
        assert_eq!((replayed.end, entries.len()), (bench.wal.end(), 40));
    });
}

#[test]
fn a_batch_that_holds_entries_of_the_same_wal_is_only_a_batch() {
    simulate(4, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let mut inner = bytes::BytesMut::new();
        let stolen = crate::testing::batch(100, 1);
        for lsn in 0..12 {
            let header = EntryHeader {
                lsn: Lsn(lsn * 250),
                incarnation: INCARNATION,
                generation: GENERATION,
                synced: Lsn(1 << 40),
                partition: crate::testing::partition(0),
                epoch: 1,
                epoch_start: 0,
                base_offset: 0,
                payload_len: u32::try_from(stolen.len()).unwrap(),
            };
            floe_formats::wal_entry::append_entry(&mut inner, &header, &stolen).unwrap();
        }
        let mut builder = floe_records::BatchBuilder::new(floe_records::Codec::None);
        builder.append(1, None, Some(&inner)).unwrap();
        let batch = builder.build();
        let entry = crate::Entry { partition: crate::testing::partition(0), epoch: 1, epoch_start: 0, base_offset: 0, batch: &batch };
        let sink: Arc<dyn crate::Durable> = crate::testing::Told::new();
        let end = bench.wal.append(&entry, &sink).unwrap().end;
        bench.wal.wait_durable(end).await.unwrap();
        bench.crash().await;
        let (replayed, entries) = bench.replay().await.unwrap();
        assert_eq!((replayed.end, replayed.torn, entries.len()), (end, false, 1));
    });
}

#[test]
fn a_wal_of_a_later_version_is_refused_and_not_taken_for_torn() {
    simulate(5, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 100).await;
        bench.crash().await;
        let path = format!("{DIR}/{}", file_name(Lsn(0)));
        let mut bytes = bench.disk.read(&path).await.unwrap().to_vec();
        bytes[4] = 99;
        let crc = floe_formats::checksum::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bench.disk.write_durably(&path, bytes.into()).await.unwrap();
        assert_eq!(bench.replay().await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn another_incarnations_or_generations_entries_are_not_this_wals() {
    simulate(6, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 100).await;
        bench.crash().await;
        for (incarnation, generation) in [(Incarnation(8), GENERATION), (INCARNATION, Generation(1))] {
            let (replayed, _) = replay_of(&bench.disk, incarnation, generation).await.unwrap();
            assert_eq!((replayed.entries, replayed.torn), (0, false));
        }
    });
}

#[test]
fn t24_a_read_error_is_an_error_and_not_the_end() {
    simulate(7, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 100).await;
        bench.crash().await;
        bench.sim.fail_reads(DIR, 1);
        assert!(matches!(bench.replay().await, Err(WalError::Disk { .. })));
        assert_eq!(bench.replay().await.unwrap().1.len(), 1);
    });
}

#[cfg(feature = "mutants")]
#[test]
fn acknowledging_before_the_sync_is_found() {
    use floe_env::{Mutant, set_mutant};
    set_mutant(Some(Mutant::AckBeforeSync));
    let found = (0..50).find(|seed| {
        simulate(*seed, async |env| {
            let bench = Bench::new(&env, options(&env)).await;
            let durable = a_life(&env, &bench).await;
            bench.replay().await.is_ok_and(|(replayed, _)| replayed.end < durable)
        })
    });
    set_mutant(None);
    println!("AckBeforeSync was found with seed {found:?}");
    assert!(found.is_some());
}
