//! Names, announcements, incarnations, leases.

use super::{Suite, broker, entry, owned};
use crate::cluster::{ClusterError, Renewed};
use floe_formats::etcd::Life;
use floe_types::{BrokerId, ClusterId, Incarnation};
use futures::future::join_all;
use std::time::Duration;

impl Suite<'_> {
    pub(super) async fn a_cluster_is_named_once(&self) {
        let pair = self.pair();
        self.same("no name yet", self.ok("founded", pair.one.founded().await), None);
        let names = join_all((1..=8).map(|n| {
            let cluster = if n % 2 == 0 { &pair.one } else { &pair.other };
            async move { self.ok("found", cluster.found(ClusterId(n)).await) }
        }))
        .await;
        self.holds("all are told the same name", names.iter().all(|name| *name == names[0]));
        self.holds("one of those that were asked for", (1..=8).contains(&names[0].0));
    }

    pub(super) async fn announcements_only_grow(&self) {
        let pair = self.pair();
        self.same("first", self.ok("announce", pair.one.announce_catalog(5).await), 5);
        self.same("older", self.ok("announce", pair.other.announce_catalog(3).await), 5);
        let all = join_all((6..30).map(|v| pair.one.announce_catalog(v))).await;
        all.into_iter().for_each(|announced| self.holds("not below", self.ok("announce", announced) >= 6));
        self.same("the greatest stands", self.ok("read", pair.other.read().await).catalog(), 29);
    }

    pub(super) async fn incarnations_only_go_forward(&self) {
        let (pair, i) = (self.pair(), Incarnation(7));
        self.same("not known", self.ok("life", pair.one.life(i).await), None);
        let unknown = pair.one.mark_sealing(i).await;
        self.holds("what is not known is not marked", matches!(unknown, Err(ClusterError::NotInState { found: None, .. })));
        self.open(&pair.one, [7]).await;
        let early = pair.one.mark_closed(i).await;
        self.holds("open is not closed", matches!(early, Err(ClusterError::NotInState { found: Some(Life::Open), .. })));
        self.same("sealing", self.ok("mark", pair.one.mark_sealing(i).await), Life::Sealing);
        self.same("again", self.ok("mark", pair.other.mark_sealing(i).await), Life::Sealing);
        let reopened = pair.one.open_incarnation(i, &entry(7)).await;
        self.holds("never open again", matches!(reopened, Err(ClusterError::NotInState { found: Some(Life::Sealing), .. })));
        self.same("closed", self.ok("close", pair.one.mark_closed(i).await), Life::Closed);
        self.same("again", self.ok("close", pair.other.mark_closed(i).await), Life::Closed);
        self.same("stays closed", self.ok("mark", pair.other.mark_sealing(i).await), Life::Closed);
        self.same("the hint", self.ok("hint", pair.other.greatest_incarnation().await), i);
    }

    pub(super) async fn what_is_closed_and_unnamed_is_forgotten(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=3).await;
        let partitions = self.seeded(&pair.one, 1, 2).await;
        self.same("open ones stay", self.ok("forget", pair.one.forget_incarnation(Incarnation(3)).await), false);
        self.close(&pair.one, 1).await;
        self.close(&pair.one, 3).await;
        self.ok("take over", pair.one.take_over(Incarnation(2), Incarnation(1), &partitions[..1]).await);
        self.same("an owner and base stays", self.ok("forget", pair.one.forget_incarnation(Incarnation(1)).await), false);
        self.same("one goes", self.ok("forget", pair.one.forget_unnamed().await), vec![Incarnation(3)]);
        self.same("what is gone is gone", self.ok("forget", pair.other.forget_incarnation(Incarnation(3)).await), true);
        self.ok("take over", pair.one.take_over(Incarnation(2), Incarnation(1), &partitions[1..]).await);
        let based: Vec<_> = (0..2).map(|index| owned(index, 2, 1, Some(1))).collect();
        self.ok("take back", pair.one.take_back(Incarnation(2), &based).await);
        self.same("unnamed at last", self.ok("forget", pair.other.forget_unnamed().await), vec![Incarnation(1)]);
        let view = self.ok("read", pair.other.read().await);
        self.same("one is left", view.lives().keys().copied().collect(), vec![Incarnation(2)]);
        self.same("of both keys", view.incarnations().len(), 1);
        self.same("the hint stays", self.ok("hint", pair.other.greatest_incarnation().await), Incarnation(3));
    }

    pub(super) async fn a_number_belongs_to_one_life(&self) {
        let pair = self.pair();
        let racers = join_all((1..=6).map(|n| {
            let cluster = if n % 2 == 0 { &pair.one } else { &pair.other };
            async move { (n, cluster.open_incarnation(Incarnation(4), &entry(n)).await) }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = racers.into_iter().partition(|(_, answer)| answer.is_ok());
        self.same("one has it", won.len(), 1);
        self.holds("the others are told", lost.iter().all(|(_, answer)| matches!(answer, Err(ClusterError::NumberTaken { .. }))));
        self.ok("and it may ask again", pair.other.open_incarnation(Incarnation(4), &entry(won[0].0)).await);
    }

    pub(super) async fn a_broker_id_belongs_to_one_disk(&self) {
        let (pair, id) = (self.pair(), BrokerId(3));
        let early = pair.one.register(id, broker(1, 10)).await;
        self.holds("only open incarnations are listed", matches!(early, Err(ClusterError::NotInState { found: None, .. })));
        self.open(&pair.one, 1..=4).await;
        let first = self.ok("register", pair.one.register(id, broker(1, 10)).await);
        let other = pair.other.register(id, broker(2, 20)).await;
        self.holds("another disk is refused", matches!(other, Err(ClusterError::BrokerIdTaken { by: Incarnation(1), .. })));
        let other = pair.other.may_have_id(id, broker(2, 20).disk).await;
        self.holds("and may know before", matches!(other, Err(ClusterError::BrokerIdTaken { by: Incarnation(1), .. })));
        self.ok("its own", pair.other.may_have_id(id, broker(3, 10).disk).await);
        self.ok("one that is free", pair.other.may_have_id(BrokerId(4), broker(3, 10).disk).await);
        let later = self.ok("a later life on the same disk", pair.other.register(id, broker(3, 10)).await);
        let again = pair.one.register(id, broker(1, 10)).await;
        self.holds("an earlier life is refused", matches!(again, Err(ClusterError::BrokerIdTaken { by: Incarnation(3), .. })));
        self.same("a right to clean", self.ok("claim", pair.other.claim_cleaning(&later, Incarnation(9)).await), true);
        self.same("it is its own", self.ok("claim", pair.other.claim_cleaning(&later, Incarnation(9)).await), true);
        self.same("and nobody else's", self.ok("claim", pair.one.claim_cleaning(&first, Incarnation(9)).await), false);
        self.ok("unregister", pair.one.unregister(&first).await);
        self.same("it was not the earlier one's", self.ok("read", pair.one.read().await).brokers().len(), 1);
        self.same("a free id", self.ok("free", pair.one.free_broker_id(BrokerId(3)).await), BrokerId(5));
        self.ok("unregister", pair.other.unregister(&later).await);
        self.same("nobody is listed", self.ok("read", pair.one.read().await).brokers().len(), 0);
        let next = self.ok("register", pair.one.register(id, broker(4, 30)).await);
        self.same("the right went with the lease", self.ok("claim", pair.one.claim_cleaning(&next, Incarnation(9)).await), true);
    }

    pub(super) async fn leases_are_kept_and_run_out_and_begin_again(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=2).await;
        let kept = self.ok("register", pair.one.register(BrokerId(1), broker(1, 1)).await);
        let left = self.ok("register", pair.other.register(BrokerId(2), broker(2, 2)).await);
        // Longer than a lease, with what etcd adds before it ends one.
        for _ in 0..10 {
            self.env.sleep(Duration::from_millis(500)).await;
            self.same("kept", self.ok("renew", pair.one.renew(&kept).await), Renewed::Kept);
        }
        let listed = |view: &crate::cluster::ClusterView| view.brokers().keys().copied().collect::<Vec<_>>();
        self.same("one ran out", listed(&self.ok("read", pair.one.read().await)), vec![BrokerId(1)]);
        self.same("listed again", self.ok("renew", pair.other.renew(&left).await), Renewed::Again);
        self.same("both", listed(&self.ok("read", pair.one.read().await)), vec![BrokerId(1), BrokerId(2)]);
        self.ok("mark", pair.one.mark_sealing(Incarnation(2)).await);
        self.same("a lease is kept while it lasts", self.ok("renew", pair.other.renew(&left).await), Renewed::Kept);
        self.env.sleep(Duration::from_secs(5)).await;
        let sealed = pair.other.renew(&left).await;
        self.holds(
            "who is sealing is not listed again",
            matches!(sealed, Err(ClusterError::NotInState { found: Some(Life::Sealing), .. })),
        );
    }
}
