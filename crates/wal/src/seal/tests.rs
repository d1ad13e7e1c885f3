//! A seal stands for ever, whatever else happens on the disk.

use super::*;
use crate::{
    remove_generation,
    testing::{Bench, DIR, INCARNATION, simulate, small_options},
};
use floe_formats::decode;

#[test]
fn a_seal_survives_a_crash_and_the_first_one_stays() {
    for seed in 0..20 {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, small_options()).await;
            assert!(!is_sealed(&bench.disk, INCARNATION).await.unwrap());
            seal(&bench.disk, INCARNATION, Incarnation(8)).await.unwrap();
            bench.crash().await;
            assert!(is_sealed(&bench.disk, INCARNATION).await.unwrap());
            seal(&bench.disk, INCARNATION, Incarnation(9)).await.unwrap();
            let (_, kept) = decode::<Seal>(&bench.disk.read("seals/0000000000000007").await.unwrap()).unwrap();
            assert_eq!(kept, Seal { incarnation: INCARNATION, by: Incarnation(8) });
            assert!(!is_sealed(&bench.disk, Incarnation(70)).await.unwrap(), "of this incarnation alone");
        });
    }
}

#[test]
fn t64_a_seal_that_can_be_seen_and_is_not_durable_is_made_so_before_it_counts() {
    let mut seen = 0;
    for seed in 0..200 {
        simulate(seed, async |env| {
            let bench = Bench::new(&env, small_options()).await;
            let limit = std::time::Duration::from_millis(env.random_below(20));
            let cut_off = env.timeout(limit, seal(&bench.disk, INCARNATION, Incarnation(8))).await.is_err();
            bench.sim.process_died();
            seen += usize::from(cut_off && is_sealed(&bench.disk, INCARNATION).await.unwrap());
            seal(&bench.disk, INCARNATION, Incarnation(9)).await.unwrap();
            bench.crash().await;
            assert!(is_sealed(&bench.disk, INCARNATION).await.unwrap(), "seed {seed}");
        });
    }
    assert!(seen > 5, "{seen} seals could be seen before they were durable");
}

#[test]
fn t64_a_seal_is_kept_when_the_replica_is_gone_and_given_for_one_that_never_was() {
    simulate(1, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        seal(&bench.disk, INCARNATION, Incarnation(8)).await.unwrap();
        seal(&bench.disk, Incarnation(99), Incarnation(8)).await.unwrap();
        bench.crash().await;
        remove_generation(&bench.disk, DIR).await.unwrap();
        for incarnation in [INCARNATION, Incarnation(99)] {
            assert!(is_sealed(&bench.disk, incarnation).await.unwrap());
            let options = crate::WalOptions { incarnation, ..small_options() };
            assert!(matches!(crate::Wal::create(env.clone(), Arc::clone(&bench.disk), options).await, Err(WalError::Sealed { .. })));
        }
    });
}

#[test]
fn t24_an_unreadable_seal_is_an_error_and_a_damaged_one_a_seal() {
    simulate(2, async |env| {
        let bench = Bench::new(&env, small_options()).await;
        seal(&bench.disk, Incarnation(5), Incarnation(8)).await.unwrap();
        bench.sim.fail_reads("seals", 1);
        assert!(matches!(is_sealed(&bench.disk, Incarnation(5)).await, Err(WalError::Disk { .. })));
        bench.sim.flip_bit("seals/0000000000000005", 10, 2).unwrap();
        assert!(is_sealed(&bench.disk, Incarnation(5)).await.unwrap());
    });
}
