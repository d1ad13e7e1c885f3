//! Ending an incarnation, another's or one's own, so that its partitions can be owned by others (R4-R9).

use super::{Member, PAUSE, place};
use crate::drain::{Drain, close_chain, stop_appending};
use crate::recover::OfCluster;
use crate::start::Predecessor;
use crate::{Ended, OpenError};
use floe_env::{Mutant, mutated};
use floe_formats::etcd::{BrokerEntry, Life, OwnerEntry};
use floe_metadata::cluster::{ClusterError, ClusterView};
use floe_types::{BrokerId, ErrorKind, Incarnation, PartitionId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// Between two recoveries of an incarnation that failed for a reason that stays.
const PUT_OFF: Duration = Duration::from_secs(120);

/// What is known of recoveries by this broker.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Why the last try was not enough, if there was one.
    UnderWay(Option<String>),
    /// Until when on the monotonic clock, and why.
    PutOff(Duration, String),
}

/// Attempts at one recovery before others are looked after again; who finds it undone goes on.
const ATTEMPTS: u32 = 20;
/// The longest pause between two attempts while etcd or the store does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// And while copies cannot be asked: an attempt that fails leaves what it has read and stored until the incarnation has ended (R12).
const LONGEST_WITHOUT_COPIES: Duration = Duration::from_secs(30);

/// Twice as long each time.
fn pause_after(attempt: u32, error: &OpenError) -> Duration {
    let longest = if matches!(error, OpenError::TooFew(_)) { LONGEST_WITHOUT_COPIES } else { LONGEST_PAUSE };
    PAUSE.saturating_mul(1 << attempt.min(16)).min(longest)
}

/// Whether another was faster: it has ended, all that it led was taken over, and nobody knows it any more.
fn is_forgotten(error: &ClusterError, incarnation: Incarnation) -> bool {
    matches!(error, ClusterError::NotInState { incarnation: of, found: None, .. } if *of == incarnation)
}

impl Member {
    /// Recovers an incarnation unless it answers.
    pub(super) async fn recover_if_dead(&self, broker: BrokerId, entry: &BrokerEntry) {
        if self.is_over(entry.incarnation) || self.is_alive(entry).await {
            return;
        }
        if self.begins_to_recover(entry.incarnation) {
            tracing::warn!(broker = broker.0, incarnation = entry.incarnation.0, "a broker does not answer any more");
            self.recover_on(entry.incarnation).await;
        }
    }

    fn is_over(&self, incarnation: Incarnation) -> bool {
        self.has_ended() || self.is_draining() || self.view().lives().get(&incarnation).is_none_or(|life| *life == Life::Closed)
    }

    /// Recovers an incarnation, and tries again while etcd or the store does not answer. One attempt at a time of each; what failed for good is tried again much later.
    pub(super) async fn recover_patiently(&self, incarnation: Incarnation) {
        if self.begins_to_recover(incarnation) {
            self.recover_on(incarnation).await;
        }
    }

    async fn recover_on(&self, incarnation: Incarnation) {
        let mut outcome = None;
        for attempt in 0..ATTEMPTS {
            if self.is_over(incarnation) {
                break;
            }
            match self.recover(incarnation).await {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tracing::warn!(incarnation = incarnation.0, %error, "a recovery is not done yet; trying again");
                    self.recovering.lock().insert(incarnation, Attempt::UnderWay(Some(error.to_string())));
                    self.wait_for_news(incarnation, pause_after(attempt, &error)).await;
                }
                Err(error) => {
                    tracing::error!(incarnation = incarnation.0, %error, "its partitions stay without a leader");
                    outcome = Some(Attempt::PutOff(self.env().monotonic() + PUT_OFF, error.to_string()));
                    break;
                }
            }
        }
        let mut recovering = self.recovering.lock();
        match outcome {
            Some(put_off) => drop(recovering.insert(incarnation, put_off)),
            None => drop(recovering.remove(&incarnation)),
        }
    }

    /// Recoveries by this broker that are not done, and what they lack.
    pub(crate) fn recoveries(&self) -> Vec<(Incarnation, Option<String>)> {
        let told = |(incarnation, attempt): (&Incarnation, &Attempt)| match attempt {
            Attempt::UnderWay(why) => (*incarnation, why.clone()),
            Attempt::PutOff(_, why) => (*incarnation, Some(why.clone())),
        };
        self.recovering.lock().iter().map(told).collect()
    }

    /// Waits, but no longer than until brokers come or go, who may bring the copies that are lacking, or those are declared lost.
    async fn wait_for_news(&self, incarnation: Incarnation, limit: Duration) {
        let known = |view: &ClusterView| (place::alive(view), view.lost(incarnation));
        let before = known(&self.view());
        self.env().sleep(PAUSE).await;
        let until = self.env().monotonic() + limit.saturating_sub(PAUSE);
        loop {
            let (count, now) = (self.followed.count(), self.env().monotonic());
            if now >= until || known(&self.view()) != before {
                return;
            }
            self.followed.news(self, count, until - now).await;
        }
    }

    /// Whether nobody here is at it, and it was not put off.
    fn begins_to_recover(&self, incarnation: Incarnation) -> bool {
        let (now, view) = (self.env().monotonic(), self.view());
        let mut recovering = self.recovering.lock();
        // What was put off may be over by others' work.
        recovering.retain(|of, attempt| matches!(attempt, Attempt::UnderWay(_)) || view.lives().contains_key(of));
        match recovering.get(&incarnation) {
            Some(Attempt::UnderWay(_)) => return false,
            Some(Attempt::PutOff(until, _)) if *until > now => return false,
            Some(Attempt::PutOff(..)) | None => {}
        }
        recovering.insert(incarnation, Attempt::UnderWay(None));
        true
    }

    async fn recover(&self, incarnation: Incarnation) -> Result<(), OpenError> {
        let early = if mutated(Mutant::RecordReadBeforeSealing) { Some(self.lineage.rely().await?) } else { None };
        match self.cluster.seal_other(self.me(), incarnation).await {
            Ok(Life::Closed) => return Ok(()),
            Err(error) if is_forgotten(&error, incarnation) => return Ok(()),
            sealing => drop(sealing?),
        }
        // Read after the mark, and after a mark of one's own in the row: `end` is for ever (R8, R24).
        let relied = match early {
            Some(early) => early,
            None => self.lineage.rely().await?,
        };
        let records: BTreeMap<PartitionId, OwnerEntry> = relied.owned_by(incarnation).map(|owned| (owned.partition, owned.owner)).collect();
        let partitions = records.len();
        let lost = relied.lost(incarnation);
        if !lost.is_empty() {
            tracing::warn!(incarnation = incarnation.0, ?lost, "disks were declared lost: what only they have is given up");
        }
        let of = OfCluster { records: &records, copies: self.peers.copies(), lost: &lost };
        self.start.recover(&Predecessor { incarnation }, self.me(), Some(of)).await?;
        match self.cluster.mark_closed(incarnation).await {
            Err(error) if is_forgotten(&error, incarnation) => {}
            closed => drop(closed?),
        }
        tracing::info!(incarnation = incarnation.0, partitions, "recovered: what it led can be taken over");
        Ok(())
    }

    /// Drains: the same done to oneself. Marks itself sealing first, then reads its records, and appends nothing more from there on (R13).
    pub(crate) async fn drain(&self, drains: &mpsc::Sender<Drain>) -> Ended {
        stop_appending(&self.shared);
        // Nobody is named for what it leads any more.
        self.followed.wake();
        while let Err(error) = self.seal_oneself().await {
            if let Some(ended) = self.shared.ended.get() {
                return ended;
            }
            if matches!(error, OpenError::Cluster(ClusterError::NotInState { .. })) {
                let found = "this incarnation was recovered by another broker, and is not known any more".into();
                self.shared.end(Ended::Fenced { by: None, found });
                continue;
            }
            tracing::warn!(%error, "cannot hand over yet; trying again");
            self.env().sleep(PAUSE).await;
        }
        let ended = close_chain(&self.shared, drains).await;
        if ended == Ended::Drained {
            self.leave().await;
        }
        ended
    }

    /// Its disk can be thrown away, and its id is free at once, for another disk, too.
    async fn leave(&self) {
        if let Err(error) = self.cluster.mark_closed(self.me()).await {
            tracing::warn!(%error, "drained, and not announced: another broker will find the end");
        } else if let Err(error) = self.cluster.unregister(&self.registration).await {
            tracing::info!(%error, "drained, and listed still: its id is free when its lease ends");
        }
    }

    /// What was given to this incarnation and is not open yet is opened, so that the end inherits it (R8).
    async fn seal_oneself(&self) -> Result<(), OpenError> {
        self.cluster.mark_sealing(self.me()).await?;
        let relied = self.lineage.rely().await?;
        // The store's catalog explains every record: it stood before any of them (R16).
        self.catalog.refresh().await?;
        if mutated(Mutant::DrainEndsUnopened) {
            return Ok(());
        }
        // Its `end` is for ever: it is not created without any of them.
        let failed = self.open_as(&relied, |_| true).await.into_iter().next();
        failed.map_or(Ok(()), |failed| Err(failed.into_error(self.me())))
    }
}
