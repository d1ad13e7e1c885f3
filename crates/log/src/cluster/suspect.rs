//! Noticing that another broker is gone. Suspicion is cheap, because safety never rests on it: what is recovered although it lives acknowledges nothing more.
//!
//! Each broker is watched by the two that follow it, in the order of their ids. Who is lost there, or is listed no more, is asked directly; only who does not answer
//! that either, and whom nobody else reaches, is recovered.

use super::join::{LOOK, former_lives};
use super::{Member, place};
use crate::OpenError;
use crate::copies::{Candidate, CopiedWal, Copies, CopySet};
use async_trait::async_trait;
use floe_env::Task;
use floe_formats::etcd::{BrokerEntry, Life};
use floe_metadata::cluster::ClusterView;
use floe_types::{BrokerId, ClusterId, DiskId, Incarnation};
use floe_wal::{WalError, WalOptions};
use futures::future::{Either, select};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Brokers that watch each broker.
const WATCHERS: usize = 2;
/// How much longer each further broker waits before it does what the one before it should.
const STAGGER: Duration = Duration::from_millis(250);
/// Who is lost, and reached by others, is watched again after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// Others that are asked whether they reach a broker.
const ASKED: usize = 4;
/// How long an incarnation that nobody has ever seen listed is left alone: it may be about to be listed.
const UNSEEN: Duration = Duration::from_secs(6);
/// How long a recovery, or a drain, that another has begun is left alone.
const BEGUN: Duration = Duration::from_secs(2);

/// Who a life of a broker is for the others.
#[derive(Debug, Clone, Copy)]
pub struct PeerIdentity {
    pub cluster: ClusterId,
    pub broker: BrokerId,
    pub disk: DiskId,
    pub incarnation: Incarnation,
}

/// Where others reach this broker, and it reaches them.
#[async_trait]
pub trait Links: Debug + Send + Sync + 'static {
    /// Begins to answer others as this life: before it is listed as alive.
    ///
    /// # Errors
    /// The disk's, or the listener's.
    async fn begin(&self, of: PeerIdentity) -> Result<Arc<dyn Peers>, OpenError>;
}

/// How other brokers are reached.
#[async_trait]
pub trait Peers: Debug + Send + Sync + 'static {
    /// Returns when a standing connection to that very incarnation is lost, and a new one is refused, or when nothing is heard for a while. Cancellation safe.
    async fn lost(&self, entry: &BrokerEntry);

    /// Whether that very incarnation answers a direct call, and its disk moves. Bounded in time.
    async fn answers(&self, entry: &BrokerEntry) -> bool;

    /// Whether that very incarnation answers one of `others`. Bounded in time.
    async fn is_reached_by(&self, entry: &BrokerEntry, others: &[BrokerEntry]) -> bool;

    /// Whether nobody listens where it was, or a connection to it breaks: known as soon as that happens. False: it answers, or says nothing. Cancellation safe.
    async fn refuses(&self, entry: &BrokerEntry) -> bool;

    /// What etcd says now: where each disk is.
    fn follow(&self, view: &ClusterView);

    /// The disks of the cluster, as recovery asks them (R5).
    fn copies(&self) -> &dyn Copies;

    /// Those of these disks that have just answered (R2). Bounded in time.
    async fn answering(&self, disks: Vec<DiskId>) -> BTreeSet<DiskId>;

    /// Who of the living is to keep copies of `own`'s WAL (R3); none where there is nobody.
    fn choose(&self, own: &Candidate, live: &[Candidate], in_use: Option<&CopySet>) -> Option<CopySet>;

    /// Begins the WAL of a generation whose claim stands, and its copies.
    ///
    /// # Errors
    /// As [`floe_wal::Replicas::create_own`].
    async fn begin_wal(&self, options: WalOptions, set: &CopySet) -> Result<Arc<dyn CopiedWal>, WalError>;

    /// Incarnations of which this disk has copies.
    fn kept(&self) -> Vec<Incarnation>;

    /// Deletes the copies of an incarnation that has its `end`.
    ///
    /// # Errors
    /// The disk's: try again.
    async fn remove(&self, incarnation: Incarnation) -> Result<(), WalError>;
}

/// What this broker knows of the others besides what etcd says at the moment.
#[derive(Debug, Default)]
struct Known {
    /// The last entry of each incarnation that was listed.
    entries: BTreeMap<Incarnation, (BrokerId, BrokerEntry)>,
    /// Since when it has not been listed, or has been sealing.
    since: BTreeMap<Incarnation, (Option<Life>, Duration)>,
    /// Standing watches.
    watches: BTreeMap<Incarnation, Task<()>>,
}

/// Watches for as long as the incarnation lives.
pub(super) async fn run(member: Arc<Member>) {
    let mut known = Known::default();
    for former in former_lives(&member, &member.view()) {
        let member_too = member.clone();
        member.env().spawn("recover a former life", async move { member_too.recover_patiently(former).await }).detach_to_group();
    }
    while !member.has_ended() {
        let count = member.followed.count();
        let view = member.view();
        known.take_in(&member, &view);
        let waits = known.look_after(&member, &view);
        member.followed.news(&member, count, if waits { LOOK } else { IDLE }).await;
    }
}

/// A look without news.
const IDLE: Duration = Duration::from_secs(30);

impl Known {
    fn take_in(&mut self, member: &Arc<Member>, view: &ClusterView) {
        for (id, entry) in view.brokers() {
            self.entries.insert(entry.incarnation, (*id, entry.clone()));
        }
        // Those that were listed before this broker has started: where they were.
        for incarnation in view.lives().keys().filter(|incarnation| **incarnation != member.me()) {
            if let Some((id, entry)) = view.last_listed(*incarnation) {
                self.entries.entry(*incarnation).or_insert_with(|| (id, entry.clone()));
            }
        }
        let is_over = |incarnation: &Incarnation| view.lives().get(incarnation).is_none_or(|life| *life == Life::Closed);
        self.entries.retain(|incarnation, _| !is_over(incarnation));
        self.since.retain(|incarnation, _| !is_over(incarnation));
        let watched: Vec<Incarnation> = watched(view, member.broker());
        self.watches.retain(|incarnation, _| watched.contains(incarnation));
        for incarnation in watched {
            let Some((id, entry)) = self.entries.get(&incarnation).cloned() else { continue };
            self.watches.entry(incarnation).or_insert_with(|| {
                let member_too = member.clone();
                member.env().spawn("watch a broker", async move {
                    loop {
                        member_too.peers.lost(&entry).await;
                        // Not by this task, which ends when the other is listed no more.
                        let (recovering, entry) = (member_too.clone(), entry.clone());
                        let recover = async move { recovering.recover_if_dead(id, &entry).await };
                        member_too.env().spawn("recover a broker", recover).detach_to_group();
                        member_too.env().sleep(AGAIN).await;
                    }
                })
            });
        }
    }

    /// Asks those that are listed no more, or whose recovery has not come to its end, and recovers them if they do not answer. Whether there are any.
    fn look_after(&mut self, member: &Arc<Member>, view: &ClusterView) -> bool {
        let now = member.env().monotonic();
        let mut waits = false;
        for (incarnation, life) in view.lives().iter().filter(|(of, life)| **of != member.me() && **life != Life::Closed) {
            let is_listed = view.brokers().values().any(|entry| entry.incarnation == *incarnation);
            if is_listed && *life == Life::Open {
                self.since.remove(incarnation);
                continue;
            }
            waits = true;
            let since = self.since.entry(*incarnation).or_insert((Some(*life), now));
            if since.0 != Some(*life) {
                *since = (Some(*life), now);
            }
            let entry = self.entries.get(incarnation);
            let patience = match (life, entry) {
                (Life::Sealing, _) => BEGUN,
                (_, None) => UNSEEN,
                (_, Some(_)) => Duration::ZERO,
            };
            if now.saturating_sub(since.1) < patience + STAGGER * position(view, member.me()) {
                continue;
            }
            // A task of its own: whoever else is gone does not wait for this one. Those under way are passed over.
            let (member_too, entry, incarnation) = (member.clone(), entry.cloned(), *incarnation);
            let recover = async move {
                match entry {
                    Some((id, entry)) => member_too.recover_if_dead(id, &entry).await,
                    None => member_too.recover_patiently(incarnation).await,
                }
            };
            member.env().spawn("recover a broker", recover).detach_to_group();
        }
        waits
    }
}

/// The incarnations that this broker watches: those of the two before it.
fn watched(view: &ClusterView, me: BrokerId) -> Vec<Incarnation> {
    let alive: Vec<(BrokerId, Incarnation)> = place::alive(view).into_iter().collect();
    let Some(at) = alive.iter().position(|(id, _)| *id == me) else { return Vec::new() };
    let before = (1..alive.len().min(WATCHERS + 1)).map(|back| alive[(at + alive.len() - back) % alive.len()].1);
    before.collect()
}

impl Member {
    /// Whether it answers this broker, or one of the others: who cannot reach it alone is not to put an end to it.
    pub(super) async fn is_alive(&self, entry: &BrokerEntry) -> bool {
        let view = self.view();
        let is_third = |other: &&BrokerEntry| ![self.me(), entry.incarnation].contains(&other.incarnation);
        let others: Vec<BrokerEntry> = view.brokers().values().filter(is_third).take(ASKED).cloned().collect();
        let (mine, theirs) = (self.peers.answers(entry), self.peers.is_reached_by(entry, &others));
        let (mine, theirs) = (std::pin::pin!(mine), std::pin::pin!(theirs));
        match select(mine, theirs).await {
            Either::Left((answers, theirs)) => answers || theirs.await,
            Either::Right((reached, mine)) => reached || mine.await,
        }
    }
}

/// How many brokers come before this one in what anybody may do.
fn position(view: &ClusterView, me: Incarnation) -> u32 {
    let before = place::alive(view).into_values().take_while(|incarnation| *incarnation != me).count();
    u32::try_from(before).unwrap_or(u32::MAX).min(64)
}
