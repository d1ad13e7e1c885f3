//! What every backend has to do, as one suite: memory, directory, S3 and the simulated store pass the same questions.
//!
//! Panics at the first answer that breaks the contract of [`Backend`], with the backend's name. Works in a folder of
//! its own and leaves nothing behind, so that it may run against a shared server.

use crate::{Backend, BackendError, ObjectInfo, Payload};
use bytes::Bytes;
use floe_env::Env;
use futures::future::join_all;
use std::sync::Arc;

const RACERS: usize = 16;
const RACES: usize = 10;

struct Suite {
    backend: Arc<dyn Backend>,
    root: String,
    name: String,
}

/// Runs the whole suite.
///
/// # Panics
/// The backend breaks its contract.
pub async fn conforms(env: &Env, name: &str, backend: Arc<dyn Backend>) {
    let suite = Suite { backend, root: format!("conformance/{:032x}", env.random_u128()), name: name.to_owned() };
    suite.what_was_created_reads_back().await;
    suite.a_second_create_changes_nothing().await;
    suite.absent_objects_are_not_found().await;
    suite.ranges_are_exact_or_refused().await;
    suite.listings_are_ordered_and_bounded().await;
    suite.folders_are_those_that_hold_objects().await;
    suite.one_of_many_creators_wins(env).await;
    suite.bad_keys_are_refused().await;
    suite.deleted_objects_are_gone().await;
}

/// Listings of more than one page of a server (1,000 keys): many requests, so that it is asked where it can go wrong.
///
/// # Panics
/// The backend breaks its contract.
pub async fn lists_beyond_a_page(env: &Env, name: &str, backend: Arc<dyn Backend>) {
    let suite = Suite { backend, root: format!("conformance/{:032x}", env.random_u128()), name: name.to_owned() };
    let keys: Vec<String> = (0..1005).map(|n| suite.key(&format!("{n:08x}/object"))).collect();
    for some in keys.chunks(50) {
        join_all(some.iter().map(|key| suite.create(key, b"x"))).await;
    }
    let names = |found: Vec<ObjectInfo>| found.into_iter().map(|o| o.key).collect::<Vec<_>>();
    for limit in [999, 1000, 1001, 1004, 1005, 5000] {
        let found = names(suite.backend.list(&suite.root, None, limit).await.expect("listing"));
        assert!(found == keys[..limit.min(keys.len())], "{}: limit {limit} gave {}", suite.name, found.len());
    }
    let found = names(suite.backend.list(&suite.root, Some(&keys[2]), 5000).await.expect("listing"));
    assert!(found == keys[3..], "{}", suite.name);
    assert_eq!(suite.backend.list_folders(&suite.root).await.expect("folders").len(), keys.len(), "{}", suite.name);
    for some in keys.chunks(50) {
        join_all(some.iter().map(|key| suite.backend.delete(key))).await;
    }
    assert_eq!(suite.backend.list(&suite.root, None, 10).await, Ok(vec![]), "{}", suite.name);
}

/// Bytewise order where an order by component differs: for stores of our own.
///
/// # Panics
/// The backend breaks its contract.
pub async fn lists_bytewise_whatever_the_names(env: &Env, name: &str, backend: Arc<dyn Backend>) {
    let suite = Suite { backend, root: format!("conformance/{:032x}", env.random_u128()), name: name.to_owned() };
    let names = ["a-b", "a.b", "a.b-c/d", "a/b", "a/b-c", "a0", "a=1/b", "b/c/d", "b/c0", "~"];
    for name in names.iter().rev() {
        suite.create(&suite.key(name), b"x").await;
    }
    let found = suite.backend.list(&suite.root, None, 100).await.expect("listing");
    assert_eq!(suite.names(&found), names, "{}", suite.name);
    for (at, after) in names.iter().enumerate() {
        let found = suite.backend.list(&suite.root, Some(&suite.key(after)), 3).await.expect("listing");
        assert_eq!(suite.names(&found), names[at + 1..].iter().take(3).copied().collect::<Vec<_>>(), "{}: after {after}", suite.name);
    }
    assert_eq!(
        suite.backend.list_folders(&suite.root).await,
        Ok(vec!["a".into(), "a.b-c".into(), "a=1".into(), "b".into()]),
        "{}",
        suite.name
    );
    for name in names {
        suite.backend.delete(&suite.key(name)).await.expect("deleting");
    }
}

/// A folder is gone with its last object. Stores that keep directories (SeaweedFS) go on naming it: for stores of our own.
///
/// # Panics
/// The backend breaks its contract.
pub async fn emptied_folders_are_gone(env: &Env, name: &str, backend: Arc<dyn Backend>) {
    let suite = Suite { backend, root: format!("conformance/{:032x}", env.random_u128()), name: name.to_owned() };
    let key = suite.key("emptied/folder/object");
    suite.create(&key, b"x").await;
    assert_eq!(suite.backend.list_folders(&suite.key("emptied")).await, Ok(vec!["folder".into()]), "{}", suite.name);
    suite.backend.delete(&key).await.expect("deleting");
    for above in ["emptied", ""] {
        assert_eq!(suite.backend.list_folders(&suite.key(above)).await, Ok(vec![]), "{}: {above:?}", suite.name);
    }
}

impl Suite {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    fn names<'a>(&self, found: &'a [ObjectInfo]) -> Vec<&'a str> {
        found.iter().map(|object| object.key.strip_prefix(&format!("{}/", self.root)).unwrap_or(&object.key)).collect()
    }

    async fn create(&self, key: &str, body: &'static [u8]) {
        let created = self.backend.create(key, Bytes::from_static(body).into()).await;
        assert_eq!(created, Ok(()), "{}: creating {key}", self.name);
    }

    async fn what_was_created_reads_back(&self) {
        let big = Bytes::from((0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        let bodies = [
            (
                "chunks",
                Payload::from(vec![Bytes::from_static(b"header "), Bytes::new(), Bytes::from_static(b"body"), Bytes::from_static(b"!")]),
            ),
            ("empty", Payload::from(Bytes::new())),
            ("no-chunk", Payload::default()),
            ("big", Payload::from(vec![big.clone(), big])),
        ];
        for (name, body) in bodies {
            let key = self.key(&format!("read-back/{name}"));
            assert_eq!(self.backend.create(&key, body.clone()).await, Ok(()), "{}: {name}", self.name);
            let found = self.backend.get(&key).await.expect("reading back");
            assert!(found == body.to_bytes(), "{}: {name} came back as {} bytes", self.name, found.len());
        }
    }

    async fn a_second_create_changes_nothing(&self) {
        let key = self.key("twice");
        self.create(&key, b"first").await;
        for body in [&b"second, and longer"[..], b"first", b""] {
            let again = self.backend.create(&key, Bytes::from_static(body).into()).await;
            assert_eq!(again, Err(BackendError::Exists), "{}", self.name);
            assert_eq!(self.backend.get(&key).await, Ok(Bytes::from_static(b"first")), "{}", self.name);
        }
    }

    async fn absent_objects_are_not_found(&self) {
        // Beside objects, below an object's name, and where nothing was ever written.
        for key in ["absent", "read-back/absent", "never/written/here"].map(|name| self.key(name)) {
            assert_eq!(self.backend.get(&key).await, Err(BackendError::NotFound), "{}: {key}", self.name);
            assert_eq!(self.backend.get_range(&key, 0..1).await, Err(BackendError::NotFound), "{}: {key}", self.name);
            assert_eq!(self.backend.get_start(&key, 64).await, Err(BackendError::NotFound), "{}: {key}", self.name);
            assert_eq!(self.backend.get_tail(&key, 64).await, Err(BackendError::NotFound), "{}: {key}", self.name);
            assert_eq!(self.backend.delete(&key).await, Ok(()), "{}: {key}", self.name);
        }
        assert_eq!(self.backend.list(&self.key("never"), None, 10).await, Ok(vec![]), "{}", self.name);
        assert_eq!(self.backend.list_folders(&self.key("never")).await, Ok(vec![]), "{}", self.name);
    }

    async fn ranges_are_exact_or_refused(&self) {
        let key = self.key("ranges");
        self.create(&key, b"0123456789").await;
        for (range, found) in [(0..10, "0123456789"), (0..1, "0"), (3..7, "3456"), (9..10, "9"), (4..4, "")] {
            let bytes = self.backend.get_range(&key, range.clone()).await;
            assert_eq!(bytes, Ok(Bytes::from_static(found.as_bytes())), "{}: {range:?}", self.name);
        }
        for range in [0..11, 5..15, 10..11, 20..30] {
            let answer = self.backend.get_range(&key, range.clone()).await;
            assert!(matches!(answer, Err(BackendError::Corrupt(_))), "{}: {range:?} gave {answer:?}", self.name);
        }
        for (len, start, tail) in
            [(0, "", ""), (1, "0", "9"), (4, "0123", "6789"), (10, "0123456789", "0123456789"), (64, "0123456789", "0123456789")]
        {
            let (start, tail) = (Bytes::from_static(start.as_bytes()), Bytes::from_static(tail.as_bytes()));
            assert_eq!(self.backend.get_start(&key, len).await, Ok((10, start)), "{}: first {len}", self.name);
            assert_eq!(self.backend.get_tail(&key, len).await, Ok((10, tail)), "{}: last {len}", self.name);
        }
        let empty = self.key("read-back/empty");
        assert_eq!(self.backend.get_start(&empty, 64).await, Ok((0, Bytes::new())), "{}", self.name);
        assert_eq!(self.backend.get_tail(&empty, 64).await, Ok((0, Bytes::new())), "{}", self.name);
        assert!(matches!(self.backend.get_range(&empty, 0..1).await, Err(BackendError::Corrupt(_))), "{}", self.name);
    }

    async fn listings_are_ordered_and_bounded(&self) {
        let names = ["list/a/x/1", "list/a/x/2", "list/a/y", "list/ab/1", "list/b", "list/c/1/2/3"];
        for name in names.iter().rev() {
            self.create(&self.key(name), b"12345").await;
        }
        let list = async |prefix: &str, after: Option<&str>, limit| {
            let after = after.map(|after| self.key(after));
            let found = self.backend.list(&self.key(prefix), after.as_deref(), limit).await.expect("listing");
            assert!(found.iter().all(|object| object.size == 5), "{}", self.name);
            self.names(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        for prefix in ["list", "list/"] {
            assert_eq!(list(prefix, None, 100).await, names, "{}", self.name);
        }
        assert_eq!(list("list/a", None, 100).await, names[..3], "{}: a folder, not the start of a name", self.name);
        assert_eq!(list("list/b", None, 100).await, [""; 0], "{}: an object is no folder", self.name);
        for limit in 0..=names.len() {
            assert_eq!(list("list", None, limit).await, names[..limit], "{}: limit {limit}", self.name);
        }
        for (at, name) in names.iter().enumerate() {
            assert_eq!(list("list", Some(name), 100).await, names[at + 1..], "{}: after {name}", self.name);
            assert_eq!(list("list", Some(name), 2).await, names[at + 1..].iter().take(2).copied().collect::<Vec<_>>(), "{}", self.name);
        }
        for (after, rest) in [("list/0", 0), ("list/a/x/15", 1), ("list/a/x0", 2), ("list/aa", 3), ("list/z", 6), ("0", 0), ("zzz", 6)] {
            assert_eq!(list("list", Some(after), 100).await, names[rest..], "{}: after {after}", self.name);
        }
    }

    async fn folders_are_those_that_hold_objects(&self) {
        let folders = async |prefix: &str| self.backend.list_folders(&self.key(prefix)).await.expect("folders");
        assert_eq!(folders("list").await, ["a", "ab", "c"], "{}", self.name);
        assert_eq!(folders("list/").await, ["a", "ab", "c"], "{}", self.name);
        assert_eq!(folders("list/a").await, ["x"], "{}", self.name);
        assert_eq!(folders("list/c/1").await, ["2"], "{}", self.name);
        assert_eq!(folders("list/a/x").await, [""; 0], "{}", self.name);
    }

    async fn one_of_many_creators_wins(&self, env: &Env) {
        for round in 0..RACES {
            let key = self.key(&format!("race/{round}"));
            let body = |racer: usize| Payload::from(Bytes::from(format!("{racer} {}", "x".repeat(racer * 100))));
            let racers = (0..RACERS).map(|racer| {
                let (backend, key, body) = (Arc::clone(&self.backend), key.clone(), body(racer));
                env.spawn("racer", async move { backend.create(&key, body).await }).join()
            });
            let answers: Vec<_> = join_all(racers).await.into_iter().map(|task| task.expect("racers do not panic")).collect();
            let winners: Vec<usize> = (0..RACERS).filter(|&racer| answers[racer].is_ok()).collect();
            assert_eq!(winners.len(), 1, "{}: round {round}: {answers:?}", self.name);
            assert_eq!(answers.iter().filter(|a| **a == Err(BackendError::Exists)).count(), RACERS - 1, "{}: {answers:?}", self.name);
            assert_eq!(self.backend.get(&key).await, Ok(body(winners[0]).to_bytes()), "{}: round {round}", self.name);
        }
    }

    async fn bad_keys_are_refused(&self) {
        for key in ["", "/leading", "trailing/", "two//slashes", "up/../and/out", "sp ace", "staging#1"] {
            let answer = self.backend.create(key, Bytes::from_static(b"x").into()).await;
            assert!(matches!(answer, Err(BackendError::Refused(_))), "{}: {key:?} gave {answer:?}", self.name);
        }
    }

    async fn deleted_objects_are_gone(&self) {
        let key = self.key("list/a/x/1");
        assert_eq!(self.backend.delete(&key).await, Ok(()), "{}", self.name);
        assert_eq!(self.backend.get(&key).await, Err(BackendError::NotFound), "{}", self.name);
        let left = self.backend.list(&self.key("list/a"), None, 100).await.expect("listing");
        assert_eq!(self.names(&left), ["list/a/x/2", "list/a/y"], "{}", self.name);
        for object in self.backend.list(&self.root, None, 1000).await.expect("listing") {
            assert_eq!(self.backend.delete(&object.key).await, Ok(()), "{}", self.name);
        }
        assert_eq!(self.backend.list(&self.root, None, 1000).await, Ok(vec![]), "{}", self.name);
    }
}
