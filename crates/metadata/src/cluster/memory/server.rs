//! The server: keys with their history, leases, and who waits for changes.

use crate::cluster::backend::{BackendError, Committed, Compare, Event, Events, KeyValue, LeaseId, Listed, Revision, Txn, Write};
use bytes::Bytes;
use floe_env::{Env, Watched};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Changes of one key, oldest first; none: deleted.
type History = Vec<(Revision, Option<KeyValue>)>;

/// See [`super`].
#[derive(Debug, Clone)]
pub struct MemoryEtcd(Arc<Server>);

#[derive(Debug)]
struct Server {
    env: Env,
    state: Mutex<State>,
    /// Grows with everything that a waiting watch has to look at.
    changed: Watched<u64>,
    keeps: Option<Revision>,
}

/// What a snapshot of etcd holds: everything.
#[derive(Debug, Clone)]
pub struct Snapshot(State);

#[derive(Debug, Clone)]
struct State {
    revision: Revision,
    /// Revisions before this are not kept.
    oldest: Revision,
    keys: BTreeMap<String, History>,
    leases: BTreeMap<LeaseId, Lease>,
    leases_given: i64,
    is_up: bool,
    /// Watches of an earlier life are over.
    life: u64,
}

#[derive(Debug, Clone)]
struct Lease {
    ttl: Duration,
    ends: Duration,
    keys: BTreeSet<String>,
}

impl MemoryEtcd {
    /// Empty, and up. Time and tasks are `env`'s, which outlives the brokers'.
    #[must_use]
    pub fn new(env: Env) -> Self {
        Self::keeping(env, None)
    }

    /// For a single broker, in its own process: it keeps some thousand revisions.
    #[must_use]
    pub fn embedded(env: Env) -> Self {
        Self::keeping(env, Some(4096))
    }

    fn keeping(env: Env, keeps: Option<Revision>) -> Self {
        let state = State { revision: 1, oldest: 0, keys: BTreeMap::new(), leases: BTreeMap::new(), leases_given: 0, is_up: true, life: 0 };
        Self(Arc::new(Server { env, state: Mutex::new(state), changed: Watched::new(0), keeps }))
    }

    pub(super) fn env(&self) -> &Env {
        &self.0.env
    }

    /// Nothing is answered until [`MemoryEtcd::start`]; watches end. Leases run on.
    pub fn stop(&self) {
        self.0.state.lock().is_up = false;
        self.wake();
    }

    /// Up again; watches of before are over. As etcd does, a lease has its whole time again.
    pub fn start(&self) {
        let mut state = self.0.state.lock();
        (state.is_up, state.life) = (true, state.life + 1);
        let now = self.0.env.monotonic();
        state.leases.values_mut().for_each(|lease| lease.ends = now + lease.ttl);
        drop(state);
        self.wake();
    }

    /// Everything as it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.touch();
        Snapshot(self.0.state.lock().clone())
    }

    /// Everything as it was, and up: what a restored snapshot is. Watches are over.
    pub fn set_back(&self, snapshot: &Snapshot) {
        let life = self.0.state.lock().life + 1;
        *self.0.state.lock() = State { life, is_up: true, ..snapshot.0.clone() };
        self.start();
    }

    /// Forgets what was before the newest revision.
    pub fn compact(&self) {
        let mut state = self.0.state.lock();
        let revision = state.revision;
        state.compact(revision);
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.state.lock().revision
    }

    fn wake(&self) {
        self.0.changed.set_if(|changes| {
            *changes += 1;
            true
        });
    }

    /// Ends leases whose time is over.
    fn touch(&self) {
        let now = self.0.env.monotonic();
        let mut state = self.0.state.lock();
        let over: Vec<LeaseId> = state.leases.iter().filter(|(_, lease)| lease.ends <= now).map(|(id, _)| *id).collect();
        let ended = !over.is_empty() && state.is_up;
        if ended {
            over.into_iter().for_each(|lease| state.end_lease(lease));
        }
        drop(state);
        if ended {
            self.wake();
        }
    }

    fn up(&self) -> Result<parking_lot::MutexGuard<'_, State>, BackendError> {
        self.touch();
        let state = self.0.state.lock();
        if state.is_up { Ok(state) } else { Err(BackendError::Unavailable("etcd is down".into())) }
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: Option<Revision>) -> Result<Listed, BackendError> {
        let state = self.up()?;
        if let Some(asked) = at.filter(|at| *at > state.revision) {
            return Err(BackendError::Future { asked, newest: state.revision });
        }
        let at = at.unwrap_or(state.revision);
        if at < state.oldest {
            return Err(BackendError::Compacted { oldest: state.oldest });
        }
        let is_behind = |key: &String| after.is_none_or(|after| key.as_str() > after);
        let from = state.keys.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let mut entries: Vec<KeyValue> =
            from.filter(|(key, _)| is_behind(key)).filter_map(|(_, history)| as_of(history, at)).take(limit + 1).collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        Ok(Listed { revision: state.revision, entries, more })
    }

    pub(super) fn commit(&self, txn: &Txn) -> Result<Committed, BackendError> {
        if !txn.fits() {
            return Err(BackendError::Refused("the transaction is too large".into()));
        }
        let mut state = self.up()?;
        let holds = |compare: &Compare| match compare {
            Compare::Absent { key } => state.now(key).is_none(),
            Compare::Is { key, value } => state.now(key).is_some_and(|found| found.value == *value),
        };
        let won = txn.compares.iter().all(holds);
        if !won {
            let found = txn.reads.iter().map(|key| state.now(key)).collect();
            return Ok(Committed { revision: state.revision, won, found });
        }
        let mut leases = txn.writes.iter().filter_map(|write| if let Write::Put { lease, .. } = write { *lease } else { None });
        if leases.any(|lease| !state.leases.contains_key(&lease)) {
            return Err(BackendError::LeaseGone);
        }
        if state.changes(txn) {
            state.revision += 1;
        }
        for write in &txn.writes {
            match write {
                Write::Put { key, value, lease } => state.put(key, value, *lease),
                Write::Delete { key } => state.delete(key),
            }
        }
        let revision = state.revision;
        if let Some(keeps) = self.0.keeps.filter(|keeps| state.oldest + 2 * keeps < revision) {
            state.compact(revision - keeps);
        }
        drop(state);
        self.wake();
        Ok(Committed { revision, won, found: Vec::new() })
    }

    pub(super) fn grant(&self, ttl: Duration) -> Result<LeaseId, BackendError> {
        let mut state = self.up()?;
        state.leases_given += 1;
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(Duration::from_secs(1));
        let (lease, ends) = (LeaseId(state.leases_given), self.0.env.monotonic() + ttl);
        state.leases.insert(lease, Lease { ttl, ends, keys: BTreeSet::new() });
        drop(state);
        self.wake();
        Ok(lease)
    }

    pub(super) fn renew(&self, lease: LeaseId) -> Result<bool, BackendError> {
        let now = self.0.env.monotonic();
        let mut state = self.up()?;
        let Some(lease) = state.leases.get_mut(&lease) else { return Ok(false) };
        lease.ends = now + lease.ttl;
        Ok(true)
    }

    pub(super) fn revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        self.up()?.end_lease(lease);
        self.wake();
        Ok(())
    }

    /// Which life a watch from `from` on belongs to.
    pub(super) fn begin_watch(&self, from: Revision) -> Result<u64, BackendError> {
        let state = self.up()?;
        if from > state.revision + 1 {
            return Err(BackendError::Future { asked: from, newest: state.revision });
        }
        if from <= state.oldest {
            return Err(BackendError::Compacted { oldest: state.oldest });
        }
        Ok(state.life)
    }

    /// Waits for changes at or above `from`.
    pub(super) async fn changes(&self, life: u64, prefix: &str, from: Revision) -> Result<Events, BackendError> {
        loop {
            let seen = self.0.changed.get();
            let ends = {
                let state = self.up()?;
                if state.life != life {
                    return Err(BackendError::Unavailable("the watch was cut".into()));
                }
                if from <= state.oldest {
                    return Err(BackendError::Compacted { oldest: state.oldest });
                }
                let events = state.events(prefix, from);
                if !events.is_empty() {
                    return Ok(Events { revision: state.revision, events });
                }
                state.leases.values().map(|lease| lease.ends).min()
            };
            let changed = self.0.changed.wait_for(|changes| *changes != seen);
            match ends {
                None => {
                    changed.await;
                }
                // A lease ends while nobody asks for anything.
                Some(ends) => {
                    let left = ends.saturating_sub(self.0.env.monotonic()).max(Duration::from_millis(1));
                    let _ = self.0.env.timeout(left, changed).await;
                }
            }
        }
    }
}

fn as_of(history: &History, at: Revision) -> Option<KeyValue> {
    history.iter().rev().find(|(revision, _)| *revision <= at).and_then(|(_, found)| found.clone())
}

impl State {
    fn now(&self, key: &str) -> Option<KeyValue> {
        self.keys.get(key).and_then(|history| as_of(history, self.revision))
    }

    fn changes(&self, txn: &Txn) -> bool {
        txn.writes.iter().any(|write| match write {
            Write::Put { .. } => true,
            Write::Delete { key } => self.now(key).is_some(),
        })
    }

    fn put(&mut self, key: &str, value: &Bytes, lease: Option<LeaseId>) {
        self.detach(key);
        if let Some(lease) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.insert(key.to_owned());
        }
        let revision = self.revision;
        let found = KeyValue { key: key.to_owned(), value: value.clone(), revision, lease };
        self.keys.entry(key.to_owned()).or_default().push((revision, Some(found)));
    }

    fn delete(&mut self, key: &str) {
        self.detach(key);
        if self.now(key).is_some() {
            let revision = self.revision;
            self.keys.entry(key.to_owned()).or_default().push((revision, None));
        }
    }

    fn detach(&mut self, key: &str) {
        if let Some(lease) = self.now(key).and_then(|found| found.lease)
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.keys.remove(key);
        }
    }

    fn end_lease(&mut self, lease: LeaseId) {
        let Some(lease) = self.leases.remove(&lease) else { return };
        if !lease.keys.is_empty() {
            self.revision += 1;
        }
        lease.keys.iter().for_each(|key| self.delete(key));
    }

    fn events(&self, prefix: &str, from: Revision) -> Vec<Event> {
        let under = self.keys.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let mut events: Vec<(Revision, Event)> = under
            .flat_map(|(key, history)| {
                let event = move |found: &Option<KeyValue>| found.clone().map_or(Event::Deleted { key: key.clone() }, Event::Put);
                history.iter().filter(move |(revision, _)| *revision >= from).map(move |(revision, found)| (*revision, event(found)))
            })
            .collect();
        events.sort_by_key(|(revision, _)| *revision);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Keeps what is needed to know every revision from `oldest` on, and the changes behind it.
    fn compact(&mut self, oldest: Revision) {
        self.oldest = self.oldest.max(oldest);
        for history in self.keys.values_mut() {
            let kept = history.iter().rposition(|(revision, _)| *revision <= oldest).unwrap_or(0);
            history.drain(..kept);
        }
        self.keys.retain(|_, history| !matches!(history.as_slice(), [(revision, None)] if *revision <= oldest));
    }
}
