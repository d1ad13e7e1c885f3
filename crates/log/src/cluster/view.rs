//! What etcd says, kept up to date by one watch, for all who ask.

use super::{Member, PAUSE, place};
use crate::Ended;
use crate::history::clean::CleaningShare;
use floe_env::Watched;
use floe_formats::etcd::Life;
use floe_metadata::cluster::{ClusterError, ClusterView, Watch};
use floe_types::{ErrorKind, Incarnation};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;

/// Pause after what only an operator can mend.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// A look without news.
const IDLE: Duration = Duration::from_secs(60);

/// The newest view that was seen.
#[derive(Debug)]
pub(crate) struct Followed {
    view: RwLock<Arc<ClusterView>>,
    /// Counts views.
    news: Watched<u64>,
}

impl Followed {
    pub(super) fn new(view: ClusterView) -> Self {
        Self { view: RwLock::new(Arc::new(view)), news: Watched::new(1) }
    }

    pub(super) fn get(&self) -> Arc<ClusterView> {
        self.view.read().clone()
    }

    /// A number that grows with every view. Read before [`Followed::get`], it tells whether there is news.
    pub(super) fn count(&self) -> u64 {
        self.news.get()
    }

    /// Waits until there is a view behind the one that `count` was read before, or for `limit`.
    pub(super) async fn news(&self, member: &Member, count: u64, limit: Duration) {
        let _either = member.env().timeout(limit, self.news.wait_for(|now| *now > count)).await;
    }

    fn install(&self, view: ClusterView) {
        *self.view.write() = Arc::new(view);
        self.wake();
    }

    /// Lets everybody look again.
    pub(super) fn wake(&self) {
        self.news.set_if(|count| {
            *count += 1;
            true
        });
    }
}

impl Member {
    /// The newest view that was seen; it may be over.
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.followed.get()
    }

    /// Waits until etcd says that this incarnation should drain.
    pub(crate) async fn asked_to_drain(&self) {
        while !self.view().should_drain(self.me()) {
            let count = self.followed.count();
            if !self.view().should_drain(self.me()) {
                self.followed.news(self, count, IDLE).await;
            }
        }
    }

    /// Grows with every view.
    pub(crate) fn views(&self) -> u64 {
        self.followed.count()
    }

    /// Each of those that live cleans as many of the closed chains. Two that think of themselves as the same one do the same work, and no harm (decision 2).
    fn share_cleaning(&self, view: &ClusterView) {
        let alive: Vec<Incarnation> = place::alive(view).into_values().collect();
        let place = alive.iter().position(|incarnation| *incarnation == self.me()).unwrap_or(0);
        let living = view.lives().iter().filter(|(_, life)| **life != Life::Closed).map(|(incarnation, _)| *incarnation).collect();
        let share = CleaningShare { every: alive.len().max(1) as u64, from: place as u64, living };
        let mut before = self.shared.cleaning.lock();
        if *before != share {
            *before = share;
            self.shared.history.want_clean();
        }
    }
}

/// Follows etcd for as long as the incarnation lives. While it does not answer, everybody goes on with what was seen last.
pub(super) async fn follow(member: Arc<Member>, mut watch: Watch) {
    let install = |view: &ClusterView| {
        member.peers.follow(view);
        member.share_cleaning(view);
        member.followed.install(view.clone());
    };
    install(watch.view());
    // Who has drained still tells clients where to go.
    while member.shared.ended.get().is_none_or(|ended| ended == Ended::Drained) {
        match watch.next().await {
            Ok(_) => install(watch.view()),
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(%error, "etcd does not answer; what is led is led on");
                member.env().sleep(PAUSE).await;
            }
            Err(error @ ClusterError::SetBack { .. }) => {
                tracing::error!(%error, "nothing that etcd says is relied upon any more; what is led is led on, nothing is taken over");
                return;
            }
            // A value of a later version, or a permission that was taken: nothing that this broker can do about.
            Err(error) => {
                tracing::error!(%error, "what etcd says cannot be followed; trying again");
                member.env().sleep(LONG_PAUSE).await;
            }
        }
    }
}
