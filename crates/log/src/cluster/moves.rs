//! Giving partitions to other brokers that live (R13; models `ownership`, `handover`): to who is preferred, and to who leads fewer.
//!
//! Only the owner moves a partition. It stops appending, brings all into own packs, and publishes the manifest that the next owner builds on; until then it may change its
//! mind. Once it has asked etcd, it leads the partition again only under a later epoch, whatever the answer: by a swap of the record to itself, which makes what it asked
//! for fail. A few partitions are moved at a time, and what does not succeed is left alone for a while; leaders are spread only while brokers neither come nor go.

use super::{Member, PAUSE, place};
use crate::ReadError;
use crate::history::settle;
use crate::partition::Partition;
use floe_env::{Mutant, mutated};
use floe_formats::etcd::Life;
use floe_metadata::cluster::{ClusterError, ClusterView, Outcome, Owned};
use floe_types::{BrokerId, Incarnation, PartitionId};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::MutexGuard;

/// Partitions that are given away at the same time.
const AT_ONCE: usize = 4;
/// What a partition that takes nothing may need until it can be handed over; it stays then.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// The same for what is settled while it takes records.
const AHEAD_LIMIT: Duration = Duration::from_secs(60);
/// Between the first two attempts at one partition, which takes nothing for a while in each; twice as long each time, up to the longest.
const PUT_OFF: Duration = Duration::from_secs(15);
const LONGEST_PUT_OFF: Duration = Duration::from_secs(600);
/// How long the brokers have been the same before leaders are spread.
const STEADY: Duration = Duration::from_secs(10);
/// How long clients here are not told of the new owner, since nobody here knows its record yet.
const SEEN: Duration = Duration::from_secs(1);
/// A look without news.
const IDLE: Duration = Duration::from_secs(60);

/// One partition's way to another broker.
type Move = (Owned, Incarnation);

#[derive(Debug, Default)]
struct Mover {
    /// What did not succeed: until when it is left alone, on the monotonic clock, and for how long that is.
    put_off: BTreeMap<PartitionId, (Duration, Duration)>,
    /// Who is alive, and since when just they are.
    alive: Vec<Incarnation>,
    since: Duration,
}

/// Moves what is to be moved, for as long as the incarnation lives.
pub(super) async fn run(member: Arc<Member>) {
    let mut mover = Mover::default();
    while !member.has_ended() {
        let count = member.followed.count();
        let (next, look) = mover.next(&member, &member.view());
        if next.is_empty() {
            member.followed.news(&member, count, look).await;
            // Views come in bursts; none of them is in a hurry.
            member.env().sleep(PAUSE).await;
            continue;
        }
        let moved = join_all(next.iter().map(|(owned, to)| member.give_away(*owned, *to))).await;
        let now = member.env().monotonic();
        for ((owned, _), moved) in next.iter().zip(moved) {
            let before = mover.put_off.remove(&owned.partition);
            if !moved {
                let pause = before.map_or(PUT_OFF, |(_, pause)| (pause * 2).min(LONGEST_PUT_OFF));
                mover.put_off.insert(owned.partition, (now + pause, pause));
            }
        }
    }
}

impl Mover {
    /// What is to be moved now, and how long to wait for news otherwise.
    fn next(&mut self, member: &Member, view: &ClusterView) -> (Vec<Move>, Duration) {
        let now = member.env().monotonic();
        let alive: Vec<Incarnation> = place::alive(view).into_values().collect();
        if alive != self.alive {
            (self.alive, self.since) = (alive, now);
        }
        self.put_off.retain(|id, _| member.shared.partition(*id).is_some());
        if member.is_draining() || !self.alive.contains(&member.me()) {
            return (Vec::new(), IDLE);
        }
        let movable = |id: PartitionId| {
            self.put_off.get(&id).is_none_or(|(until, _)| *until <= now) && member.shared.partition(id).is_some_and(|there| there.is_led())
        };
        let wanted = place::to_preferred(view, member.me(), AT_ONCE, movable);
        if !wanted.is_empty() {
            return (wanted, IDLE);
        }
        let waits = (self.since + STEADY).saturating_sub(now);
        if !waits.is_zero() || !is_calm(view) {
            return (Vec::new(), waits.max(PAUSE));
        }
        (place::spread(view, member.me(), AT_ONCE, movable), if self.put_off.is_empty() { IDLE } else { PUT_OFF })
    }
}

/// Whether nobody is being recovered, and everything has an owner that lives.
fn is_calm(view: &ClusterView) -> bool {
    let is_closed = |incarnation: &Incarnation| view.lives().get(incarnation).is_none_or(|life| *life == Life::Closed);
    view.lives().values().all(|life| *life != Life::Sealing) && !view.owners().values().any(|owner| is_closed(&owner.incarnation))
}

impl Member {
    pub(crate) async fn prefer(&self, wishes: &[(PartitionId, Option<BrokerId>)]) -> Result<(), ClusterError> {
        self.cluster.prefer(wishes).await
    }

    /// Gives one partition to another incarnation. Whether it was: if not, it is led on here, unless the incarnation ends.
    async fn give_away(&self, owned: Owned, to: Incarnation) -> bool {
        let Some(partition) = self.shared.partition(owned.partition).filter(|there| there.leader_epoch() == owned.owner.epoch) else {
            return false;
        };
        let ahead = self.env().timeout(AHEAD_LIMIT, Box::pin(settle::settle_all(&self.shared, &partition))).await;
        if !matches!(ahead, Ok(Ok(()))) {
            tracing::warn!(partition = %owned.partition, "not moved: what it has cannot be settled at the moment");
            return false;
        }
        let ready = self.env().timeout(READY_LIMIT, Box::pin(self.make_ready(&partition))).await;
        let Ok(Ok(Some(alone))) = ready else {
            partition.stay();
            tracing::warn!(partition = %owned.partition, "not moved: it could not be made ready in time");
            return false;
        };
        let moved = self.hand_over(&partition, owned, to).await;
        drop(alone);
        moved
    }

    /// Stops appends, and brings everything to where the next owner finds it. None: it cannot be. From then on nobody of this incarnation publishes, until the guard is dropped.
    async fn make_ready<'a>(&self, partition: &'a Arc<Partition>) -> Result<Option<MutexGuard<'a, ()>>, ReadError> {
        if !mutated(Mutant::MovesWhileAppending) && !partition.begin_to_leave() {
            return Ok(None);
        }
        partition.all_certain().await;
        if mutated(Mutant::MovesUntold) {
            return Ok(Some(partition.alone_to_publish().await));
        }
        let told = settle::tell_all(&self.shared, partition).await?;
        let alone = partition.alone_to_publish().await;
        Ok((told && partition.is_told() || mutated(Mutant::MovesWhileAppending)).then_some(alone))
    }

    /// Asks etcd. Whatever it answers, this partition takes nothing under this epoch any more.
    async fn hand_over(&self, partition: &Arc<Partition>, owned: Owned, to: Incarnation) -> bool {
        let outcome = match self.cluster.hand_over(self.me(), &[(owned, to)]).await {
            Ok(outcomes) => outcomes.into_iter().next(),
            Err(_) if mutated(Mutant::AppendsAfterLostAnswer) => {
                partition.stay();
                return false;
            }
            Err(error) => {
                tracing::warn!(partition = %owned.partition, %error, "nobody knows whether it was moved: taking it back");
                self.take_back(owned).await
            }
        };
        // Closing, it goes with this incarnation's `end`.
        let Some(outcome) = outcome else { return false };
        self.sees_change(owned).await;
        partition.close_left();
        self.shared.remove_partition(partition);
        self.shared.history.want_index();
        self.followed.wake();
        let is_its = |owner: &floe_formats::etcd::OwnerEntry| owner.incarnation == to;
        let moved = match outcome {
            Outcome::Changed(owner) => is_its(&owner),
            Outcome::Lost(owner) => owner.as_ref().is_some_and(is_its),
        };
        tracing::info!(partition = %owned.partition, to = to.0, moved, "given away");
        moved
    }

    /// Makes what was asked for fail, unless it has happened. None: this incarnation is over, or about to be.
    async fn take_back(&self, owned: Owned) -> Option<Outcome> {
        while !self.has_ended() {
            match self.cluster.take_back(self.me(), &[owned]).await {
                Ok(outcomes) => return outcomes.into_iter().next(),
                Err(ClusterError::NotInState { .. }) => return None,
                Err(error) => {
                    tracing::warn!(partition = %owned.partition, %error, "not taken back yet; trying again");
                    self.env().sleep(PAUSE).await;
                }
            }
        }
        None
    }

    /// Waits until the view here says who owns it now, so that clients are told at once.
    async fn sees_change(&self, before: Owned) {
        let give_up = self.env().monotonic() + SEEN;
        loop {
            let count = self.followed.count();
            let left = give_up.saturating_sub(self.env().monotonic());
            if left.is_zero() || self.view().owner(before.partition) != Some(before.owner) {
                return;
            }
            self.followed.news(self, count, left).await;
        }
    }
}
