//! This broker's own copied WALs: a generation with standbys once another broker answers, another one when a standby is lost or a better set can be had (R2, R3).
//!
//! ```text
//!   (none) ──another answers──▶ generation with copies ──a standby is lost, damaged, or one more can be had──▶ another generation
//!      ▲                                   │
//!      └────────── nobody else answers ────┘
//! ```
//! * A WAL is closed, and where it ended known, before the claim that follows it is sent (R2). Until that claim stands, and while there is no set, what is
//!   `replicated` waits for its slot.
//! * While a quorum does not answer, what waits for it is flushed as `object` records are: slower, never weaker, and nothing is switched.
//! * Copies of others' WALs that lie on this disk go once their incarnations have an `end` (R11).
//!
//! No safety rests on when a set is changed, nor on who is suspected.

mod need;

use super::{Member, place};
use crate::chain::{Chain, create_for_sure, is_closed, whose};
use crate::copies::{Candidate, CopiedWal, CopySet};
use crate::open::wal_options;
use crate::shared::Shared;
use crate::topics::durability_of;
use crate::wals::OwnWal;
use crate::{Durability, Ended, OpenError, start};
use floe_env::{Mutant, Task, mutated};
use floe_formats::etcd::Life;
use floe_formats::{Claim, WalKind, keys};
use floe_objstore::{Created, Payload};
use floe_types::{Generation, Incarnation, Lsn};
use floe_wal::WalError;
use need::{InUse, Need, Remembered};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks while there is a WAL, and while one is wanted.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks while nothing is `replicated`: at the catalog in memory.
const LOOK_FOR_A_WISH: Duration = Duration::from_secs(1);
/// Between two looks for copies of the dead.
const SWEEP: Duration = Duration::from_secs(30);

/// What is known of the copies, beside what the WAL says itself.
#[derive(Debug)]
struct Known {
    in_use: Option<CopySet>,
    /// The key and body of the claim that names it.
    claim: Option<(String, Payload)>,
    remembered: Remembered,
    /// How far a quorum has it, and since when it has not got on.
    committed: (Lsn, Duration),
    swept: Option<Duration>,
}

/// Works for as long as the incarnation lives.
pub(super) async fn run(member: Arc<Member>) {
    let remembered = Remembered::new(member.options().replace_standby_after);
    let mut known = Known { in_use: None, claim: None, remembered, committed: (Lsn(0), Duration::ZERO), swept: None };
    while !member.has_ended() {
        let count = member.followed.count();
        if !member.is_draining() {
            known.look(&member).await;
        }
        let limit = if member.wants_copies() { LOOK } else { LOOK_FOR_A_WISH };
        member.followed.news(&member, count, limit).await;
    }
}

impl Known {
    async fn look(&mut self, member: &Arc<Member>) {
        let now = member.env().monotonic();
        if self.swept.is_none_or(|swept| now.saturating_sub(swept) >= SWEEP) {
            self.swept = Some(now);
            member.sweep_copies().await;
        }
        let own = member.shared.wals.current();
        self.hurry(&member.shared, own.as_deref(), now);
        let need = self.need(member, own.as_deref(), now);
        if need == Need::Nothing || self.remembered.is_paced(need, now) {
            return;
        }
        if need == Need::AtOnce {
            // What that disk has told is not needed any more once it is in slots.
            member.shared.dirty.mark(true);
        }
        self.change(member, own.as_deref(), need).await;
    }

    /// Notices that no quorum gets on.
    fn hurry(&mut self, shared: &Shared, own: Option<&OwnWal>, now: Duration) {
        let copied = own.and_then(|own| Some((own.wal.end(), own.copied.as_ref()?.committed())));
        let (end, committed) = copied.unwrap_or_default();
        if committed >= end || committed != self.committed.0 {
            self.committed = (committed, now);
        }
        shared.set_hurried(now.saturating_sub(self.committed.1) >= shared.options.replica_timeout);
    }

    fn need(&mut self, member: &Member, own: Option<&OwnWal>, now: Duration) -> Need {
        let others = member.others().len();
        let Some((own, copied)) = own.and_then(|own| Some((own, own.copied.as_ref()?))) else {
            return if others > 0 && member.wants_copies() { Need::Better } else { Need::Nothing };
        };
        self.remembered.need(InUse { standbys: &copied.standbys(), end: own.wal.end(), others }, now)
    }

    /// Begins another generation, if there is a set to be had that is not the one in use.
    async fn change(&mut self, member: &Arc<Member>, own: Option<&OwnWal>, need: Need) {
        let now = member.env().monotonic();
        let mut live = member.others();
        live.retain(|other| !self.remembered.is_avoided(other.disk, now));
        let answering = member.peers.answering(live.iter().map(|other| other.disk).collect()).await;
        live.retain(|other| answering.contains(&other.disk));
        let here = Candidate { disk: member.start.disk_id, rack: member.rack.clone(), load: 0 };
        let set = member.peers.choose(&here, &live, self.in_use.as_ref());
        let copies = |set: Option<&CopySet>| set.map_or(0, |set| set.standbys.len());
        let is_smaller = copies(set.as_ref()) < copies(self.in_use.as_ref());
        if (own.is_some() == set.is_some() && set == self.in_use) || (need == Need::Roomier && is_smaller) {
            return;
        }
        self.remembered.changed(now);
        // Until the next claim stands, what is replicated waits for it. The last one, sent once more, tells whether the store would take it.
        if need < Need::AtOnce
            && own.is_some()
            && let Some((key, body)) = &self.claim
            && let Err(error) = member.shared.store.create(key, body).await
        {
            tracing::warn!(%error, "another set of copies would be better; the store takes no claims now");
            return;
        }
        match member.begin_generation(set.as_ref()).await {
            Ok(claim) => (self.in_use, self.claim) = (set, claim),
            Err(error) => {
                tracing::warn!(%error, "another set of copies cannot be had yet");
                self.in_use = None;
            }
        }
    }
}

impl Member {
    /// Whether anything is `replicated`. Where nothing is, no disk has to be asked after a loss (R5), and what is `object` is led again without any.
    fn wants_copies(&self) -> bool {
        let is_replicated = |topic: &Arc<floe_formats::Topic>| durability_of(topic, self.options()) == Durability::Replicated;
        self.catalog.view().topics().any(is_replicated)
    }

    /// Brokers that are listed as alive, but for this one.
    fn others(&self) -> Vec<Candidate> {
        let view = self.view();
        let alive = place::alive(&view);
        let others = view.brokers().iter().filter(|(id, entry)| **id != self.broker() && alive.get(*id) == Some(&entry.incarnation));
        others.map(|(_, entry)| Candidate { disk: entry.disk, rack: entry.rack.clone(), load: 0 }).collect()
    }

    /// Ends the WAL that there is, claims the next generation - with these copies, which have just answered, or without a WAL -, and goes on in it. The claim;
    /// none if this incarnation ends.
    async fn begin_generation(&self, set: Option<&CopySet>) -> Result<Option<(String, Payload)>, OpenError> {
        let shared = &self.shared;
        // Held until the claim stands: whoever drains, closes the claims behind it.
        let _one_at_a_time = shared.sent_claim.lock().await;
        if self.has_ended() || self.is_draining() {
            return Ok(None);
        }
        // A store that does not answer, or a row that is being closed, is found before anything ends.
        let newest = self.start.store.list(&keys::claims_prefix(shared.incarnation), None, 1).await?;
        let generation = shared.wals.newest();
        if newest.first().is_none_or(|object| object.key != keys::claim(shared.incarnation, generation)) {
            return Err(OpenError::Ended(Ended::Fenced { by: None, found: "its claims are closed".into() }));
        }
        let previous_end = match shared.wals.current() {
            Some(own) if mutated(Mutant::AppendedBehindEnd) => Some(own.wal.end()),
            Some(_) => match shared.wals.end_current() {
                Some(own) => Some(own.wal.close().await?),
                None => None,
            },
            // Nothing was ever in it, if it was never begun: nobody has to be asked.
            None => shared.wals.never_begun(generation).then_some(Lsn(0)),
        };
        let generation = Generation(generation.0 + 1);
        let key = keys::claim(shared.incarnation, generation);
        let body = Payload::from(floe_formats::encode(&Chain::writer(shared), &self.claim(generation, set, previous_end)));
        if create_for_sure(&shared.store, &key, &body).await == Created::Lost {
            let found = if is_closed(shared, &key).await { (None, "its claims are closed".into()) } else { whose(shared, &key).await };
            let ended = Ended::Fenced { by: found.0, found: found.1 };
            shared.end(ended.clone());
            return Err(OpenError::Ended(ended));
        }
        shared.wals.claimed(generation);
        let Some(set) = set else {
            tracing::info!(generation = generation.0, "nobody else answers: what is replicated waits for its slot");
            return Ok(Some((key, body)));
        };
        let copied = match self.peers.begin_wal(wal_options(shared, generation), set).await {
            Ok(copied) => copied,
            Err(error @ WalError::Sealed { .. }) => {
                let ended = Ended::Fenced { by: None, found: error.to_string() };
                shared.end(ended.clone());
                return Err(OpenError::Ended(ended));
            }
            Err(error) => return Err(error.into()),
        };
        tracing::info!(generation = generation.0, standbys = ?set.standbys, "records are replicated");
        let watch = Arc::new(watch(shared, &copied));
        let (wal, disk) = (copied.wal().clone(), self.start.disk.clone());
        shared.wals.begin(OwnWal { generation, wal, disk, copied: Some(copied), _watch: Some(watch) });
        Ok(Some((key, body)))
    }

    fn claim(&self, generation: Generation, set: Option<&CopySet>, previous_end: Option<Lsn>) -> Claim {
        let disk = self.start.disk_id;
        let plain = Claim { previous_end, ..start::claim(&self.shared, generation) };
        let Some(set) = set else { return plain };
        let replicas = [disk].into_iter().chain(set.standbys.iter().copied()).collect();
        let quorum = u8::try_from(set.quorum).unwrap_or(u8::MAX);
        Claim { disk: Some(disk), replicas, quorum, wal: WalKind::Replicated, ..plain }
    }

    /// Removes copies of incarnations that have an `end`, and former own WALs: nothing is read from them any more (R11). Seals stay.
    async fn sweep_copies(&self) {
        let view = self.view();
        let living = |life: Option<&Life>| matches!(life, Some(Life::Open | Life::Sealing));
        let former = self.start.former_wals().await.unwrap_or_default();
        let all: BTreeSet<Incarnation> = self.peers.kept().into_iter().chain(former.iter().map(|(of, _)| *of)).collect();
        for incarnation in all.into_iter().filter(|of| *of != self.me() && !living(view.lives().get(of))) {
            match self.start.read_end(incarnation).await {
                // All that is left of what this disk has acknowledged: kept, and read by people only.
                Ok(end) if end.gave_up.contains(&self.start.disk_id) => continue,
                Ok(_) => {}
                // It may be about to be listed, or the store does not answer.
                Err(_) => continue,
            }
            let mut removed = self.peers.remove(incarnation).await;
            for (_, dir) in former.iter().filter(|(of, _)| *of == incarnation) {
                removed = removed.and(floe_wal::remove_generation(&self.start.disk, dir).await);
            }
            if let Err(error) = removed {
                tracing::warn!(incarnation = incarnation.0, %error, "copies of its WAL stay for now");
            }
        }
    }
}

/// Ends the incarnation when a standby has sealed it, or its own WAL fails (R10).
fn watch(shared: &Arc<Shared>, copied: &Arc<dyn CopiedWal>) -> Task<()> {
    let (shared_too, copied, env) = (shared.clone(), copied.clone(), shared.env.clone());
    env.spawn("watch a copied WAL", async move {
        let ended = tokio::select! {
            biased;
            disk = copied.fenced() => Ended::Fenced { by: None, found: format!("disk {disk} has sealed this incarnation") },
            error = copied.wal().failed() => Ended::Failed { why: error.to_string() },
        };
        shared_too.end(ended);
    })
}
