//! Who owns what: races, lost answers, limits.

use super::{Suite, broker, entry, owned, partition};
use crate::cluster::backend::{BackendError, Compare, MAX_OPERATIONS, Txn, Write};
use crate::cluster::{Cluster, ClusterError, ClusterOptions, ClusterView, Lineage, Outcome, Owned};
use bytes::Bytes;
use floe_formats::etcd::Life;
use floe_types::{BrokerId, DiskId, Incarnation};
use futures::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn changed(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Changed(_))).count()
}

impl Suite<'_> {
    pub(super) async fn one_of_many_takes_each_partition_over(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=9).await;
        let partitions = self.seeded(&pair.one, 1, 300).await;
        self.close(&pair.one, 1).await;
        let racers = join_all((2..=9).map(|n| {
            let cluster = if n % 2 == 0 { &pair.one } else { &pair.other };
            // Each begins elsewhere, so that transactions overlap in part.
            let start = usize::try_from(n).unwrap_or(0) * 37;
            let mine: Vec<Owned> = partitions.iter().cycle().skip(start).take(partitions.len()).copied().collect();
            async move { (n, mine.clone(), cluster.take_over(Incarnation(n), Incarnation(1), &mine).await) }
        }))
        .await;
        let view = self.ok("read", pair.other.read().await);
        let mut won = 0;
        for (n, mine, outcomes) in racers {
            let outcomes = self.ok("take over", outcomes);
            for (owned, outcome) in mine.iter().zip(outcomes) {
                let stands = view.owner(owned.partition);
                let told = match outcome {
                    Outcome::Changed(owner) => Some(owner),
                    Outcome::Lost(owner) => owner,
                };
                self.same("all are told who owns it", told, stands);
                let is_its = stands.is_some_and(|owner| owner.incarnation == Incarnation(n));
                self.same("who won owns it", matches!(outcome, Outcome::Changed(_)), is_its);
                won += usize::from(is_its);
            }
        }
        self.same("each was won once", won, partitions.len());
        self.holds("with its base", view.owners().values().all(|owner| owner.epoch == 1 && owner.base == Some(Incarnation(1))));
    }

    pub(super) async fn a_partition_changes_only_from_what_stands(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=3).await;
        let all = self.seeded(&pair.one, 1, 200).await;
        self.same(
            "who has a record keeps it",
            self.ok("seed", pair.one.seed(&[owned(5, 2, 9, None)]).await),
            vec![Outcome::Lost(Some(all[5].owner))],
        );
        self.ok("one moves", pair.other.hand_over(Incarnation(1), &[(all[77], Incarnation(3))]).await);
        let moves: Vec<_> = all.iter().map(|owned| (*owned, Incarnation(2))).collect();
        let outcomes = self.ok("hand over", pair.one.hand_over(Incarnation(1), &moves).await);
        self.same("all others move", changed(&outcomes), 199);
        self.same("it is told", outcomes[77], Outcome::Lost(Some(owned(77, 3, 1, None).owner)));
        let foreign = pair.one.take_back(Incarnation(1), &[owned(0, 2, 1, None)]).await;
        self.holds("another's is not taken back", matches!(foreign, Err(ClusterError::Invalid(_))));
        let old = self.ok("take back", pair.one.take_back(Incarnation(1), &all[..1]).await);
        self.same("nor by an old record", old, vec![Outcome::Lost(Some(owned(0, 2, 1, None).owner))]);
        self.same("deleted", self.ok("delete", pair.one.delete_partitions(&[owned(0, 2, 1, None), owned(1, 2, 9, None)]).await), 1);
        self.same("one is gone", self.ok("read", pair.one.read().await).owners().len(), 199);
    }

    pub(super) async fn nothing_is_given_to_who_is_not_open(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=3).await;
        let all = self.seeded(&pair.one, 1, 3).await;
        let early = pair.one.take_over(Incarnation(2), Incarnation(1), &all).await;
        let is_state = |answer: &Result<_, ClusterError>, i, state| matches!(answer, Err(ClusterError::NotInState { incarnation, found, .. }) if *incarnation == Incarnation(i) && *found == state);
        self.holds("R9: nothing is taken from the open", is_state(&early, 1, Some(Life::Open)));
        self.ok("mark", pair.one.mark_sealing(Incarnation(3)).await);
        let sealing = pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(3))]).await;
        self.holds("T66: nothing is given to the sealing", is_state(&sealing, 3, Some(Life::Sealing)));
        let unknown = pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(9))]).await;
        self.holds("nor to the unknown", is_state(&unknown, 9, None));
        self.ok("mark", pair.one.mark_sealing(Incarnation(1)).await);
        let itself = pair.one.take_back(Incarnation(1), &all[..1]).await;
        self.holds("nor to itself", is_state(&itself, 1, Some(Life::Sealing)));
        let half = pair.one.take_over(Incarnation(2), Incarnation(1), &all).await;
        self.holds("R9: nothing is taken from the sealing", is_state(&half, 1, Some(Life::Sealing)));
        let view = self.ok("read", pair.one.read().await);
        self.same("all are where they were", view.owned_by(Incarnation(1)).collect::<Vec<_>>(), all);
    }

    pub(super) async fn wishes_are_told_and_taken_back(&self) {
        let pair = self.pair();
        self.open(&pair.one, 1..=2).await;
        self.seeded(&pair.one, 1, 300).await;
        let mut watch = self.ok("watch", pair.other.watch().await);
        let wishes: Vec<_> = (0..300).map(|index| (partition(index), Some(BrokerId(index % 3)))).collect();
        self.ok("prefer", pair.one.prefer(&wishes).await);
        self.ok("nobody", pair.other.prefer(&[(partition(0), None)]).await);
        self.ok("another", pair.other.prefer(&[(partition(1), Some(BrokerId(7)))]).await);
        self.holds("an open one is asked", self.ok("ask", pair.one.ask_to_drain(Incarnation(2)).await));
        self.holds("one that is not there is not", !self.ok("ask", pair.one.ask_to_drain(Incarnation(9)).await));
        self.ok("list", pair.one.register(BrokerId(2), broker(2, 2)).await);
        let lost = |numbers: &[u128]| numbers.iter().map(|number| DiskId(*number)).collect::<BTreeSet<DiskId>>();
        self.holds("nothing of one that is open", !self.ok("lose", pair.one.accept_loss(Incarnation(2), &lost(&[7])).await));
        self.ok("mark", pair.one.mark_sealing(Incarnation(2)).await);
        self.holds("what one lacks that is being recovered", self.ok("lose", pair.one.accept_loss(Incarnation(2), &lost(&[8])).await));
        self.holds("and something more", self.ok("lose", pair.other.accept_loss(Incarnation(2), &lost(&[9])).await));
        self.holds("nothing of one that is not there", !self.ok("lose", pair.one.accept_loss(Incarnation(9), &lost(&[8])).await));
        while !watch.view().should_drain(Incarnation(2)) || watch.view().lost(Incarnation(2)) != lost(&[8, 9]) {
            self.ok("watch on", watch.next().await);
        }
        let preferred = watch.view().preferred();
        self.same("the last word counts", (preferred.len(), preferred.get(&partition(1)).copied()), (299, Some(BrokerId(7))));
        self.same("a view has the same", self.ok("read", pair.one.read().await).preferred(), preferred);
        let last = |view: &ClusterView| view.last_listed(Incarnation(2)).map(|(id, entry)| (id, entry.peer.clone()));
        let listed = last(&self.ok("read", pair.other.read().await));
        self.same("as it was listed last", listed, Some((BrokerId(2), "localhost:9093".to_owned())));
        self.close(&pair.one, 2).await;
        self.holds("it is forgotten", self.ok("forget", pair.one.forget_incarnation(Incarnation(2)).await));
        let view = self.ok("read", pair.one.read().await);
        self.same(
            "with all that was known of it",
            (last(&view), view.should_drain(Incarnation(2)), view.lost(Incarnation(2))),
            (None, false, lost(&[])),
        );
    }

    pub(super) async fn t55_a_late_hand_over_fails_once_the_partition_was_taken_back(&self) {
        let options = ClusterOptions { deadline: Duration::from_millis(900), ..self.options() };
        let pair = self.pair_with(options);
        self.open(&pair.one, 1..=2).await;
        let all = self.seeded(&pair.one, 1, 2).await;
        pair.flaky.hold(true);
        let lost = pair.one.hand_over(Incarnation(1), &[(all[0], Incarnation(2)), (all[1], Incarnation(2))]).await;
        self.holds("no answer is no answer", matches!(lost, Err(ClusterError::Unavailable { .. })));
        pair.flaky.hold(false);
        let back = self.ok("take back", pair.one.take_back(Incarnation(1), &all[..1]).await);
        self.same("one is taken back", back, vec![Outcome::Changed(owned(0, 1, 1, None).owner)]);
        let late = pair.flaky.release().await;
        self.holds("the late transaction fails, every time it was sent", !late.is_empty() && late.iter().all(|won| !won));
        let back = self.ok("take back", pair.one.take_back(Incarnation(1), &all[1..]).await);
        self.same("the other, too, since it was one transaction", changed(&back), 1);
    }

    pub(super) async fn lost_answers_are_known_again(&self) {
        let pair = self.pair();
        let (one, lose) = (&pair.one, |count| pair.flaky.lose_answers(count));
        lose(2);
        self.ok("open", one.open_incarnation(Incarnation(1), &entry(1)).await);
        self.open(one, 2..=3).await;
        lose(1);
        let registration = self.ok("register", one.register(BrokerId(1), broker(1, 1)).await);
        self.same("listed", self.ok("read", one.read().await).brokers().len(), 1);
        self.ok("the lease is the one that was written", one.renew(&registration).await);
        lose(1);
        self.same("announced", self.ok("announce", one.announce_catalog(4).await), 4);
        let all: Vec<Owned> = (0..200).map(|index| owned(index, 1, 0, None)).collect();
        lose(2);
        self.same("seeded", changed(&self.ok("seed", one.seed(&all).await)), 200);
        let moves: Vec<_> = all.iter().map(|owned| (*owned, Incarnation(2))).collect();
        lose(1);
        self.same("handed over", changed(&self.ok("hand over", one.hand_over(Incarnation(1), &moves).await)), 200);
        let moved: Vec<Owned> = (0..200).map(|index| owned(index, 2, 1, None)).collect();
        lose(1);
        self.same("taken back", changed(&self.ok("take back", one.take_back(Incarnation(2), &moved).await)), 200);
        lose(1);
        self.same("sealing", self.ok("mark", one.mark_sealing(Incarnation(2)).await), Life::Sealing);
        lose(1);
        self.same("closed", self.ok("mark", one.mark_closed(Incarnation(2)).await), Life::Closed);
        let back: Vec<Owned> = (0..200).map(|index| owned(index, 2, 2, None)).collect();
        lose(2);
        self.same("taken over", changed(&self.ok("take over", one.take_over(Incarnation(3), Incarnation(2), &back).await)), 200);
        lose(1);
        self.same("deleted", self.ok("delete", one.delete_partitions(&[owned(0, 3, 3, Some(2))]).await), 1);
        let lineage = Lineage::new(one.clone(), Arc::new(super::Row::default()));
        lose(1);
        self.same("relied on", self.ok("rely", lineage.rely().await).mark().map(|mark| mark.number), Some(1));
    }

    pub(super) async fn thousands_of_partitions_change_within_the_limits(&self) {
        let options = ClusterOptions { deadline: Duration::from_secs(10), page: 1000, ..self.options() };
        let pair = self.pair_with(options);
        self.open(&pair.one, 1..=2).await;
        let all = self.seeded(&pair.one, 1, 5000).await;
        self.close(&pair.one, 1).await;
        let before = pair.flaky.commits();
        let outcomes = self.ok("take over", pair.one.take_over(Incarnation(2), Incarnation(1), &all).await);
        self.same("all", changed(&outcomes), 5000);
        self.same("in as few transactions as the limits allow", pair.flaky.commits() - before, 5000_usize.div_ceil(120));
        let view = self.ok("read", pair.other.read().await);
        self.same("all are listed", view.owned_by(Incarnation(2)).count(), 5000);
        self.same("in their order", view.owners().keys().next_back().copied(), Some(partition(4999)));
    }

    pub(super) async fn what_is_too_large_is_refused(&self) {
        let (client, prefix) = (self.world.client(), self.options().prefix);
        let put = |n: usize, size: usize| Write::Put { key: format!("{prefix}/{n}"), value: Bytes::from(vec![7; size]), lease: None };
        let absent = |n: usize| Compare::Absent { key: format!("{prefix}/{n}") };
        let most = Txn {
            compares: (0..MAX_OPERATIONS).map(absent).collect(),
            writes: (0..MAX_OPERATIONS).map(|n| put(n, 9_000)).collect(),
            reads: (0..MAX_OPERATIONS).map(|n| format!("{prefix}/{n}")).collect(),
        };
        self.holds("within our limits", most.fits());
        let done = self.ok("as much as the limits allow", client.commit(&most).await);
        self.holds("it is done", done.won);
        let more = Txn { writes: (0..=MAX_OPERATIONS).map(|n| put(n, 1)).collect(), ..Txn::default() };
        self.holds("too many writes", matches!(client.commit(&more).await, Err(BackendError::Refused(_))));
        let large = Txn { writes: vec![put(0, 2_000_000)], ..Txn::default() };
        self.holds("too many bytes", matches!(client.commit(&large).await, Err(BackendError::Refused(_))));
        let cluster = Cluster::new(self.env.clone(), client, self.options());
        let refused = cluster.commit("too much", &large).await;
        self.holds("we do not ask for it", matches!(refused, Err(ClusterError::Invalid(_))));
    }
}
