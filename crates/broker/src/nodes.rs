//! The brokers of the cluster as clients are told of them: who there is, where each is reached, who leads what. A single broker is all of it.

use crate::broker::Broker;
use crate::peer::{Advertised, Peer};
use floe_formats::etcd::BrokerEntry;
use floe_metadata::cluster::ClusterView;
use floe_protocol::fetch::NodeEndpoint;
use floe_types::{BrokerId, PartitionId};
use std::sync::Arc;

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
}

/// That a partition should be led by a certain broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) preferred: i32,
    pub(crate) is_alive: bool,
    /// Who leads it, if anybody who is alive does.
    pub(crate) leader: Option<i32>,
}

impl Wish {
    /// Whether its owner is about to move it.
    pub(crate) fn is_under_way(self) -> bool {
        self.is_alive && self.leader != Some(self.preferred)
    }
}

fn wish_of(view: &ClusterView, id: PartitionId, preferred: BrokerId) -> Wish {
    let leader = view.leader(id).map(|(leader, _)| leader.0);
    Wish { preferred: preferred.0, is_alive: view.brokers().contains_key(&preferred), leader }
}

impl Broker {
    /// Who should lead a partition, if somebody has said so.
    pub(crate) fn wish(&self, id: PartitionId) -> Option<Wish> {
        let view = self.engine.cluster_view()?;
        Some(wish_of(&view, id, *view.preferred().get(&id)?))
    }

    /// All that somebody has said of who should lead what.
    pub(crate) fn wishes(&self) -> Vec<(PartitionId, Wish)> {
        let of_view = |view: Arc<ClusterView>| view.preferred().iter().map(|(id, broker)| (*id, wish_of(&view, *id, *broker))).collect();
        self.engine.cluster_view().map(of_view).unwrap_or_default()
    }

    /// This broker as who asks reaches it.
    pub(crate) fn endpoint(&self, peer: &Peer) -> NodeEndpoint {
        let Advertised { host, port } = &peer.door.advertised;
        let view = self.engine.cluster_view();
        let rack = view.as_ref().and_then(|view| view.brokers().get(&BrokerId(self.id()))).and_then(rack);
        NodeEndpoint { node_id: self.id(), host: host.as_str().into(), port: i32::from(*port), rack }
    }

    /// All brokers that may serve, this one as who asks reaches it.
    pub(crate) fn endpoints(&self, peer: &Peer) -> Vec<NodeEndpoint> {
        let mut endpoints = vec![self.endpoint(peer)];
        if let Some(view) = self.engine.cluster_view() {
            endpoints.extend(view.reachable().into_iter().filter(|(id, _)| id.0 != self.id()).map(|(id, entry)| endpoint(id, entry)));
            endpoints.sort_by_key(|endpoint| endpoint.node_id);
        }
        endpoints
    }

    /// One of them.
    pub(crate) fn endpoint_of(&self, peer: &Peer, id: i32) -> Option<NodeEndpoint> {
        if id == self.id() {
            return Some(self.endpoint(peer));
        }
        let view = self.engine.cluster_view()?;
        view.reachable().get(&BrokerId(id)).map(|entry| endpoint(BrokerId(id), entry))
    }

    /// Ids of all brokers that are listed as alive.
    pub(crate) fn node_ids(&self) -> Vec<i32> {
        let of_view = |view: Arc<ClusterView>| view.brokers().keys().map(|id| id.0).collect::<Vec<_>>();
        let mut ids = self.engine.cluster_view().map(of_view).unwrap_or_default();
        if !ids.contains(&self.id()) {
            ids.push(self.id());
        }
        ids
    }

    /// Whom clients take for the controller: any broker does what is asked of it, the same for all who ask.
    pub(crate) fn controller(&self) -> i32 {
        self.node_ids().into_iter().min().unwrap_or_else(|| self.id())
    }

    /// Who leads a partition, if that is known and alive. A broker of a cluster that drains takes nothing more: it names nobody before there is a successor.
    pub(crate) fn leader(&self, id: PartitionId) -> Option<Leader> {
        let hands_over = || self.engine.cluster_view().is_some() && self.engine.is_draining();
        if let Some(partition) = self.engine.partition(id).filter(|_| !hands_over()) {
            return Some(Leader { id: self.id(), epoch: partition.leader_epoch() });
        }
        let view = self.engine.cluster_view()?;
        let (leader, _) = view.leader(id).filter(|(leader, _)| leader.0 != self.id())?;
        let owner = view.owner(id).filter(|owner| self.engine.may_lead(owner.incarnation))?;
        Some(Leader { id: leader.0, epoch: owner.epoch })
    }
}

fn endpoint(id: BrokerId, entry: &BrokerEntry) -> NodeEndpoint {
    NodeEndpoint { node_id: id.0, host: entry.host.as_str().into(), port: i32::from(entry.port), rack: rack(entry) }
}

fn rack(entry: &BrokerEntry) -> Option<floe_protocol::messages::StrBytes> {
    (!entry.rack.is_empty()).then(|| entry.rack.as_str().into())
}
