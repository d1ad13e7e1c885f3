//! Tests of the simulated disk: each fault does what it says, synced bytes outlive everything, and a seed is a run.

use super::*;
use std::collections::BTreeSet;

fn disk(seed: u64) -> (Env, SimDisk) {
    let env = Env::simulated(seed);
    let disk = SimDisk::new(&env);
    (env, disk)
}

fn text(s: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(s.as_bytes())]
}

fn kind<T: fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.expect_err("should fail").kind()
}

#[tokio::test(start_paused = true)]
async fn a_crash_keeps_synced_bytes_and_may_lose_the_others() {
    let mut fates = BTreeSet::new();
    for seed in 0..200 {
        let (_, disk) = disk(seed);
        disk.create_dir_all("wal").await.unwrap();
        let file = disk.create("wal/1", 16 * 4_096).await.unwrap();
        file.write_and_sync(0, text("synced")).await.unwrap();
        file.write_at(8 * 4_096, vec![Bytes::from(vec![7; 4_096])]).await.unwrap();
        let report = disk.crash();
        assert_eq!(kind(file.read_at(0, 1).await), io::ErrorKind::BrokenPipe, "the process is dead");
        let found = disk.open("wal/1").await.unwrap();
        assert_eq!(found.len(), 16 * 4_096);
        assert_eq!(found.read_at(0, 6).await.unwrap(), "synced", "seed {seed}");
        let page = found.read_at(8 * 4_096, 4_096).await.unwrap();
        let sectors: BTreeSet<&[u8]> = page.chunks(512).collect();
        assert!(sectors.iter().all(|s| *s == [0; 512] || *s == [7; 512]), "torn at sectors only");
        fates.insert((sectors.len(), sectors.contains(&[0; 512][..])));
        assert_eq!(report.pages_kept + report.pages_lost + report.pages_torn, 1);
    }
    assert_eq!(fates, BTreeSet::from([(1, false), (1, true), (2, true)]), "kept, lost and torn all happen");
}

#[tokio::test(start_paused = true)]
async fn kill_keeps_what_was_written_and_a_later_crash_may_still_take_it() {
    let mut lost = 0;
    for seed in 0..50 {
        let (_, disk) = disk(seed);
        let file = disk.create("log", 4_096).await.unwrap();
        file.write_at(0, text("written")).await.unwrap();
        disk.process_died();
        assert_eq!(kind(file.sync_data().await), io::ErrorKind::BrokenPipe);
        assert_eq!(disk.open("log").await.unwrap().read_at(0, 7).await.unwrap(), "written");
        disk.crash();
        lost += u32::from(disk.open("log").await.unwrap().read_at(0, 7).await.unwrap() != "written");
    }
    assert!((10..45).contains(&lost), "{lost} of 50");
}

#[tokio::test(start_paused = true)]
async fn a_durable_write_holds_the_old_or_the_new_bytes_whenever_the_crash_comes() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let (env, disk) = disk(seed);
        let process = env.process();
        disk.write_durably("seal", Bytes::from_static(b"old")).await.unwrap();
        let clone = disk.clone();
        let task = process.spawn("writes", async move { clone.write_durably("seal", Bytes::from_static(b"the new one")).await });
        env.sleep(Duration::from_millis(env.random_below(14))).await;
        let done = task.is_finished();
        process.abort_all();
        process.tasks_ended().await;
        disk.crash();
        let found = disk.read("seal").await.unwrap();
        assert!(found == "the new one" || (found == "old" && !done), "seed {seed}: {found:?}, done {done}");
        seen.insert((done, found));
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn entries_are_lost_with_their_folder_and_never_half_of_a_rename() {
    let mut lost = 0;
    for seed in 0..200 {
        let (_, disk) = disk(seed);
        disk.write_durably("a", Bytes::from_static(b"body")).await.unwrap();
        {
            let mut state = disk.0.state.lock();
            state.rename("a", "b").unwrap();
            state.make_dir("new").unwrap();
            state.create("new/file").unwrap();
        }
        lost += disk.crash().entries_lost;
        let names: Vec<String> = disk.list("").await.unwrap().into_iter().map(|e| e.name).collect();
        let file = names[0].as_str();
        assert!(["a", "b"].contains(&file) && !names[1..].contains(&"b".to_string()), "seed {seed}: {names:?}");
        assert_eq!(disk.read(file).await.unwrap(), "body");
        assert_eq!(disk.list("new").await.is_ok(), names.contains(&"new".into()));
    }
    assert!(lost > 100, "{lost}");
}

#[tokio::test(start_paused = true)]
async fn locks_die_with_their_process_and_an_old_one_does_not_free_a_new() {
    let (_, disk) = disk(1);
    let old = disk.lock("lock").await.unwrap();
    assert_eq!(kind(disk.clone().lock("lock").await), io::ErrorKind::WouldBlock);
    disk.process_died();
    let new = disk.lock("lock").await.unwrap();
    drop(old);
    assert_eq!(kind(disk.lock("lock").await), io::ErrorKind::WouldBlock);
    drop(new);
    disk.lock("lock").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn injected_errors_hit_the_named_files_as_often_as_asked() {
    let (_, disk) = disk(1);
    disk.create_dir_all("wal").await.unwrap();
    let (hit, spared) = (disk.create("wal/1", 4_096).await.unwrap(), disk.create("other", 4_096).await.unwrap());
    disk.fail_syncs("wal/", 1);
    disk.fail_reads("wal/", 2);
    disk.fail_writes("wal/", 1);
    spared.write_and_sync(0, text("x")).await.unwrap();
    assert_eq!(spared.read_at(0, 1).await.unwrap(), "x");
    assert!(hit.write_at(0, text("abcdef")).await.unwrap_err().to_string().contains("wal/1"));
    hit.write_at(0, text("abcdef")).await.unwrap();
    hit.sync_data().await.unwrap_err();
    hit.sync_data().await.unwrap();
    hit.read_at(0, 6).await.unwrap_err();
    disk.read("wal/1").await.unwrap_err();
    assert_eq!(hit.read_at(0, 6).await.unwrap(), "abcdef");
    let counts = disk.counts();
    assert_eq!((counts.failed_syncs, counts.failed_reads, counts.failed_writes), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hung_sync_returns_when_it_is_released_or_its_time_is_over() {
    let (env, disk) = disk(1);
    let file = disk.create("log", 4_096).await.unwrap();
    let minute = Duration::from_secs(60);
    disk.hang_syncs();
    file.write_at(0, text("writes do not hang")).await.unwrap();
    assert!(env.timeout(minute, file.sync_data()).await.is_err());
    let (synced, ()) = tokio::join!(env.timeout(minute, file.sync_data()), async { disk.release_syncs() });
    synced.unwrap().unwrap();

    disk.hang_syncs_for(minute);
    let before = env.monotonic();
    file.sync_data().await.unwrap();
    let took = env.monotonic() - before;
    assert!(took >= minute && took < minute * 2, "{took:?}");

    disk.hang_syncs();
    let clone = Arc::clone(&file);
    let hung = env.spawn("syncs", async move { clone.sync_data().await });
    env.sleep(Duration::from_millis(1)).await;
    disk.crash();
    assert_eq!(kind(hung.join().await.unwrap()), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_growth_but_not_writes_within_a_file_and_removal_makes_room() {
    let (_, disk) = disk(1);
    let file = disk.create("log", 8_192).await.unwrap();
    disk.set_capacity(Some(10_000));
    file.write_and_sync(0, vec![Bytes::from(vec![1; 8_192])]).await.unwrap();
    assert_eq!(kind(disk.create("next", 4_096).await), io::ErrorKind::StorageFull);
    assert_eq!(kind(file.write_at(8_192, vec![Bytes::from(vec![2; 4_096])]).await), io::ErrorKind::StorageFull);
    assert_eq!(file.len(), 10_000, "a part of it was written");
    assert_eq!(kind(disk.write_durably("seal", Bytes::from_static(b"no room")).await), io::ErrorKind::StorageFull);
    assert_eq!(disk.list("").await.unwrap().len(), 1);
    disk.remove("log").await.unwrap();
    assert_eq!(disk.used_bytes(), 10_000, "the file is still open");
    drop(file);
    assert_eq!(disk.used_bytes(), 0, "nothing is left of the calls that failed");
    disk.create("next", 4_096).await.unwrap();
    disk.write_durably("seal", Bytes::from_static(b"room")).await.unwrap();
    disk.set_capacity(Some(5_000));
    assert_eq!(kind(disk.write_durably("seal", Bytes::from(vec![0; 1_000])).await), io::ErrorKind::StorageFull);
    assert_eq!((disk.used_bytes(), disk.read("seal").await.unwrap()), (4_100, Bytes::from_static(b"room")));
    disk.set_capacity(None);
    disk.create("large", 1 << 40).await.unwrap();
    assert_eq!(disk.counts().refused_as_full, 4);
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_stays_flipped() {
    let (_, disk) = disk(1);
    assert_eq!(disk.flip_random_bit(""), None);
    let file = disk.create("log", 4_096).await.unwrap();
    file.write_and_sync(0, text("abc")).await.unwrap();
    disk.flip_bit("log", 1, 0).unwrap();
    assert_eq!(file.read_at(0, 3).await.unwrap(), "acc");
    disk.crash();
    assert_eq!(disk.open("log").await.unwrap().read_at(0, 3).await.unwrap(), "acc");
    assert_eq!(kind(disk.flip_bit("log", 4_096, 0)), io::ErrorKind::UnexpectedEof);
    let before = disk.read("log").await.unwrap();
    let (path, position) = disk.flip_random_bit("l").unwrap();
    let after = disk.read(&path).await.unwrap();
    let differing: Vec<u64> = (0..4_096).filter(|n| before[*n as usize] != after[*n as usize]).collect();
    assert_eq!(differing, [position]);
    assert_eq!(disk.counts().flipped_bits, 2);
}

/// A little of everything; what can be seen of it, in order.
fn trace(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (env, disk) = disk(seed);
        let mut trace = Vec::new();
        for round in 0..5 {
            let process = env.process();
            let tasks: Vec<_> = (0..4_u64)
                .map(|n| {
                    let (process, disk) = (process.clone(), disk.clone());
                    process.clone().spawn("writes", async move {
                        let path = format!("file{n}");
                        let file = match disk.open(&path).await {
                            Ok(file) => file,
                            Err(_) => disk.create(&path, 65_536).await?,
                        };
                        for _ in 0..100 {
                            let at = process.random_below(65_000);
                            file.write_at(at, text("some bytes")).await?;
                            if process.random_below(3) == 0 {
                                file.sync_data().await?;
                            }
                        }
                        io::Result::Ok(())
                    })
                })
                .collect();
            env.sleep(Duration::from_millis(env.random_below(200))).await;
            process.abort_all();
            process.tasks_ended().await;
            drop(tasks);
            trace.push(format!("{round} {:?} {:?} {:?}", env.monotonic(), disk.crash(), disk.counts()));
            for entry in disk.list("").await.unwrap() {
                let body = disk.read(&entry.name).await.unwrap();
                trace.push(format!("{entry:?} {}", body.iter().fold(0_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b)))));
            }
        }
        trace
    })
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_can_be_seen_is_durable_once_it_was_made_again() {
    let mut seen = 0;
    for seed in 0..100 {
        let (env, disk) = disk(seed);
        let limit = Duration::from_millis(env.random_below(8));
        let cut_off = env.timeout(limit, disk.create_dir_all("a/b")).await.is_err();
        disk.process_died();
        seen += usize::from(cut_off && disk.list("a").await.is_ok());
        disk.create_dir_all("a/b").await.unwrap();
        disk.crash();
        assert!(disk.list("a/b").await.is_ok(), "seed {seed}");
    }
    assert!(seen > 5, "{seen} folders could be seen before they were durable");
}
