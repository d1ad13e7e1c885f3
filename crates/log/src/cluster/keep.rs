//! Leading exactly what the records of ownership name: the catalog is taken in, what is closed is taken over, what is this broker's is opened, what nobody owns gets
//! an owner, and records of deleted topics go.
//!
//! Whatever is opened, is opened as a view says that may be relied upon (R24): one small object in the store for each burst of partitions.

use super::join::LOOK;
use super::{Member, PAUSE, place};
use crate::OpenError;
use crate::partition::Partition;
use crate::topics::{durability_of, follow};
use floe_formats::etcd::{Life, OwnerEntry};
use floe_metadata::cluster::{ClusterError, ClusterView, Owned};
use floe_types::{ErrorKind, Incarnation, LeaderEpoch, PartitionId, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long partitions that others should take, or give an owner, may wait before this broker does it.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a change of the catalog waits until the new partitions' owners are seen here.
const OWNERS_SEEN: Duration = Duration::from_secs(2);
/// Between two attempts at a partition of which something cannot be read.
const PUT_OFF: Duration = Duration::from_secs(120);
/// A look without news, while there may be something that others have left.
const IDLE: Duration = Duration::from_secs(60);

/// What others should have done, and since when it has been seen undone.
#[derive(Debug, Default)]
struct Left(BTreeMap<PartitionId, Duration>);

impl Left {
    /// Those of `undone` that have been for longer than others had time for. The rest is remembered.
    fn overdue(&mut self, undone: &BTreeSet<PartitionId>, now: Duration) -> BTreeSet<PartitionId> {
        self.0.retain(|id, _| undone.contains(id));
        undone.iter().filter(|id| now.saturating_sub(*self.0.entry(**id).or_insert(now)) >= PATIENCE).copied().collect()
    }
}

/// Partitions of which something cannot be read, and until when they are left alone, on the monotonic clock: it does not mend itself soon, and each attempt at them leaves
/// a mark in the store. The others do not wait for them.
#[derive(Debug, Default)]
struct PutOff(BTreeMap<PartitionId, Duration>);

/// Works whenever there is news, for as long as the incarnation lives.
pub(super) async fn run(member: Arc<Member>) {
    let (mut left, mut put_off) = (Left::default(), PutOff::default());
    while !member.has_ended() {
        let count = member.followed.count();
        match member.keep(&member.view(), &mut left, &mut put_off).await {
            Ok(()) => {
                let limit = if left.0.is_empty() { IDLE } else { LOOK };
                member.followed.news(&member, count, limit).await;
            }
            Err(error) => {
                tracing::warn!(%error, "not all that this broker owns is led yet; trying again");
                member.env().sleep(PAUSE).await;
            }
        }
    }
}

/// A partition that this broker owns and does not lead.
#[derive(Debug)]
pub(super) struct NotOpened {
    partition: PartitionId,
    error: Arc<OpenError>,
}

impl NotOpened {
    pub(super) fn into_error(self, incarnation: Incarnation) -> OpenError {
        OpenError::Inherits { incarnation, partition: self.partition, error: self.error }
    }
}

impl Member {
    async fn keep(&self, view: &ClusterView, left: &mut Left, put_off: &mut PutOff) -> Result<(), OpenError> {
        if self.is_draining() {
            return Ok(());
        }
        // Closed, and forgotten, as far as it goes.
        if view.lives().get(&self.me()) != Some(&Life::Open) {
            let found = "this incarnation is being recovered by another broker".into();
            self.shared.end(crate::Ended::Fenced { by: None, found });
            return Ok(());
        }
        self.follow_catalog(view).await?;
        self.forget_lives(view).await?;
        let undone = self.undone(view);
        let overdue = left.overdue(&undone, self.env().monotonic());
        self.take_over(view, &overdue).await?;
        self.give_owners(view, &overdue).await?;
        self.open_owned(view, put_off).await
    }

    /// The catalog in the store and the one that is announced are made the same (R16).
    async fn follow_catalog(&self, view: &ClusterView) -> Result<(), OpenError> {
        // A record that the catalog does not explain: its topic's announcement was lost (R16).
        let catalog = self.catalog.view();
        let is_unknown =
            |id: &PartitionId| !catalog.is_deleted(id.topic) && catalog.by_id(id.topic).is_none_or(|topic| id.index >= topic.partitions);
        if view.catalog() > catalog.version || view.owners().keys().any(is_unknown) {
            self.catalog.refresh().await?;
        }
        let now = self.catalog.view();
        let version = now.version;
        self.led.lock().retain(|id, _| !now.is_deleted(id.topic));
        if self.shared.followed.lock().version < version {
            follow(&self.shared, &self.catalog, BTreeSet::new());
        }
        if version > view.catalog() {
            self.cluster.announce_catalog(version).await?;
        }
        Ok(())
    }

    /// What is known of closed lives that no record names goes: by the first of those that are alive.
    async fn forget_lives(&self, view: &ClusterView) -> Result<(), OpenError> {
        let is_first = place::alive(view).into_values().next() == Some(self.me());
        if is_first && view.has_unnamed_closed() {
            self.cluster.forget_unnamed().await?;
        }
        let catalog = self.catalog.view();
        let idle: Vec<_> = view.preferred().keys().filter(|id| is_first && catalog.is_deleted(id.topic)).map(|id| (*id, None)).collect();
        self.cluster.prefer(&idle).await?;
        Ok(())
    }

    /// Partitions that nobody leads, or whose leader is closed, and records of topics that are deleted.
    fn undone(&self, view: &ClusterView) -> BTreeSet<PartitionId> {
        let closed = |owner: &OwnerEntry| view.lives().get(&owner.incarnation).is_none_or(|life| *life == Life::Closed);
        let catalog = self.catalog.view();
        let led = view.owners().iter().filter(|(id, owner)| closed(owner) || catalog.is_deleted(id.topic)).map(|(id, _)| *id);
        led.chain(unowned(&catalog, view, None)).collect()
    }

    /// This broker's share of what closed incarnations owned; all that others have left.
    async fn take_over(&self, view: &ClusterView, overdue: &BTreeSet<PartitionId>) -> Result<(), OpenError> {
        let catalog = self.catalog.view();
        let is_closed = |incarnation: &Incarnation| view.lives().get(incarnation) == Some(&Life::Closed);
        let closed: BTreeSet<Incarnation> = view.owners().values().map(|owner| owner.incarnation).filter(is_closed).collect();
        for incarnation in closed {
            let mut mine = place::share(view, incarnation, self.me(), false);
            mine.extend(place::share(view, incarnation, self.me(), true).into_iter().filter(|owned| overdue.contains(&owned.partition)));
            mine.retain(|owned| !catalog.is_deleted(owned.partition.topic));
            mine.sort_unstable();
            mine.dedup();
            if !mine.is_empty() {
                tracing::info!(of = incarnation.0, partitions = mine.len(), "taking partitions over");
                self.cluster.take_over(self.me(), incarnation, &mine).await?;
            }
        }
        Ok(())
    }

    /// Owners for partitions that have had none for long, and the end of records whose topics are deleted: who created or deleted them has left that undone.
    async fn give_owners(&self, view: &ClusterView, overdue: &BTreeSet<PartitionId>) -> Result<(), OpenError> {
        let catalog = self.catalog.view();
        let deleted: Vec<Owned> = overdue
            .iter()
            .filter(|id| catalog.is_deleted(id.topic))
            .filter_map(|id| Some(Owned { partition: *id, owner: view.owner(*id)? }))
            .collect();
        if !deleted.is_empty() {
            self.cluster.delete_partitions(&deleted).await?;
        }
        let without: Vec<PartitionId> = unowned(&catalog, view, None).filter(|id| overdue.contains(id)).collect();
        if !without.is_empty() {
            self.seed(&place::first_owners(view, &without)).await?;
        }
        Ok(())
    }

    /// A target that is not open any more has got nothing: that is for later.
    async fn seed(&self, owners: &[Owned]) -> Result<(), ClusterError> {
        for target in owners.iter().map(|owned| owned.owner.incarnation).collect::<BTreeSet<_>>() {
            let its: Vec<Owned> = owners.iter().filter(|owned| owned.owner.incarnation == target).copied().collect();
            match self.cluster.seed(&its).await {
                Ok(_) | Err(ClusterError::NotInState { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens what the records name this incarnation for.
    async fn open_owned(&self, view: &ClusterView, put_off: &mut PutOff) -> Result<(), OpenError> {
        let now = self.env().monotonic();
        put_off.0.retain(|_, until| *until > now);
        if self.not_open(view).all(|owned| put_off.0.contains_key(&owned.partition)) {
            return Ok(());
        }
        let relied = self.lineage.rely().await?;
        let mut again = None;
        for failed in self.open_as(&relied, |id| !put_off.0.contains_key(&id)).await {
            match failed.error.kind() {
                ErrorKind::Retry => again = Some(failed),
                _ => {
                    put_off.0.insert(failed.partition, now + PUT_OFF);
                }
            }
        }
        again.map_or(Ok(()), |failed| Err(failed.into_error(self.me())))
    }

    /// Records that name this incarnation, of partitions that exist and are not open under their epoch.
    fn not_open<'a>(&'a self, view: &'a ClusterView) -> impl Iterator<Item = Owned> + 'a {
        let catalog = self.catalog.view();
        let exists = move |id: PartitionId| catalog.by_id(id.topic).is_some_and(|topic| id.index < topic.partitions);
        let is_new = move |owned: &Owned| !self.has_led(owned.partition, owned.owner.epoch);
        view.owned_by(self.me())
            .filter(move |owned| exists(owned.partition) && is_new(owned) && !self.is_open(owned.partition, owned.owner.epoch))
    }

    fn is_open(&self, id: PartitionId, epoch: LeaderEpoch) -> bool {
        self.shared.partition(id).is_some_and(|there| there.leader_epoch() >= epoch)
    }

    /// Opens, of those that are `wanted`, what a view that may be relied upon names this incarnation for; what cannot be read of some costs the others nothing. Those that
    /// are not open, and why.
    pub(super) async fn open_as(&self, relied: &ClusterView, wanted: impl Fn(PartitionId) -> bool) -> Vec<NotOpened> {
        let owned = self.not_open(relied).filter(|owned| wanted(owned.partition));
        let owners: BTreeMap<PartitionId, OwnerEntry> = owned.map(|owned| (owned.partition, owned.owner)).collect();
        let mut left = self.start.left(&owners).await;
        let (mut opened, mut failed) = (0, Vec::new());
        {
            let followed = self.shared.followed.lock();
            let catalog = self.catalog.view();
            for (id, owner) in &owners {
                let (Some(line), Some(topic)) = (left.remove(id), catalog.by_id(id.topic)) else { continue };
                let line = match line {
                    Ok(line) => line,
                    Err(error) => {
                        tracing::error!(partition = %id, %error, "not led");
                        failed.push(NotOpened { partition: *id, error });
                        continue;
                    }
                };
                if self.is_open(*id, owner.epoch) || self.has_led(*id, owner.epoch) {
                    continue;
                }
                // It was asked to be given away, and taken back: nobody here has been told yet, and may never be.
                if let Some(before) = self.shared.partition(*id) {
                    debug_assert!(
                        !before.is_led(),
                        "{id} is led under epoch {}, and its record says {}",
                        before.leader_epoch(),
                        owner.epoch
                    );
                    before.close_left();
                    self.shared.remove_partition(&before);
                }
                let partition = Partition::open(self.shared.clone(), line, owner.epoch, durability_of(topic, self.options()));
                if followed.draining {
                    partition.stop_appending();
                }
                self.led.lock().insert(*id, owner.epoch);
                self.shared.add_partition(partition);
                opened += 1;
            }
        }
        tracing::info!(partitions = opened, "leading partitions");
        failed
    }

    /// After a change of the catalog by this broker: tells the others, and gives new partitions their owners. What fails here is done later, by whoever finds it
    /// undone. Returns when the owners are seen here, or some time has passed.
    pub(crate) async fn announce(&self, touched: &BTreeSet<TopicId>) {
        if let Err(error) = self.announce_now(touched).await {
            tracing::warn!(%error, "what has changed in the catalog is not announced yet");
            self.followed.wake();
        }
        let give_up = self.env().monotonic() + OWNERS_SEEN;
        loop {
            let count = self.followed.count();
            let left = give_up.saturating_sub(self.env().monotonic());
            if left.is_zero() || !self.waits_for_owners(touched) {
                return;
            }
            self.followed.news(self, count, left).await;
        }
    }

    fn waits_for_owners(&self, touched: &BTreeSet<TopicId>) -> bool {
        let (view, catalog) = (self.view(), self.catalog.view());
        let is_unowned = unowned(&catalog, &view, Some(touched)).next().is_some();
        is_unowned || self.not_open(&view).any(|owned| touched.contains(&owned.partition.topic))
    }

    async fn announce_now(&self, touched: &BTreeSet<TopicId>) -> Result<(), ClusterError> {
        let (view, catalog) = (self.view(), self.catalog.view());
        // Before any record says it: who sees a record sees the catalog that explains it.
        self.cluster.announce_catalog(catalog.version).await?;
        let new: Vec<PartitionId> = unowned(&catalog, &view, Some(touched)).collect();
        if !new.is_empty() {
            self.seed(&place::first_owners(&view, &new)).await?;
        }
        let of_deleted = |id: &PartitionId| touched.contains(&id.topic) && catalog.is_deleted(id.topic);
        let deleted: Vec<Owned> =
            view.owners().iter().filter(|(id, _)| of_deleted(id)).map(|(id, owner)| Owned { partition: *id, owner: *owner }).collect();
        if !deleted.is_empty() {
            self.cluster.delete_partitions(&deleted).await?;
        }
        Ok(())
    }
}

/// Partitions of the catalog, or of some of its topics, without a record of ownership.
fn unowned<'a>(
    catalog: &'a floe_metadata::View,
    view: &'a ClusterView,
    of: Option<&'a BTreeSet<TopicId>>,
) -> impl Iterator<Item = PartitionId> + 'a {
    catalog
        .topics()
        .filter(move |topic| of.is_none_or(|of| of.contains(&topic.id)))
        .flat_map(|topic| (0..topic.partitions).map(move |index| PartitionId { topic: topic.id, index }))
        .filter(move |id| view.owner(*id).is_none())
}
