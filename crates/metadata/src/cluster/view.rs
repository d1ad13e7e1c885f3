//! All that a cluster's keys say, at one revision.

use super::ClusterError;
use super::backend::{Event, KeyValue, Listed, Revision};
use super::handle::{Cluster, decode};
use super::keys::{Key, Keys};
use super::owners::Owned;
use floe_formats::etcd::{BrokerEntry, CatalogEntry, IncarnationEntry, Life, LostEntry, MarkEntry, OwnerEntry, PreferredEntry};
use floe_types::{BrokerId, DiskId, Incarnation, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

/// Cluster truth as of one revision; what it says may be over by the time it is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    revision: Revision,
    brokers: BTreeMap<BrokerId, BrokerEntry>,
    incarnations: BTreeMap<Incarnation, IncarnationEntry>,
    lives: BTreeMap<Incarnation, Life>,
    owners: BTreeMap<PartitionId, OwnerEntry>,
    preferred: BTreeMap<PartitionId, BrokerId>,
    listed: BTreeMap<Incarnation, BrokerEntry>,
    drains: BTreeSet<Incarnation>,
    lost: BTreeMap<Incarnation, BTreeSet<DiskId>>,
    catalog: u64,
    mark: Option<MarkEntry>,
}

/// What differs from one view to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Listed as alive, or anew with other data.
    BrokerUp(BrokerId),
    /// Its lease ended. A reason to suspect it, and none to recover it.
    BrokerDown(BrokerId),
    /// An incarnation's state; none: forgotten.
    Life(Incarnation, Option<Life>),
    /// A partition's owner; none: deleted.
    Owner(PartitionId, Option<OwnerEntry>),
    /// Who should lead a partition; none: anybody.
    Preferred(PartitionId, Option<BrokerId>),
    /// An incarnation should drain.
    Drain(Incarnation),
    /// Disks that may hold copies of an incarnation's WALs are declared lost.
    Lost(Incarnation),
    /// The announced version of the catalog.
    Catalog(u64),
    /// The mark ([`super::Lineage`]).
    Mark(Option<MarkEntry>),
}

impl ClusterView {
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Brokers that are listed as alive.
    #[must_use]
    pub fn brokers(&self) -> &BTreeMap<BrokerId, BrokerEntry> {
        &self.brokers
    }

    /// Whose lives the incarnations are that are not forgotten.
    #[must_use]
    pub fn incarnations(&self) -> &BTreeMap<Incarnation, IncarnationEntry> {
        &self.incarnations
    }

    /// The incarnations' states.
    #[must_use]
    pub fn lives(&self) -> &BTreeMap<Incarnation, Life> {
        &self.lives
    }

    /// All owners.
    #[must_use]
    pub fn owners(&self) -> &BTreeMap<PartitionId, OwnerEntry> {
        &self.owners
    }

    /// A partition's owner.
    #[must_use]
    pub fn owner(&self, partition: PartitionId) -> Option<OwnerEntry> {
        self.owners.get(&partition).copied()
    }

    /// Partitions whose records name `incarnation` as their owner.
    pub fn owned_by(&self, incarnation: Incarnation) -> impl Iterator<Item = Owned> + '_ {
        let is_its = move |(_, owner): &(&PartitionId, &OwnerEntry)| owner.incarnation == incarnation;
        self.owners.iter().filter(is_its).map(|(partition, owner)| Owned { partition: *partition, owner: *owner })
    }

    /// Who should lead which partitions.
    #[must_use]
    pub fn preferred(&self) -> &BTreeMap<PartitionId, BrokerId> {
        &self.preferred
    }

    /// An incarnation that is not forgotten, as it was listed last: it may be listed no more.
    #[must_use]
    pub fn last_listed(&self, incarnation: Incarnation) -> Option<(BrokerId, &BrokerEntry)> {
        Some((self.incarnations.get(&incarnation)?.broker, self.listed.get(&incarnation)?))
    }

    /// Whether an incarnation was asked to drain.
    #[must_use]
    pub fn should_drain(&self, incarnation: Incarnation) -> bool {
        self.drains.contains(&incarnation)
    }

    /// Disks that were declared lost for an incarnation's recovery (R12).
    #[must_use]
    pub fn lost(&self, incarnation: Incarnation) -> BTreeSet<DiskId> {
        self.lost.get(&incarnation).cloned().unwrap_or_default()
    }

    /// The announced version of the catalog; 0: none.
    #[must_use]
    pub fn catalog(&self) -> u64 {
        self.catalog
    }

    /// The mark that stands in etcd.
    #[must_use]
    pub fn mark(&self) -> Option<MarkEntry> {
        self.mark
    }

    /// The broker whose incarnation leads a partition, if nobody recovers it: what Metadata answers (R14).
    #[must_use]
    pub fn leader(&self, partition: PartitionId) -> Option<(BrokerId, &BrokerEntry)> {
        let owner = self.owner(partition).filter(|owner| self.lives.get(&owner.incarnation) == Some(&Life::Open))?;
        let broker = self.incarnations.get(&owner.incarnation)?.broker;
        let entry = match self.brokers.get(&broker) {
            None => self.listed.get(&owner.incarnation)?,
            Some(listed) => listed,
        };
        (entry.incarnation == owner.incarnation).then_some((broker, entry))
    }

    /// Brokers that are listed as alive, and those whose lease has ended while nobody recovers them, as they were listed last: they may serve all the same.
    #[must_use]
    pub fn reachable(&self) -> BTreeMap<BrokerId, &BrokerEntry> {
        let mut reachable: BTreeMap<BrokerId, &BrokerEntry> = BTreeMap::new();
        for (incarnation, entry) in &self.listed {
            if let (Some(Life::Open), Some(whose)) = (self.lives.get(incarnation), self.incarnations.get(incarnation)) {
                reachable.insert(whose.broker, entry);
            }
        }
        reachable.extend(self.brokers.iter().map(|(id, entry)| (*id, entry)));
        reachable
    }

    /// Whether an incarnation of this broker is not closed.
    #[must_use]
    pub fn has_living(&self, broker: BrokerId) -> bool {
        let is_living = |i: &Incarnation| self.lives.get(i).is_some_and(|life| *life != Life::Closed);
        self.incarnations.iter().any(|(incarnation, entry)| entry.broker == broker && is_living(incarnation))
    }

    /// Whether there are closed incarnations that no partition names.
    #[must_use]
    pub fn has_unnamed_closed(&self) -> bool {
        !self.unnamed_closed().is_empty()
    }

    /// Closed incarnations that no partition names.
    pub(crate) fn unnamed_closed(&self) -> Vec<Incarnation> {
        let named: BTreeSet<Incarnation> =
            self.owners.values().flat_map(|owner| owner.base.into_iter().chain([owner.incarnation])).collect();
        self.lives.iter().filter(|(i, life)| **life == Life::Closed && !named.contains(i)).map(|(i, _)| *i).collect()
    }

    pub(crate) fn from_listed(keys: &Keys, listed: &Listed) -> Result<Self, ClusterError> {
        let mut view = Self { revision: listed.revision, ..Self::default() };
        for found in &listed.entries {
            view.put(keys, found)?;
        }
        Ok(view)
    }

    /// Takes events in, and says what changed.
    pub(crate) fn apply(&mut self, keys: &Keys, revision: Revision, events: &[Event]) -> Result<Vec<Change>, ClusterError> {
        let mut changes = Vec::new();
        for event in events {
            changes.extend(match event {
                Event::Put(found) => self.put(keys, found)?,
                Event::Deleted { key } => self.delete(keys, key),
            });
        }
        self.revision = revision;
        Ok(changes)
    }

    fn put(&mut self, keys: &Keys, found: &KeyValue) -> Result<Option<Change>, ClusterError> {
        Ok(match keys.parse(&found.key) {
            Some(Key::Broker(broker)) => {
                let entry = decode::<BrokerEntry>(found)?;
                let before = self.brokers.insert(broker, entry.clone());
                (before != Some(entry)).then_some(Change::BrokerUp(broker))
            }
            Some(Key::Incarnation(i)) => {
                self.incarnations.insert(i, decode(found)?);
                None
            }
            Some(Key::Life(i)) => {
                let life = decode::<Life>(found)?;
                (self.lives.insert(i, life) != Some(life)).then_some(Change::Life(i, Some(life)))
            }
            Some(Key::Partition(partition)) => {
                let owner = decode::<OwnerEntry>(found)?;
                (self.owners.insert(partition, owner) != Some(owner)).then_some(Change::Owner(partition, Some(owner)))
            }
            Some(Key::Preferred(partition)) => {
                let broker = decode::<PreferredEntry>(found)?.broker;
                (self.preferred.insert(partition, broker) != Some(broker)).then_some(Change::Preferred(partition, Some(broker)))
            }
            Some(Key::Listed(i)) => {
                self.listed.insert(i, decode(found)?);
                None
            }
            Some(Key::Drain(i)) => self.drains.insert(i).then_some(Change::Drain(i)),
            Some(Key::Lost(i)) => {
                let disks: BTreeSet<DiskId> = decode::<LostEntry>(found)?.disks.into_iter().collect();
                (self.lost.insert(i, disks.clone()) != Some(disks)).then_some(Change::Lost(i))
            }
            Some(Key::Catalog) => {
                let version = decode::<CatalogEntry>(found)?.version;
                (std::mem::replace(&mut self.catalog, version) != version).then_some(Change::Catalog(version))
            }
            Some(Key::Mark) => {
                let mark = Some(decode::<MarkEntry>(found)?);
                (std::mem::replace(&mut self.mark, mark) != mark).then_some(Change::Mark(mark))
            }
            Some(Key::Cluster | Key::Counter | Key::Cleaning(_)) | None => None,
        })
    }

    fn delete(&mut self, keys: &Keys, key: &str) -> Option<Change> {
        match keys.parse(key)? {
            Key::Broker(broker) => self.brokers.remove(&broker).map(|_| Change::BrokerDown(broker)),
            Key::Incarnation(i) => {
                self.incarnations.remove(&i);
                None
            }
            Key::Life(i) => self.lives.remove(&i).map(|_| Change::Life(i, None)),
            Key::Partition(partition) => self.owners.remove(&partition).map(|_| Change::Owner(partition, None)),
            Key::Preferred(partition) => self.preferred.remove(&partition).map(|_| Change::Preferred(partition, None)),
            Key::Listed(i) => {
                self.listed.remove(&i);
                None
            }
            Key::Drain(i) => {
                self.drains.remove(&i);
                None
            }
            Key::Lost(i) => {
                self.lost.remove(&i);
                None
            }
            Key::Mark => self.mark.take().map(|_| Change::Mark(None)),
            Key::Catalog | Key::Cluster | Key::Counter | Key::Cleaning(_) => None,
        }
    }

    /// What a reader of `self` has to hear to know `later`.
    pub(crate) fn changes_to(&self, later: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        differing(&self.brokers, &later.brokers, |broker, entry| {
            changes.push(entry.map_or(Change::BrokerDown(broker), |_| Change::BrokerUp(broker)));
        });
        differing(&self.lives, &later.lives, |i, life| changes.push(Change::Life(i, life.copied())));
        differing(&self.owners, &later.owners, |partition, owner| changes.push(Change::Owner(partition, owner.copied())));
        differing(&self.preferred, &later.preferred, |partition, broker| changes.push(Change::Preferred(partition, broker.copied())));
        let is_news = |(i, disks): &(&Incarnation, &BTreeSet<DiskId>)| self.lost.get(i) != Some(disks);
        changes.extend(later.lost.iter().filter(is_news).map(|(i, _)| Change::Lost(*i)));
        changes.extend(later.drains.difference(&self.drains).map(|i| Change::Drain(*i)));
        if self.catalog != later.catalog {
            changes.push(Change::Catalog(later.catalog));
        }
        if self.mark != later.mark {
            changes.push(Change::Mark(later.mark));
        }
        changes
    }
}

fn differing<K: Ord + Copy, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>, mut each: impl FnMut(K, Option<&V>)) {
    before.keys().filter(|key| !after.contains_key(key)).for_each(|key| each(*key, None));
    after.iter().filter(|(key, value)| before.get(key) != Some(value)).for_each(|(key, value)| each(*key, Some(value)));
}

impl Cluster {
    /// Reads everything, at one revision: the newest, or one that was before and is not compacted.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn read(&self) -> Result<ClusterView, ClusterError> {
        self.read_all(None).await
    }

    pub(crate) async fn read_all(&self, at: Option<Revision>) -> Result<ClusterView, ClusterError> {
        let listed = self.list("reading everything", self.keys().all(), at).await?;
        ClusterView::from_listed(self.keys(), &listed)
    }
}
