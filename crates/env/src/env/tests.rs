//! Tests of clock, randomness and tasks.

use super::*;
use floe_types::ErrorKind;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

#[tokio::test]
async fn the_real_clock_moves_and_is_no_older_than_this_test() {
    let env = Env::real();
    assert!(env.now_ms() > 1_700_000_000_000, "milliseconds since 1970");
    let before = env.monotonic();
    env.sleep(Duration::from_millis(1)).await;
    assert!(env.monotonic() - before >= Duration::from_millis(1));
    assert_ne!(env.random_u128(), env.process().random_u128());
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_cut_off_and_may_be_tried_again() {
    let env = Env::real();
    let elapsed = env.timeout(Duration::from_millis(1), std::future::pending::<()>()).await.expect_err("never ready");
    assert_eq!((elapsed, elapsed.kind()), (Elapsed(Duration::from_millis(1)), ErrorKind::Retry));
    assert_eq!(env.timeout(Duration::from_secs(60), async { 7 }).await, Ok(7));
}

#[tokio::test]
async fn a_task_gives_its_result_or_says_why_not() {
    let env = Env::real();
    assert_eq!(env.spawn("adds", async { 1 + 1 }).join().await, Ok(2));
    let task = env.spawn("waits", std::future::pending::<()>());
    assert_eq!((task.name(), task.is_finished()), ("waits", false));
    task.abort();
    assert_eq!(task.join().await, Err(TaskFailed::Aborted { name: "waits" }));
    let failed = env
        .spawn("breaks", async {
            if true {
                panic!("at {}", 5)
            }
        })
        .join()
        .await
        .expect_err("panics");
    assert_eq!(failed, TaskFailed::Panicked { name: "breaks", message: "at 5".into() });
    assert_eq!(failed.kind(), ErrorKind::Bug);
    env.tasks_ended().await;
}

#[tokio::test]
async fn a_dropped_handle_ends_its_task_and_a_detached_one_does_not() {
    let env = Env::real();
    let (dropped, detached) = (Arc::new(()), Arc::new(()));
    let hold = |held: &Arc<()>| {
        let held = Arc::clone(held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    };
    drop(env.spawn("dropped", hold(&dropped)));
    env.spawn("detached", hold(&detached)).detach_to_group();
    while Arc::strong_count(&dropped) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&detached), 2);
    assert!(format!("{env:?}").contains(r#"Group(["detached"])"#), "{env:?}");
    env.abort_all();
    env.tasks_ended().await;
    assert_eq!(Arc::strong_count(&detached), 1);
}

#[tokio::test]
async fn a_crash_ends_the_tasks_of_one_process_and_nothing_runs_there_again() {
    let world = Env::real();
    let (victim, bystander) = (world.process(), world.process());
    let steps = Arc::new(AtomicU32::new(0));
    let count = |steps: &Arc<AtomicU32>| {
        let steps = Arc::clone(steps);
        async move {
            loop {
                steps.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    };
    victim.spawn("counts", count(&steps)).detach_to_group();
    let living = bystander.spawn("lives", std::future::pending::<()>());
    while steps.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    victim.abort_all();
    let at_crash = steps.load(Ordering::Relaxed);
    let late = victim.spawn("late", count(&steps));
    victim.tasks_ended().await;
    assert_eq!(late.join().await, Err(TaskFailed::Aborted { name: "late" }));
    assert_eq!(steps.load(Ordering::Relaxed), at_crash);
    assert!(!living.is_finished());
}

#[tokio::test]
async fn long_computations_give_their_result() {
    let env = Env::real();
    assert_eq!(env.compute("sums", || (1..=10).sum::<u32>()).await, Ok(55));
    let failed = env.compute("breaks", || -> () { panic!("no") }).await.expect_err("panics");
    assert_eq!(failed, TaskFailed::Panicked { name: "breaks", message: "no".into() });
}

#[cfg(feature = "sim")]
mod simulated {
    use super::*;

    fn run<T>(seed: u64, story: impl AsyncFnOnce(Env) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(story(Env::simulated(seed)))
    }

    #[test]
    fn an_hour_passes_at_once_and_the_wall_clock_follows() {
        run(1, async |env| {
            let (wall, since) = (env.now_ms(), env.monotonic());
            env.sleep(Duration::from_secs(3_600)).await;
            assert_eq!(env.now_ms() - wall, 3_600_000);
            assert_eq!(env.monotonic() - since, Duration::from_secs(3_600));
            assert_eq!(wall, 1_767_225_600_000);
            assert_eq!(env.with_clock_skew(-5_000).now_ms() - wall, 3_595_000);
        });
    }

    #[test]
    fn a_process_that_stands_still_runs_nothing_until_it_goes_on_and_others_do() {
        run(1, async |env| {
            let (still, other) = (env.process(), env.process());
            let steps = |process: &Env| {
                let (own, count) = (process.clone(), Arc::new(AtomicU32::new(0)));
                let counted = Arc::clone(&count);
                let task = process.spawn("steps", async move {
                    for _ in 0..100 {
                        own.sleep(Duration::from_millis(10)).await;
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
                (task, count)
            };
            let ((task, counted), (_other, others)) = (steps(&still), steps(&other));
            env.sleep(Duration::from_millis(55)).await;
            still.freeze();
            let fresh = still.spawn("begun meanwhile", async {});
            env.sleep(Duration::from_millis(200)).await;
            assert_eq!((counted.load(Ordering::Relaxed), others.load(Ordering::Relaxed)), (5, 25));
            assert!(!fresh.is_finished());
            still.thaw();
            assert_eq!(fresh.join().await, Ok(()));
            env.sleep(Duration::from_millis(1)).await;
            assert_eq!(counted.load(Ordering::Relaxed), 6, "the wait that ended meanwhile is over, and no more");
            assert_eq!(task.join().await, Ok(()));
            still.freeze();
            still.abort_all();
            still.tasks_ended().await;
        });
    }

    #[test]
    fn the_same_seed_gives_the_same_order_times_and_numbers() {
        let trace = |seed| {
            run(seed, async |env| {
                let trace = Arc::new(parking_lot::Mutex::new(Vec::new()));
                let tasks: Vec<_> = (0..5)
                    .map(|n| {
                        let (own, trace) = (env.process(), Arc::clone(&trace));
                        env.spawn("steps", async move {
                            for _ in 0..20 {
                                own.sleep(Duration::from_millis(own.random_below(50))).await;
                                trace.lock().push((n, own.monotonic(), own.random_u64()));
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.join().await.unwrap();
                }
                Arc::into_inner(trace).unwrap().into_inner()
            })
        };
        assert_eq!(trace(3), trace(3));
        assert_ne!(trace(3), trace(4));
    }
}
