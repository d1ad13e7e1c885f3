//! [`Cluster`]: a handle on the truth; calls with time limits and repeats, and the watch over set-back revisions.

use super::backend::{Backend, Committed, Compare, KeyValue, Listed, Revision, Txn, Write};
use super::error::Attempt;
use super::keys::{Key, Keys};
use super::options::{MAX_RACES, NO_REVISION};
use super::{BackendError, ClusterError, ClusterOptions};
use bytes::Bytes;
use floe_env::Env;
use floe_formats::etcd::{CatalogEntry, ClusterEntry, CounterEntry, Value, decode_value, encode_value};
use floe_types::{ClusterId, Incarnation};
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Cluster truth: who is alive, which incarnations there are, who owns what, which catalog is announced.
///
/// Every call ends within [`ClusterOptions::deadline`], is repeated after answers that were lost, and knows its own work again when it repeats it. What that means
/// for a caller who never gets an answer is said at each call. Cancelling a call is losing its answer.
///
/// A lower revision than any seen means that etcd was set back; from then on every call fails with [`ClusterError::SetBack`]. A set-back that revisions do not show
/// is shown by marks ([`super::Lineage`]), which whoever relies on what is read here has to ask first.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    env: Env,
    backend: Arc<dyn Backend>,
    keys: Keys,
    options: ClusterOptions,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    revision: Revision,
    set_back: Option<ClusterError>,
}

impl Cluster {
    #[must_use]
    pub fn new(env: Env, backend: Arc<dyn Backend>, options: ClusterOptions) -> Self {
        let keys = Keys::new(&options.prefix);
        Self(Arc::new(Inner { env, backend, keys, options, seen: Mutex::default() }))
    }

    /// The highest revision that was seen here or that anybody told ([`Cluster::heard`]): for heartbeats, claims and footers.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.0.seen.lock().revision
    }

    /// A broker whose lease was not renewed for so long is not listed as alive.
    #[must_use]
    pub fn lease_ttl(&self) -> Duration {
        self.0.options.lease_ttl
    }

    /// Another broker, a claim or a footer has seen this revision.
    pub fn heard(&self, revision: Revision) {
        let mut seen = self.0.seen.lock();
        seen.revision = seen.revision.max(revision);
    }

    /// Etcd is known to be set back: every further call fails with this.
    pub fn freeze(&self, detail: String) -> ClusterError {
        let error = ClusterError::SetBack { detail };
        self.0.seen.lock().set_back.get_or_insert(error).clone()
    }

    /// Names the cluster that this prefix belongs to, unless it has a name; the name that stands is answered. A lost answer: call again.
    ///
    /// # Errors
    /// `Unavailable`, `SetBack`, `Format`, `Refused`; these four may come from every call.
    pub async fn found(&self, cluster: ClusterId) -> Result<ClusterId, ClusterError> {
        let entry = ClusterEntry { cluster };
        let stands =
            self.update("naming the cluster", Key::Cluster, |before: Option<ClusterEntry>| before.is_none().then(|| entry.clone())).await?;
        Ok(stands.unwrap_or(entry).cluster)
    }

    /// The name that stands.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn founded(&self) -> Result<Option<ClusterId>, ClusterError> {
        Ok(self.value::<ClusterEntry>("reading the cluster's name", Key::Cluster).await?.map(|entry| entry.cluster))
    }

    /// Announces a version of the catalog, unless a newer one is announced: only ever over an older one, however late (R16). Answers what is announced then.
    /// A lost answer: call again, or leave it to whoever finds the catalog ahead.
    ///
    /// # Errors
    /// See [`Cluster::found`]; `Contended`.
    pub async fn announce_catalog(&self, version: u64) -> Result<u64, ClusterError> {
        let newer = |before: Option<CatalogEntry>| before.is_none_or(|before| before.version < version).then_some(CatalogEntry { version });
        let stands = self.update("announcing the catalog", Key::Catalog, newer).await?;
        Ok(stands.map_or(version, |entry| entry.version))
    }

    /// The greatest incarnation that registered, as a hint where to begin claiming: claims in the store decide (R1), and one may be ahead without any harm.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn greatest_incarnation(&self) -> Result<Incarnation, ClusterError> {
        Ok(self.value::<CounterEntry>("reading the counter", Key::Counter).await?.map_or(Incarnation(0), |entry| entry.greatest))
    }

    pub(crate) fn env(&self) -> &Env {
        &self.0.env
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        self.0.backend.as_ref()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn options(&self) -> &ClusterOptions {
        &self.0.options
    }

    pub(crate) fn key(&self, key: Key) -> String {
        self.0.keys.key(key)
    }

    /// Takes a revision in; a lower one freezes, unless it was asked for before a higher one was seen.
    pub(crate) fn observe(&self, asked_at: Revision, found: Revision) -> Result<(), ClusterError> {
        let mut seen = self.0.seen.lock();
        if found < asked_at && found != NO_REVISION {
            let error = ClusterError::lower(asked_at, found);
            return Err(seen.set_back.get_or_insert(error).clone());
        }
        seen.revision = seen.revision.max(found);
        Ok(())
    }

    /// Repeats `attempt` within the deadline, with pauses that double and are drawn at random.
    pub(crate) async fn call<T, F>(&self, what: &'static str, attempt: impl Fn() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<(Revision, T), BackendError>> + Send,
    {
        let (env, options) = (&self.0.env, &self.0.options);
        let ends = env.monotonic() + options.deadline;
        let (mut attempts, mut pause) = (0, options.first_pause);
        loop {
            let asked_at = {
                let seen = self.0.seen.lock();
                if let Some(error) = &seen.set_back {
                    return Err(error.clone());
                }
                seen.revision
            };
            attempts += 1;
            let left = ends.saturating_sub(env.monotonic()).min(options.attempt_timeout);
            let reason = match env.timeout(left, attempt()).await {
                Ok(Ok((revision, answer))) => {
                    self.observe(asked_at, revision)?;
                    return Ok(answer);
                }
                Ok(Err(error)) => match Attempt::from_backend(what, error, asked_at) {
                    Attempt::Again(reason) => reason,
                    Attempt::Ends(error @ ClusterError::SetBack { .. }) => {
                        return Err(self.0.seen.lock().set_back.get_or_insert(error).clone());
                    }
                    Attempt::Ends(error) => return Err(error),
                },
                Err(elapsed) => elapsed.to_string(),
            };
            let wait = Duration::from_millis(env.random_below(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)) + 1);
            pause = (pause * 2).min(options.longest_pause);
            if env.monotonic() + wait >= ends {
                return Err(ClusterError::Unavailable { what, attempts, reason });
            }
            tracing::debug!(what, attempts, reason, "etcd did not answer");
            env.sleep(wait).await;
        }
    }

    pub(crate) async fn commit(&self, what: &'static str, txn: &Txn) -> Result<Committed, ClusterError> {
        if !txn.fits() {
            return Err(ClusterError::Invalid(format!("{what}: more than one transaction holds")));
        }
        self.call(what, || async { self.backend().commit(txn).await.map(|done| (done.revision, done)) }).await
    }

    /// All keys that begin with `prefix`, at one revision: `at`, or the newest.
    pub(crate) async fn list(&self, what: &'static str, prefix: &str, at: Option<Revision>) -> Result<Listed, ClusterError> {
        self.call(what, || async {
            let mut all = self.backend().list(prefix, None, self.options().page, at).await?;
            let at = at.unwrap_or(all.revision);
            while all.more {
                let after = all.entries.last().map(|entry| entry.key.clone());
                let page = self.backend().list(prefix, after.as_deref(), self.options().page, Some(at)).await?;
                all.more = page.more && !page.entries.is_empty();
                all.entries.extend(page.entries);
            }
            let newest = all.revision;
            all.revision = at;
            Ok((newest, all))
        })
        .await
    }

    /// One key.
    pub(crate) async fn get(&self, what: &'static str, key: &str) -> Result<Option<KeyValue>, ClusterError> {
        // A comparison that no key of ours passes: the reads of a lost transaction are linearizable.
        let never = Compare::Is { key: key.to_owned(), value: Bytes::new() };
        let txn = Txn { compares: vec![never], writes: Vec::new(), reads: vec![key.to_owned()] };
        let done = self.commit(what, &txn).await?;
        Ok(done.found.into_iter().next().flatten())
    }

    pub(crate) async fn value<T: Value>(&self, what: &'static str, key: Key) -> Result<Option<T>, ClusterError> {
        self.get(what, &self.key(key)).await?.map(|found| decode(&found)).transpose()
    }

    /// Compares and swaps one key until it is as wanted: `next` says what to put over what stands, or that it may stay. Answers what stays; none: it was put.
    pub(crate) async fn update<T: Value>(
        &self,
        what: &'static str,
        key: Key,
        next: impl Fn(Option<T>) -> Option<T>,
    ) -> Result<Option<T>, ClusterError> {
        let key = self.key(key);
        let mut stands = self.get(what, &key).await?;
        for _ in 0..MAX_RACES {
            let before = stands.as_ref().map(decode::<T>).transpose()?;
            let Some(value) = next(before) else {
                return stands.as_ref().map(decode).transpose();
            };
            let txn = Txn {
                compares: vec![is_as(&key, stands.as_ref())],
                writes: vec![Write::Put { key: key.clone(), value: encode_value(&value), lease: None }],
                reads: vec![key.clone()],
            };
            let done = self.commit(what, &txn).await?;
            if done.won {
                return Ok(None);
            }
            stands = done.found.into_iter().next().flatten();
        }
        Err(ClusterError::Contended { what, attempts: MAX_RACES })
    }
}

pub(crate) fn decode<T: Value>(found: &KeyValue) -> Result<T, ClusterError> {
    decode_value(&found.value).map_err(|source| ClusterError::Format { key: found.key.clone(), source })
}

/// That a key is as it was found.
pub(crate) fn is_as(key: &str, found: Option<&KeyValue>) -> Compare {
    match found {
        Some(found) => Compare::Is { key: key.to_owned(), value: found.value.clone() },
        None => Compare::Absent { key: key.to_owned() },
    }
}

/// That a key holds this value.
pub(crate) fn is<T: Value>(key: String, value: &T) -> Compare {
    Compare::Is { key, value: encode_value(value) }
}
