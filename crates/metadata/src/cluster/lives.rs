//! Incarnations: open, sealing, closed, forgotten.

use super::ClusterError;
use super::backend::{Compare, Txn, Write};
use super::handle::{Cluster, decode, is};
use super::keys::Key;
use super::options::MAX_RACES;
use floe_formats::etcd::{CounterEntry, DrainEntry, IncarnationEntry, Life, LostEntry, OwnerEntry, encode_value};
use floe_types::{DiskId, Incarnation};
use std::collections::BTreeSet;

impl Cluster {
    /// Makes a claimed incarnation known, open, and raises the counter to it. The claim stands before this (R1).
    ///
    /// A lost answer: call again with the same entry; it knows itself again. One that never gets an answer may be open all the same, owns nothing, and is
    /// recovered like any other.
    ///
    /// # Errors
    /// `NumberTaken`: it is known, and another's. `NotInState`: it is known, and somebody has begun to recover it: claim another. And [`Cluster::found`]'s.
    pub async fn open_incarnation(&self, incarnation: Incarnation, entry: &IncarnationEntry) -> Result<(), ClusterError> {
        let (whose, life) = (self.key(Key::Incarnation(incarnation)), self.key(Key::Life(incarnation)));
        let txn = Txn {
            compares: vec![Compare::Absent { key: whose.clone() }, Compare::Absent { key: life.clone() }],
            writes: vec![put(&whose, entry), put(&life, &Life::Open)],
            reads: vec![whose, life],
        };
        let done = self.commit("registering an incarnation", &txn).await?;
        if !done.won {
            let mut found = done.found.into_iter();
            let stands = found.next().flatten().map(|found| decode::<IncarnationEntry>(&found)).transpose()?;
            let life = found.next().flatten().map(|found| decode::<Life>(&found)).transpose()?;
            if stands.as_ref() != Some(entry) {
                return Err(ClusterError::NumberTaken { incarnation });
            }
            if life != Some(Life::Open) {
                return Err(ClusterError::NotInState { incarnation, wanted: Life::Open, found: life });
            }
        }
        let raise = |before: Option<CounterEntry>| {
            before.is_none_or(|before| before.greatest < incarnation).then_some(CounterEntry { greatest: incarnation })
        };
        self.update("raising the counter", Key::Counter, raise).await?;
        Ok(())
    }

    /// The state of an incarnation; none: never registered, or forgotten.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn life(&self, incarnation: Incarnation) -> Result<Option<Life>, ClusterError> {
        self.value("reading an incarnation's state", Key::Life(incarnation)).await
    }

    /// R4: nothing is given to `incarnation` any more, and everybody may recover it. Answers the state that stands then: `Sealing`, or `Closed`.
    ///
    /// A lost answer: call again; it may have happened. The mark is harmless to whoever lives, if it is its own or if it may be recovered.
    ///
    /// # Errors
    /// `NotInState`: not known. And [`Cluster::found`]'s.
    pub async fn mark_sealing(&self, incarnation: Incarnation) -> Result<Life, ClusterError> {
        self.advance("marking an incarnation sealing", incarnation, Life::Open, Life::Sealing).await
    }

    /// The same for another's incarnation, by one that is open itself: of two that suspect one another one is left, and who is being recovered recovers nobody.
    ///
    /// A lost answer: call again.
    ///
    /// # Errors
    /// `NotInState`: `by` is not open, or nothing is known of `incarnation`. And [`Cluster::found`]'s.
    pub async fn seal_other(&self, by: Incarnation, incarnation: Incarnation) -> Result<Life, ClusterError> {
        let (own, key) = (self.key(Key::Life(by)), self.key(Key::Life(incarnation)));
        let txn = Txn {
            compares: vec![is(own.clone(), &Life::Open), is(key.clone(), &Life::Open)],
            writes: vec![put(&key, &Life::Sealing)],
            reads: vec![own, key],
        };
        let done = self.commit("marking another incarnation sealing", &txn).await?;
        if done.won {
            return Ok(Life::Sealing);
        }
        let mut found = done.found.into_iter().map(|found| found.map(|found| decode::<Life>(&found)).transpose());
        let (own, other) = (found.next().transpose()?.flatten(), found.next().transpose()?.flatten());
        match (own, other) {
            // Somebody's work already: it may be gone on with.
            (_, Some(life @ (Life::Sealing | Life::Closed))) => Ok(life),
            (own, Some(Life::Open)) => Err(ClusterError::NotInState { incarnation: by, wanted: Life::Open, found: own }),
            (_, None) => Err(ClusterError::NotInState { incarnation, wanted: Life::Open, found: None }),
        }
    }

    /// R9: what `incarnation` owned can be taken over. Its `end` stands in the store before this. Answers `Closed`.
    ///
    /// A lost answer: call again; it may have happened.
    ///
    /// # Errors
    /// `NotInState`: it is open, although its `end` stands, or not known: etcd was set back, or the caller has left out [`Cluster::mark_sealing`]. And
    /// [`Cluster::found`]'s.
    pub async fn mark_closed(&self, incarnation: Incarnation) -> Result<Life, ClusterError> {
        let stands = self.advance("marking an incarnation closed", incarnation, Life::Sealing, Life::Closed).await?;
        if stands == Life::Closed {
            return Ok(stands);
        }
        Err(ClusterError::NotInState { incarnation, wanted: Life::Sealing, found: Some(stands) })
    }

    /// From one state to the next, if it is in that one; answers the state that stands then, which may be a later one.
    async fn advance(&self, what: &'static str, incarnation: Incarnation, from: Life, to: Life) -> Result<Life, ClusterError> {
        let key = self.key(Key::Life(incarnation));
        let txn = Txn { compares: vec![is(key.clone(), &from)], writes: vec![put(&key, &to)], reads: vec![key] };
        let done = self.commit(what, &txn).await?;
        if done.won {
            return Ok(to);
        }
        let found = done.found.into_iter().next().flatten().map(|found| decode::<Life>(&found)).transpose()?;
        found.ok_or(ClusterError::NotInState { incarnation, wanted: from, found: None })
    }

    /// Asks an incarnation that is open to drain: a wish, which it follows by itself. False: it is not open.
    ///
    /// A lost answer: call again.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn ask_to_drain(&self, incarnation: Incarnation) -> Result<bool, ClusterError> {
        let (life, key) = (self.key(Key::Life(incarnation)), self.key(Key::Drain(incarnation)));
        let entry = DrainEntry { asked_ms: self.env().now_ms() };
        let txn = Txn { compares: vec![is(life, &Life::Open)], writes: vec![put(&key, &entry)], reads: Vec::new() };
        Ok(self.commit("asking a broker to drain", &txn).await?.won)
    }

    /// Declares that nothing is to be had any more of disks that may hold copies of an incarnation's WALs, beside those that were declared so before: its recovery goes on
    /// without them (R12). False: nobody has begun to recover the incarnation, which may live; or it is over. A lost answer: call again.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn accept_loss(&self, incarnation: Incarnation, disks: &BTreeSet<DiskId>) -> Result<bool, ClusterError> {
        let view = self.read().await?;
        let disks = view.lost(incarnation).union(disks).copied().collect();
        let entry = LostEntry { disks, accepted_ms: self.env().now_ms() };
        let (key, lost) = (self.key(Key::Life(incarnation)), self.key(Key::Lost(incarnation)));
        let txn = Txn { compares: vec![is(key, &Life::Sealing)], writes: vec![put(&lost, &entry)], reads: Vec::new() };
        Ok(self.commit("declaring disks lost", &txn).await?.won)
    }

    /// Deletes what is known of a closed incarnation that no partition names, as owner or as base. Answers whether it is gone.
    ///
    /// Once closed and unnamed it stays unnamed (only its owner's successor names it as base, and nothing is given to the closed), so a late
    /// repetition does no harm; neither does a lost answer. Claims, stops and `end` in the store stay (R18).
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn forget_incarnation(&self, incarnation: Incarnation) -> Result<bool, ClusterError> {
        if self.life(incarnation).await?.is_some_and(|life| life != Life::Closed) {
            return Ok(false);
        }
        let owners = self.list("reading owners", &self.keys().partitions(), None).await?;
        for found in &owners.entries {
            let owner = decode::<OwnerEntry>(found)?;
            if owner.incarnation == incarnation || owner.base == Some(incarnation) {
                return Ok(false);
            }
        }
        let (whose, life) = (self.key(Key::Incarnation(incarnation)), self.key(Key::Life(incarnation)));
        let txn = Txn {
            compares: vec![is(life.clone(), &Life::Closed)],
            writes: [whose, life.clone()]
                .into_iter()
                .chain([Key::Listed(incarnation), Key::Drain(incarnation), Key::Lost(incarnation)].map(|key| self.key(key)))
                .map(|key| Write::Delete { key })
                .collect(),
            reads: vec![life],
        };
        let done = self.commit("forgetting an incarnation", &txn).await?;
        Ok(done.won || done.found.iter().all(Option::is_none))
    }

    /// Forgets every closed incarnation that no partition names; answers which. A right to clean is a matter of economy: racing is harmless.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn forget_unnamed(&self) -> Result<Vec<Incarnation>, ClusterError> {
        let view = self.read_all(None).await?;
        let mut gone = Vec::new();
        for incarnation in view.unnamed_closed().into_iter().take(MAX_RACES as usize) {
            if self.forget_incarnation(incarnation).await? {
                gone.push(incarnation);
            }
        }
        Ok(gone)
    }
}

pub(super) fn put<T: floe_formats::etcd::Value>(key: &str, value: &T) -> Write {
    Write::Put { key: key.to_owned(), value: encode_value(value), lease: None }
}
