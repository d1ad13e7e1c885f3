//! A backend, bounded, retried and measured; every ambiguous create resolved.
//!
//! Invariants: a create is repeated only with the same key and the same bytes; "won" is said only when the store said
//! so or when what is there starts with this write's own identity; a call ends after a bounded number of attempts and
//! a bounded time. Reads and writes wait for places of their own, and so does each class of work, so that a replaying
//! consumer cannot hold up a flush (P9). A `Store` does not cache, does not remember keys and never deletes on its own.

mod hedge;
#[cfg(test)]
mod tests;

use crate::places::{Class, Places};
use crate::{Backend, BackendError, IDENTITY_LEN, ObjectInfo, Op, Pace, Payload, StoreMetrics};
use bytes::Bytes;
use floe_env::{Env, Mutant, mutated_write};
use floe_types::ErrorKind;
use futures::future::BoxFuture;
use std::{ops::Range, sync::Arc, time::Duration};

/// Bounds of a [`Store`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Attempts of one call.
    pub attempts: u32,
    /// Time of one call, all attempts and pauses together; large bodies get more, as `slowest_bytes_per_second` says.
    pub deadline: Duration,
    /// Time of one attempt, before the allowance for its bytes.
    pub attempt_timeout: Duration,
    /// An attempt that moves its body at this rate is slow, not dead.
    pub slowest_bytes_per_second: u64,
    /// The pause before the second attempt is up to this long, and doubles from there (full jitter).
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// Creates and deletes under way at once.
    pub writes_at_once: usize,
    /// Reads and listings under way at once.
    pub reads_at_once: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            attempts: 6,
            deadline: Duration::from_secs(20),
            attempt_timeout: Duration::from_secs(5),
            slowest_bytes_per_second: 2 << 20,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            writes_at_once: 32,
            reads_at_once: 64,
        }
    }
}

/// How a create ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there and is this write's.
    Won,
    /// Another's object is there.
    Lost,
}

/// Why a call of a [`Store`] failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store said that there is no such object.
    #[error("{key} does not exist")]
    NotFound { key: String },
    /// All attempts failed. A create may still have happened, or happen later: repeat it with the same key and body.
    #[error("store unavailable: {op:?} of {key} failed {attempts} times, last: {reason}")]
    Unavailable { op: Op, key: String, attempts: u32, reason: String },
    /// The store's answers contradict each other or the request.
    #[error("{key}: {detail}")]
    Corrupt { key: String, detail: String },
    /// The store will not do this: credentials, permissions, a missing bucket. Nothing is known about the object (T24).
    #[error("the store refused {op:?} of {key}: {detail}")]
    Refused { op: Op, key: String, detail: String },
}

impl StoreError {
    /// What the error asks of the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Unavailable { .. } => ErrorKind::Retry,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Refused { .. } => ErrorKind::Invalid,
        }
    }
}

/// A handle on an object store, for one class of work; clones share limits and metrics.
///
/// Every call may be cancelled by dropping its future; a create that was under way may still happen.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>, Class);

#[derive(Debug)]
struct Inner {
    env: Env,
    backend: Arc<dyn Backend>,
    options: StoreOptions,
    metrics: StoreMetrics,
    pace: Pace,
    writes: Places,
    reads: Places,
}

impl Store {
    #[must_use]
    pub fn new(env: Env, backend: Arc<dyn Backend>, options: StoreOptions) -> Self {
        let (writes, reads) = (Places::new(options.writes_at_once, true), Places::new(options.reads_at_once, false));
        let (metrics, pace) = (StoreMetrics::default(), Pace::default());
        Self(Arc::new(Inner { env, backend, options, metrics, pace, writes, reads }), Class::Tail)
    }

    /// The same store for work of another class; a new store is for [`Class::Tail`].
    #[must_use]
    pub fn for_class(&self, class: Class) -> Self {
        Self(self.0.clone(), class)
    }

    /// For which class of work this handle is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.1
    }

    /// How fast it has answered of late.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.0.pace
    }

    #[must_use]
    pub fn metrics(&self) -> &StoreMetrics {
        &self.0.metrics
    }

    /// The clock and the tasks that its calls use.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// The backend below, for probes that must see single attempts.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    /// Creates an object whose first 64 bytes name this write (or that is shorter than that and unlike any other).
    ///
    /// "Exists" is never believed to mean another's before what is there has been read: an earlier attempt, of this
    /// call or of an earlier one with the same body, may have won without the answer coming through (T07).
    ///
    /// # Errors
    /// `Unavailable`: the outcome is unknown and the caller repeats the same key and body. `Refused`, `Corrupt`.
    pub async fn create(&self, key: &str, body: &Payload) -> Result<Created, StoreError> {
        let mut tries = Tries::new(self, Op::Create, key, body.len());
        loop {
            let error = match tries.attempt(Op::Create, body.len(), 0, self.0.backend.create(key, body.clone())).await {
                Ok(()) => return Ok(Created::Won),
                Err(BackendError::Exists) => match self.whose(&tries, key, body).await {
                    Ok(created) => return Ok(created),
                    // Some stores answer "conflict" while another request for the key is still undecided.
                    Err(BackendError::NotFound) => BackendError::Transient("the key exists and then it does not".into()),
                    Err(BackendError::Refused(detail)) => BackendError::Refused(format!("reading what is there: {detail}")),
                    Err(other) => BackendError::Unknown(format!("it exists, and reading it failed: {other}")),
                },
                Err(error) => error,
            };
            tries.next(error).await?;
        }
    }

    /// Compares what is at `key` with `body`: one attempt.
    async fn whose(&self, tries: &Tries<'_>, key: &str, body: &Payload) -> Result<Created, BackendError> {
        let own = body.start(IDENTITY_LEN);
        let (size, start) = tries.attempt(Op::GetStart, 0, 0, self.0.backend.get_start(key, IDENTITY_LEN as u64)).await?;
        self.0.metrics.received(start.len() as u64);
        if (size == body.len() && start == own) || mutated_write(Mutant::ForeignSlotTakenForOwn, key) {
            self.0.metrics.resolved_by_reading();
            return Ok(Created::Won);
        }
        Ok(Created::Lost)
    }

    /// The whole object.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Refused`.
    pub async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let bytes = self.read(Op::Get, key, 0, || self.0.backend.get(key)).await?;
        self.0.metrics.received(bytes.len() as u64);
        Ok(bytes)
    }

    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    /// `Corrupt` when the object ends before `range.end`; `NotFound`, `Unavailable`, `Refused`.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let asked = range.end.saturating_sub(range.start);
        let bytes = self.read(Op::GetRange, key, asked, || self.0.backend.get_range(key, range.clone())).await?;
        self.0.metrics.received(bytes.len() as u64);
        if bytes.len() as u64 != asked {
            let detail = format!("{} bytes came for {}..{}", bytes.len(), range.start, range.end);
            return Err(StoreError::Corrupt { key: key.to_owned(), detail });
        }
        Ok(bytes)
    }

    /// The object's size and its first `len` bytes, or all there are.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Refused`.
    pub async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), StoreError> {
        let (size, bytes) = self.read(Op::GetStart, key, len, || self.0.backend.get_start(key, len)).await?;
        self.0.metrics.received(bytes.len() as u64);
        Ok((size, bytes))
    }

    /// The object's size and its last `len` bytes, or all there are.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `Refused`.
    pub async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), StoreError> {
        let (size, bytes) = self.read(Op::GetTail, key, len, || self.0.backend.get_tail(key, len)).await?;
        self.0.metrics.received(bytes.len() as u64);
        Ok((size, bytes))
    }

    /// The first objects below the folder `prefix` with keys greater than `after`, bytewise ordered, at most `limit`;
    /// fewer than `limit` means that there are no more. An empty result is the store's own word (T24).
    ///
    /// # Errors
    /// `Unavailable`, `Refused`, `Corrupt`.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, StoreError> {
        self.read(Op::List, prefix, 0, || self.0.backend.list(prefix, after, limit)).await
    }

    /// The names of the folders directly below `prefix`, bytewise ordered. Some stores also name emptied ones.
    ///
    /// # Errors
    /// `Unavailable`, `Refused`, `Corrupt`.
    pub async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.read(Op::ListFolders, prefix, 0, || self.0.backend.list_folders(prefix)).await
    }

    /// Deletes; an object that is not there is success.
    ///
    /// # Errors
    /// `Unavailable` (it may or may not be gone), `Refused`.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let mut tries = Tries::new(self, Op::Delete, key, 0);
        loop {
            match tries.attempt(Op::Delete, 0, 0, self.0.backend.delete(key)).await {
                Ok(()) | Err(BackendError::NotFound) => return Ok(()),
                Err(error) => tries.next(error).await?,
            }
        }
    }

    async fn read<'a, T>(
        &'a self,
        op: Op,
        key: &str,
        bytes: u64,
        call: impl Fn() -> BoxFuture<'a, Result<T, BackendError>> + Send,
    ) -> Result<T, StoreError> {
        let mut tries = Tries::new(self, op, key, bytes);
        loop {
            match tries.attempt(op, 0, bytes, call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.next(error).await?,
            }
        }
    }
}

impl Inner {
    fn allowance(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.options.slowest_bytes_per_second.max(1))
    }
}

/// The attempts of one call: decides between another one and an error.
struct Tries<'a> {
    store: &'a Inner,
    class: Class,
    op: Op,
    key: &'a str,
    made: u32,
    ends: Duration,
}

impl<'a> Tries<'a> {
    fn new(of: &'a Store, op: Op, key: &'a str, bytes: u64) -> Self {
        let (store, class) = (&*of.0, of.1);
        let ends = store.env.monotonic().saturating_add(store.options.deadline).saturating_add(store.allowance(bytes));
        Self { store, class, op, key, made: 0, ends }
    }

    /// One attempt within the concurrency limit and its time, measured. Running out of time is `Unknown`.
    async fn attempt<T>(&self, op: Op, sends: u64, receives: u64, call: BoxFuture<'_, Result<T, BackendError>>) -> Result<T, BackendError> {
        let Inner { env, options, metrics, .. } = self.store;
        let places = if matches!(op, Op::Create | Op::Delete) { &self.store.writes } else { &self.store.reads };
        let asked = env.monotonic();
        let patience = self.ends.saturating_sub(asked);
        let place = env.timeout(patience, places.acquire(self.class)).await;
        metrics.waited(self.class, env.monotonic().saturating_sub(asked));
        let Ok(_place) = place else {
            return Err(BackendError::Transient(format!("no free place among the requests under way in {patience:?}")));
        };
        metrics.began(self.class, op, sends);
        let limit = options.attempt_timeout.saturating_add(self.store.allowance(sends.max(receives)));
        let began = env.monotonic();
        let answer = env.timeout(limit, call).await;
        let timed_out = answer.is_err();
        let result = answer.unwrap_or_else(|_| Err(BackendError::Unknown(format!("no answer in {limit:?}"))));
        let took = env.monotonic().saturating_sub(began);
        metrics.ended(op, took, result.as_ref().err(), timed_out);
        if op == Op::GetRange && result.is_ok() {
            self.store.pace.measured(receives, took);
        }
        result
    }

    /// Takes the failure of an attempt; pauses and returns `Ok` when another one is due.
    async fn next(&mut self, error: BackendError) -> Result<(), StoreError> {
        self.made += 1;
        let key = self.key.to_owned();
        let reason = match error {
            BackendError::NotFound => return Err(StoreError::NotFound { key }),
            BackendError::Refused(detail) => return Err(StoreError::Refused { op: self.op, key, detail }),
            BackendError::Corrupt(detail) => return Err(StoreError::Corrupt { key, detail }),
            BackendError::Exists | BackendError::Unknown(_) | BackendError::Transient(_) => error.to_string(),
        };
        let options = &self.store.options;
        let doubled = options.first_pause.saturating_mul(1 << (self.made - 1).min(16)).min(options.longest_pause);
        let micros = u64::try_from(doubled.as_micros()).unwrap_or(u64::MAX);
        let pause = Duration::from_micros(self.store.env.random_below(micros.max(1)));
        if self.made >= options.attempts || self.store.env.monotonic().saturating_add(pause) >= self.ends {
            self.store.metrics.gave_up();
            return Err(StoreError::Unavailable { op: self.op, key, attempts: self.made, reason });
        }
        tracing::debug!(op = ?self.op, key = self.key, attempt = self.made, ?pause, reason, "store request failed, repeating it");
        self.store.env.sleep(pause).await;
        Ok(())
    }
}
