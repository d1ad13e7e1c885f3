//! Watches: every change told, across restarts and compactions; and what a watch costs nobody.

use super::{Suite, broker, owned};
use crate::cluster::{Change, ClusterView, Lineage, Watch};
use floe_formats::etcd::Life;
use floe_types::{BrokerId, Incarnation};
use std::sync::Arc;
use std::time::Duration;

impl Suite<'_> {
    /// What the watch tells until its view is as wanted.
    async fn until(&self, what: &str, watch: &mut Watch, wanted: impl Fn(&ClusterView) -> bool) -> Vec<Change> {
        let mut told = Vec::new();
        let ends = self.env.monotonic() + Duration::from_secs(30);
        while !wanted(watch.view()) {
            self.holds(&format!("{what}: told within 30 s, not only {told:?}"), self.env.monotonic() < ends);
            match self.env.timeout(Duration::from_secs(5), watch.next()).await {
                Ok(Ok(changes)) => told.extend(changes),
                // Nothing answers for a while: it says so, and is asked again.
                Ok(Err(error)) => self.holds(&format!("{error}"), error.kind() == floe_types::ErrorKind::Retry),
                Err(_) => {}
            }
        }
        told
    }

    pub(super) async fn a_watch_tells_every_change(&self) {
        let pair = self.pair();
        self.open(&pair.one, [1]).await;
        let mut watch = self.ok("watch", pair.other.watch().await);
        self.same("it begins with what is there", watch.view().lives().get(&Incarnation(1)).copied(), Some(Life::Open));
        self.open(&pair.one, [2]).await;
        let all = self.seeded(&pair.one, 1, 3).await;
        let registration = self.ok("register", pair.one.register(BrokerId(1), broker(1, 1)).await);
        self.ok("move", pair.one.hand_over(Incarnation(1), &[(all[1], Incarnation(2))]).await);
        self.ok("announce", pair.one.announce_catalog(3).await);
        self.ok("unregister", pair.one.unregister(&registration).await);
        self.ok("delete", pair.one.delete_partitions(&all[2..]).await);
        let told = self.until("changes", &mut watch, |view| view.owner(all[2].partition).is_none() && view.owners().len() == 2).await;
        let mut wanted = vec![Change::Life(Incarnation(2), Some(Life::Open))];
        wanted.extend(all.iter().map(|owned| Change::Owner(owned.partition, Some(owned.owner))));
        wanted.push(Change::BrokerUp(BrokerId(1)));
        wanted.push(Change::Owner(all[1].partition, Some(owned(1, 2, 1, None).owner)));
        wanted.push(Change::Catalog(3));
        wanted.push(Change::BrokerDown(BrokerId(1)));
        wanted.push(Change::Owner(all[2].partition, None));
        self.same("every change, in order, once", told, wanted);
        self.same("what it shows is what is there", watch.view().owners(), self.ok("read", pair.one.read().await).owners());
        let leader = |view: &ClusterView| view.leader(all[0].partition).map(|(id, _)| id);
        self.same("whoever is not recovered leads, listed or not", leader(watch.view()), Some(BrokerId(1)));
        self.same("and may be reached", watch.view().reachable().keys().copied().collect::<Vec<_>>(), vec![BrokerId(1)]);
        self.ok("mark", pair.one.mark_sealing(Incarnation(1)).await);
        let view = self.ok("read", pair.one.read().await);
        self.same("who is recovered does not", (leader(&view), view.reachable().len()), (None, 0));
        self.open(&pair.one, [3]).await;
        let new = [owned(7, 3, 1, None)];
        self.ok("seed", pair.one.seed(&new).await);
        self.ok("register", pair.one.register(BrokerId(3), broker(3, 3)).await);
        let leader = |view: &ClusterView| view.leader(new[0].partition).map(|(id, _)| id);
        self.same("it leads", leader(&self.ok("read", pair.one.read().await)), Some(BrokerId(3)));
        self.ok("mark", pair.one.mark_sealing(Incarnation(3)).await);
        let view = self.ok("read", pair.one.read().await);
        self.same("nor does he while he is still listed", (leader(&view), view.brokers().len()), (None, 1));
    }

    pub(super) async fn a_watch_goes_on_after_a_restart_and_a_compaction(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=2).await;
        let all = self.seeded(&pair.one, 1, 4).await;
        let mut watch = self.ok("watch", pair.other.watch().await);
        self.ok("move", pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(2))]).await);
        self.until("before", &mut watch, |view| view.owned_by(Incarnation(2)).count() == 1).await;

        self.world.stop().await;
        self.world.start().await;
        self.ok("move", pair.one.hand_over(Incarnation(1), &[(all[1], Incarnation(2))]).await);
        self.ok("announce", pair.one.announce_catalog(1).await);
        let told = self.until("after a restart", &mut watch, |view| view.catalog() == 1).await;
        self.same("nothing is missed", told, vec![Change::Owner(all[1].partition, Some(owned(1, 2, 1, None).owner)), Change::Catalog(1)]);

        self.world.stop().await;
        self.world.start().await;
        self.ok("move", pair.one.hand_over(Incarnation(1), &[(all[2], Incarnation(2))]).await);
        self.ok("delete", pair.one.delete_partitions(&all[3..]).await);
        self.ok("mark", pair.one.mark_sealing(Incarnation(1)).await);
        self.world.compact().await;
        self.ok("announce", pair.one.announce_catalog(2).await);
        let mut told = self.until("after a compaction", &mut watch, |view| view.catalog() == 2).await;
        told.sort_by_key(|change| format!("{change:?}"));
        let mut wanted = vec![
            Change::Owner(all[2].partition, Some(owned(2, 2, 1, None).owner)),
            Change::Owner(all[3].partition, None),
            Change::Life(Incarnation(1), Some(Life::Sealing)),
            Change::Catalog(2),
        ];
        wanted.sort_by_key(|change| format!("{change:?}"));
        self.same("nothing is missed, and nothing told that was known", told, wanted);
        let now = self.ok("read", pair.one.read().await);
        self.same("owners", watch.view().owners(), now.owners());
        self.same("lives", watch.view().lives(), now.lives());
    }

    pub(super) async fn a_view_that_is_relied_on_is_one_revision(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=2).await;
        let all = self.seeded(&pair.one, 1, 250).await;
        let row = Arc::new(super::Row::default());
        let (one, other) = (Lineage::new(pair.one.clone(), row.clone()), Lineage::new(pair.other.clone(), row.clone()));
        let both = futures::future::join_all((0..6).map(|n| if n % 2 == 0 { one.rely() } else { other.rely() })).await;
        let mut marks: Vec<u64> = both.into_iter().filter_map(|view| self.ok("rely", view).mark()).map(|mark| mark.number).collect();
        marks.sort_unstable();
        self.same("each has its own", marks, (1..=6).collect());
        self.same("and stands in the row", row.0.lock().len(), 6);
        let moves: Vec<_> = all.iter().map(|owned| (*owned, Incarnation(2))).collect();
        let (view, moved) = tokio::join!(one.rely(), pair.other.hand_over(Incarnation(1), &moves));
        self.ok("hand over", moved);
        let view = self.ok("rely", view);
        let moved = view.owned_by(Incarnation(2)).count();
        self.holds("whole transactions only", [0, 120, 240, 250].contains(&moved));
    }
}
