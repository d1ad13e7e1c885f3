//! Trimming gives back whole files, of this WAL only, and never brings anything back.

use super::*;
use crate::{
    WalOptions,
    testing::{Bench, DIR, GENERATION, INCARNATION, record_of, simulate, small_options},
};
use floe_types::{ErrorKind, Incarnation};
use std::time::Duration;

async fn fill(bench: &Bench, entries: usize) {
    for n in 0..entries {
        bench.append_durably((n % 4) as i32, 1_500).await;
    }
}

async fn names(bench: &Bench) -> Vec<String> {
    bench.disk.list(DIR).await.unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn only_files_that_lie_wholly_below_are_given_back() {
    simulate(1, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        fill(&bench, 40).await;
        let starts: Vec<Lsn> = names(&bench).await.iter().filter_map(|name| files::parse_name(name)).collect();
        assert!(starts.len() >= 4, "{starts:?}");
        bench.wal.trim(Lsn(starts[2].0 - 1)).await.unwrap();
        assert_eq!(names(&bench).await.iter().filter_map(|name| files::parse_name(name)).next(), Some(starts[1]));
        bench.wal.trim(starts[2]).await.unwrap();
        bench.wal.trim(starts[1]).await.unwrap();
        assert_eq!(bench.wal.trimmed(), starts[2], "a lower mark changes nothing");
        let (replayed, entries) = bench.replay().await.unwrap();
        assert_eq!((replayed.start, replayed.end), (starts[2], bench.wal.end()));
        assert_eq!(entries[0].header.lsn, starts[2]);
    });
}

#[test]
fn t06_a_mark_of_another_wal_trims_nothing() {
    simulate(2, async |env| {
        let mine = Bench::new(&env, small_options()).await;
        let options = WalOptions { incarnation: Incarnation(8), dir: "wal/8-0".into(), ..small_options() };
        let other = Bench::on(&env, mine.sim.clone(), options).await;
        fill(&mine, 20).await;
        fill(&other, 60).await;
        let before = names(&mine).await;
        let refused = mine.wal.trim(other.wal.end()).await.unwrap_err();
        assert!(matches!(refused, WalError::NotDurable { .. }), "{refused}");
        other.wal.trim(other.wal.end()).await.unwrap();
        assert_eq!(names(&mine).await, before, "another handle touches its own files only");
        assert_eq!(mine.wal.trimmed(), Lsn(0));
    });
}

#[test]
fn t06_a_handle_whose_files_were_replaced_or_sealed_trims_nothing() {
    simulate(3, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        fill(&bench, 40).await;
        let first = format!("{DIR}/{}", files::file_name(Lsn(0)));
        let own = bench.disk.read(&first).await.unwrap();
        let foreign = WalFileHeader { incarnation: Incarnation(8), generation: GENERATION, start: Lsn(0) };
        bench.disk.write_durably(&first, foreign.to_bytes().to_vec().into()).await.unwrap();
        assert_eq!(bench.wal.trim(bench.wal.durable()).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(bench.disk.read(&first).await.is_ok(), "the other's file stays");
        bench.disk.write_durably(&first, own).await.unwrap();
        let before = names(&bench).await;
        crate::seal(&bench.disk, INCARNATION, Incarnation(8)).await.unwrap();
        assert_eq!(bench.wal.trim(bench.wal.durable()).await.unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(names(&bench).await, before);
    });
}

#[test]
fn trimmed_files_are_filled_again_and_old_entries_never_come_back() {
    for seed in 0..40 {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, small_options()).await;
            for _ in 0..6 {
                fill(&bench, 15).await;
                let to = bench.wal.durable();
                bench.wal.trim(Lsn(to.0 - env.random_below(20_000))).await.unwrap();
            }
            let files = bench.disk.list(DIR).await.unwrap().len();
            assert!(files <= 6, "{files} files of 16 KiB");
            for _ in 0..env.random_below(6) {
                bench.append(0, 2_000).unwrap();
            }
            env.sleep(Duration::from_millis(env.random_below(10))).await;
            let durable = bench.wal.durable();
            bench.crash().await;
            let (replayed, entries) = bench.replay().await.unwrap();
            assert!(replayed.end >= durable && replayed.start <= bench.wal.trimmed(), "seed {seed}");
            let records = bench.records.lock();
            let first = records.iter().position(|record| record.start == replayed.start).unwrap();
            assert!(entries.iter().map(record_of).eq(records[first..first + entries.len()].iter().cloned()), "seed {seed}");
        });
    }
}

#[test]
fn a_crash_within_a_trim_leaves_a_wal_that_starts_later_and_has_no_gap() {
    for seed in 0..100 {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, small_options()).await;
            fill(&bench, 60).await;
            let to = Lsn(env.random_below(bench.wal.durable().0));
            let wal = Arc::clone(&bench.wal);
            let trim = bench.process.spawn("trim", async move { wal.trim(to).await });
            env.sleep(Duration::from_millis(env.random_below(60))).await;
            bench.crash().await;
            drop(trim);
            let (replayed, entries) = bench.replay().await.unwrap();
            assert!(replayed.start <= to, "seed {seed}");
            assert_eq!(replayed.end, bench.wal.end(), "seed {seed}");
            let records = bench.records.lock();
            assert!(entries.iter().map(record_of).eq(records[records.len() - entries.len()..].iter().cloned()), "seed {seed}");
        });
    }
}

#[test]
fn a_read_that_meets_a_trim_says_trimmed_and_never_gives_other_bytes() {
    for seed in 0..40 {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, small_options()).await;
            fill(&bench, 30).await;
            let record = bench.records.lock()[2].clone();
            let trim_and_refill = async {
                bench.wal.trim(bench.wal.durable()).await.unwrap();
                fill(&bench, 30).await;
            };
            let reads = async {
                for _ in 0..200 {
                    match bench.wal.read(record.start, record.end).await {
                        Ok(batch) => assert_eq!(batch, record.batch),
                        Err(WalError::Trimmed { .. }) => return true,
                        Err(other) => panic!("seed {seed}: {other}"),
                    }
                }
                false
            };
            let ((), met) = tokio::join!(trim_and_refill, reads);
            assert!(met, "seed {seed}");
        });
    }
}

#[test]
fn a_generation_is_removed_whole_and_removing_it_again_is_fine() {
    simulate(4, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        fill(&bench, 30).await;
        bench.crash().await;
        remove_generation(&bench.disk, DIR).await.unwrap();
        remove_generation(&bench.disk, DIR).await.unwrap();
        let missing = bench.replay().await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    });
}
