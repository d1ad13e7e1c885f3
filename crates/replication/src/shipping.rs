//! A generation's WAL on its way to its standbys, and how far enough of them have it.
//!
//! It is the WAL's [`Tap`]: a group is put into the ring when its local write begins, which wakes a task for each standby. What comes back moves
//! the quorum, and the quorum moves [`Wal::commit`], which tells who waits.

use crate::{Brokers, ReplicationError, quorum::Quorum, ring::Ring, shipper};
use async_trait::async_trait;
use floe_env::{Task, Watched};
use floe_log::copies::{CopiedWal, CopySet, StandbyState, StandbyStatus};
use floe_types::{DiskId, ErrorKind, Lsn};
use floe_wal::{Begun, Tap, Wal, WalError};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock, Weak},
};

/// Ships one generation's WAL. Dropping it ends that.
pub struct Shipping {
    shared: Arc<Shared>,
    shippers: Mutex<Vec<Task<()>>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) brokers: Brokers,
    pub(crate) ring: Ring,
    pub(crate) quorum: Quorum,
    /// What standbys are to give back.
    pub(crate) trimmed: Watched<Lsn>,
    /// All of the generation is flushed.
    pub(crate) finished: Watched<bool>,
    wal: OnceLock<Weak<Wal>>,
    states: Watched<BTreeMap<DiskId, StandbyState>>,
    committed: Watched<Lsn>,
    fenced: Watched<Option<DiskId>>,
}

impl fmt::Debug for Shipping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipping").field("quorum", &self.shared.quorum).finish_non_exhaustive()
    }
}

impl Shipping {
    /// To be given to [`floe_wal::Replicas::create_own`], and then the WAL to [`Shipping::start`].
    ///
    /// # Errors
    /// The set contradicts itself: a quorum that it cannot have, or that is one copy (T48).
    pub fn new(brokers: Brokers, set: &CopySet) -> Result<Arc<Self>, WalError> {
        let copies = set.standbys.len() + 1;
        let own = brokers.me.identity().disk;
        let unique: std::collections::BTreeSet<_> = set.standbys.iter().chain([&own]).collect();
        if set.quorum < 2 || set.quorum > copies || set.quorum * 2 <= copies || unique.len() != copies {
            return Err(WalError::Invalid { what: format!("{set:?} is no set of copies with a quorum, beside disk {own}") });
        }
        let away = StandbyState::Away { error: "not dialled yet".into(), kind: ErrorKind::Retry };
        let shared = Shared {
            ring: Ring::new(brokers.options.ring_bytes),
            quorum: Quorum::new(set.quorum, set.standbys.iter().copied()),
            brokers,
            trimmed: Watched::default(),
            finished: Watched::default(),
            wal: OnceLock::new(),
            states: Watched::new(set.standbys.iter().map(|disk| (*disk, away.clone())).collect()),
            committed: Watched::default(),
            fenced: Watched::default(),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared), shippers: Mutex::default() }))
    }

    /// Begins to dial. The WAL must be the one that this is the tap of.
    pub fn start(&self, wal: &Arc<Wal>) {
        let bound = self.shared.wal.set(Arc::downgrade(wal)).is_ok();
        assert!(bound, "one WAL is shipped, once");
        let env = &self.shared.brokers.env;
        let shippers = self.shared.states.get().into_keys().map(|disk| env.spawn("shipper", shipper::run(Arc::clone(&self.shared), disk)));
        self.shippers.lock().extend(shippers);
    }

    /// Everything below is fsynced on a quorum of the disks, and sinks have been told.
    #[must_use]
    pub fn committed(&self) -> Lsn {
        self.shared.committed.get()
    }

    /// Waits until everything below `upto` is committed, and sinks have been told, unless the WAL has failed. May wait for ever: a quorum may never answer again. Cancellation safe.
    pub async fn wait_committed(&self, upto: Lsn) -> Lsn {
        self.shared.committed.wait_for(|committed| *committed >= upto).await
    }

    /// Standbys may give back what lies below: it is in certain slots (R11).
    pub fn trim(&self, to: Lsn) {
        self.shared.trimmed.set_if(|trimmed| std::mem::replace(trimmed, to.max(*trimmed)) < to);
    }

    /// All of the generation is in certain slots, whose footers say so, and nothing more is appended: standbys delete their copies, each as soon as it can be told (R11).
    /// The WAL is still needed until then.
    pub fn finish(&self) {
        self.shared.finished.set(true);
    }

    /// Waits until no standby has a copy any more; one that is away may never be told, and keeps it until the incarnation is closed. Cancellation safe.
    pub async fn wait_forgotten(&self) {
        self.wait_standbys(|states| states.values().all(|state| *state == StandbyState::Forgotten)).await;
    }

    /// How it stands with each.
    #[must_use]
    pub fn standbys(&self) -> Vec<StandbyStatus> {
        self.shared.states.get().into_iter().map(|(disk, state)| StandbyStatus { disk, state }).collect()
    }

    /// Waits until the states are as wanted. Cancellation safe.
    pub async fn wait_standbys(&self, mut wanted: impl FnMut(&BTreeMap<DiskId, StandbyState>) -> bool) {
        self.shared.states.wait_for(|states| wanted(states)).await;
    }

    /// Resolves when a disk has refused because this incarnation is sealed there: it acknowledges nothing more, and has to end (R10).
    pub async fn fenced(&self) -> DiskId {
        let by = self.shared.fenced.wait_for(Option::is_some).await;
        by.expect("it was just seen")
    }
}

/// A WAL with what ships it.
#[derive(Debug)]
pub(crate) struct Shipped {
    pub(crate) wal: Arc<Wal>,
    pub(crate) shipping: Arc<Shipping>,
}

#[async_trait]
impl CopiedWal for Shipped {
    fn wal(&self) -> &Arc<Wal> {
        &self.wal
    }

    fn committed(&self) -> Lsn {
        self.shipping.committed()
    }

    fn standbys(&self) -> Vec<StandbyStatus> {
        self.shipping.standbys()
    }

    fn trim(&self, to: Lsn) {
        self.shipping.trim(to);
    }

    fn finish(&self) {
        self.shipping.finish();
    }

    async fn forgotten(&self) {
        self.shipping.wait_forgotten().await;
    }

    async fn fenced(&self) -> DiskId {
        self.shipping.fenced().await
    }
}

impl Tap for Shipping {
    fn begun(&self, group: Begun<'_>) {
        self.shared.ring.push(group);
    }

    fn durable(&self, upto: Lsn) {
        let committed = self.shared.quorum.own(upto);
        self.shared.commit(committed);
    }
}

impl Shared {
    pub(crate) fn wal(&self) -> Result<Arc<Wal>, ReplicationError> {
        let wal = self.wal.get().and_then(Weak::upgrade).ok_or(WalError::Closed)?;
        wal.failure().map_or(Ok(wal), |failure| Err(failure.into()))
    }

    /// Whether the standby counts.
    pub(crate) fn heard(&self, disk: DiskId, durable: Lsn) -> bool {
        let heard = self.quorum.standby(disk, durable);
        self.ring.forget(heard.everywhere);
        self.commit(heard.committed);
        heard.counts
    }

    /// Sinks are told first: whoever has waited until something is committed finds that they were.
    fn commit(&self, committed: Lsn) {
        if committed <= self.committed.get() {
            return;
        }
        if let Some(wal) = self.wal.get().and_then(Weak::upgrade) {
            wal.commit(committed);
        }
        self.committed.set_if(|before| std::mem::replace(before, committed.max(*before)) < committed);
    }

    pub(crate) fn set_state(&self, disk: DiskId, state: StandbyState) {
        self.states.set_if(|states| states.insert(disk, state.clone()).as_ref() != Some(&state));
    }

    pub(crate) fn fence(&self, by: DiskId) {
        tracing::error!(disk = %by, "this incarnation is sealed: it acknowledges nothing more");
        self.quorum.fence();
        self.set_state(by, StandbyState::Away { error: "this incarnation is sealed there".into(), kind: ErrorKind::Fenced });
        self.fenced.set(Some(by));
    }
}
