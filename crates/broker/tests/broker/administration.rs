//! What tools ask of a cluster: where bytes are, who leads and who votes, which features - and how a single broker without
//! authentication answers what it has not, as Kafka does.

use crate::support::{Client, TestBroker, World, batch};
use floe_broker::BrokerConfig;
use floe_log::{Durability, EngineOptions};
use floe_protocol::message;
use floe_protocol::messages::{
    AlterPartitionReassignmentsRequest, ApiVersionsRequest, CreateAclsRequest, CreateDelegationTokenRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeDelegationTokenRequest, DescribeLogDirsRequest, DescribeQuorumRequest,
    DescribeUserScramCredentialsRequest, ElectLeadersRequest, ExpireDelegationTokenRequest, ListPartitionReassignmentsRequest,
    RenewDelegationTokenRequest, UpdateFeaturesRequest, alter_partition_reassignments_request as reassignments, create_acls_request,
    delete_acls_request, describe_log_dirs_request::DescribableLogDirTopic, describe_quorum_request as quorum, elect_leaders_request,
    update_features_request::FeatureUpdateKey,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// (place, partition) to (bytes, records behind) of a topic.
async fn log_dirs(client: &mut Client, version: i16, topic: &str) -> BTreeMap<(String, i32), (i64, i64)> {
    let asked = message!(DescribableLogDirTopic { topic: topic.into(), partitions: vec![0, 1, 9] });
    let unknown = message!(DescribableLogDirTopic { topic: "unknown".into(), partitions: vec![0] });
    let response = client.call(version, &message!(DescribeLogDirsRequest { topics: Some(vec![asked, unknown]) })).await;
    assert_eq!(response.error_code, 0);
    assert_eq!(response.results.iter().map(|r| r.log_dir.as_str()).collect::<Vec<_>>(), ["wal", "store", "cache"]);
    for result in &response.results {
        assert_eq!(result.total_bytes >= 0, version >= 4 && result.log_dir.as_str() != "store");
        assert!(result.usable_bytes <= result.total_bytes);
    }
    let rows = response.results.iter().flat_map(|result| {
        let partitions = result.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|p| ((result.log_dir.to_string(), p.partition_index), (p.partition_size, p.offset_lag)))
    });
    rows.collect()
}

#[tokio::test]
async fn bytes_are_told_where_they_are_and_move_from_the_wal_to_the_store() {
    let world = World::new();
    let options = EngineOptions { wal_file_bytes: 1 << 20, flush_age: Duration::from_secs(3_600), ..EngineOptions::default() };
    let broker = world.start_with(BrokerConfig::default(), options).await;
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    let sent = batch(&["one", "two"]);
    client.produce("t", &sent).await;
    let place = |name: &str, index: i32| (name.to_owned(), index);
    let bytes = i64::try_from(sent.len()).expect("small");
    for version in 1..=4 {
        let found = log_dirs(&mut client, version, "t").await;
        let expected = [(place("store", 0), (0, 2)), (place("store", 1), (0, 0)), (place("wal", 0), (bytes, 0)), (place("wal", 1), (0, 0))];
        assert_eq!(found, BTreeMap::from(expected), "version {version}");
    }
    drop(client);
    broker.stop().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let found = log_dirs(&mut broker.client().await, 4, "t").await;
    assert_eq!((found[&place("store", 0)], found[&place("wal", 0)]), ((bytes, 0), (0, 0)));
    let all = broker.client().await.call(4, &message!(DescribeLogDirsRequest { topics: None })).await;
    assert_eq!(all.results[0].topics[0].partitions.len(), 2);
}

#[tokio::test]
async fn leaders_need_no_election_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let topic = |name: &str, partitions: &[i32]| {
        message!(elect_leaders_request::TopicPartitions { topic: name.into(), partitions: partitions.to_vec() })
    };
    for version in 0..=2 {
        for election_type in if version == 0 { 0..=0 } else { 0..=1 } {
            let topic_partitions = Some(vec![topic("t", &[0, 1]), topic("unknown", &[0])]);
            let response = client.call(version, &message!(ElectLeadersRequest { election_type, topic_partitions })).await;
            let results = response.replica_election_results.iter().flat_map(|t| &t.partition_result);
            assert_eq!(response.error_code, 0);
            assert_eq!(results.map(|p| p.error_code).collect::<Vec<_>>(), [84, 3, 3]);
        }
        let all = client.call(version, &message!(ElectLeadersRequest { topic_partitions: None })).await;
        assert_eq!((all.error_code, all.replica_election_results.len()), (0, 0), "what needs none is not named");
    }
    let response = client.call(2, &message!(ElectLeadersRequest { election_type: 7 })).await;
    assert_eq!(response.error_code, 42);
}

#[tokio::test]
async fn partitions_stay_on_the_one_broker_there_is() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let partition = |partition_index: i32, replicas: Option<&[i32]>| {
        message!(reassignments::ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec) })
    };
    let mut alter = async |version: i16, partition: reassignments::ReassignablePartition| {
        let topic = message!(reassignments::ReassignableTopic { name: "t".into(), partitions: vec![partition] });
        let request = message!(AlterPartitionReassignmentsRequest { timeout_ms: 1_000, topics: vec![topic] });
        let response = client.call(version, &request).await;
        assert_eq!(response.error_code, 0);
        let answer = &response.responses[0].partitions[0];
        assert_eq!(answer.error_message.is_some(), answer.error_code != 0);
        answer.error_code
    };
    for version in 0..=1 {
        assert_eq!(alter(version, partition(0, Some(&[0]))).await, 0);
        assert_eq!(alter(version, partition(0, Some(&[0, 1]))).await, 39);
        assert_eq!(alter(version, partition(0, Some(&[0, 0]))).await, 39);
        assert_eq!(alter(version, partition(0, Some(&[]))).await, 39);
        assert_eq!(alter(version, partition(0, None)).await, 85);
        assert_eq!(alter(version, partition(1, Some(&[0]))).await, 3);
    }
    let response = client.call(0, &message!(ListPartitionReassignmentsRequest { topics: None })).await;
    assert_eq!((response.error_code, response.topics.len()), (0, 0));
}

#[tokio::test]
async fn the_quorum_is_this_broker_and_its_log_the_catalog_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let ask = |topic: &str, partition_index: i32| {
        let partitions = vec![message!(quorum::PartitionData { partition_index })];
        message!(DescribeQuorumRequest { topics: vec![message!(quorum::TopicData { topic_name: topic.into(), partitions })] })
    };
    for version in 0..=2 {
        let response = client.call(version, &ask("__cluster_metadata", 0)).await;
        let partition = &response.topics[0].partitions[0];
        assert_eq!((response.error_code, partition.error_code, partition.leader_id), (0, 0, 0));
        assert_eq!(partition.high_watermark, i64::try_from(broker.engine.catalog().view().version).expect("small"));
        assert!(partition.high_watermark > 0 && partition.leader_epoch > 0);
        assert_eq!(partition.current_voters.len(), 1);
        assert_eq!(partition.current_voters[0].last_fetch_timestamp > 0, version >= 1);
        let nodes: Vec<_> = response.nodes.iter().map(|node| (node.node_id, node.listeners[0].port)).collect();
        assert_eq!(nodes, if version >= 2 { vec![(0, broker.addr.port())] } else { vec![] });
        for (topic, index) in [("t", 0), ("__cluster_metadata", 1)] {
            let response = client.call(version, &ask(topic, index)).await;
            assert_eq!((response.error_code, response.topics[0].partitions[0].error_code), (0, 3));
        }
    }
}

/// Name and level of the features in force, and their epoch.
async fn features(client: &mut Client, version: i16) -> (Vec<(String, i16)>, i64) {
    let request = message!(ApiVersionsRequest { client_software_name: "test".into(), client_software_version: "1".into() });
    let response = client.call(version, &request).await;
    for feature in &response.finalized_features {
        let supported = response.supported_features.iter().find(|f| f.name == feature.name).expect("what is in force is supported");
        assert!((supported.min_version..=supported.max_version).contains(&feature.max_version_level));
    }
    let levels = response.finalized_features.iter().map(|f| (f.name.to_string(), f.max_version_level)).collect();
    (levels, response.finalized_features_epoch)
}

#[tokio::test]
async fn features_in_force_are_told_with_an_epoch_that_never_falls() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    let (levels, mut epoch) = features(&mut client, 4).await;
    assert_eq!(levels, [("metadata.version".to_owned(), 27)]);
    assert_eq!(features(&mut client, 3).await, (levels, epoch));
    assert_eq!(features(&mut client, 2).await, (vec![], -1));
    assert!(epoch >= 0);
    let mut client = client;
    for n in 0..3 {
        client.create_topic(&format!("t{n}"), 1, &[]).await;
        let next = features(&mut client, 4).await.1;
        assert!(next >= epoch);
        epoch = next;
    }
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    assert!(features(&mut broker.client().await, 4).await.1 >= epoch);
}

#[tokio::test]
async fn features_are_updated_all_or_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let update = |feature: &str, level: i16, upgrade_type: i8| {
        message!(FeatureUpdateKey { feature: feature.into(), max_version_level: level, upgrade_type })
    };
    for version in 0..=2 {
        let upgrade = |feature: &str, level: i16| update(feature, level, 1);
        let mut send = async |feature_updates: Vec<FeatureUpdateKey>| {
            let response = client.call(version, &message!(UpdateFeaturesRequest { timeout_ms: 1_000, feature_updates })).await;
            assert_eq!(response.error_message.is_some(), response.error_code != 0);
            (response.error_code, response.results.len())
        };
        assert_eq!(send(vec![upgrade("metadata.version", 27)]).await, (0, usize::from(version < 2)));
        assert_eq!(send(vec![upgrade("metadata.version", 27), upgrade("transaction.version", 2)]).await, (95, 0));
        assert_eq!(send(vec![upgrade("metadata.version", 28)]).await, (95, 0));
        assert_eq!(send(vec![upgrade("metadata.version", 27), upgrade("metadata.version", 27)]).await, (42, 0));
        if version >= 1 {
            assert_eq!(send(vec![update("metadata.version", 20, 2)]).await, (95, 0));
            assert_eq!(send(vec![update("metadata.version", 27, 0)]).await, (95, 0));
        }
    }
}

#[tokio::test]
async fn without_an_authoriser_and_authentication_the_answers_are_kafkas() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for version in 1..=3 {
        let described = client.call(version, &message!(DescribeAclsRequest { pattern_type_filter: 3 })).await;
        assert_eq!((described.error_code, described.error_message.as_deref()), (54, Some("No Authorizer is configured.")));
        let creation = message!(create_acls_request::AclCreation { resource_pattern_type: 3 });
        let created = client.call(version, &message!(CreateAclsRequest { creations: vec![creation.clone(), creation] })).await;
        assert_eq!(created.results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [54, 54]);
        let filter = message!(delete_acls_request::DeleteAclsFilter { pattern_type_filter: 3 });
        let deleted = client.call(version, &message!(DeleteAclsRequest { filters: vec![filter] })).await;
        assert_eq!(deleted.filter_results.iter().map(|r| r.error_code).collect::<Vec<_>>(), [54]);
        let token = client.call(version, &message!(CreateDelegationTokenRequest {})).await;
        assert_eq!((token.error_code, token.principal_name.as_str()), (64, "ANONYMOUS"));
        assert_eq!(client.call(version, &message!(DescribeDelegationTokenRequest { owners: None })).await.error_code, 64);
    }
    for version in 1..=2 {
        assert_eq!(client.call(version, &message!(RenewDelegationTokenRequest {})).await.error_code, 64);
        assert_eq!(client.call(version, &message!(ExpireDelegationTokenRequest {})).await.error_code, 64);
    }
    for version in 0..=1 {
        let quotas = client.call(version, &message!(DescribeClientQuotasRequest {})).await;
        assert_eq!((quotas.error_code, quotas.entries), (0, Some(vec![])));
    }
    let users = client.call(0, &message!(DescribeUserScramCredentialsRequest { users: None })).await;
    assert_eq!((users.error_code, users.results.len()), (0, 0));
}
