//! An object store in memory that misbehaves as real ones do, from a seed.
//!
//! It is a machine of its own: a request that is on its way belongs to the store, so it lands even when its sender has
//! given up or was killed (T09, T13). Landing is atomic; reads and listings see everything that has landed, so the
//! store is linearizable, as S3 is. What it varies: how long each way takes - requests overtake each other -, errors
//! before and after the effect, answers that never come, landings long after, outages. What it never does: overwrite
//! (without the mutant), lose what it acknowledged, or call something absent that is there.

use crate::store_faults::{FaultRule, FaultRules, StoreFault, StoreOp, price_nanodollars};
use async_trait::async_trait;
use bytes::Bytes;
use floe_env::{Env, Watched};
use floe_objstore::{Backend, BackendError, MemoryBackend, ObjectInfo, Payload, check_key};
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt, future::Future, ops::Range, sync::Arc, time::Duration};
use tokio::sync::oneshot;

mod hooks;
#[cfg(test)]
mod tests;

use hooks::Hooks;

/// How the store behaves. Rates are per ten thousand requests and exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimFaults {
    /// Milliseconds of each way, there and back.
    pub way_ms: Range<u64>,
    pub before: u64,
    pub lost: u64,
    /// Creates and deletes only, as `late` and `hang`.
    pub after: u64,
    pub late: u64,
    /// How much later a late request lands, in milliseconds.
    pub late_ms: Range<u64>,
    pub hang: u64,
    /// Requests that take `slow_factor` times as long.
    pub slow: u64,
    pub slow_factor: u64,
    /// Listings that do.
    pub slow_lists: u64,
}

impl SimFaults {
    /// Prompt and faultless: no time passes.
    #[must_use]
    pub fn none() -> Self {
        Self { way_ms: 0..1, before: 0, lost: 0, after: 0, late: 0, late_ms: 0..1, hang: 0, slow: 0, slow_factor: 1, slow_lists: 0 }
    }

    /// A store on a bad day: about one request in ten meets something.
    #[must_use]
    pub fn rough() -> Self {
        Self {
            way_ms: 1..40,
            before: 200,
            lost: 150,
            after: 200,
            late: 100,
            late_ms: 10..60_000,
            hang: 50,
            slow: 200,
            slow_factor: 30,
            slow_lists: 1_000,
        }
    }
}

/// What was asked of the store, and what went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimCounts {
    pub requests: BTreeMap<StoreOp, u64>,
    pub bytes_written: u64,
    /// The same by what was written, as its key says: slot, index, pack, page, manifest, ...
    pub written: BTreeMap<String, u64>,
    pub bytes_read: u64,
    /// By the name of the fault.
    pub faults: BTreeMap<&'static str, u64>,
    /// Requests that met an outage.
    pub unavailable: u64,
    /// Creates that landed after their caller had been answered, given up, or died.
    pub landed_late: u64,
    pub cost_nanodollars: u64,
}

impl SimCounts {
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        self.requests.values().sum()
    }

    #[must_use]
    pub fn total_faults(&self) -> u64 {
        self.faults.values().sum::<u64>() + self.unavailable
    }
}

/// A handle; clones are the same store.
#[derive(Clone)]
pub struct SimStore(Arc<Inner>);

struct Inner {
    env: Env,
    objects: MemoryBackend,
    faults: Mutex<SimFaults>,
    rules: FaultRules,
    hooks: Hooks,
    counts: Mutex<SimCounts>,
    trace: Mutex<u64>,
    available: Watched<bool>,
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimStore").field(&self.0.objects).finish()
    }
}

/// What is decided about a request when it is sent.
struct Fate {
    there: Duration,
    back: Duration,
    fault: Option<StoreFault>,
}

impl SimStore {
    /// A store with a task group and randomness of its own, drawn from `env`'s.
    #[must_use]
    pub fn new(env: &Env, faults: SimFaults) -> Self {
        let (rules, counts) = (FaultRules::default(), Mutex::default());
        let available = Watched::new(true);
        let trace = Mutex::new(0xcbf2_9ce4_8422_2325);
        Self(Arc::new(Inner {
            env: env.process(),
            objects: MemoryBackend::new(),
            faults: Mutex::new(faults),
            rules,
            hooks: Hooks::default(),
            counts,
            trace,
            available,
        }))
    }

    /// As what a [`floe_objstore::Store`] takes.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(self.clone())
    }

    pub fn set_faults(&self, faults: SimFaults) {
        *self.0.faults.lock() = faults;
    }

    /// What happens to requests that fit, before chance has its say.
    pub fn add_rule(&self, rule: FaultRule) {
        self.0.rules.add(rule);
    }

    pub fn clear_rules(&self) {
        self.0.rules.clear();
    }

    /// Does something once, right after a request of kind `op` (any, if none is given) for a key that starts with `prefix` has
    /// had its effect, when `skip` others have before.
    pub fn then(&self, op: Option<StoreOp>, prefix: &str, skip: u64, action: impl FnOnce() + Send + 'static) {
        self.0.hooks.add(op, prefix, skip, Box::new(action));
    }

    /// Forgets what was to be done.
    pub fn clear_hooks(&self) {
        self.0.hooks.clear();
    }

    /// Takes the store away (requests fail, those on their way are lost, late ones wait) or brings it back.
    pub fn set_available(&self, available: bool) {
        self.0.available.set(available);
    }

    #[must_use]
    pub fn is_available(&self) -> bool {
        self.0.available.get()
    }

    #[must_use]
    pub fn counts(&self) -> SimCounts {
        self.0.counts.lock().clone()
    }

    /// A hash over every request so far: time, kind, key, fate. The same seed gives the same.
    #[must_use]
    pub fn trace(&self) -> u64 {
        *self.0.trace.lock()
    }

    /// Waits until nothing is on its way any more.
    pub async fn settled(&self) {
        self.0.env.tasks_ended().await;
    }

    /// What is there, without a request. For checkers.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.0.objects.peek(key)
    }

    /// All keys that start with `prefix`, in order, without a request.
    #[must_use]
    pub fn peek_keys(&self, prefix: &str) -> Vec<String> {
        self.0.objects.peek_keys(prefix)
    }

    /// Puts an object there, or another in its place, without a request: to stage what a test needs, or a damage.
    pub fn plant(&self, key: &str, body: Bytes) {
        self.0.objects.plant(key, Some(body));
    }

    /// Takes an object away without a request.
    pub fn uproot(&self, key: &str) {
        self.0.objects.plant(key, None);
    }

    fn decide(&self, op: StoreOp, key: &str) -> Fate {
        let inner = &*self.0;
        let faults = inner.faults.lock().clone();
        let within = |range: &Range<u64>| range.start + inner.env.random_below(range.end.saturating_sub(range.start).max(1));
        // Every number is drawn for every request, so that a rule shifts nothing that comes later.
        let (there, back, late, dice, slow) = (
            within(&faults.way_ms),
            within(&faults.way_ms),
            within(&faults.late_ms),
            inner.env.random_below(10_000),
            inner.env.random_below(10_000),
        );
        let writes = matches!(op, StoreOp::Create | StoreOp::Delete);
        let table = [
            (faults.before, true, StoreFault::Before),
            (faults.lost, true, StoreFault::Lost),
            (faults.after, writes, StoreFault::After),
            (faults.late, op == StoreOp::Create, StoreFault::Late { by_ms: late }),
            (faults.hang, writes, StoreFault::Hang),
        ];
        let mut below = 0;
        let by_chance = table.into_iter().find_map(|(rate, applies, fault)| {
            below += rate;
            (applies && dice < below && dice + rate >= below).then_some(fault)
        });
        let fault = inner.rules.take(op, key).or(by_chance);
        let slow_below = if op == StoreOp::List { faults.slow_lists } else { faults.slow };
        let factor = if slow < slow_below { faults.slow_factor } else { 1 };
        Fate { there: Duration::from_millis(there * factor), back: Duration::from_millis(back), fault }
    }

    /// Counts a request and its fault and puts both into the trace.
    fn note(&self, op: StoreOp, key: &str, fate: &Fate) {
        let inner = &*self.0;
        let mut counts = inner.counts.lock();
        *counts.requests.entry(op).or_default() += 1;
        counts.cost_nanodollars += price_nanodollars(op);
        if let Some(fault) = fate.fault {
            *counts.faults.entry(fault_name(fault)).or_default() += 1;
        }
        let line = format!("{:?} {op:?} {key} {:?} {:?} {:?}", inner.env.monotonic(), fate.there, fate.back, fate.fault);
        let mut trace = inner.trace.lock();
        *trace = line.bytes().fold(*trace, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    }

    fn outage(&self) -> bool {
        let gone = !self.is_available();
        if gone {
            self.0.counts.lock().unavailable += 1;
        }
        gone
    }

    /// One request: there, effect, back - with what fate has in store for it.
    async fn request<T, F>(
        &self,
        op: StoreOp,
        key: &str,
        effect: impl FnOnce(MemoryBackend) -> F + Send + 'static,
    ) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BackendError>> + Send,
    {
        let fate = self.decide(op, key);
        self.note(op, key, &fate);
        let env = &self.0.env;
        if self.outage() {
            env.sleep(fate.there).await;
            return Err(BackendError::Transient("the store is gone".into()));
        }
        match fate.fault {
            Some(StoreFault::Before) => {
                env.sleep(fate.there).await;
                return Err(BackendError::Transient("slow down".into()));
            }
            Some(StoreFault::Lost) => {
                env.sleep(fate.there + fate.back).await;
                return Err(BackendError::Unknown("connection reset".into()));
            }
            _ => {}
        }
        let (answer, answered) = oneshot::channel();
        let (store, key, there) = (self.clone(), key.to_owned(), fate.there + fate.fault.map_or(Duration::ZERO, StoreFault::late_by));
        let late = matches!(fate.fault, Some(StoreFault::Late { .. }));
        let landing = async move {
            store.0.env.sleep(there).await;
            if late {
                store.0.available.wait_for(|up| *up).await;
            } else if store.outage() {
                let _ = answer.send(Err(BackendError::Unknown("the store has gone".into())));
                return;
            }
            let result = effect(store.0.objects.clone()).await;
            store.0.hooks.request_done(op, &key);
            if (late || answer.is_closed()) && op == StoreOp::Create && result.is_ok() {
                store.0.counts.lock().landed_late += 1;
            }
            let _ = answer.send(result);
        };
        env.spawn("request on its way", landing).detach_to_group();
        match fate.fault {
            Some(StoreFault::Hang) => return std::future::pending().await,
            Some(StoreFault::Late { .. }) => {
                env.sleep(fate.there + fate.back).await;
                return Err(BackendError::Unknown("timed out on the way".into()));
            }
            _ => {}
        }
        let result = answered.await.unwrap_or_else(|_| Err(BackendError::Unknown("the store was shut down".into())));
        env.sleep(fate.back).await;
        match fate.fault {
            Some(StoreFault::After) => Err(BackendError::Unknown("internal error".into())),
            _ => result,
        }
    }

    async fn read<T, F>(
        &self,
        key: &str,
        effect: impl FnOnce(MemoryBackend, String) -> F + Send + 'static,
    ) -> Result<(T, u64), BackendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, u64), BackendError>> + Send,
    {
        let owned = key.to_owned();
        let answer = self.request(StoreOp::Read, key, move |objects| effect(objects, owned)).await?;
        self.0.counts.lock().bytes_read += answer.1;
        Ok(answer)
    }
}

/// The folder that an object lies in.
fn folder(key: &str) -> &str {
    key.rsplit('/').nth(1).unwrap_or(key)
}

fn fault_name(fault: StoreFault) -> &'static str {
    match fault {
        StoreFault::Before => "before",
        StoreFault::Lost => "lost",
        StoreFault::After => "after",
        StoreFault::Late { .. } => "late",
        StoreFault::Hang => "hang",
    }
}

#[async_trait]
impl Backend for SimStore {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        check_key(key)?;
        {
            let mut counts = self.0.counts.lock();
            counts.bytes_written += body.len();
            *counts.written.entry(folder(key).to_owned()).or_default() += body.len();
        }
        let owned = key.to_owned();
        self.request(StoreOp::Create, key, move |objects| async move { objects.create(&owned, body).await }).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        let read =
            |objects: MemoryBackend, key: String| async move { objects.get(&key).await.map(|bytes| (bytes.clone(), bytes.len() as u64)) };
        Ok(self.read(key, read).await?.0)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        let read = |objects: MemoryBackend, key: String| async move {
            objects.get_range(&key, range).await.map(|bytes| (bytes.clone(), bytes.len() as u64))
        };
        Ok(self.read(key, read).await?.0)
    }

    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let read = move |objects: MemoryBackend, key: String| async move {
            objects.get_start(&key, len).await.map(|(size, bytes)| ((size, bytes.clone()), bytes.len() as u64))
        };
        Ok(self.read(key, read).await?.0)
    }

    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let read = move |objects: MemoryBackend, key: String| async move {
            objects.get_tail(&key, len).await.map(|(size, bytes)| ((size, bytes.clone()), bytes.len() as u64))
        };
        Ok(self.read(key, read).await?.0)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        let (owned, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.request(StoreOp::List, prefix, move |objects| async move { objects.list(&owned, after.as_deref(), limit).await }).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        let owned = prefix.to_owned();
        self.request(StoreOp::List, prefix, move |objects| async move { objects.list_folders(&owned).await }).await
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        let owned = key.to_owned();
        self.request(StoreOp::Delete, key, move |objects| async move { objects.delete(&owned).await }).await
    }
}
