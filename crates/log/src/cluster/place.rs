//! Who leads what: the first owners of new partitions, who takes which of a dead broker's, and what moves where so that all lead about as many. Everybody decides alike from
//! the same view; where views differ, comparisons in etcd let one win.
//!
//! A partition goes to whoever leads the fewest of its topic, then to the rack that does, then to whoever leads the fewest of all; one that is preferred, and alive, comes
//! before.

use floe_formats::etcd::{Life, OwnerEntry};
use floe_metadata::cluster::{ClusterView, Owned};
use floe_types::{BrokerId, Incarnation, PartitionId, TopicId};
use std::collections::BTreeMap;

/// The open incarnations of brokers that are listed as alive, by broker.
pub(super) fn alive(view: &ClusterView) -> BTreeMap<BrokerId, Incarnation> {
    let is_open = |incarnation: &Incarnation| view.lives().get(incarnation) == Some(&Life::Open);
    view.brokers().iter().filter(|(_, entry)| is_open(&entry.incarnation)).map(|(id, entry)| (*id, entry.incarnation)).collect()
}

/// What those who are alive lead.
struct Load<'a> {
    view: &'a ClusterView,
    alive: BTreeMap<BrokerId, Incarnation>,
    led: BTreeMap<Incarnation, usize>,
    racks: BTreeMap<Incarnation, &'a str>,
    of_topic: BTreeMap<(TopicId, Incarnation), usize>,
}

impl<'a> Load<'a> {
    fn of(view: &'a ClusterView) -> Self {
        let alive = alive(view);
        let rack = |(id, incarnation): (&BrokerId, &Incarnation)| Some((*incarnation, view.brokers().get(id)?.rack.as_str()));
        let racks = alive.iter().filter_map(rack).collect();
        let led = alive.values().map(|incarnation| (*incarnation, 0)).collect();
        let mut load = Self { view, alive, led, racks, of_topic: BTreeMap::new() };
        for (id, owner) in view.owners() {
            load.add(*id, owner.incarnation);
        }
        load
    }

    fn add(&mut self, id: PartitionId, to: Incarnation) {
        if let Some(count) = self.led.get_mut(&to) {
            *count += 1;
            *self.of_topic.entry((id.topic, to)).or_default() += 1;
        }
    }

    fn on(&self, topic: TopicId, incarnation: Incarnation) -> usize {
        self.of_topic.get(&(topic, incarnation)).copied().unwrap_or(0)
    }

    /// Partitions of a topic that are led where this one is; alone, where no racks are named.
    fn on_rack(&self, topic: TopicId, incarnation: Incarnation) -> usize {
        let rack = self.racks.get(&incarnation).filter(|rack| !rack.is_empty());
        let is_beside = |other: &&Incarnation| **other == incarnation || (rack.is_some() && self.racks.get(*other) == rack);
        self.led.keys().filter(is_beside).map(|other| self.on(topic, *other)).sum()
    }

    /// The incarnation that should lead it and is alive.
    fn preferred(&self, id: PartitionId) -> Option<Incarnation> {
        self.view.preferred().get(&id).and_then(|broker| self.alive.get(broker)).copied()
    }

    /// Places one more partition.
    fn give(&mut self, id: PartitionId) -> Option<Incarnation> {
        let fewest = |incarnation: &&Incarnation| {
            let (on, on_rack) = (self.on(id.topic, **incarnation), self.on_rack(id.topic, **incarnation));
            (on, on_rack, self.led.get(*incarnation).copied(), **incarnation)
        };
        let to = self.preferred(id).or_else(|| self.led.keys().min_by_key(fewest).copied())?;
        self.add(id, to);
        Some(to)
    }

    /// Who leads the most, and who the fewest, if one more move makes that more even.
    fn extremes(&self) -> Option<(Incarnation, Incarnation)> {
        let (most, max) = self.led.iter().max_by_key(|(incarnation, count)| (**count, **incarnation))?;
        let (least, min) = self.led.iter().min_by_key(|(incarnation, count)| (**count, **incarnation))?;
        (max - min > 1).then_some((*most, *least))
    }

    /// Whether leaders are so uneven that it is worth moving some.
    fn is_uneven(&self) -> bool {
        let (max, min) = (self.led.values().max().copied().unwrap_or(0), self.led.values().min().copied().unwrap_or(0));
        max - min > 1 + max / 10
    }
}

/// First owners of partitions that have none. Empty if nobody is alive.
pub(super) fn first_owners(view: &ClusterView, partitions: &[PartitionId]) -> Vec<Owned> {
    let mut load = Load::of(view);
    let seed = |id: &PartitionId| {
        let incarnation = load.give(*id)?;
        Some(Owned { partition: *id, owner: OwnerEntry { incarnation, epoch: 0, base: None } })
    };
    partitions.iter().filter_map(seed).collect()
}

/// Of partitions whose owner is closed, those that are this broker's to take; with `all`, each of them.
pub(super) fn share(view: &ClusterView, closed: Incarnation, me: Incarnation, all: bool) -> Vec<Owned> {
    if all {
        return view.owned_by(closed).collect();
    }
    let mut load = Load::of(view);
    view.owned_by(closed).filter(|owned| load.give(owned.partition) == Some(me)).collect()
}

/// Some of this broker's partitions that others should lead who are alive.
pub(super) fn to_preferred(
    view: &ClusterView,
    me: Incarnation,
    most: usize,
    movable: impl Fn(PartitionId) -> bool,
) -> Vec<(Owned, Incarnation)> {
    let alive = alive(view);
    let wish = |(id, broker): (&PartitionId, &BrokerId)| {
        let to = alive.get(broker).copied().filter(|to| *to != me)?;
        let owner = view.owner(*id).filter(|owner| owner.incarnation == me)?;
        movable(*id).then_some((Owned { partition: *id, owner }, to))
    };
    view.preferred().iter().filter_map(wish).take(most).collect()
}

/// Some of this broker's partitions, and where they go, so that everybody leads about as many. None while that is so within a tenth, or within one. What others give away
/// at the same time is taken into account: they decide by the same view.
pub(super) fn spread(view: &ClusterView, me: Incarnation, most: usize, movable: impl Fn(PartitionId) -> bool) -> Vec<(Owned, Incarnation)> {
    let mut load = Load::of(view);
    if !load.is_uneven() {
        return Vec::new();
    }
    let mut mine: Vec<Owned> =
        view.owned_by(me).filter(|owned| movable(owned.partition) && load.preferred(owned.partition).is_none()).collect();
    let mut moves = Vec::new();
    while moves.len() < most
        && let Some((from, to)) = load.extremes()
    {
        if from == me {
            let gain = |at: &usize| {
                let topic = mine[*at].partition.topic;
                let of = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
                let (more, rack) =
                    (of(load.on(topic, me)) - of(load.on(topic, to)), of(load.on_rack(topic, me)) - of(load.on_rack(topic, to)));
                (more, rack, std::cmp::Reverse(*at))
            };
            let Some(at) = (0..mine.len()).max_by_key(gain) else { break };
            let owned = mine.remove(at);
            if let Some(count) = load.of_topic.get_mut(&(owned.partition.topic, me)) {
                *count -= 1;
            }
            *load.of_topic.entry((owned.partition.topic, to)).or_default() += 1;
            moves.push((owned, to));
        }
        for (incarnation, change) in [(from, -1), (to, 1)] {
            if let Some(count) = load.led.get_mut(&incarnation) {
                *count = count.saturating_add_signed(change);
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests;
