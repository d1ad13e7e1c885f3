//! The cluster in simulation: many seeds, quick; any number by `FLOE_CLUSTER_SEEDS`, from `FLOE_CLUSTER_FIRST` on. With `FLOE_CLUSTER_LOG=debug` it says what the brokers log:
//! for one seed.

use floe_testkit::cluster::{
    OPERATIONS, an_end_is_damaged_for_a_while, records_are_acknowledged_while_the_store_is_away, run, who_one_alone_does_not_reach_lives_on,
};
use floe_testkit::simulation::Coverage;

const SEEDS: u64 = 500;
/// Seeds at the same time; each is a world of its own.
const PARALLEL: u64 = 2;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "threads of the test itself: each seed is a world of its own")]
fn nothing_acknowledged_is_lost_doubled_or_reordered_whatever_happens_to_brokers() {
    let (first, seeds) = (setting("FLOE_CLUSTER_FIRST", 1), setting("FLOE_CLUSTER_SEEDS", SEEDS));
    if let Ok(level) = std::env::var("FLOE_CLUSTER_LOG") {
        tracing_subscriber::fmt().with_env_filter(level).without_time().init();
    }
    let (mut coverage, mut broken) = (Coverage::default(), Vec::new());
    let share = |from: u64| {
        let seeds = (first + from..first + seeds).step_by(usize::try_from(PARALLEL).expect("a few"));
        std::thread::spawn(move || seeds.map(|seed| run(seed, OPERATIONS)).collect::<Vec<_>>())
    };
    for outcome in (0..PARALLEL).map(share).collect::<Vec<_>>().into_iter().flat_map(|thread| thread.join().expect("no run panics")) {
        if let Some(violation) = &outcome.violation {
            broken.push(format!("seed {}: {violation}", outcome.seed));
        }
        coverage.add(&outcome.coverage);
    }
    eprintln!("{seeds} seeds:\n{coverage}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(run(3, 200), run(3, 200));
}

#[test]
fn t03_copies_are_acknowledgements_without_a_store_and_sets_are_whole_after_a_loss() {
    for seed in 1..=20 {
        assert_eq!(records_are_acknowledged_while_the_store_is_away(seed), Ok(()), "seed {seed}");
    }
}

#[test]
fn t23_what_cannot_be_read_of_one_dead_broker_costs_nobody_else_anything() {
    for seed in 1..=5 {
        assert_eq!(an_end_is_damaged_for_a_while(seed), Ok(()), "seed {seed}");
    }
}

#[test]
fn who_one_alone_does_not_reach_is_not_put_an_end_to() {
    for seed in 1..=10 {
        assert_eq!(who_one_alone_does_not_reach_lives_on(seed), Ok(()), "seed {seed}");
    }
}
