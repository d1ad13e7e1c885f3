//! ApiVersions, and that what it says is true.

use crate::support::{Client, TestBroker};
use bytes::BufMut;
use floe_protocol::client::{ClientRequest, decode_response};
use floe_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use floe_protocol::messages::{
    AlterClientQuotasRequest, AlterPartitionReassignmentsRequest, AlterUserScramCredentialsRequest, CreateAclsRequest,
    CreateDelegationTokenRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeClientQuotasRequest, DescribeDelegationTokenRequest,
    DescribeLogDirsRequest, DescribeQuorumRequest, DescribeUserScramCredentialsRequest, ElectLeadersRequest, ExpireDelegationTokenRequest,
    ListPartitionReassignmentsRequest, RenewDelegationTokenRequest, UpdateFeaturesRequest,
};
use floe_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
};
use floe_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest, SyncGroupRequest,
};
use floe_protocol::table::{self, Api};
use floe_protocol::{ErrorCode, message};

#[tokio::test]
async fn all_ranges_are_told_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for version in 0..=4 {
        let request = message!(ApiVersionsRequest { client_software_name: "test".into(), client_software_version: "1.0".into() });
        let response = client.call(version, &request).await;
        assert_eq!(response.error_code, 0);
        let told: Vec<_> = response.api_keys.iter().map(|k| (k.api_key, k.min_version, k.max_version)).collect();
        assert_eq!(told, table::ROWS.iter().map(|row| (row.key, row.advertised_min, row.max)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_version_from_the_future_is_answered_in_version_0_with_all_ranges() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let mut frame = Vec::new();
    frame.put_i32(15);
    frame.put_i16(18);
    frame.put_i16(99);
    frame.put_i32(4711);
    frame.put_i16(-1);
    // No tagged fields in the header; the body is not looked at.
    frame.put_slice(&[0, 1, 2, 3, 4]);
    client.raw(&frame).await;
    let answer = client.frame().await.expect("an answer");
    let (correlation, response) = decode_response::<ApiVersionsRequest>(0, answer).expect("version 0");
    assert_eq!((correlation, response.error_code), (4711, ErrorCode::UnsupportedVersion.code()));
    assert_eq!(response.api_keys.len(), table::ROWS.len());
    // The connection goes on.
    assert_eq!(client.call(0, &message!(ApiVersionsRequest {})).await.error_code, 0);
}

#[tokio::test]
async fn software_without_a_proper_name_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let request = message!(ApiVersionsRequest { client_software_name: "-no-".into(), client_software_version: "1".into() });
    assert_eq!(client.call(3, &request).await.error_code, ErrorCode::InvalidRequest.code());
}

/// Asks in every served version; every answer must decode in the version asked.
async fn asks<R: ClientRequest>(client: &mut Client, request: R, asked: &mut Vec<Api>) {
    let row = R::api().row();
    for version in row.served_min..=row.max {
        client.call(version, &request).await;
    }
    asked.push(row.api);
}

#[tokio::test]
async fn t42_every_advertised_api_answers_in_every_advertised_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let client = &mut client;
    let asked = &mut Vec::new();
    asks(client, message!(ProduceRequest { acks: -1_i16 }), asked).await;
    asks(client, message!(FetchRequest { replica_id: -1, session_epoch: -1 }), asked).await;
    asks(client, message!(ListOffsetsRequest { replica_id: -1 }), asked).await;
    asks(client, message!(MetadataRequest { topics: Some(vec![]) }), asked).await;
    asks(client, message!(OffsetCommitRequest {}), asked).await;
    asks(client, message!(OffsetFetchRequest {}), asked).await;
    asks(client, message!(FindCoordinatorRequest {}), asked).await;
    asks(client, message!(JoinGroupRequest {}), asked).await;
    asks(client, message!(HeartbeatRequest {}), asked).await;
    asks(client, message!(LeaveGroupRequest {}), asked).await;
    asks(client, message!(SyncGroupRequest {}), asked).await;
    asks(client, message!(DescribeGroupsRequest {}), asked).await;
    asks(client, message!(ListGroupsRequest {}), asked).await;
    asks(client, message!(ApiVersionsRequest {}), asked).await;
    asks(client, message!(CreateTopicsRequest {}), asked).await;
    asks(client, message!(DeleteTopicsRequest {}), asked).await;
    asks(client, message!(DeleteRecordsRequest {}), asked).await;
    asks(client, message!(InitProducerIdRequest { transactional_id: None }), asked).await;
    asks(client, message!(OffsetForLeaderEpochRequest { replica_id: -1 }), asked).await;
    asks(client, message!(DescribeConfigsRequest {}), asked).await;
    asks(client, message!(DeleteGroupsRequest {}), asked).await;
    asks(client, message!(OffsetDeleteRequest {}), asked).await;
    asks(client, message!(DescribeClusterRequest {}), asked).await;
    asks(client, message!(AlterConfigsRequest {}), asked).await;
    asks(client, message!(CreatePartitionsRequest {}), asked).await;
    asks(client, message!(IncrementalAlterConfigsRequest {}), asked).await;
    asks(client, message!(DescribeProducersRequest {}), asked).await;
    asks(client, message!(ListConfigResourcesRequest {}), asked).await;
    asks(client, message!(DescribeTopicPartitionsRequest {}), asked).await;
    asks(client, message!(CreateAclsRequest {}), asked).await;
    asks(client, message!(CreateDelegationTokenRequest {}), asked).await;
    asks(client, message!(DeleteAclsRequest {}), asked).await;
    asks(client, message!(DescribeAclsRequest {}), asked).await;
    asks(client, message!(DescribeClientQuotasRequest {}), asked).await;
    asks(client, message!(AlterClientQuotasRequest {}), asked).await;
    asks(client, message!(DescribeDelegationTokenRequest {}), asked).await;
    asks(client, message!(DescribeLogDirsRequest {}), asked).await;
    asks(client, message!(DescribeQuorumRequest {}), asked).await;
    asks(client, message!(DescribeUserScramCredentialsRequest {}), asked).await;
    asks(client, message!(AlterUserScramCredentialsRequest {}), asked).await;
    asks(client, message!(ElectLeadersRequest {}), asked).await;
    asks(client, message!(ExpireDelegationTokenRequest {}), asked).await;
    asks(client, message!(ListPartitionReassignmentsRequest {}), asked).await;
    asks(client, message!(AlterPartitionReassignmentsRequest {}), asked).await;
    asks(client, message!(RenewDelegationTokenRequest {}), asked).await;
    asks(client, message!(UpdateFeaturesRequest {}), asked).await;
    asked.sort_by_key(|api| api.key());
    assert_eq!(*asked, table::ROWS.iter().map(|row| row.api).collect::<Vec<_>>(), "none was left out");
}

#[tokio::test]
async fn produce_versions_that_are_advertised_for_old_clients_only_close_the_connection() {
    let broker = TestBroker::start().await;
    for version in 0..=2 {
        let mut client = broker.client().await;
        let mut frame = Vec::new();
        frame.put_i32(20);
        frame.put_i16(0);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        frame.put_slice(&[0; 10]);
        client.raw(&frame).await;
        client.assert_closed().await;
    }
    broker.closed("bad_request", 3).await;
}

#[tokio::test]
async fn the_cluster_is_one_broker_where_it_was_dialled() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for version in 0..=2 {
        let response = client.call(version, &message!(DescribeClusterRequest {})).await;
        let this = message!(DescribeClusterBroker { broker_id: 0, host: "127.0.0.1".into(), port: i32::from(broker.addr.port()) });
        assert_eq!((response.error_code, response.controller_id), (0, 0));
        assert_eq!(response.brokers, [this]);
        assert_eq!(response.cluster_id.as_str(), broker.engine.cluster().to_string());
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
    }
    for (endpoint_type, code) in [(2_i8, ErrorCode::MismatchedEndpointType), (3, ErrorCode::UnsupportedEndpointType)] {
        let response = client.call(1, &message!(DescribeClusterRequest { endpoint_type })).await;
        assert_eq!(response.error_code, code.code());
    }
}

#[tokio::test]
async fn coordinators_of_transactions_are_refused_with_a_sentence_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    // Version 0 knows groups alone.
    for version in 1..=6 {
        let request = if version >= 4 {
            message!(FindCoordinatorRequest { key_type: 1_i8, coordinator_keys: vec!["tx".into()] })
        } else {
            message!(FindCoordinatorRequest { key_type: 1_i8, key: "tx".into() })
        };
        let response = client.call(version, &request).await;
        let (code, sentence) = match response.coordinators.first() {
            Some(coordinator) => (coordinator.error_code, coordinator.error_message.clone()),
            None => (response.error_code, response.error_message.clone()),
        };
        assert_ne!(code, 0);
        assert!(sentence.is_some_and(|why| why.contains("does not serve")), "version {version}");
    }
}
