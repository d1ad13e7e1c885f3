//! Being alive: a broker's key under a lease.

use super::backend::{Compare, KeyValue, LeaseId, Txn, Write};
use super::handle::{Cluster, decode, is, is_as};
use super::keys::Key;
use super::lives::put;
use super::options::{MAX_RACES, NO_REVISION};
use super::{BackendError, ClusterError};
use floe_formats::etcd::{BrokerEntry, CleanerEntry, Life, encode_value};
use floe_types::{BrokerId, DiskId, Incarnation};
use parking_lot::Mutex;

/// A broker that is listed as alive. Dropping it leaves the key to the end of its lease.
#[derive(Debug)]
pub struct Registration {
    broker: BrokerId,
    entry: BrokerEntry,
    lease: Mutex<LeaseId>,
}

/// What a renewal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease goes on.
    Kept,
    /// It had ended; the broker is listed again, under a new one, with the number that it has.
    Again,
}

impl Registration {
    #[must_use]
    pub fn broker(&self) -> BrokerId {
        self.broker
    }

    #[must_use]
    pub fn entry(&self) -> &BrokerEntry {
        &self.entry
    }
}

impl Cluster {
    /// Lists a broker as alive, under a new lease. Its incarnation is open. What a former life of the same broker, on the same disk, has left is replaced.
    ///
    /// A lost answer: call again; a lease that was granted and never heard of ends by itself.
    ///
    /// # Errors
    /// `BrokerIdTaken`: another disk, or a newer life, is listed under this id; an id that is dead is free when its lease has ended. `NotInState`: the incarnation
    /// is not open. And [`Cluster::found`]'s; `Contended`.
    pub async fn register(&self, broker: BrokerId, entry: BrokerEntry) -> Result<Registration, ClusterError> {
        let lease = self.list_as_alive(broker, &entry).await?;
        Ok(Registration { broker, entry, lease: Mutex::new(lease) })
    }

    /// Renews the lease; to be called every third of [`super::ClusterOptions::lease_ttl`]. A lease that has ended is no reason to stop serving: the broker is listed again.
    ///
    /// # Errors
    /// `Unavailable`: go on serving, and call again. `NotInState`, `BrokerIdTaken`: somebody has begun to recover this incarnation: it meets its seals and
    /// stops before long. And [`Cluster::found`]'s.
    pub async fn renew(&self, registration: &Registration) -> Result<Renewed, ClusterError> {
        let lease = *registration.lease.lock();
        if self.call("renewing the lease", || async { self.backend().renew(lease).await.map(|kept| (NO_REVISION, kept)) }).await? {
            return Ok(Renewed::Kept);
        }
        let lease = self.list_as_alive(registration.broker, &registration.entry).await?;
        *registration.lease.lock() = lease;
        Ok(Renewed::Again)
    }

    /// Whether `registration` has the right to clean the closed chain `of`, for as long as its lease lasts: nobody else does the same work then. No safety rests on
    /// it (decision 2): two cleaners do no harm.
    ///
    /// A lost answer: call again.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn claim_cleaning(&self, registration: &Registration, of: Incarnation) -> Result<bool, ClusterError> {
        let (key, entry) = (self.key(Key::Cleaning(of)), CleanerEntry { by: registration.entry.incarnation });
        let lease = *registration.lease.lock();
        let txn = Txn {
            compares: vec![Compare::Absent { key: key.clone() }],
            writes: vec![Write::Put { key: key.clone(), value: encode_value(&entry), lease: Some(lease) }],
            reads: vec![key],
        };
        let attempt = || async {
            match self.backend().commit(&txn).await {
                Ok(done) => Ok((done.revision, Some(done))),
                Err(BackendError::LeaseGone) => Ok((NO_REVISION, None)),
                Err(error) => Err(error),
            }
        };
        let Some(done) = self.call("a right to clean", attempt).await? else { return Ok(false) };
        let stands = done.found.into_iter().next().flatten().map(|found| decode::<CleanerEntry>(&found)).transpose()?;
        Ok(done.won || stands == Some(entry))
    }

    /// Ends the lease: the broker is listed no more. A lost answer: the lease ends by itself.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn unregister(&self, registration: &Registration) -> Result<(), ClusterError> {
        let lease = *registration.lease.lock();
        self.call("ending the lease", || async { self.backend().revoke(lease).await.map(|()| (NO_REVISION, ())) }).await
    }

    /// The lowest broker id from `first` on that no broker is listed under and no incarnation that is not closed has: for `--broker-id auto` on a new disk. It is taken by
    /// [`Cluster::register`] only, so two may be told the same.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn free_broker_id(&self, first: BrokerId) -> Result<BrokerId, ClusterError> {
        let view = self.read_all(None).await?;
        let is_free = |id: &BrokerId| !view.brokers().contains_key(id) && !view.has_living(*id);
        (first.0..=i32::MAX).map(BrokerId).find(is_free).ok_or_else(|| ClusterError::Invalid("no broker id is free".into()))
    }

    /// What [`Cluster::register`] would refuse, known before anything is claimed.
    ///
    /// # Errors
    /// `BrokerIdTaken`: another disk is listed under this id. And [`Cluster::found`]'s.
    pub async fn may_have_id(&self, broker: BrokerId, disk: DiskId) -> Result<(), ClusterError> {
        let Some(stands) = self.get("whose a broker's id is", &self.key(Key::Broker(broker))).await? else { return Ok(()) };
        let listed = decode::<BrokerEntry>(&stands)?;
        if listed.disk == disk { Ok(()) } else { Err(taken(broker, &listed)) }
    }

    async fn list_as_alive(&self, broker: BrokerId, entry: &BrokerEntry) -> Result<LeaseId, ClusterError> {
        let what = "listing the broker as alive";
        let (key, life) = (self.key(Key::Broker(broker)), self.key(Key::Life(entry.incarnation)));
        // Stays when the lease ends: who suspects it then can ask it.
        let last = self.key(Key::Listed(entry.incarnation));
        let ttl = self.options().lease_ttl;
        let mut lease = self.call("a lease", || async { self.backend().grant(ttl).await.map(|lease| (NO_REVISION, lease)) }).await?;
        let mut stands = self.get(what, &key).await?;
        for _ in 0..MAX_RACES {
            may_replace(broker, entry, stands.as_ref())?;
            let txn = Txn {
                compares: vec![is(life.clone(), &Life::Open), is_as(&key, stands.as_ref())],
                writes: vec![Write::Put { key: key.clone(), value: encode_value(entry), lease: Some(lease) }, put(&last, entry)],
                reads: vec![life.clone(), key.clone()],
            };
            let attempt = || async {
                match self.backend().commit(&txn).await {
                    Ok(done) => Ok((done.revision, Some(done))),
                    Err(BackendError::LeaseGone) => Ok((NO_REVISION, None)),
                    Err(error) => Err(error),
                }
            };
            let Some(done) = self.call(what, attempt).await? else {
                lease = self.call("a lease", || async { self.backend().grant(ttl).await.map(|lease| (NO_REVISION, lease)) }).await?;
                continue;
            };
            if done.won {
                return Ok(lease);
            }
            let [found_life, found] = <[Option<KeyValue>; 2]>::try_from(done.found).unwrap_or_default();
            if found.as_ref().is_some_and(|found| found.lease == Some(lease)) {
                return Ok(lease); // an earlier attempt, whose answer was lost
            }
            let found_life = found_life.as_ref().map(decode::<Life>).transpose()?;
            if found_life != Some(Life::Open) {
                return Err(ClusterError::NotInState { incarnation: entry.incarnation, wanted: Life::Open, found: found_life });
            }
            stands = found;
        }
        Err(ClusterError::Contended { what, attempts: MAX_RACES })
    }
}

/// A key that is there may be replaced by a later life on the same disk, or by the same life under a new lease.
fn may_replace(broker: BrokerId, entry: &BrokerEntry, stands: Option<&KeyValue>) -> Result<(), ClusterError> {
    let Some(stands) = stands else { return Ok(()) };
    let listed = decode::<BrokerEntry>(stands)?;
    if listed.disk == entry.disk && listed.incarnation <= entry.incarnation {
        return Ok(());
    }
    Err(taken(broker, &listed))
}

fn taken(broker: BrokerId, listed: &BrokerEntry) -> ClusterError {
    ClusterError::BrokerIdTaken { broker, by: listed.incarnation, disk: listed.disk }
}
