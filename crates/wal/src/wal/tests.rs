//! A WAL from its beginning to its end: what is durable, who is told, what it refuses, how it fails.

use super::*;
use crate::{
    Durable, Entry, seal,
    testing::{Bench, DIR, GENERATION, INCARNATION, Told, batch, partition, record_of, simulate, small_options},
};
use floe_env::{RealDisk, sim::SimDisk};
use floe_records::BatchHeader;
use floe_types::ErrorKind;
use std::time::Duration;

#[test]
fn an_entry_is_stamped_told_durable_and_read_back() {
    simulate(1, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let appended = bench.append(2, 100).unwrap();
        assert_eq!(appended.start, Lsn(0));
        assert_eq!(bench.wal.end(), appended.end);
        assert_eq!(bench.wal.durable(), Lsn(0), "nothing is durable before the disk has said so");
        bench.wal.wait_durable(appended.end).await.unwrap();
        assert_eq!(*bench.told[2].0.lock(), [appended.end]);
        assert!(bench.told[0].0.lock().is_empty(), "who has no entry is told nothing");
        let read = bench.wal.read(appended.start, appended.end).await.unwrap();
        assert_eq!(read, appended.batch);
        let header = floe_records::verify(&read).unwrap();
        assert_eq!((header.base_offset, header.leader_epoch), (0, 3));
    });
}

#[test]
fn entries_that_come_while_a_group_is_written_share_the_next_sync_and_each_sink_is_told_once() {
    simulate(2, async |env| {
        let bench = Bench::new(&env, WalOptions { max_group_bytes: 1 << 20, ..WalOptions::new(INCARNATION, GENERATION, DIR) }).await;
        bench.append(0, 100).unwrap();
        env.sleep(Duration::ZERO).await;
        let last = (0..40).map(|n| bench.append(n % 2, 1_000).unwrap()).last().unwrap();
        bench.wal.wait_durable(last.end).await.unwrap();
        assert!(bench.wal.stats().groups <= 3, "{:?}", bench.wal.stats());
        assert!(bench.told[1].0.lock().len() <= 2, "{:?}", bench.told[1].0);
        assert_eq!(bench.told[1].last(), last.end);
    });
}

#[test]
fn a_hung_disk_acknowledges_nothing_and_goes_on_when_it_comes_back() {
    simulate(3, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 100).await;
        bench.sim.hang_syncs();
        let appended = bench.append(0, 100).unwrap();
        let told = bench.told[0].last();
        assert!(env.timeout(Duration::from_secs(3600), bench.wal.wait_durable(appended.end)).await.is_err());
        assert_eq!(bench.told[0].last(), told);
        assert!(bench.wal.durable() < appended.end);
        bench.sim.release_syncs();
        bench.wal.wait_durable(appended.end).await.unwrap();
        assert_eq!(bench.told[0].last(), appended.end);
    });
}

#[test]
fn t11_a_failed_sync_fails_every_waiter_and_every_later_append_for_ever() {
    failing_disk(|sim| sim.fail_syncs(DIR, 1));
}

#[test]
fn t11_a_failed_write_fails_every_waiter_and_every_later_append_for_ever() {
    failing_disk(|sim| sim.fail_writes(DIR, 1));
}

fn failing_disk(fault: impl FnOnce(&SimDisk)) {
    simulate(4, async |env| {
        let bench = Bench::new(&env, WalOptions { file_bytes: 1 << 20, ..small_options() }).await;
        let good = bench.append_durably(0, 100).await;
        env.sleep(Duration::from_secs(1)).await; // the next file is made
        fault(&bench.sim);
        let (first, second) = (bench.append(0, 3_000).unwrap(), bench.append(1, 4_000).unwrap());
        let waits = async {
            tokio::join!(bench.wal.wait_durable(first.end), bench.wal.wait_durable(second.end), bench.wal.failed(), bench.wal.close())
        };
        let (a, b, c, d) = env.timeout(Duration::from_secs(60), waits).await.expect("nobody waits for ever");
        for error in [a.unwrap_err(), b.unwrap_err(), c, d.unwrap_err(), bench.append(0, 10).unwrap_err()] {
            assert!(matches!(error, WalError::Failed { .. }), "{error}");
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        assert_eq!(bench.wal.durable(), good.end);
        assert_eq!((bench.told[0].last(), bench.told[1].last()), (good.end, Lsn(0)));
        env.sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.wal.durable(), good.end, "never retried");
        bench.wal.wait_durable(good.end).await.unwrap();
        assert_eq!(bench.wal.read(good.start, good.end).await.unwrap(), good.batch);
        bench.crash().await;
        let (replayed, entries) = bench.replay().await.unwrap();
        assert!(replayed.end >= good.end);
        assert!(entries.iter().map(record_of).eq(bench.records.lock()[..entries.len()].iter().cloned()));
    });
}

#[test]
fn t11_a_panic_in_a_sink_is_a_failure_that_everybody_is_told() {
    struct Panics;
    impl Durable for Panics {
        fn durable(&self, _: Lsn) {
            panic!("on purpose");
        }
    }
    simulate(5, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let batch = batch(10, 1);
        let entry = Entry { partition: partition(0), epoch: 1, epoch_start: 0, base_offset: 0, batch: &batch };
        let sink: Arc<dyn Durable> = Arc::new(Panics);
        bench.wal.append(&entry, &sink).unwrap();
        assert!(matches!(bench.wal.failed().await, WalError::Failed { .. }));
        assert!(matches!(bench.append(0, 10), Err(WalError::Failed { .. })));
    });
}

#[test]
fn the_budget_refuses_cleanly_and_trimming_gives_room() {
    simulate(6, async |env| {
        let bench = Bench::new(&env, WalOptions { budget: 100 << 10, pending_bytes: 1 << 20, ..small_options() }).await;
        let refused = loop {
            if let Err(error) = bench.append(0, 3_000) {
                break error;
            }
        };
        assert!(matches!(refused, WalError::Full { .. }), "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        let end = bench.wal.end();
        assert!(end.0 <= 100 << 10 && end.0 > 90 << 10, "{end}");
        bench.wal.wait_durable(end).await.unwrap();
        assert!(matches!(bench.append(0, 3_000), Err(WalError::Full { .. })), "being durable is not being flushed");
        bench.wal.trim(end).await.unwrap();
        let next = bench.append_durably(0, 3_000).await;
        assert_eq!(next.start, end, "what was refused left no trace");
        let too_large = bench.append(0, 200 << 10).unwrap_err();
        assert_eq!(too_large.kind(), ErrorKind::Invalid, "{too_large}");
    });
}

#[test]
fn a_slow_disk_refuses_when_too_much_waits_but_always_takes_one_entry() {
    simulate(7, async |env| {
        let bench = Bench::new(&env, WalOptions { pending_bytes: 10 << 10, ..small_options() }).await;
        bench.sim.hang_syncs();
        bench.append(0, 40 << 10).expect("a large entry is taken when nothing waits");
        assert!(matches!(bench.append(0, 100), Err(WalError::Full { .. })));
        bench.sim.release_syncs();
        bench.wal.wait_durable(bench.wal.end()).await.unwrap();
        bench.append_durably(0, 100).await;
    });
}

#[test]
fn a_full_disk_refuses_cleanly_and_goes_on_with_what_trim_gives_back() {
    simulate(8, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 3_000).await;
        env.sleep(Duration::from_secs(1)).await;
        bench.sim.set_capacity(Some(bench.sim.used_bytes() + 100));
        let mut refused = None;
        for _ in 0..200 {
            match bench.append(0, 3_000) {
                Ok(_) => env.sleep(Duration::from_millis(50)).await,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        assert!(matches!(refused, Some(WalError::Full { .. })), "{refused:?}");
        assert!(bench.wal.shared.failure.get().is_none(), "no space is no failure");
        // Where the file after the last one was asked for already, its entries wait; trimming the others helps them too.
        bench.wal.trim(bench.wal.durable()).await.unwrap();
        for _ in 0..20 {
            let mut appended = bench.append(1, 3_000);
            if matches!(appended, Err(WalError::Full { .. })) {
                bench.wal.trim(bench.wal.durable()).await.unwrap();
                env.sleep(Duration::from_secs(1)).await;
                appended = bench.append(1, 3_000);
            }
            let end = appended.unwrap().end;
            let waited = bench.wal.wait_durable(end);
            if env.timeout(Duration::from_secs(5), waited).await.is_err() {
                bench.wal.trim(bench.wal.durable()).await.unwrap();
                bench.wal.wait_durable(end).await.unwrap();
            }
        }
        bench.crash().await;
        let (replayed, entries) = bench.replay().await.unwrap();
        assert_eq!(replayed.end, bench.wal.end());
        let records = bench.records.lock();
        assert!(entries.iter().map(record_of).eq(records[records.len() - entries.len()..].iter().cloned()));
    });
}

#[test]
fn an_entry_larger_than_a_file_has_one_of_its_own() {
    simulate(9, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let large = bench.append(0, 100_000).unwrap();
        let small = bench.append(1, 9_000).unwrap();
        let again = bench.append(2, 50_000).unwrap();
        bench.wal.wait_durable(again.end).await.unwrap();
        for appended in [&large, &small, &again] {
            assert_eq!(bench.wal.read(appended.start, appended.end).await.unwrap(), appended.batch);
        }
        assert_eq!(bench.wal.stats().files, 3);
        bench.crash().await;
        let (replayed, entries) = bench.replay().await.unwrap();
        assert_eq!((replayed.end, replayed.torn), (again.end, false));
        assert!(entries.iter().map(record_of).eq(bench.records.lock().iter().cloned()));
    });
}

#[test]
fn a_closed_wal_has_everything_on_the_disk_and_takes_no_more() {
    simulate(10, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        for n in 0..30 {
            bench.append(n % 4, 1_000).unwrap();
        }
        assert_eq!(bench.wal.close().await.unwrap(), bench.wal.end());
        assert_eq!(bench.wal.durable(), bench.wal.end());
        assert_eq!(bench.append(0, 10).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(bench.wal.close().await.unwrap(), bench.wal.end(), "closing twice is fine");
        let (first, end) = (bench.records.lock()[0].clone(), bench.wal.end());
        assert_eq!(bench.wal.read(first.start, first.end).await.unwrap(), first.batch);
        bench.wal.trim(end).await.unwrap();
        assert!(matches!(bench.wal.read(first.start, first.end).await, Err(WalError::Trimmed { .. })));
    });
}

#[test]
fn an_empty_wal_closes_at_once_and_replays_as_empty() {
    simulate(11, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        assert_eq!(bench.wal.close().await.unwrap(), Lsn(0));
        let (replayed, entries) = bench.replay().await.unwrap();
        assert_eq!((replayed.start, replayed.end, replayed.torn, entries.len()), (Lsn(0), Lsn(0), false, 0));
    });
}

#[test]
fn a_wal_is_begun_once_and_not_where_the_incarnation_is_sealed() {
    simulate(12, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let again = Wal::create(env.clone(), Arc::clone(&bench.disk), small_options()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Invalid, "{again}");
        bench.crash().await;
        let again = Wal::create(env.clone(), Arc::clone(&bench.disk), small_options()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Invalid, "after a crash too: {again}");
        seal(&bench.disk, Incarnation(9), Incarnation(10)).await.unwrap();
        let other = WalOptions { incarnation: Incarnation(9), dir: "wal/9-0".into(), ..small_options() };
        let sealed = Wal::create(env.clone(), Arc::clone(&bench.disk), other).await.unwrap_err();
        assert_eq!(sealed.kind(), ErrorKind::Fenced, "{sealed}");
        assert!(bench.disk.list("wal/9-0").await.is_err(), "nothing was made");
        let senseless = WalOptions { file_bytes: 100, dir: "wal/x".into(), ..small_options() };
        assert_eq!(Wal::create(env, Arc::clone(&bench.disk), senseless).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn what_is_no_batch_is_refused_without_a_trace() {
    simulate(13, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let sink: Arc<dyn Durable> = Told::new();
        let entry = Entry { partition: partition(0), epoch: 1, epoch_start: 0, base_offset: 0, batch: b"no batch" };
        assert_eq!(bench.wal.append(&entry, &sink).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(bench.wal.end(), Lsn(0));
        let appended = bench.append_durably(0, 10).await;
        assert_eq!(appended.start, Lsn(0));
        assert!(bench.wal.wait_durable(Lsn(appended.end.0 + 1)).await.is_err(), "nothing is there to wait for");
    });
}

#[test]
fn what_is_read_must_be_durable_whole_and_an_entry() {
    simulate(14, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        let first = bench.append_durably(0, 100).await;
        let second = bench.append(0, 100).unwrap();
        let read = async |start: Lsn, end: Lsn| bench.wal.read(start, end).await.map_err(|error| error.kind());
        assert_eq!(read(second.start, second.end).await, Err(ErrorKind::Retry), "not durable");
        bench.wal.wait_durable(second.end).await.unwrap();
        assert_eq!(read(first.start, second.end).await, Err(ErrorKind::Corrupt), "two entries are not one");
        assert_eq!(read(Lsn(first.start.0 + 1), first.end).await, Err(ErrorKind::Corrupt));
        assert_eq!(read(second.end, first.start).await, Err(ErrorKind::Invalid));
        bench.sim.flip_bit(&format!("{DIR}/{}", crate::files::file_name(Lsn(0))), FILE_HEADER + first.end.0 - 1, 3).unwrap();
        assert_eq!(read(first.start, first.end).await, Err(ErrorKind::Corrupt));
        assert_eq!(read(second.start, second.end).await, Ok(second.batch));
    });
}

#[test]
fn t02_nothing_is_told_that_a_crash_at_that_moment_could_lose() {
    // The sink looks at the disk as a crash right then would leave it: what it is told of must be there.
    struct Looks(Mutex<Option<(SimDisk, Arc<Wal>)>>, AtomicU64);
    impl Durable for Looks {
        fn durable(&self, upto: Lsn) {
            if let Some((sim, wal)) = self.0.lock().take() {
                assert!(wal.durable() >= upto);
                self.1.store(upto.0, Ordering::Release);
                sim.crash();
            }
        }
    }
    for seed in 0..50 {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, small_options()).await;
            let sink = Arc::new(Looks(Mutex::new(Some((bench.sim.clone(), Arc::clone(&bench.wal)))), AtomicU64::new(0)));
            let batch = batch(5_000, seed);
            let entry = Entry { partition: partition(0), epoch: 1, epoch_start: 0, base_offset: 0, batch: &batch };
            bench.wal.append(&entry, &(Arc::clone(&sink) as Arc<dyn Durable>)).unwrap();
            bench.wal.wait_durable(bench.wal.end()).await.unwrap();
            env.sleep(Duration::from_millis(1)).await; // the sink was told, and has crashed the disk
            let (replayed, _) = bench.replay().await.unwrap();
            assert!(sink.1.load(Ordering::Acquire) > 0 && replayed.end.0 >= sink.1.load(Ordering::Acquire), "seed {seed}");
        });
    }
}

#[test]
fn the_real_disk_keeps_what_was_durable() {
    let root = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(root.path().to_path_buf()));
        let options = WalOptions { file_bytes: 256 << 10, ..WalOptions::new(INCARNATION, GENERATION, DIR) };
        let wal = Wal::create(Env::real(), Arc::clone(&disk), options).await.unwrap();
        let told = Told::new();
        let mut appended = Vec::new();
        for n in 0..200_i64 {
            let batch = batch(usize::try_from(n * 37 % 9_000).unwrap(), n.cast_unsigned());
            let entry = Entry { partition: partition(0), epoch: 1, epoch_start: 0, base_offset: n, batch: &batch };
            appended.push(wal.append(&entry, &(Arc::clone(&told) as Arc<dyn Durable>)).unwrap());
            if n % 50 == 49 {
                wal.wait_durable(wal.end()).await.unwrap();
            }
        }
        let end = wal.close().await.unwrap();
        assert_eq!(told.last(), end);
        let cut = &appended[120];
        wal.trim(cut.start).await.unwrap();
        drop(wal);
        let (replayed, entries) = crate::testing::replay_all(&disk).await.unwrap();
        assert_eq!((replayed.end, replayed.torn), (end, false));
        assert!(replayed.start > Lsn(0) && replayed.start <= cut.start, "{replayed:?}");
        let kept = &appended[appended.len() - entries.len()..];
        assert!(entries.iter().zip(kept).all(|(found, put)| found.batch == put.batch && found.header.lsn == put.start));
        assert!(kept[0].start <= cut.start);
        assert!(entries.iter().all(|entry| BatchHeader::parse(&entry.batch).is_ok()));
        crate::remove_generation(&disk, DIR).await.unwrap();
        assert!(disk.list("wal").await.unwrap().is_empty());
    });
}

#[test]
fn nothing_becomes_durable_behind_a_settled_wal_whatever_had_failed() {
    simulate(20, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 100).await;
        bench.sim.hang_syncs();
        let appended = bench.append(0, 100).unwrap();
        env.sleep(Duration::from_secs(1)).await;
        // As when the next file cannot be made, while this group is on its way to the disk.
        bench.wal.shared.fail(WalError::Failed { error: Arc::new(std::io::Error::other("no file")) });
        let sealed = WalError::Sealed { incarnation: INCARNATION };
        assert!(env.timeout(Duration::from_secs(3600), bench.wal.settle(sealed.clone())).await.is_err(), "a group is being written");
        bench.sim.release_syncs();
        bench.wal.settle(sealed).await;
        let settled = bench.wal.durable();
        assert_eq!(settled, appended.end, "it is on the disk, and whoever reads now finds it");
        env.sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.wal.durable(), settled);
    });
}

#[test]
fn what_no_file_can_be_made_for_holds_nobody_up_who_settles() {
    simulate(21, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        bench.append_durably(0, 100).await;
        env.sleep(Duration::from_secs(1)).await;
        bench.sim.set_capacity(Some(bench.sim.used_bytes()));
        while bench.append(0, 3_000).is_ok() {
            env.sleep(Duration::from_millis(1)).await;
        }
        env.timeout(Duration::from_secs(10), bench.wal.settle(WalError::Sealed { incarnation: INCARNATION })).await.unwrap();
        let (durable, failed) = (bench.wal.durable(), bench.wal.failure().is_some());
        assert_eq!(durable < bench.wal.end(), failed, "all is durable, or it has failed");
        bench.sim.set_capacity(None);
        env.sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.wal.durable(), durable);
    });
}
