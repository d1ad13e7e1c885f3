//! One full request and one full response per API: every field set that the version has, arrays within arrays filled.

mod admin;
mod groups;

use crate::{
    Api, Request, Response, fetch, message,
    messages::{self, StrBytes, Uuid, *},
};
use bytes::Bytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from(text)
}

fn some(value: &str) -> Option<StrBytes> {
    Some(text(value))
}

fn id(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

/// A name up to version `last`, afterwards nothing.
fn name_until(version: i16, last: i16, name: &str) -> StrBytes {
    if version <= last { text(name) } else { StrBytes::default() }
}

fn id_from(version: i16, first: i16, byte: u8) -> Uuid {
    if version >= first { id(byte) } else { Uuid::ZERO }
}

/// `value` from version `first` on, before that the default.
fn from<T>(version: i16, first: i16, value: T, default: T) -> T {
    if version >= first { value } else { default }
}

pub(crate) fn request(api: Api, version: i16) -> Request {
    match api {
        Api::Produce => Request::Produce(produce(version)),
        Api::Fetch => Request::Fetch(fetch_request(version)),
        Api::ListOffsets => Request::ListOffsets(list_offsets(version)),
        Api::Metadata => Request::Metadata(metadata(version)),
        Api::FindCoordinator => Request::FindCoordinator(message!(FindCoordinatorRequest {
            key: name_until(version, 3, "group"),
            key_type: from(version, 1, 1, 0),
            coordinator_keys: from(version, 4, vec![text("a"), text(""), text("c")], vec![])
        })),
        Api::ApiVersions => Request::ApiVersions(message!(ApiVersionsRequest {
            client_software_name: from(version, 3, text("floe-test"), text("")),
            client_software_version: from(version, 3, text("1.2.3"), text(""))
        })),
        Api::CreateTopics => Request::CreateTopics(create_topics()),
        Api::DeleteTopics => Request::DeleteTopics(delete_topics(version)),
        Api::DeleteRecords => Request::DeleteRecords(delete_records()),
        Api::InitProducerId => Request::InitProducerId(message!(InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: from(version, 3, 42, -1),
            producer_epoch: from(version, 3, 3, -1)
        })),
        Api::OffsetForLeaderEpoch => Request::OffsetForLeaderEpoch(offset_for_leader_epoch(version)),
        Api::DescribeConfigs => Request::DescribeConfigs(describe_configs(version)),
        Api::AlterConfigs => Request::AlterConfigs(admin::alter_configs()),
        Api::CreatePartitions => Request::CreatePartitions(admin::create_partitions()),
        Api::IncrementalAlterConfigs => Request::IncrementalAlterConfigs(admin::incremental_alter_configs()),
        Api::DescribeProducers => Request::DescribeProducers(admin::describe_producers()),
        Api::ListConfigResources => Request::ListConfigResources(admin::list_config_resources(version)),
        Api::DescribeTopicPartitions => Request::DescribeTopicPartitions(admin::describe_topic_partitions()),
        Api::AlterClientQuotas => Request::AlterClientQuotas(admin::alter_client_quotas()),
        Api::AlterPartitionReassignments => Request::AlterPartitionReassignments(admin::alter_partition_reassignments(version)),
        Api::AlterUserScramCredentials => Request::AlterUserScramCredentials(admin::alter_user_scram_credentials()),
        Api::CreateAcls => Request::CreateAcls(admin::create_acls()),
        Api::CreateDelegationToken => Request::CreateDelegationToken(admin::create_delegation_token(version)),
        Api::DeleteAcls => Request::DeleteAcls(admin::delete_acls()),
        Api::DescribeAcls => Request::DescribeAcls(admin::describe_acls()),
        Api::DescribeClientQuotas => Request::DescribeClientQuotas(admin::describe_client_quotas()),
        Api::DescribeDelegationToken => Request::DescribeDelegationToken(admin::describe_delegation_token()),
        Api::DescribeLogDirs => Request::DescribeLogDirs(admin::describe_log_dirs()),
        Api::DescribeQuorum => Request::DescribeQuorum(admin::describe_quorum()),
        Api::DescribeUserScramCredentials => Request::DescribeUserScramCredentials(admin::describe_user_scram_credentials()),
        Api::ElectLeaders => Request::ElectLeaders(admin::elect_leaders(version)),
        Api::ExpireDelegationToken => Request::ExpireDelegationToken(admin::expire_delegation_token()),
        Api::ListPartitionReassignments => Request::ListPartitionReassignments(admin::list_partition_reassignments()),
        Api::RenewDelegationToken => Request::RenewDelegationToken(admin::renew_delegation_token()),
        Api::UpdateFeatures => Request::UpdateFeatures(admin::update_features(version)),
        Api::DescribeCluster => Request::DescribeCluster(message!(DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            endpoint_type: from(version, 1, 2, 1),
            include_fenced_brokers: version >= 2
        })),
        Api::OffsetCommit
        | Api::OffsetFetch
        | Api::JoinGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::SyncGroup
        | Api::DescribeGroups
        | Api::ListGroups
        | Api::DeleteGroups
        | Api::OffsetDelete => groups::request(api, version),
    }
}

fn produce(version: i16) -> ProduceRequest {
    use produce_request::{PartitionProduceData, TopicProduceData};
    let records = |byte: u8, len: usize| Some(Bytes::from(vec![byte; len]));
    let partition_data = vec![
        message!(PartitionProduceData { index: 0, records: records(1, 300) }),
        message!(PartitionProduceData { index: 7, records: None }),
        message!(PartitionProduceData { index: 9, records: records(2, 0) }),
    ];
    let name = name_until(version, 12, "orders");
    let topic_id = id_from(version, 13, 5);
    let topic = message!(TopicProduceData { name, topic_id, partition_data });
    message!(ProduceRequest { transactional_id: some("tx"), acks: -1, timeout_ms: 30_000, topic_data: vec![topic.clone(), topic] })
}

fn fetch_request(version: i16) -> FetchRequest {
    use fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
    let partition = message!(FetchPartition {
        partition: 3,
        current_leader_epoch: from(version, 9, 11, -1),
        fetch_offset: 1_000_000,
        last_fetched_epoch: from(version, 12, 10, -1),
        log_start_offset: from(version, 5, 5, -1),
        partition_max_bytes: 1 << 20,
        replica_directory_id: id_from(version, 17, 9),
        high_watermark: from(version, 18, 77, i64::MAX),
    });
    let (topic, topic_id) = (name_until(version, 12, "orders"), id_from(version, 13, 5));
    let forgotten = message!(ForgottenTopic { topic: topic.clone(), topic_id, partitions: vec![1, 2, 3] });
    let topic = message!(FetchTopic { topic, topic_id, partitions: vec![partition.clone(), partition] });
    message!(FetchRequest {
        cluster_id: from(version, 12, some("cluster"), None),
        replica_id: if version < 15 { 4 } else { -1 },
        replica_state: from(version, 15, message!(ReplicaState { replica_id: 4, replica_epoch: 8 }), ReplicaState::default()),
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 50 << 20,
        isolation_level: 1,
        session_id: from(version, 7, 21, 0),
        session_epoch: from(version, 7, 2, -1),
        topics: vec![topic.clone(), topic],
        forgotten_topics_data: from(version, 7, vec![forgotten], vec![]),
        rack_id: from(version, 11, text("rack-1"), text("")),
    })
}

fn list_offsets(version: i16) -> ListOffsetsRequest {
    use list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let current_leader_epoch = from(version, 4, 3, -1);
    let partition = message!(ListOffsetsPartition { partition_index: 1, current_leader_epoch, timestamp: -2 });
    let topic = message!(ListOffsetsTopic { name: text("orders"), partitions: vec![partition.clone(), partition] });
    message!(ListOffsetsRequest {
        replica_id: -1,
        isolation_level: from(version, 2, 1, 0),
        topics: vec![topic.clone(), topic],
        timeout_ms: from(version, 10, 5_000, 0)
    })
}

fn metadata(version: i16) -> MetadataRequest {
    use metadata_request::MetadataRequestTopic;
    let topic = message!(MetadataRequestTopic { topic_id: id_from(version, 10, 3), name: some("orders") });
    let by_id = message!(MetadataRequestTopic { topic_id: id_from(version, 10, 4), name: from(version, 10, None, some("x")) });
    message!(MetadataRequest {
        topics: Some(vec![topic, by_id]),
        allow_auto_topic_creation: version < 4,
        include_cluster_authorized_operations: (8..=10).contains(&version),
        include_topic_authorized_operations: version >= 8
    })
}

fn create_topics() -> CreateTopicsRequest {
    use create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
    let assignment = message!(CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1, 2, 3] });
    let configs = vec![
        message!(CreatableTopicConfig { name: text("retention.ms"), value: some("1000") }),
        message!(CreatableTopicConfig { name: text("cleanup.policy"), value: None }),
    ];
    let topic = message!(CreatableTopic {
        name: text("orders"),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment.clone(), assignment],
        configs
    });
    message!(CreateTopicsRequest { topics: vec![topic.clone(), topic], timeout_ms: 30_000, validate_only: true })
}

fn delete_records() -> DeleteRecordsRequest {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = |partition_index, offset| message!(DeleteRecordsPartition { partition_index, offset });
    let topic = message!(DeleteRecordsTopic { name: text("orders"), partitions: vec![partition(0, 7), partition(3, -1)] });
    message!(DeleteRecordsRequest { topics: vec![topic.clone(), topic], timeout_ms: 30_000 })
}

fn delete_topics(version: i16) -> DeleteTopicsRequest {
    use delete_topics_request::DeleteTopicState;
    let by_name = message!(DeleteTopicState { name: some("orders") });
    let by_id = message!(DeleteTopicState { name: None, topic_id: id(6) });
    message!(DeleteTopicsRequest {
        topics: from(version, 6, vec![by_name, by_id], vec![]),
        topic_names: if version < 6 { vec![text("orders"), text("x")] } else { vec![] },
        timeout_ms: 30_000
    })
}

fn offset_for_leader_epoch(version: i16) -> OffsetForLeaderEpochRequest {
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let partition = message!(OffsetForLeaderPartition { partition: 1, current_leader_epoch: 4, leader_epoch: 3 });
    let topic = message!(OffsetForLeaderTopic { topic: text("orders"), partitions: vec![partition.clone(), partition] });
    message!(OffsetForLeaderEpochRequest { replica_id: from(version, 3, -1, -2), topics: vec![topic.clone(), topic] })
}

fn describe_configs(version: i16) -> DescribeConfigsRequest {
    use describe_configs_request::DescribeConfigsResource;
    let keys = Some(vec![text("a"), text("b")]);
    let some_keys = message!(DescribeConfigsResource { resource_type: 2, resource_name: text("orders"), configuration_keys: keys });
    let all_keys = message!(DescribeConfigsResource { resource_type: 4, resource_name: text("0"), configuration_keys: None });
    message!(DescribeConfigsRequest { resources: vec![some_keys, all_keys], include_synonyms: true, include_documentation: version >= 3 })
}

/// Array elements of a request, counted where they lie.
pub(crate) fn elements(request: &Request) -> usize {
    fn each<T>(items: &[T], inner: impl Fn(&T) -> usize) -> usize {
        items.iter().map(|item| 1 + inner(item)).sum()
    }
    match request {
        Request::Produce(r) => each(&r.topic_data, |t| t.partition_data.len()),
        Request::Fetch(r) => each(&r.topics, |t| t.partitions.len()) + each(&r.forgotten_topics_data, |t| t.partitions.len()),
        Request::ListOffsets(r) => each(&r.topics, |t| t.partitions.len()),
        Request::Metadata(r) => r.topics.iter().flatten().count(),
        Request::FindCoordinator(r) => r.coordinator_keys.len(),
        Request::CreateTopics(r) => each(&r.topics, |t| each(&t.assignments, |a| a.broker_ids.len()) + t.configs.len()),
        Request::DeleteTopics(r) => r.topics.len() + r.topic_names.len(),
        Request::DeleteRecords(r) => each(&r.topics, |t| t.partitions.len()),
        Request::OffsetForLeaderEpoch(r) => each(&r.topics, |t| t.partitions.len()),
        Request::DescribeConfigs(r) => each(&r.resources, |t| t.configuration_keys.iter().flatten().count()),
        Request::AlterConfigs(r) => each(&r.resources, |t| t.configs.len()),
        Request::CreatePartitions(r) => each(&r.topics, |t| t.assignments.iter().flatten().map(|a| 1 + a.broker_ids.len()).sum()),
        Request::IncrementalAlterConfigs(r) => each(&r.resources, |t| t.configs.len()),
        Request::DescribeProducers(r) => each(&r.topics, |t| t.partition_indexes.len()),
        Request::ListConfigResources(r) => r.resource_types.len(),
        Request::DescribeTopicPartitions(r) => r.topics.len(),
        Request::AlterClientQuotas(r) => each(&r.entries, |e| e.entity.len() + e.ops.len()),
        Request::AlterPartitionReassignments(r) => each(&r.topics, |t| each(&t.partitions, |p| p.replicas.iter().flatten().count())),
        Request::AlterUserScramCredentials(r) => r.deletions.len() + r.upsertions.len(),
        Request::CreateAcls(r) => r.creations.len(),
        Request::CreateDelegationToken(r) => r.renewers.len(),
        Request::DeleteAcls(r) => r.filters.len(),
        Request::DescribeClientQuotas(r) => r.components.len(),
        Request::DescribeDelegationToken(r) => r.owners.iter().flatten().count(),
        Request::DescribeLogDirs(r) => r.topics.iter().flatten().map(|t| 1 + t.partitions.len()).sum(),
        Request::DescribeQuorum(r) => each(&r.topics, |t| t.partitions.len()),
        Request::DescribeUserScramCredentials(r) => r.users.iter().flatten().count(),
        Request::ElectLeaders(r) => r.topic_partitions.iter().flatten().map(|t| 1 + t.partitions.len()).sum(),
        Request::ListPartitionReassignments(r) => r.topics.iter().flatten().map(|t| 1 + t.partition_indexes.len()).sum(),
        Request::UpdateFeatures(r) => r.feature_updates.len(),
        Request::DescribeAcls(_) | Request::RenewDelegationToken(_) | Request::ExpireDelegationToken(_) => 0,
        Request::OffsetCommit(_)
        | Request::OffsetFetch(_)
        | Request::JoinGroup(_)
        | Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::SyncGroup(_)
        | Request::DescribeGroups(_)
        | Request::ListGroups(_)
        | Request::DeleteGroups(_)
        | Request::OffsetDelete(_) => groups::elements(request),
        Request::ApiVersions(_) | Request::InitProducerId(_) | Request::DescribeCluster(_) => 0,
    }
}

/// A response with every field set, as a handler that knows nothing of versions fills it.
pub(crate) fn response(api: Api) -> Response {
    match api {
        Api::Produce => produce_response().into(),
        Api::Fetch => fetch_response().into(),
        Api::ListOffsets => list_offsets_response().into(),
        Api::Metadata => metadata_response().into(),
        Api::FindCoordinator => find_coordinator_response().into(),
        Api::ApiVersions => api_versions_response().into(),
        Api::CreateTopics => create_topics_response().into(),
        Api::DeleteTopics => delete_topics_response().into(),
        Api::DeleteRecords => delete_records_response().into(),
        Api::InitProducerId => message!(InitProducerIdResponse {
            throttle_time_ms: 1,
            producer_id: 42,
            producer_epoch: 3,
            ongoing_txn_producer_id: 41,
            ongoing_txn_producer_epoch: 2
        })
        .into(),
        Api::OffsetForLeaderEpoch => offset_for_leader_epoch_response().into(),
        Api::DescribeConfigs => describe_configs_response().into(),
        Api::DescribeCluster => describe_cluster_response().into(),
        Api::AlterClientQuotas => admin::alter_client_quotas_response().into(),
        Api::AlterPartitionReassignments => admin::alter_partition_reassignments_response().into(),
        Api::AlterUserScramCredentials => admin::alter_user_scram_credentials_response().into(),
        Api::CreateAcls => admin::create_acls_response().into(),
        Api::CreateDelegationToken => admin::create_delegation_token_response().into(),
        Api::DeleteAcls => admin::delete_acls_response().into(),
        Api::DescribeAcls => admin::describe_acls_response().into(),
        Api::DescribeClientQuotas => admin::describe_client_quotas_response().into(),
        Api::DescribeDelegationToken => admin::describe_delegation_token_response().into(),
        Api::DescribeLogDirs => admin::describe_log_dirs_response().into(),
        Api::DescribeQuorum => admin::describe_quorum_response().into(),
        Api::DescribeUserScramCredentials => admin::describe_user_scram_credentials_response().into(),
        Api::ElectLeaders => admin::elect_leaders_response().into(),
        Api::ExpireDelegationToken => admin::expire_delegation_token_response().into(),
        Api::ListPartitionReassignments => admin::list_partition_reassignments_response().into(),
        Api::RenewDelegationToken => admin::renew_delegation_token_response().into(),
        Api::UpdateFeatures => admin::update_features_response().into(),
        Api::AlterConfigs => admin::alter_configs_response().into(),
        Api::CreatePartitions => admin::create_partitions_response().into(),
        Api::IncrementalAlterConfigs => admin::incremental_alter_configs_response().into(),
        Api::DescribeProducers => admin::describe_producers_response().into(),
        Api::ListConfigResources => admin::list_config_resources_response().into(),
        Api::DescribeTopicPartitions => admin::describe_topic_partitions_response().into(),
        Api::OffsetCommit
        | Api::OffsetFetch
        | Api::JoinGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::SyncGroup
        | Api::DescribeGroups
        | Api::ListGroups
        | Api::DeleteGroups
        | Api::OffsetDelete => groups::response(api),
    }
}

pub(crate) fn produce_response() -> ProduceResponse {
    use produce_response::{BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse};
    let moved = message!(PartitionProduceResponse {
        index: 2,
        error_code: 6,
        base_offset: -1,
        current_leader: message!(LeaderIdAndEpoch { leader_id: 1, leader_epoch: 9 })
    });
    let refused = message!(PartitionProduceResponse {
        index: 1,
        error_code: 87,
        base_offset: -1,
        record_errors: vec![message!(BatchIndexAndErrorMessage { batch_index: 4, batch_index_error_message: some("no key") })],
        error_message: some("one record is invalid")
    });
    let good = message!(PartitionProduceResponse { base_offset: 77, log_append_time_ms: 5, log_start_offset: 3 });
    let partition_responses = vec![good, refused, moved];
    let topic = message!(TopicProduceResponse { name: text("orders"), topic_id: id(5), partition_responses });
    let node = message!(NodeEndpoint { node_id: 1, host: text("b1"), port: 9092, rack: some("r") });
    message!(ProduceResponse { responses: vec![topic], throttle_time_ms: 3, node_endpoints: vec![node] })
}

pub(crate) fn fetch_response() -> fetch::FetchResponse {
    use fetch::{AbortedTransaction, FetchPartition, FetchResponse, FetchTopic, NodeEndpoint};
    let chunk = |byte: u8, len: usize| Bytes::from(vec![byte; len]);
    let full = FetchPartition {
        index: 0,
        high_watermark: 100,
        last_stable_offset: 90,
        log_start_offset: 5,
        aborted: Some(vec![AbortedTransaction { producer_id: 7, first_offset: 50 }, AbortedTransaction::default()]),
        records: vec![chunk(1, 61), chunk(2, 200), Bytes::new(), chunk(3, 70)],
        ..FetchPartition::default()
    };
    let empty = FetchPartition { index: 1, high_watermark: 10, last_stable_offset: 10, ..FetchPartition::default() };
    let moved = FetchPartition { index: 2, error_code: 6, current_leader: Some((1, 9)), ..FetchPartition::default() };
    let diverged = FetchPartition { index: 3, diverging_epoch: Some((3, 500)), preferred_read_replica: -1, ..FetchPartition::default() };
    let orders = FetchTopic { name: text("orders"), topic_id: id(5), partitions: vec![full.clone(), empty, moved, full] };
    let clicks = FetchTopic { name: text("clicks"), topic_id: id(6), partitions: vec![diverged] };
    let node = NodeEndpoint { node_id: 1, host: text("b1"), port: 9092, rack: None };
    let other = NodeEndpoint { node_id: 2, host: text("b2"), port: 9092, rack: some("r") };
    FetchResponse { throttle_time_ms: 4, error_code: 0, session_id: 0, topics: vec![orders, clicks], node_endpoints: vec![node, other] }
}

fn list_offsets_response() -> ListOffsetsResponse {
    use list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
    let partition = message!(ListOffsetsPartitionResponse { partition_index: 1, timestamp: 5, offset: 77, leader_epoch: 3 });
    let topic = message!(ListOffsetsTopicResponse { name: text("orders"), partitions: vec![partition.clone(), partition] });
    message!(ListOffsetsResponse { throttle_time_ms: 1, topics: vec![topic] })
}

fn metadata_response() -> MetadataResponse {
    use metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
    let partition = message!(MetadataResponsePartition {
        partition_index: 1,
        leader_id: 1,
        leader_epoch: 9,
        replica_nodes: vec![1, 2],
        isr_nodes: vec![1],
        offline_replicas: vec![2]
    });
    let topic = message!(MetadataResponseTopic {
        name: some("orders"),
        topic_id: id(5),
        is_internal: true,
        partitions: vec![partition],
        topic_authorized_operations: 8
    });
    let unknown = message!(MetadataResponseTopic { error_code: 100, name: None, topic_id: id(9) });
    let broker = message!(MetadataResponseBroker { node_id: 1, host: text("b1"), port: 9092, rack: some("r") });
    message!(MetadataResponse {
        throttle_time_ms: 1,
        brokers: vec![broker],
        cluster_id: some("cluster"),
        controller_id: 1,
        topics: vec![topic, unknown],
        cluster_authorized_operations: 3,
        error_code: 0
    })
}

fn find_coordinator_response() -> FindCoordinatorResponse {
    use find_coordinator_response::Coordinator;
    let coordinator = message!(Coordinator {
        key: text("group"),
        node_id: -1,
        port: -1,
        error_code: 15,
        error_message: some("groups are not served yet")
    });
    message!(FindCoordinatorResponse { throttle_time_ms: 1, coordinators: vec![coordinator] })
}

fn api_versions_response() -> ApiVersionsResponse {
    use api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
    let mut response = crate::api_versions::response();
    response.throttle_time_ms = 1;
    response.supported_features = vec![
        message!(SupportedFeatureKey { name: text("transaction.version"), min_version: 0, max_version: 2 }),
        message!(SupportedFeatureKey { name: text("metadata.version"), min_version: 7, max_version: 27 }),
    ];
    response.finalized_features_epoch = 3;
    response.finalized_features =
        vec![message!(FinalizedFeatureKey { name: text("metadata.version"), max_version_level: 27, min_version_level: 27 })];
    response
}

fn create_topics_response() -> CreateTopicsResponse {
    use create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
    let config = message!(CreatableTopicConfigs { name: text("retention.ms"), value: some("1"), read_only: true, config_source: 5 });
    let good = message!(CreatableTopicResult {
        name: text("orders"),
        topic_id: id(5),
        num_partitions: 3,
        replication_factor: 1,
        configs: Some(vec![config])
    });
    let bad = message!(CreatableTopicResult {
        name: text("bad"),
        error_code: 40,
        error_message: some("why"),
        topic_config_error_code: 29,
        configs: None
    });
    message!(CreateTopicsResponse { throttle_time_ms: 1, topics: vec![good, bad] })
}

fn delete_records_response() -> DeleteRecordsResponse {
    use delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
    let good = message!(DeleteRecordsPartitionResult { partition_index: 0, low_watermark: 7, error_code: 0 });
    let bad = message!(DeleteRecordsPartitionResult { partition_index: 3, low_watermark: -1, error_code: 1 });
    let topic = message!(DeleteRecordsTopicResult { name: text("orders"), partitions: vec![good, bad] });
    message!(DeleteRecordsResponse { throttle_time_ms: 1, topics: vec![topic] })
}

fn delete_topics_response() -> DeleteTopicsResponse {
    use delete_topics_response::DeletableTopicResult;
    let good = message!(DeletableTopicResult { name: some("orders"), topic_id: id(5) });
    let bad = message!(DeletableTopicResult { name: None, topic_id: id(6), error_code: 100, error_message: some("why") });
    message!(DeleteTopicsResponse { throttle_time_ms: 1, responses: vec![good, bad] })
}

fn offset_for_leader_epoch_response() -> OffsetForLeaderEpochResponse {
    use offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
    let end = message!(EpochEndOffset { partition: 1, leader_epoch: 3, end_offset: 77 });
    let topic = message!(OffsetForLeaderTopicResult { topic: text("orders"), partitions: vec![end.clone(), end] });
    message!(OffsetForLeaderEpochResponse { throttle_time_ms: 1, topics: vec![topic] })
}

fn describe_configs_response() -> DescribeConfigsResponse {
    use describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym};
    let synonym = message!(DescribeConfigsSynonym { name: text("log.retention.ms"), value: some("1"), source: 5 });
    let config = message!(DescribeConfigsResourceResult {
        name: text("retention.ms"),
        value: some("1"),
        read_only: true,
        config_source: 5,
        is_sensitive: true,
        synonyms: vec![synonym],
        config_type: 5,
        documentation: some("how long")
    });
    let result = message!(DescribeConfigsResult { resource_type: 2, resource_name: text("orders"), configs: vec![config] });
    message!(DescribeConfigsResponse { throttle_time_ms: 1, results: vec![result] })
}

fn describe_cluster_response() -> DescribeClusterResponse {
    use describe_cluster_response::DescribeClusterBroker;
    let broker = message!(DescribeClusterBroker { broker_id: 1, host: text("b1"), port: 9092, rack: some("r"), is_fenced: true });
    message!(DescribeClusterResponse {
        throttle_time_ms: 1,
        error_message: some("m"),
        endpoint_type: 2,
        cluster_id: text("cluster"),
        controller_id: 1,
        brokers: vec![broker],
        cluster_authorized_operations: 3
    })
}

/// A topic id survives the way there and back; the zero id is none.
#[test]
fn topic_ids_are_wire_uuids() {
    let topic = floe_types::TopicId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    assert_eq!(messages::uuid(topic).to_bytes()[..3], [1, 2, 3]);
    assert_eq!(messages::topic_id(messages::uuid(topic)), Some(topic));
    assert_eq!(messages::topic_id(Uuid::ZERO), None);
}
