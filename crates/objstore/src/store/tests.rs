//! The store over a backend that fails as scripted, on a paused clock.

use super::*;
use crate::MemoryBackend;
use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::collections::VecDeque;

/// What happens to the next attempt.
#[derive(Debug, Clone)]
enum Fate {
    /// It fails before anything happened.
    Fails(BackendError),
    /// It happens, and its answer is lost.
    AnswerLost,
    /// Nothing comes back, ever; it did not happen.
    Hangs,
    /// It takes this long.
    Slow(Duration),
    Happens,
}

#[derive(Debug)]
struct Scripted {
    env: Env,
    inner: MemoryBackend,
    creates: Mutex<VecDeque<Fate>>,
    reads: Mutex<VecDeque<Fate>>,
    bodies: Mutex<Vec<Bytes>>,
}

impl Scripted {
    async fn meet(&self, fates: &Mutex<VecDeque<Fate>>) -> Result<bool, BackendError> {
        let fate = fates.lock().pop_front().unwrap_or(Fate::Happens);
        match fate {
            Fate::Fails(error) => return Err(error),
            Fate::AnswerLost => return Ok(true),
            Fate::Hangs => std::future::pending().await,
            Fate::Slow(time) => self.env.sleep(time).await,
            Fate::Happens => {}
        }
        Ok(false)
    }
}

#[async_trait]
impl Backend for Scripted {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        self.bodies.lock().push(body.to_bytes());
        let lost = self.meet(&self.creates).await?;
        let result = self.inner.create(key, body).await;
        if lost { Err(BackendError::Unknown("answer lost".into())) } else { result }
    }
    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        self.meet(&self.reads).await?;
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        self.meet(&self.reads).await?;
        self.inner.get_range(key, range).await
    }
    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.meet(&self.reads).await?;
        self.inner.get_start(key, len).await
    }
    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.meet(&self.reads).await?;
        self.inner.get_tail(key, len).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        self.meet(&self.reads).await?;
        self.inner.list(prefix, after, limit).await
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        self.meet(&self.reads).await?;
        self.inner.list_folders(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.meet(&self.creates).await?;
        self.inner.delete(key).await
    }
}

struct Scene {
    env: Env,
    backend: Arc<Scripted>,
    store: Store,
}

fn scene_with(options: StoreOptions) -> Scene {
    let env = Env::simulated(3);
    let (creates, reads, bodies) = Default::default();
    let backend = Arc::new(Scripted { env: env.clone(), inner: MemoryBackend::new(), creates, reads, bodies });
    let store = Store::new(env.clone(), Arc::clone(&backend) as Arc<dyn Backend>, options);
    Scene { env, backend, store }
}

fn scene(creates: impl IntoIterator<Item = Fate>, reads: impl IntoIterator<Item = Fate>) -> Scene {
    let scene = scene_with(StoreOptions::default());
    scene.backend.creates.lock().extend(creates);
    scene.backend.reads.lock().extend(reads);
    scene
}

/// An object whose first 64 bytes hold `id`.
fn object(id: u8, len: usize) -> Payload {
    Payload::from(vec![Bytes::from(vec![id; IDENTITY_LEN]), Bytes::from(vec![0; len - IDENTITY_LEN])])
}

fn transient() -> Fate {
    Fate::Fails(BackendError::Transient("busy".into()))
}

fn unknown() -> Fate {
    Fate::Fails(BackendError::Unknown("reset".into()))
}

#[tokio::test(start_paused = true)]
async fn t07_a_lost_answer_is_resolved_by_write_id() {
    let scene = scene([Fate::AnswerLost], []);
    let body = object(1, 100);
    assert_eq!(scene.store.create("slot", &body).await, Ok(Created::Won));
    assert_eq!(scene.store.get("slot").await, Ok(body.to_bytes()));
    assert_eq!(scene.store.metrics().requests(Op::Create), 2);
    assert_eq!(scene.store.metrics().requests(Op::GetStart), 1);
    assert_eq!(scene.store.metrics().resolved(), 1);
}

#[tokio::test(start_paused = true)]
async fn t07_a_create_repeated_by_a_later_call_is_recognised_too() {
    let scene = scene([], []);
    assert_eq!(scene.store.create("slot", &object(1, 100)).await, Ok(Created::Won));
    assert_eq!(scene.store.create("slot", &object(1, 100)).await, Ok(Created::Won), "same write, asked for again");
    assert_eq!(scene.store.create("slot", &object(2, 100)).await, Ok(Created::Lost), "another write id");
    assert_eq!(scene.store.create("slot", &object(1, 101)).await, Ok(Created::Lost), "another size");
}

#[tokio::test(start_paused = true)]
async fn t07_anothers_object_behind_a_lost_answer_is_a_loss() {
    let scene = scene([unknown(), Fate::Slow(Duration::from_millis(10))], []);
    let ours = {
        let store = scene.store.clone();
        scene.env.spawn("ours", async move { store.create("slot", &object(1, 100)).await })
    };
    scene.env.sleep(Duration::from_micros(1)).await;
    assert_eq!(scene.backend.inner.create("slot", object(2, 100)).await, Ok(()));
    assert_eq!(ours.join().await.unwrap(), Ok(Created::Lost));
    assert_eq!(scene.store.metrics().resolved(), 0);
}

#[tokio::test(start_paused = true)]
async fn t08_every_attempt_sends_the_whole_body() {
    let scene = scene([transient(), unknown(), Fate::Hangs, transient()], []);
    let body = object(1, 5000);
    assert_eq!(scene.store.create("slot", &body).await, Ok(Created::Won));
    let bodies = scene.backend.bodies.lock().clone();
    assert_eq!(bodies.len(), 5);
    assert!(bodies.iter().all(|sent| *sent == body.to_bytes()));
    assert_eq!(scene.store.get("slot").await, Ok(body.to_bytes()));
}

#[tokio::test(start_paused = true)]
async fn t09_a_put_that_lands_after_the_caller_gave_up_is_recognised_when_it_asks_again() {
    let scene = scene(vec![Fate::Hangs; 6], []);
    let body = object(1, 100);
    let error = scene.store.create("slot", &body).await.expect_err("nothing answers");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert_eq!(scene.backend.inner.create("slot", body.clone()).await, Ok(()), "one of the attempts lands late");
    assert_eq!(scene.store.create("slot", &object(2, 100)).await, Ok(Created::Lost), "it is in nobody's way but another's");
    assert_eq!(scene.store.create("slot", &body).await, Ok(Created::Won));
}

#[tokio::test(start_paused = true)]
async fn t24_only_the_stores_own_word_counts_as_not_there() {
    let failures = [
        (BackendError::Unknown("x".into()), ErrorKind::Retry),
        (BackendError::Transient("x".into()), ErrorKind::Retry),
        (BackendError::Exists, ErrorKind::Retry),
        (BackendError::Refused("x".into()), ErrorKind::Invalid),
        (BackendError::Corrupt("x".into()), ErrorKind::Corrupt),
        (BackendError::NotFound, ErrorKind::NotFound),
    ];
    for (failure, kind) in failures {
        let store = || scene([], vec![Fate::Fails(failure.clone()); 6]).store;
        let errors = [
            store().get("k").await.expect_err("get"),
            store().get_range("k", 0..1).await.expect_err("range"),
            store().get_start("k", 1).await.expect_err("start"),
            store().get_tail("k", 1).await.expect_err("tail"),
            store().list("k", None, 1).await.expect_err("list"),
            store().list_folders("k").await.expect_err("folders"),
        ];
        for error in errors {
            assert_eq!(error.kind(), kind, "{failure:?} became {error:?}");
        }
    }
    assert_eq!(scene([], []).store.get("k").await, Err(StoreError::NotFound { key: "k".into() }));
}

#[tokio::test(start_paused = true)]
async fn t24_an_existing_object_that_cannot_be_read_is_neither_won_nor_lost() {
    for (failure, kind) in [(unknown(), ErrorKind::Retry), (Fate::Fails(BackendError::Refused("403".into())), ErrorKind::Invalid)] {
        let scene = scene([], vec![failure; 6]);
        assert_eq!(scene.backend.inner.create("slot", object(2, 100)).await, Ok(()));
        let error = scene.store.create("slot", &object(1, 100)).await.expect_err("unknown whose it is");
        assert_eq!(error.kind(), kind);
        assert_eq!(scene.backend.inner.get("slot").await, Ok(object(2, 100).to_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_a_request_that_comes_to_nothing_is_tried_again() {
    let scene = scene([Fate::Fails(BackendError::Exists)], []);
    assert_eq!(scene.store.create("slot", &object(1, 100)).await, Ok(Created::Won));
    assert_eq!(scene.store.metrics().requests(Op::Create), 2);
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_until_they_succeed() {
    let scene = scene([], [transient(), Fate::Hangs, unknown()]);
    assert_eq!(scene.backend.inner.create("k", object(1, 100)).await, Ok(()));
    assert_eq!(scene.store.get("k").await, Ok(object(1, 100).to_bytes()));
    assert_eq!(scene.store.metrics().requests(Op::Get), 4);
    scene.backend.creates.lock().extend([transient(), unknown()]);
    assert_eq!(scene.store.delete("k").await, Ok(()));
    assert_eq!(scene.store.delete("k").await, Ok(()), "gone is gone");
}

#[tokio::test(start_paused = true)]
async fn attempts_and_time_of_a_call_are_bounded() {
    let busy = scene([], vec![transient(); 100]);
    let began = busy.env.monotonic();
    let error = busy.store.get("k").await.expect_err("always busy");
    assert!(matches!(error, StoreError::Unavailable { op: Op::Get, attempts: 6, .. }), "{error:?}");
    assert!(busy.env.monotonic() - began <= Duration::from_millis(50 + 100 + 200 + 400 + 800 + 6));
    assert_eq!(busy.store.metrics().unavailable(), 1);

    let dead = scene(vec![Fate::Hangs; 100], []);
    let began = dead.env.monotonic();
    let error = dead.store.create("k", &object(1, 100)).await.expect_err("never answers");
    let took = dead.env.monotonic() - began;
    assert!(matches!(error, StoreError::Unavailable { op: Op::Create, attempts: 4, .. }), "{error:?}");
    assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(26), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_body_gets_the_time_a_slow_link_needs() {
    let options = StoreOptions { attempts: 1, ..StoreOptions::default() };
    let slow = |seconds| {
        let scene = scene_with(options.clone());
        scene.backend.creates.lock().push_back(Fate::Slow(Duration::from_secs(seconds)));
        scene.store
    };
    assert!(slow(6).create("small", &object(1, 100)).await.is_err());
    assert_eq!(slow(12).create("large", &object(1, 16 << 20)).await, Ok(Created::Won));
    assert!(slow(14).create("large", &object(1, 16 << 20)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn reads_do_not_wait_for_writes_and_no_more_run_at_once_than_allowed() {
    let scene = scene_with(StoreOptions { writes_at_once: 2, reads_at_once: 1, ..StoreOptions::default() });
    scene.backend.creates.lock().extend(vec![Fate::Slow(Duration::from_secs(1)); 5]);
    let began = scene.env.monotonic();
    let writes: Vec<_> = (0..5)
        .map(|n| {
            let store = scene.store.clone();
            scene.env.spawn("write", async move { store.create(&format!("k{n}"), &object(n, 100)).await })
        })
        .collect();
    assert!(scene.store.get("other").await.is_err());
    assert!(scene.env.monotonic() - began < Duration::from_millis(10));
    for write in writes {
        assert_eq!(write.join().await.unwrap(), Ok(Created::Won));
    }
    let took = scene.env.monotonic() - began;
    assert!(took >= Duration::from_secs(3) && took < Duration::from_millis(3100), "5 writes, 2 at a time, 1 s each: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_free_place_is_bounded() {
    let scene = scene_with(StoreOptions { reads_at_once: 1, attempt_timeout: Duration::from_secs(3600), ..StoreOptions::default() });
    scene.backend.reads.lock().push_back(Fate::Hangs);
    let first = {
        let store = scene.store.clone();
        scene.env.spawn("first", async move { store.get("k").await })
    };
    scene.env.sleep(Duration::from_millis(1)).await;
    let began = scene.env.monotonic();
    assert_eq!(scene.store.get("k").await.expect_err("no place").kind(), ErrorKind::Retry);
    assert!(scene.env.monotonic() - began < Duration::from_secs(21));
    drop(first);
    assert_eq!(scene.store.get("k").await, Err(StoreError::NotFound { key: "k".into() }), "a cancelled call gives its place back");
}

#[tokio::test(start_paused = true)]
async fn requests_bytes_and_failures_are_counted() {
    let scene = scene([transient()], [unknown()]);
    assert_eq!(scene.store.create("k", &object(1, 100)).await, Ok(Created::Won));
    assert_eq!(scene.store.get_tail("k", 30).await.unwrap().1.len(), 30);
    assert_eq!(scene.store.list("", None, 10).await.unwrap().len(), 1);
    let counts = scene.store.metrics().counts();
    assert_eq!(counts, crate::StoreCounts { requests: 5, failed: 2, bytes_written: 200, bytes_read: 30 });

    let mut registry = Registry::with_prefix("floe");
    scene.store.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "floe_store_requests_total{op=\"Create\"} 2",
        "floe_store_request_failures_total{op=\"GetTail\",kind=\"Unknown\"} 1",
        "floe_store_request_duration_seconds_count{op=\"Create\"} 2",
        "floe_store_written_bytes_total 200",
        "floe_store_read_bytes_total 30",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[cfg(feature = "mutants")]
#[tokio::test(start_paused = true)]
async fn the_mutants_break_what_they_say() {
    let scene = scene([], []);
    assert_eq!(scene.store.create("a/slot/1", &object(1, 100)).await, Ok(Created::Won));
    floe_env::set_mutant(Some(Mutant::ForeignSlotTakenForOwn));
    assert_eq!(scene.store.create("a/slot/1", &object(2, 100)).await, Ok(Created::Won));
    assert_eq!(scene.store.get("a/slot/1").await, Ok(object(1, 100).to_bytes()));
    floe_env::set_mutant(Some(Mutant::PlainPut));
    assert_eq!(scene.store.create("a/slot/1", &object(2, 100)).await, Ok(Created::Won));
    assert_eq!(scene.store.get("a/slot/1").await, Ok(object(2, 100).to_bytes()));
    floe_env::set_mutant(None);
}
