//! What happens to the server: down, without a quorum, set back.

use super::{Row, Suite, broker};
use crate::cluster::{Cluster, ClusterError, Lineage, Renewed};
use floe_types::{BrokerId, Incarnation};
use std::sync::Arc;
use std::time::Duration;

impl Suite<'_> {
    pub(super) async fn calls_end_while_nothing_answers_and_go_on_afterwards(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=2).await;
        let registration = self.ok("register", pair.one.register(BrokerId(1), broker(1, 1)).await);
        let all = self.seeded(&pair.one, 1, 1).await;
        let mut watch = self.ok("watch", pair.other.watch().await);
        self.world.stop().await;
        let begun = self.env.monotonic();
        let moved = pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(2))]).await;
        self.holds("it says so", matches!(moved, Err(ClusterError::Unavailable { .. })));
        let renewed = pair.one.renew(&registration).await;
        self.holds("that, too", matches!(renewed, Err(ClusterError::Unavailable { .. })));
        let told = watch.next().await;
        self.holds("and the watch", matches!(told, Err(ClusterError::Unavailable { .. })));
        let took = self.env.monotonic() - begun;
        self.holds(&format!("three calls of 4 s end in time: {took:?}"), took < Duration::from_secs(14));
        self.world.start().await;
        let renewed = self.ok("renew", pair.one.renew(&registration).await);
        self.holds("it is listed still, or again", matches!(renewed, Renewed::Kept | Renewed::Again));
        self.same("listed", self.ok("read", pair.one.read().await).brokers().len(), 1);
        self.ok("a partition is taken back", pair.one.take_back(Incarnation(1), &all).await);
        self.ok("announce", pair.other.announce_catalog(1).await);
        while watch.view().catalog() != 1 {
            self.ok("the watch goes on", watch.next().await);
        }
    }

    pub(super) async fn t57_a_lower_revision_freezes(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=2).await;
        let all = self.seeded(&pair.one, 1, 1).await;
        let mut watch = self.ok("watch", pair.other.watch().await);
        self.world.snapshot().await;
        for version in 1..=40 {
            self.ok("announce", pair.one.announce_catalog(version).await);
        }
        while watch.view().catalog() != 40 {
            self.ok("the watch goes on", watch.next().await);
        }
        self.world.set_back().await;
        let moved = pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(2))]).await;
        self.holds("ownership is frozen", matches!(moved, Err(ClusterError::SetBack { .. })));
        let told = loop {
            match watch.next().await {
                Ok(_) => {}
                Err(ClusterError::Unavailable { .. }) => {}
                Err(error) => break error,
            }
        };
        self.holds("the watch says so", matches!(told, ClusterError::SetBack { .. }));
        self.holds("for good", matches!(pair.one.announce_catalog(9).await, Err(ClusterError::SetBack { .. })));
        // Who has seen nothing hears of it from another.
        let fresh = Cluster::new(self.env.clone(), self.world.client(), pair.one.options().clone());
        fresh.heard(pair.one.seen());
        self.holds("whoever was told is frozen, too", matches!(fresh.read().await, Err(ClusterError::SetBack { .. })));
    }

    pub(super) async fn t57_a_mark_tells_what_revisions_do_not(&self) {
        let pair = self.pair();
        let row = Arc::new(Row::default());
        self.open(&pair.one, 1..=2).await;
        let all = self.seeded(&pair.one, 1, 1).await;
        let (one, other) = (Lineage::new(pair.one.clone(), row.clone()), Lineage::new(pair.other.clone(), row.clone()));
        self.ok("rely", one.rely().await);
        self.world.snapshot().await;
        self.ok("move", pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(2))]).await);
        let view = self.ok("rely", other.rely().await);
        self.same("the new owner relies on it", view.owned_by(Incarnation(2)).count(), 1);
        self.world.set_back().await;
        // Somebody who saw nothing of it writes until the revision is as high as ever.
        let fresh = Cluster::new(self.env.clone(), self.world.client(), pair.one.options().clone());
        for version in 1..=20 {
            self.ok("announce", fresh.announce_catalog(version).await);
        }
        let view = self.ok("read", pair.other.read().await);
        self.same("revisions tell nothing", view.owned_by(Incarnation(1)).count(), 1);
        let relied = Lineage::new(fresh.clone(), row.clone()).rely().await;
        self.holds("the mark does", matches!(relied, Err(ClusterError::SetBack { .. })));
        self.holds("and it is frozen", matches!(fresh.read().await, Err(ClusterError::SetBack { .. })));
        self.holds("whoever relies is", matches!(other.rely().await, Err(ClusterError::SetBack { .. })));
    }
}
