//! Who leads what, by views of a cluster in memory.

use super::*;
use floe_env::Env;
use floe_formats::etcd::{BrokerEntry, IncarnationEntry};
use floe_metadata::cluster::memory::{MemoryClient, MemoryEtcd};
use floe_metadata::cluster::{Cluster, ClusterOptions};
use floe_types::DiskId;
use std::sync::Arc;

/// Brokers as (id, rack), each in the incarnation of its own id; partitions as (topic, index, owner).
async fn view(brokers: &[(i32, &str)], owners: &[(u128, i32, u64)], preferred: &[(u128, i32, i32)]) -> ClusterView {
    let env = Env::simulated(1);
    let backend = MemoryClient::new(MemoryEtcd::new(env.clone()), env.clone());
    let cluster = Cluster::new(env, Arc::new(backend), ClusterOptions::default());
    for (id, rack) in brokers {
        let (incarnation, disk) = (Incarnation(u64::from(id.unsigned_abs())), DiskId(u128::from(id.unsigned_abs())));
        let life = IncarnationEntry { broker: BrokerId(*id), disk, started_ms: 0 };
        cluster.open_incarnation(incarnation, &life).await.unwrap();
        let (host, peer) = ("h".to_owned(), "h:1".to_owned());
        let entry = BrokerEntry { incarnation, disk, rack: (*rack).to_owned(), host, port: 1, peer };
        cluster.register(BrokerId(*id), entry).await.unwrap();
    }
    let seeds: Vec<Owned> = owners.iter().map(|(topic, index, owner)| owned(*topic, *index, *owner)).collect();
    cluster.seed(&seeds).await.unwrap();
    let wishes: Vec<_> = preferred.iter().map(|(topic, index, to)| (id(*topic, *index), Some(BrokerId(*to)))).collect();
    cluster.prefer(&wishes).await.unwrap();
    cluster.read().await.unwrap()
}

fn id(topic: u128, index: i32) -> PartitionId {
    PartitionId { topic: TopicId(topic), index }
}

fn owned(topic: u128, index: i32, owner: u64) -> Owned {
    Owned { partition: id(topic, index), owner: OwnerEntry { incarnation: Incarnation(owner), epoch: 0, base: None } }
}

fn all(of: impl Iterator<Item = u64>, topic: u128) -> Vec<(u128, i32, u64)> {
    of.zip(0..).map(|(owner, index)| (topic, index, owner)).collect()
}

fn counts(owners: &[Owned]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    owners.iter().for_each(|owned| *counts.entry(owned.owner.incarnation.0).or_default() += 1);
    counts
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_spread_over_brokers_and_racks_whatever_else_they_lead() {
    let uneven = all([1, 1, 1, 1, 1].into_iter(), 7);
    let view = view(&[(1, "a"), (2, "a"), (3, "b")], &uneven, &[(9, 2, 1)]).await;
    let first = first_owners(&view, &(0..6).map(|index| id(8, index)).collect::<Vec<_>>());
    assert_eq!(counts(&first), [(1, 2), (2, 2), (3, 2)].into());
    assert_eq!(counts(&first_owners(&view, &[id(9, 0), id(9, 1)])).keys().collect::<Vec<_>>(), [&2, &3], "one in each rack");
    assert_eq!(counts(&first_owners(&view, &[id(9, 2)])), [(1, 1)].into(), "whoever is preferred");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_its_share_from_all_and_nothing_moves_when_it_has_it() {
    let mut owners = all((0..24).map(|n| 1 + n % 2), 7);
    let mut moved = 0;
    loop {
        let view = view(&[(1, ""), (2, ""), (3, "")], &owners, &[]).await;
        // All decide by the same view.
        let moves: Vec<_> = (1..=3).flat_map(|me| spread(&view, Incarnation(me), 4, |_| true)).collect();
        if moves.is_empty() {
            break;
        }
        moved += moves.len();
        for (owned, to) in moves {
            let at = owners.iter().position(|(topic, index, _)| id(*topic, *index) == owned.partition).unwrap();
            owners[at].2 = to.0;
        }
    }
    let led: Vec<usize> = (1..=3).map(|broker| owners.iter().filter(|(.., owner)| *owner == broker).count()).collect();
    assert!(led.iter().max().unwrap() - led.iter().min().unwrap() <= 1, "{led:?}");
    assert_eq!(moved, 8, "as few as it takes");
}

#[tokio::test(start_paused = true)]
async fn little_is_not_worth_a_move_and_what_is_preferred_stays() {
    let nearly = [all((0..20).map(|_| 1), 7), all((0..18).map(|_| 2), 8)].concat();
    let even = view(&[(1, ""), (2, "")], &nearly, &[]).await;
    assert_eq!(spread(&even, Incarnation(1), 4, |_| true), []);
    let wishes: Vec<(u128, i32, i32)> = (0..3).map(|index| (7, index, 1)).chain([(7, 3, 2)]).collect();
    let pinned = view(&[(1, ""), (2, "")], &all((0..4).map(|_| 1), 7), &wishes).await;
    assert_eq!(spread(&pinned, Incarnation(1), 4, |_| true), []);
    assert_eq!(to_preferred(&pinned, Incarnation(1), 4, |_| true), [(owned(7, 3, 1), Incarnation(2))]);
    assert_eq!(to_preferred(&pinned, Incarnation(1), 4, |_| false), []);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_broker_led_is_shared_out_and_each_is_somebodys() {
    let view = view(&[(1, ""), (2, ""), (3, "")], &[all((0..8).map(|_| 3), 7), all((0..4).map(|_| 1), 8)].concat(), &[]).await;
    let mut taken: Vec<Owned> = (1..=3).flat_map(|me| share(&view, Incarnation(3), Incarnation(me), false)).collect();
    taken.sort_unstable();
    assert_eq!(taken, share(&view, Incarnation(3), Incarnation(1), true), "all, and none twice");
}
