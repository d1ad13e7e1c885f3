//! What a broker of a cluster is given beside what a single one is: etcd, its peer listener, and what others are told of it.

use crate::config::{ClusterConfig, ServerConfig};
use crate::exit::{Exit, Failure};
use floe_broker::Advertised;
use floe_env::{Disk, Env, net};
use floe_log::Membership;
use floe_metadata::cluster::etcd::{EtcdBackend, EtcdOptions};
use floe_metadata::cluster::{Cluster, ClusterOptions};
use floe_replication::{PeerLinks, ReplicationOptions, Tcp};
use floe_wal::ReplicasOptions;
use std::sync::Arc;

/// The peer listener, with what it was bound to.
pub(super) struct Links {
    pub(super) links: Arc<PeerLinks>,
    address: std::net::SocketAddr,
}

/// The peer listener, for a broker of a cluster.
pub(super) async fn bind(config: &ClusterConfig) -> Result<Option<net::Listener>, Failure> {
    if config.etcd.is_none() {
        return Ok(None);
    }
    let listener = net::listen(&config.peer_listen).await.map_err(|error| {
        let failure = Failure::from(error);
        Failure::new(if failure.exit == Exit::InUse { Exit::InUse } else { Exit::Refused }, format!("peer.listen: {failure}"))
    })?;
    Ok(Some(listener))
}

pub(super) fn links(env: &Env, config: &ClusterConfig, disk: &Arc<dyn Disk>, peer: net::Listener) -> Result<Links, Failure> {
    let address = peer.local_addr()?;
    let links = PeerLinks::new(env.clone(), disk.clone(), Arc::new(peer), Arc::new(Tcp), ReplicationOptions::default())
        .with_replicas(ReplicasOptions { budget: config.replica_budget.0, ..ReplicasOptions::default() });
    Ok(Links { links: Arc::new(links), address })
}

/// How this broker is one of a cluster.
pub(super) fn membership(env: &Env, config: &ServerConfig, advertised: &Advertised, links: &Links) -> Result<Membership, Failure> {
    let refused = |error: String| Failure::new(Exit::Refused, error);
    let cluster = &config.cluster;
    let etcd = EtcdOptions::new(cluster.etcd.clone().unwrap_or_default());
    let backend = EtcdBackend::new(&etcd).map_err(|error| refused(error.to_string()))?;
    let options = ClusterOptions { prefix: cluster.prefix.clone(), ..ClusterOptions::default() };
    let peer = match &cluster.peer_advertise {
        Some(peer) => peer.clone(),
        None if links.address.ip().is_unspecified() => {
            return Err(refused(
                "peer.advertise: must be set (HOST:PORT that other brokers can dial): peer.listen is every address".into(),
            ));
        }
        None => links.address.to_string(),
    };
    // Brokers that cannot reach one another take each other for dead.
    let is_elsewhere = !matches!(advertised.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if is_elsewhere && links.address.ip().is_loopback() && cluster.peer_advertise.is_none() {
        return Err(refused(format!(
            "peer.listen: {} cannot be reached from other machines, and clients are told {}",
            links.address, advertised.host
        )));
    }
    Ok(Membership {
        cluster: Cluster::new(env.clone(), Arc::new(backend), options),
        links: links.links.clone(),
        auto_id: cluster.auto_id,
        rack: cluster.rack.clone().unwrap_or_default(),
        host: advertised.host.clone(),
        port: advertised.port,
        peer,
    })
}
