//! Who is over changes nothing any more: neither what a later one has begun, nor what was removed, nor what was sealed.

use super::*;

#[test]
fn who_was_attached_before_changes_nothing_of_a_replica_that_began_anew() {
    simulate(20, async |env| {
        let bench = Bench::new(&env).await;
        let before = bench.attach().await;
        bench.append_durably(&before, 0..20).await;
        // Its mark is on the way to a disk that hangs.
        bench.sim.hang_syncs();
        before.note_durable();
        env.sleep(Duration::from_secs(1)).await;
        let begin = bench.entries[90].1.header.lsn;
        let again = bench.replicas.attach(INCARNATION, GENERATION, begin);
        let release = async {
            env.sleep(Duration::from_secs(5)).await;
            bench.sim.release_syncs();
        };
        let (again, ()) = tokio::join!(again, release);
        assert_eq!(again.unwrap().end(), begin);
        before.note_durable();
        env.sleep(Duration::from_secs(5)).await;
        let kept = state_of(&bench.disk, &state_path((INCARNATION, GENERATION))).await.unwrap().unwrap();
        assert_eq!((kept.trimmed, kept.acknowledged), (begin, begin));
    });
}

#[test]
fn nothing_comes_back_of_a_replica_that_was_removed_and_its_room_is_free() {
    for failed in [false, true] {
        simulate(21, async |env| {
            let mut bench = Bench::new(&env).await;
            let mut attachment = bench.attach().await;
            let end = bench.append_durably(&attachment, 0..60).await;
            if failed {
                bench = bench.restart(&env, SimDisk::process_died).await;
                bench.sim.fail_writes("replicas/0000000000000007-00000000/", 1);
                assert!(matches!(bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await, Err(WalError::Failed { .. })));
                assert!(bench.replicas.used() >= end.0, "what lies there takes room all the same");
                attachment = bench.replicas.attach(Incarnation(8), GENERATION, Lsn(0)).await.unwrap();
                bench.replicas.remove(Incarnation(8)).await.unwrap();
            }
            bench.replicas.remove(INCARNATION).await.unwrap();
            attachment.note_durable();
            env.sleep(Duration::from_secs(60)).await;
            assert_eq!((bench.replicas.used(), bench.replicas.list()), (0, vec![]), "failed: {failed}");
            assert!(bench.disk.list("replicas").await.unwrap().is_empty());
        });
    }
}

#[test]
fn a_full_disk_gives_its_seal_once_that_has_room_whatever_else_waits_for_some() {
    simulate(22, async |env| {
        let bench = Bench::new(&env).await;
        let attachment = bench.attach().await;
        bench.append_durably(&attachment, 0..5).await;
        env.sleep(Duration::from_secs(1)).await;
        bench.sim.set_capacity(Some(bench.sim.used_bytes()));
        let mut next = 5;
        while attachment.append(&bench.entries[next].1).is_ok() {
            next += 1;
            env.sleep(Duration::from_millis(1)).await;
        }
        let told = attachment.durable();
        assert!(matches!(bench.seal().await, Err(WalError::Disk { .. })), "there is no room for it");
        // For a seal alone, which is smaller than any file.
        bench.sim.set_capacity(Some(bench.sim.used_bytes() + 100));
        env.timeout(Duration::from_secs(10), bench.seal()).await.unwrap().unwrap();
        let (settled, read) = (attachment.durable(), bench.read().await.unwrap().0.end);
        assert!(told <= settled && settled <= read, "{told}, {settled}, {read}");
        bench.sim.set_capacity(None);
        env.sleep(Duration::from_secs(60)).await;
        assert_eq!((attachment.durable(), bench.read().await.unwrap().0.end), (settled, read));
    });
}

#[test]
fn r10_an_own_wal_is_refused_or_ended_by_a_seal_that_comes_while_it_begins() {
    let (mut refused, mut ended) = (0, 0);
    for seed in 0..60 {
        let was_refused = simulate(seed, async |env| {
            let bench = Bench::new(&env).await;
            let options = WalOptions { dir: own_dir(INCARNATION, GENERATION), ..crate::testing::small_options() };
            let create = async {
                env.sleep(Duration::from_millis(env.random_below(12))).await;
                bench.replicas.create_own(options, None).await
            };
            let seal = async {
                env.sleep(Duration::from_millis(env.random_below(12))).await;
                bench.seal().await
            };
            let (wal, sealed) = tokio::join!(create, seal);
            sealed.unwrap();
            let batch = crate::testing::batch(100, 1);
            let entry = crate::Entry { partition: crate::testing::partition(0), epoch: 1, epoch_start: 0, base_offset: 0, batch: &batch };
            let told: Arc<dyn crate::Durable> = crate::testing::Told::new();
            match wal {
                Err(WalError::Sealed { .. }) => true,
                Ok(wal) => {
                    assert!(matches!(wal.append(&entry, &told), Err(WalError::Sealed { .. })), "seed {seed}: it goes on behind its seal");
                    false
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        });
        refused += usize::from(was_refused);
        ended += usize::from(!was_refused);
    }
    assert!(refused > 5 && ended > 5, "{refused} were refused, {ended} ended");
}

#[test]
fn r11_what_its_owner_has_flushed_is_forgotten_unless_it_is_sealed_and_half_of_it_is_no_answer() {
    let mut halves = 0;
    for seed in 0..60 {
        halves += usize::from(simulate(seed, async |env| {
            let bench = Bench::new(&env).await;
            let attachment = bench.attach().await;
            bench.append_durably(&attachment, 0..120).await;
            let other = bench.replicas.attach(INCARNATION, Generation(1), Lsn(0)).await.unwrap();
            // The process dies somewhere within it.
            let limit = Duration::from_millis(env.random_below(25));
            let _ = env.timeout(limit, bench.replicas.forget(INCARNATION, GENERATION)).await;
            let bench = bench.restart(&env, if seed % 2 == 0 { SimDisk::process_died } else { power_failure }).await;
            drop(other);
            let folder = bench.disk.list(&dir((INCARNATION, GENERATION))).await.is_ok();
            let state = bench.disk.read(&state_path((INCARNATION, GENERATION))).await.is_ok();
            let half = folder && !state;
            if half {
                let attached = bench.replicas.attach(INCARNATION, GENERATION, Lsn(0)).await;
                assert!(matches!(attached, Err(WalError::Damaged { .. })), "seed {seed}: {attached:?}");
            }
            bench.replicas.forget(INCARNATION, GENERATION).await.unwrap();
            bench.replicas.forget(INCARNATION, GENERATION).await.unwrap();
            assert_eq!(bench.replicas.list(), [(INCARNATION, Generation(1))], "seed {seed}");
            bench.replicas.attach(INCARNATION, Generation(1), Lsn(0)).await.unwrap();
            assert_eq!(bench.replicas.used(), 0, "seed {seed}");
            let held = bench.seal().await.unwrap();
            assert_eq!(held.iter().map(|held| held.generation).collect::<Vec<_>>(), [Generation(1)]);
            assert!(matches!(bench.read().await, Err(WalError::Missing { .. })));
            let kept = bench.replicas.forget(INCARNATION, Generation(1)).await;
            assert!(matches!(kept, Err(WalError::Sealed { .. })), "whoever recovers may be reading it: {kept:?}");
            half
        }));
    }
    assert!(halves > 3, "{halves} were found half forgotten");
}
