//! Who leads what: the first owners of new partitions, and who takes which of a dead broker's. Everybody decides alike from the same view; where views
//! differ, comparisons in etcd let one win.

use floe_formats::etcd::{Life, OwnerEntry};
use floe_metadata::cluster::{ClusterView, Owned};
use floe_types::{BrokerId, Incarnation, PartitionId};
use std::collections::BTreeMap;

/// The open incarnations of brokers that are listed as alive, by broker.
pub(super) fn alive(view: &ClusterView) -> BTreeMap<BrokerId, Incarnation> {
    let is_open = |incarnation: &Incarnation| view.lives().get(incarnation) == Some(&Life::Open);
    view.brokers().iter().filter(|(_, entry)| is_open(&entry.incarnation)).map(|(id, entry)| (*id, entry.incarnation)).collect()
}

/// First owners of partitions that have none: each goes to who leads the fewest. Empty if nobody is alive.
pub(super) fn first_owners(view: &ClusterView, partitions: &[PartitionId]) -> Vec<Owned> {
    let mut led: BTreeMap<Incarnation, usize> = alive(view).into_values().map(|incarnation| (incarnation, 0)).collect();
    for owner in view.owners().values() {
        if let Some(count) = led.get_mut(&owner.incarnation) {
            *count += 1;
        }
    }
    let mut owners = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let Some((incarnation, count)) = led.iter_mut().min_by_key(|(incarnation, count)| (**count, **incarnation)) else { break };
        *count += 1;
        owners.push(Owned { partition: *partition, owner: OwnerEntry { incarnation: *incarnation, epoch: 0, base: None } });
    }
    owners
}

/// Of partitions whose owner is closed, those that are this broker's to take; with `all`, each of them.
pub(super) fn share(view: &ClusterView, closed: Incarnation, me: Incarnation, all: bool) -> Vec<Owned> {
    let alive: Vec<Incarnation> = alive(view).into_values().collect();
    let Some(position) = alive.iter().position(|incarnation| *incarnation == me) else { return Vec::new() };
    let is_mine = |(at, _): &(usize, Owned)| all || at % alive.len() == position;
    view.owned_by(closed).enumerate().filter(is_mine).map(|(_, owned)| owned).collect()
}
