//! Whether the others are there, asked just before clients are told who leads what.
//!
//! A client that has lost its leader asks at once, before anybody suspects anything. Told that the same one leads, or that nobody does, librdkafka asks again a second later: so who
//! asks while a leader has just gone waits for the next one, for half a second at most. Only who refuses a connection, or breaks one, is taken for gone, and no longer than a
//! recovery takes to begin: a leader that only its peers cannot reach is named again. No safety rests on it.

use super::{Member, place};
use floe_formats::etcd::Life;
use floe_types::{BrokerId, Incarnation};
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An answer that is so old is as good as a new one.
const FRESH: Duration = Duration::from_millis(10);
/// Nobody is waited for longer: who says nothing may be slow.
const LIMIT: Duration = Duration::from_millis(50);
/// Who refuses for longer, and is not recovered, is named as leader all the same.
const LEFT_OUT: Duration = Duration::from_secs(3);
/// How long one who asks waits for leaders.
const WAIT: Duration = Duration::from_millis(500);
/// Where leaders are not known for longer, such as while too few copies answer (R12), nobody waits for them.
const PATIENCE: Duration = Duration::from_secs(2);
/// Brokers that are asked at the same time; of a larger cluster those that come first.
const MOST: usize = 64;

/// What came of the last question.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// One question at a time, and when the last one was answered.
    asked: tokio::sync::Mutex<Option<Duration>>,
    /// Who refuses, since when, and whether it is left out for it.
    refusing: Mutex<BTreeMap<Incarnation, (Duration, bool)>>,
    /// Since when there are partitions whose leader is about to be another.
    unled: Mutex<Option<Duration>>,
}

impl Member {
    /// Returns once all partitions have leaders, or after half a second.
    pub(crate) async fn leaders_are_known(self: &Arc<Self>) {
        self.look_who_is_there().await;
        let begun = self.env().monotonic();
        loop {
            let (count, now) = (self.followed.count(), self.env().monotonic());
            if !self.lacks_leaders() {
                *self.reach.unled.lock() = None;
                return;
            }
            let since = *self.reach.unled.lock().get_or_insert(now);
            let until = (since + PATIENCE).min(begun + WAIT);
            if now >= until {
                return;
            }
            self.followed.news(self, count, until - now).await;
        }
    }

    /// Whether an owner is gone, or about to be.
    fn lacks_leaders(&self) -> bool {
        let view = self.view();
        let is_open = |incarnation: &Incarnation| view.lives().get(incarnation) == Some(&Life::Open);
        if view.lives().values().all(|life| *life == Life::Open) && self.reach.refusing.lock().is_empty() {
            return false;
        }
        view.owners().values().any(|owner| !is_open(&owner.incarnation) || self.refuses(owner.incarnation))
    }

    /// Asks all that are listed as alive, unless somebody just has.
    async fn look_who_is_there(self: &Arc<Self>) {
        let mut asked = self.reach.asked.lock().await;
        let now = self.env().monotonic();
        if asked.is_some_and(|asked| now.saturating_sub(asked) < FRESH) {
            return;
        }
        let view = self.view();
        let alive = place::alive(&view);
        let is_alive = |id: &BrokerId, incarnation| *id != self.broker() && alive.get(id) == Some(incarnation);
        let others = view.brokers().iter().filter(|(id, entry)| is_alive(id, &entry.incarnation)).take(MOST);
        let questions = others.map(async |(id, entry)| {
            let refuses = self.env().timeout(LIMIT, self.peers.refuses(entry)).await;
            (refuses == Ok(true)).then_some((*id, entry))
        });
        let refusing = join_all(questions).await;
        let mut known = self.reach.refusing.lock();
        let before = known.clone();
        known.clear();
        for (_, entry) in refusing.iter().flatten() {
            let since = before.get(&entry.incarnation).map_or(now, |(since, _)| *since);
            known.insert(entry.incarnation, (since, now.saturating_sub(since) < LEFT_OUT));
        }
        if *known != before {
            // Answers that are kept say something else.
            self.followed.wake();
        }
        drop(known);
        for (id, entry) in refusing.into_iter().flatten().filter(|(_, entry)| !before.contains_key(&entry.incarnation)) {
            let (member, entry) = (self.clone(), entry.clone());
            let recover = async move { member.recover_if_dead(id, &entry).await };
            self.env().spawn("recover a broker", recover).detach_to_group();
        }
        *asked = Some(self.env().monotonic());
    }

    /// Whether an incarnation has refused when it was asked last, and may be about to be recovered.
    pub(crate) fn refuses(&self, incarnation: Incarnation) -> bool {
        self.reach.refusing.lock().get(&incarnation).is_some_and(|(_, is_left_out)| *is_left_out)
    }
}
