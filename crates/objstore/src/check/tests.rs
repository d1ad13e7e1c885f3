//! `check` passes sound stores and names what is wrong with the others.

use super::*;
use crate::{MemoryBackend, ObjectInfo, Payload};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::BTreeSet, ops::Range};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Ignores "only if absent".
    Overwrites,
    /// Looks, waits, then writes: refuses a second create but not a simultaneous one.
    NotAtomic,
    /// Does not list what was written last.
    ListsLate,
    /// An absent object is an empty one.
    AbsentIsEmpty,
    /// Ranges are cut off at the end without a word.
    ShortRanges,
    /// Answers a range with the whole object.
    IgnoresRanges,
    /// Ignores where to go on.
    IgnoresAfter,
    ListsBackwards,
    KeepsDeleted,
    Unreachable,
}

#[derive(Debug)]
struct Faulty {
    env: Env,
    fault: Fault,
    inner: MemoryBackend,
    kept: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Backend for Faulty {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        match self.fault {
            Fault::Unreachable => return Err(BackendError::Refused("no such bucket".into())),
            Fault::Overwrites => self.inner.delete(key).await?,
            Fault::NotAtomic if self.inner.get(key).await.is_err() => {
                self.env.sleep(std::time::Duration::from_millis(1)).await;
                self.inner.delete(key).await?;
            }
            _ => {}
        }
        self.inner.create(key, body).await
    }
    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        match self.inner.get(key).await {
            Err(BackendError::NotFound) if self.fault == Fault::AbsentIsEmpty => Ok(Bytes::new()),
            answer => answer,
        }
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        match self.fault {
            Fault::IgnoresRanges => self.inner.get(key).await,
            Fault::ShortRanges => {
                let size = self.inner.get(key).await?.len() as u64;
                self.inner.get_range(key, range.start.min(size)..range.end.min(size)).await
            }
            _ => self.inner.get_range(key, range).await,
        }
    }
    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.inner.get_start(key, len).await
    }
    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.inner.get_tail(key, len).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        let mut listed = self.inner.list(prefix, after.filter(|_| self.fault != Fault::IgnoresAfter), limit).await?;
        match self.fault {
            Fault::ListsLate => drop(listed.pop()),
            Fault::ListsBackwards => listed.reverse(),
            Fault::KeepsDeleted => listed.extend(self.kept.lock().iter().map(|key| ObjectInfo { key: key.clone(), size: 1 })),
            _ => {}
        }
        Ok(listed)
    }
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        self.inner.list_folders(prefix).await
    }
    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.kept.lock().insert(key.to_owned());
        self.inner.delete(key).await
    }
}

async fn failed_rows(fault: Fault) -> Vec<&'static str> {
    let env = Env::simulated(7);
    let backend: Arc<dyn Backend> = Arc::new(Faulty { env: env.clone(), fault, inner: MemoryBackend::new(), kept: Mutex::default() });
    let report = check(&env, &backend).await;
    assert!(!report.ok());
    report.rows.iter().filter(|row| !row.ok).map(|row| row.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sound_store_passes_and_is_left_empty() {
    let env = Env::simulated(7);
    let memory = MemoryBackend::new();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    let report = check(&env, &backend).await;
    assert!(report.ok(), "{report:#?}");
    assert_eq!(report.rows.len(), 9);
    assert_eq!(memory.list("", None, 10).await, Ok(vec![]));
    assert!(!CheckReport::default().ok(), "no answers are no proof");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_unsafe_store_fails_the_question_that_names_it() {
    assert_eq!(failed_rows(Fault::Overwrites).await, ["create only if absent", "one winner under races"]);
    assert_eq!(failed_rows(Fault::NotAtomic).await, ["one winner under races"]);
    assert!(failed_rows(Fault::ListsLate).await.contains(&"read and list after write"));
    assert!(failed_rows(Fault::AbsentIsEmpty).await.contains(&"absent objects"));
    assert_eq!(failed_rows(Fault::ShortRanges).await, ["ranges"]);
    assert!(failed_rows(Fault::IgnoresRanges).await.contains(&"ranges"));
    assert_eq!(failed_rows(Fault::IgnoresAfter).await, ["listing order and paging"]);
    assert!(failed_rows(Fault::ListsBackwards).await.contains(&"listing order and paging"));
    assert_eq!(failed_rows(Fault::KeepsDeleted).await, ["delete"]);
    assert_eq!(failed_rows(Fault::Unreachable).await, ["create and read"], "it is asked no further");
}
