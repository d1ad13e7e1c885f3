//! The simulated store conforms when it behaves, and misbehaves as it says when told to.

use super::*;
use floe_objstore::{Created, Store, StoreOptions, conformance};

fn body(id: u8) -> Payload {
    Bytes::from(vec![id; 100]).into()
}

fn rule(op: StoreOp, fault: StoreFault, count: u64) -> FaultRule {
    FaultRule { op: Some(op), prefix: String::new(), fault, count }
}

#[tokio::test(start_paused = true)]
async fn a_store_without_faults_conforms() {
    let env = Env::simulated(1);
    let sim = SimStore::new(&env, SimFaults::none());
    conformance::conforms(&env, "simulated", sim.backend()).await;
    conformance::emptied_folders_are_gone(&env, "simulated", sim.backend()).await;
    conformance::lists_bytewise_whatever_the_names(&env, "simulated", sim.backend()).await;
    let slow = SimStore::new(&env, SimFaults { way_ms: 1..500, slow: 3000, slow_factor: 10, slow_lists: 5000, ..SimFaults::none() });
    conformance::conforms(&env, "simulated and slow", slow.backend()).await;
    assert!(sim.counts().total_requests() > 100 && sim.counts().total_faults() == 0);
}

#[tokio::test(start_paused = true)]
async fn without_delays_no_time_passes() {
    let env = Env::simulated(1);
    let sim = SimStore::new(&env, SimFaults::none());
    let began = env.monotonic();
    for n in 0..100 {
        sim.create(&format!("k{n}"), body(1)).await.unwrap();
    }
    assert_eq!(env.monotonic() - began, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn errors_come_before_or_after_the_effect_as_told() {
    let env = Env::simulated(1);
    let sim = SimStore::new(&env, SimFaults::none());
    for (fault, happened) in [(StoreFault::Before, false), (StoreFault::Lost, false), (StoreFault::After, true)] {
        sim.add_rule(rule(StoreOp::Create, fault, 1));
        let error = sim.create("k", body(1)).await.expect_err("told to fail");
        assert_eq!(matches!(error, BackendError::Transient(_)), fault == StoreFault::Before, "{error}");
        assert_eq!(sim.peek("k").is_some(), happened, "{fault:?}");
    }
    assert_eq!(sim.create("k", body(2)).await, Err(BackendError::Exists));
    assert_eq!(sim.counts().faults, BTreeMap::from([("before", 1), ("lost", 1), ("after", 1)]));
}

#[tokio::test(start_paused = true)]
async fn t09_a_late_put_lands_though_its_process_was_killed() {
    let env = Env::simulated(1);
    let sim = SimStore::new(&env, SimFaults { way_ms: 10..11, ..SimFaults::none() });
    let broker = env.process();
    for (key, fault) in [("late", Some(StoreFault::Late { by_ms: 5_000 })), ("in-flight", None)] {
        if let Some(fault) = fault {
            sim.add_rule(rule(StoreOp::Create, fault, 1));
        }
        let sim = sim.clone();
        broker.spawn("put", async move { sim.create(key, body(1)).await }).detach_to_group();
    }
    env.sleep(Duration::from_millis(1)).await;
    broker.abort_all();
    broker.tasks_ended().await;
    assert_eq!(sim.peek_keys(""), [""; 0]);
    env.sleep(Duration::from_millis(20)).await;
    assert_eq!(sim.peek_keys(""), ["in-flight"]);
    env.sleep(Duration::from_secs(5)).await;
    assert_eq!(sim.peek_keys(""), ["in-flight", "late"]);
    assert_eq!(sim.counts().landed_late, 2);
    sim.settled().await;
}

#[tokio::test(start_paused = true)]
async fn writes_overtake_each_other() {
    let env = Env::simulated(5);
    let sim = SimStore::new(&env, SimFaults { way_ms: 1..100, ..SimFaults::none() });
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (sim, env2) = (sim.clone(), env.clone());
            env.spawn("put", async move {
                sim.create(&format!("k{n:02}"), body(n)).await.unwrap();
                env2.monotonic()
            })
        })
        .collect();
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(task.join().await.unwrap());
    }
    assert!(!ended.is_sorted(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_happens_and_never_answers() {
    let env = Env::simulated(1);
    let sim = SimStore::new(&env, SimFaults::none());
    sim.add_rule(rule(StoreOp::Create, StoreFault::Hang, 1));
    assert!(env.timeout(Duration::from_secs(3600), sim.create("k", body(1))).await.is_err());
    assert!(sim.peek("k").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_outage_fails_requests_loses_those_on_their_way_and_holds_late_ones_back() {
    let env = Env::simulated(1);
    let sim = SimStore::new(&env, SimFaults { way_ms: 10..11, ..SimFaults::none() });
    sim.add_rule(rule(StoreOp::Create, StoreFault::Late { by_ms: 100 }, 1));
    assert!(matches!(sim.create("late", body(1)).await, Err(BackendError::Unknown(_))));
    let on_its_way = {
        let sim = sim.clone();
        env.spawn("put", async move { sim.create("lost", body(1)).await })
    };
    env.sleep(Duration::from_millis(1)).await;
    sim.set_available(false);
    assert!(matches!(on_its_way.join().await.unwrap(), Err(BackendError::Unknown(_))));
    assert!(matches!(sim.get("late").await, Err(BackendError::Transient(_))), "never 'not found'");
    assert!(matches!(sim.list("", None, 1).await, Err(BackendError::Transient(_))));
    env.sleep(Duration::from_secs(10)).await;
    assert_eq!(sim.peek_keys(""), [""; 0]);
    sim.set_available(true);
    sim.settled().await;
    assert_eq!(sim.peek_keys(""), ["late"]);
    assert_eq!(sim.counts().unavailable, 3);
}

async fn run(seed: u64) -> (u64, SimCounts, Vec<String>) {
    let env = Env::simulated(seed);
    let sim = SimStore::new(&env, SimFaults::rough());
    let store = Store::new(env.process(), sim.backend(), StoreOptions::default());
    let mut won = Vec::new();
    for n in 0..300_u32 {
        // Two writers want each key; whoever is told that it won has to be right.
        let key = format!("slot/{n:04}");
        let writers = [1_u8, 2].map(|id| {
            let (store, key) = (store.clone(), key.clone());
            env.spawn("writer", async move {
                loop {
                    match store.create(&key, &body(id)).await {
                        Ok(created) => return created,
                        Err(error) => assert_eq!(error.kind(), floe_types::ErrorKind::Retry, "{error}"),
                    }
                }
            })
        });
        let [first, second] = writers;
        let outcome = [first.join().await.unwrap(), second.join().await.unwrap()];
        let winner = outcome.iter().position(|o| *o == Created::Won).expect("one of them won");
        assert_eq!(outcome[1 - winner], Created::Lost, "seed {seed}, {key}");
        assert_eq!(sim.peek(&key).expect("there").first(), Some(&(winner as u8 + 1)), "seed {seed}, {key}");
        won.push(format!("{key} {winner}"));
    }
    sim.settled().await;
    (sim.trace(), sim.counts(), won)
}

#[tokio::test(start_paused = true)]
async fn t07_on_a_rough_store_exactly_one_writer_wins_and_knows_it() {
    let mut faults = BTreeMap::new();
    for seed in 0..10 {
        let (_, counts, _) = run(seed).await;
        counts.faults.into_iter().for_each(|(name, n)| *faults.entry(name).or_insert(0) += n);
    }
    for fault in ["before", "lost", "after", "late", "hang"] {
        assert!(faults.get(fault).is_some_and(|n| *n >= 10), "{faults:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let first = run(42).await;
    assert_eq!(first, run(42).await);
    assert_ne!(first.0, run(43).await.0);
}
