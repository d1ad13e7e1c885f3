//! Several listeners: what clients are told depends on the one that they came in by, and the limit on connections does not.

use crate::support::World;
use floe_broker::{BrokerConfig, Server};
use floe_env::{Env, net};
use floe_log::EngineOptions;
use floe_protocol::message;
use floe_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use floe_protocol::messages::{DescribeClusterRequest, DescribeQuorumRequest, FindCoordinatorRequest, MetadataRequest};
use std::net::SocketAddr;

const TOLD: [(&str, &str, i32); 2] = [("INTERNAL", "10.0.0.1", 9092), ("EXTERNAL", "kafka.example", 19092)];

async fn server(env: &Env, config: BrokerConfig) -> (Server, Vec<SocketAddr>) {
    let mut server = Server::new(env.clone(), config).expect("good settings");
    for (name, host, port) in TOLD {
        let listener = net::listen("127.0.0.1:0").await.expect("a free port");
        server.add(name, listener, Some(format!("{host}:{port}").parse().expect("well formed"))).expect("can be dialled");
    }
    let bound = server.local_addrs().expect("bound");
    assert_eq!(bound.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), TOLD.map(|(name, ..)| name));
    (server, bound.into_iter().map(|(_, addr)| addr).collect())
}

#[tokio::test]
async fn clients_are_told_the_address_of_the_listener_that_they_came_in_by() {
    let (env, world) = (Env::real(), World::new());
    let (server, addrs) = server(&env, BrokerConfig::default()).await;
    let broker = world.start_on(env, server, EngineOptions::default()).await;
    for (addr, (name, host, port)) in addrs.into_iter().zip(TOLD) {
        let mut client = broker.client_of(addr).await;
        let told = |host: &str, port: i32| (host.to_owned(), port);
        for topics in [Some(Vec::new()), None, None] {
            let metadata = client.call(12, &message!(MetadataRequest { topics })).await;
            assert_eq!(told(&metadata.brokers[0].host, metadata.brokers[0].port), told(host, port));
        }
        let cluster = client.call(1, &message!(DescribeClusterRequest { endpoint_type: 1_i8 })).await;
        assert_eq!(told(&cluster.brokers[0].host, cluster.brokers[0].port), told(host, port));
        let group = client.call(4, &message!(FindCoordinatorRequest { coordinator_keys: vec!["g".into()] })).await;
        assert_eq!(told(&group.coordinators[0].host, group.coordinators[0].port), told(host, port));
        let metadata = message!(TopicData { topic_name: "__cluster_metadata".into(), partitions: vec![PartitionData::default()] });
        let quorum = client.call(2, &message!(DescribeQuorumRequest { topics: vec![metadata] })).await;
        let listener = &quorum.nodes[0].listeners[0];
        assert_eq!((listener.name.as_str(), told(&listener.host, i32::from(listener.port))), (name, told(host, port)));
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_listener_that_nobody_uses_keeps_no_connection_from_another() {
    let (env, world) = (Env::real(), World::new());
    let (server, addrs) = server(&env, BrokerConfig { max_connections: 1, ..BrokerConfig::default() }).await;
    let broker = world.start_on(env, server, EngineOptions::default()).await;
    for addr in [addrs[0], addrs[1], addrs[0]] {
        let mut client = broker.client_of(addr).await;
        client.call(12, &message!(MetadataRequest { topics: Some(Vec::new()) })).await;
    }
    broker.stop().await;
}
