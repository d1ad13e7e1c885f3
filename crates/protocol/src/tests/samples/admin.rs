//! The samples of administration.

use super::{from, id, some, text};
use crate::{message, messages::*};

pub(super) fn alter_configs() -> AlterConfigsRequest {
    use alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let configs = vec![
        message!(AlterableConfig { name: text("retention.ms"), value: some("1") }),
        message!(AlterableConfig { name: text("max.message.bytes"), value: None }),
    ];
    let resource = message!(AlterConfigsResource { resource_type: 2, resource_name: text("orders"), configs });
    message!(AlterConfigsRequest { resources: vec![resource.clone(), resource], validate_only: true })
}

pub(super) fn alter_configs_response() -> AlterConfigsResponse {
    use alter_configs_response::AlterConfigsResourceResponse;
    let good = message!(AlterConfigsResourceResponse { resource_type: 2, resource_name: text("orders") });
    let bad =
        message!(AlterConfigsResourceResponse { error_code: 40, error_message: some("why"), resource_type: 4, resource_name: text("0") });
    message!(AlterConfigsResponse { throttle_time_ms: 1, responses: vec![good, bad] })
}

pub(super) fn incremental_alter_configs() -> IncrementalAlterConfigsRequest {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let configs = vec![
        message!(AlterableConfig { name: text("cleanup.policy"), config_operation: 2, value: some("compact") }),
        message!(AlterableConfig { name: text("max.message.bytes"), config_operation: 1, value: None }),
    ];
    let resource = message!(AlterConfigsResource { resource_type: 2, resource_name: text("orders"), configs });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource.clone(), resource], validate_only: true })
}

pub(super) fn incremental_alter_configs_response() -> IncrementalAlterConfigsResponse {
    use incremental_alter_configs_response::AlterConfigsResourceResponse;
    let good = message!(AlterConfigsResourceResponse { resource_type: 2, resource_name: text("orders") });
    let bad =
        message!(AlterConfigsResourceResponse { error_code: 40, error_message: some("why"), resource_type: 4, resource_name: text("0") });
    message!(IncrementalAlterConfigsResponse { throttle_time_ms: 1, responses: vec![good, bad] })
}

pub(super) fn list_config_resources(version: i16) -> ListConfigResourcesRequest {
    message!(ListConfigResourcesRequest { resource_types: from(version, 1, vec![2, 4], vec![]) })
}

pub(super) fn list_config_resources_response() -> ListConfigResourcesResponse {
    use list_config_resources_response::ConfigResource;
    let resource = |name: &str, kind: i8| message!(ConfigResource { resource_name: text(name), resource_type: kind });
    let config_resources = vec![resource("orders", 2), resource("0", 4), resource("metrics", 16)];
    message!(ListConfigResourcesResponse { throttle_time_ms: 1, error_code: 35, config_resources })
}

pub(super) fn create_partitions() -> CreatePartitionsRequest {
    use create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    let assignment = message!(CreatePartitionsAssignment { broker_ids: vec![1, 2] });
    let assigned =
        message!(CreatePartitionsTopic { name: text("orders"), count: 9, assignments: Some(vec![assignment.clone(), assignment]) });
    let free = message!(CreatePartitionsTopic { name: text("clicks"), count: 9, assignments: None });
    message!(CreatePartitionsRequest { topics: vec![assigned, free], timeout_ms: 30_000, validate_only: true })
}

pub(super) fn create_partitions_response() -> CreatePartitionsResponse {
    use create_partitions_response::CreatePartitionsTopicResult;
    let good = message!(CreatePartitionsTopicResult { name: text("orders") });
    let bad = message!(CreatePartitionsTopicResult { name: text("clicks"), error_code: 37, error_message: some("why") });
    message!(CreatePartitionsResponse { throttle_time_ms: 1, results: vec![good, bad] })
}

pub(super) fn describe_topic_partitions() -> DescribeTopicPartitionsRequest {
    use describe_topic_partitions_request::{Cursor, TopicRequest};
    let topic = |name: &str| message!(TopicRequest { name: text(name) });
    let cursor = Some(message!(Cursor { topic_name: text("orders"), partition_index: 7 }));
    message!(DescribeTopicPartitionsRequest { topics: vec![topic("orders"), topic("clicks")], response_partition_limit: 10, cursor })
}

pub(super) fn describe_topic_partitions_response() -> DescribeTopicPartitionsResponse {
    use describe_topic_partitions_response::{
        Cursor, DescribeTopicPartitionsResponsePartition as Partition, DescribeTopicPartitionsResponseTopic as Topic,
    };
    let partition = message!(Partition {
        partition_index: 1,
        leader_id: 1,
        leader_epoch: 9,
        replica_nodes: vec![1, 2],
        isr_nodes: vec![1],
        eligible_leader_replicas: Some(vec![2]),
        last_known_elr: None,
        offline_replicas: vec![2]
    });
    let good = message!(Topic {
        name: some("orders"),
        topic_id: id(5),
        is_internal: true,
        partitions: vec![partition],
        topic_authorized_operations: 8
    });
    let bad = message!(Topic { error_code: 3, name: some("clicks") });
    let next_cursor = Some(message!(Cursor { topic_name: text("orders"), partition_index: 2 }));
    message!(DescribeTopicPartitionsResponse { throttle_time_ms: 1, topics: vec![good, bad], next_cursor })
}

pub(super) fn describe_producers() -> DescribeProducersRequest {
    use describe_producers_request::TopicRequest;
    let topic = |name: &str| message!(TopicRequest { name: text(name), partition_indexes: vec![0, 3] });
    message!(DescribeProducersRequest { topics: vec![topic("orders"), topic("clicks")] })
}

pub(super) fn describe_producers_response() -> DescribeProducersResponse {
    use describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
    let state = message!(ProducerState {
        producer_id: 7,
        producer_epoch: 1,
        last_sequence: 9,
        last_timestamp: 5,
        coordinator_epoch: 3,
        current_txn_start_offset: 77
    });
    let good = message!(PartitionResponse { partition_index: 0, active_producers: vec![state] });
    let bad = message!(PartitionResponse { partition_index: 3, error_code: 6, error_message: some("why") });
    let topic = message!(TopicResponse { name: text("orders"), partitions: vec![good, bad] });
    message!(DescribeProducersResponse { throttle_time_ms: 1, topics: vec![topic] })
}

pub(super) fn describe_acls() -> DescribeAclsRequest {
    message!(DescribeAclsRequest {
        resource_type_filter: 2,
        resource_name_filter: some("orders"),
        pattern_type_filter: 3,
        principal_filter: some("User:x"),
        host_filter: None,
        operation: 1,
        permission_type: 1
    })
}

pub(super) fn describe_acls_response() -> DescribeAclsResponse {
    use describe_acls_response::{AclDescription, DescribeAclsResource};
    let acl = message!(AclDescription { principal: text("User:x"), host: text("*"), operation: 3, permission_type: 3 });
    let resource = message!(DescribeAclsResource { resource_type: 2, resource_name: text("orders"), pattern_type: 3, acls: vec![acl] });
    message!(DescribeAclsResponse { throttle_time_ms: 1, error_code: 54, error_message: some("why"), resources: vec![resource] })
}

pub(super) fn create_acls() -> CreateAclsRequest {
    use create_acls_request::AclCreation;
    let creation = message!(AclCreation {
        resource_type: 2,
        resource_name: text("orders"),
        resource_pattern_type: 3,
        principal: text("User:x"),
        host: text("*"),
        operation: 3,
        permission_type: 3
    });
    message!(CreateAclsRequest { creations: vec![creation.clone(), creation] })
}

pub(super) fn create_acls_response() -> CreateAclsResponse {
    use create_acls_response::AclCreationResult;
    let bad = message!(AclCreationResult { error_code: 54, error_message: some("why") });
    message!(CreateAclsResponse { throttle_time_ms: 1, results: vec![message!(AclCreationResult {}), bad] })
}

pub(super) fn delete_acls() -> DeleteAclsRequest {
    use delete_acls_request::DeleteAclsFilter;
    let filter = message!(DeleteAclsFilter {
        resource_type_filter: 2,
        resource_name_filter: None,
        pattern_type_filter: 3,
        principal_filter: some("User:x"),
        host_filter: some("*"),
        operation: 3,
        permission_type: 3
    });
    message!(DeleteAclsRequest { filters: vec![filter.clone(), filter] })
}

pub(super) fn delete_acls_response() -> DeleteAclsResponse {
    use delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
    let acl = message!(DeleteAclsMatchingAcl {
        error_code: 1,
        error_message: some("why"),
        resource_type: 2,
        resource_name: text("orders"),
        pattern_type: 3,
        principal: text("User:x"),
        host: text("*"),
        operation: 3,
        permission_type: 3
    });
    let result = message!(DeleteAclsFilterResult { error_code: 54, error_message: some("why"), matching_acls: vec![acl] });
    message!(DeleteAclsResponse { throttle_time_ms: 1, filter_results: vec![result] })
}

pub(super) fn describe_log_dirs() -> DescribeLogDirsRequest {
    use describe_log_dirs_request::DescribableLogDirTopic;
    let topic = |name: &str| message!(DescribableLogDirTopic { topic: text(name), partitions: vec![0, 3] });
    message!(DescribeLogDirsRequest { topics: Some(vec![topic("orders"), topic("clicks")]) })
}

pub(super) fn describe_log_dirs_response() -> DescribeLogDirsResponse {
    use describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
    let partition = message!(DescribeLogDirsPartition { partition_index: 3, partition_size: 77, offset_lag: 1, is_future_key: true });
    let topic = message!(DescribeLogDirsTopic { name: text("orders"), partitions: vec![partition] });
    let result = message!(DescribeLogDirsResult {
        error_code: 1,
        log_dir: text("wal"),
        topics: vec![topic],
        total_bytes: 1_000,
        usable_bytes: 10,
        is_cordoned: true
    });
    message!(DescribeLogDirsResponse { throttle_time_ms: 1, error_code: 2, results: vec![result] })
}

pub(super) fn create_delegation_token(version: i16) -> CreateDelegationTokenRequest {
    use create_delegation_token_request::CreatableRenewers;
    let renewer = message!(CreatableRenewers { principal_type: text("User"), principal_name: text("x") });
    message!(CreateDelegationTokenRequest {
        owner_principal_type: from(version, 3, some("User"), some("")),
        owner_principal_name: from(version, 3, some("y"), some("")),
        renewers: vec![renewer.clone(), renewer],
        max_lifetime_ms: 60_000
    })
}

pub(super) fn create_delegation_token_response() -> CreateDelegationTokenResponse {
    message!(CreateDelegationTokenResponse {
        error_code: 64,
        principal_type: text("User"),
        principal_name: text("ANONYMOUS"),
        token_requester_principal_type: text("User"),
        token_requester_principal_name: text("ANONYMOUS"),
        issue_timestamp_ms: 1,
        expiry_timestamp_ms: 2,
        max_timestamp_ms: 3,
        token_id: text("id"),
        hmac: b"hmac"[..].into(),
        throttle_time_ms: 1
    })
}

pub(super) fn renew_delegation_token() -> RenewDelegationTokenRequest {
    message!(RenewDelegationTokenRequest { hmac: b"hmac"[..].into(), renew_period_ms: 5 })
}

pub(super) fn renew_delegation_token_response() -> RenewDelegationTokenResponse {
    message!(RenewDelegationTokenResponse { error_code: 64, expiry_timestamp_ms: 5, throttle_time_ms: 1 })
}

pub(super) fn expire_delegation_token() -> ExpireDelegationTokenRequest {
    message!(ExpireDelegationTokenRequest { hmac: b"hmac"[..].into(), expiry_time_period_ms: 5 })
}

pub(super) fn expire_delegation_token_response() -> ExpireDelegationTokenResponse {
    message!(ExpireDelegationTokenResponse { error_code: 64, expiry_timestamp_ms: 5, throttle_time_ms: 1 })
}

pub(super) fn describe_delegation_token() -> DescribeDelegationTokenRequest {
    use describe_delegation_token_request::DescribeDelegationTokenOwner;
    let owner = message!(DescribeDelegationTokenOwner { principal_type: text("User"), principal_name: text("x") });
    message!(DescribeDelegationTokenRequest { owners: Some(vec![owner.clone(), owner]) })
}

pub(super) fn describe_delegation_token_response() -> DescribeDelegationTokenResponse {
    use describe_delegation_token_response::{DescribedDelegationToken, DescribedDelegationTokenRenewer};
    let renewer = message!(DescribedDelegationTokenRenewer { principal_type: text("User"), principal_name: text("x") });
    let token = message!(DescribedDelegationToken {
        principal_type: text("User"),
        principal_name: text("x"),
        token_requester_principal_type: text("User"),
        token_requester_principal_name: text("y"),
        issue_timestamp: 1,
        expiry_timestamp: 2,
        max_timestamp: 3,
        token_id: text("id"),
        hmac: b"hmac"[..].into(),
        renewers: vec![renewer]
    });
    message!(DescribeDelegationTokenResponse { error_code: 64, tokens: vec![token], throttle_time_ms: 1 })
}

pub(super) fn elect_leaders(version: i16) -> ElectLeadersRequest {
    use elect_leaders_request::TopicPartitions;
    let topic = message!(TopicPartitions { topic: text("orders"), partitions: vec![0, 1] });
    let topic_partitions = Some(vec![topic.clone(), topic]);
    message!(ElectLeadersRequest { election_type: from(version, 1, 1, 0), topic_partitions, timeout_ms: 5 })
}

pub(super) fn elect_leaders_response() -> ElectLeadersResponse {
    use elect_leaders_response::{PartitionResult, ReplicaElectionResult};
    let result = message!(PartitionResult { partition_id: 1, error_code: 84, error_message: some("why") });
    let topic = message!(ReplicaElectionResult { topic: text("orders"), partition_result: vec![result, message!(PartitionResult {})] });
    message!(ElectLeadersResponse { throttle_time_ms: 1, error_code: 42, replica_election_results: vec![topic] })
}

pub(super) fn alter_partition_reassignments(version: i16) -> AlterPartitionReassignmentsRequest {
    use alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let moved = message!(ReassignablePartition { partition_index: 0, replicas: Some(vec![1, 2]) });
    let cancelled = message!(ReassignablePartition { partition_index: 1, replicas: None });
    let topic = message!(ReassignableTopic { name: text("orders"), partitions: vec![moved, cancelled] });
    message!(AlterPartitionReassignmentsRequest {
        timeout_ms: 5,
        allow_replication_factor_change: version < 1,
        topics: vec![topic.clone(), topic]
    })
}

pub(super) fn alter_partition_reassignments_response() -> AlterPartitionReassignmentsResponse {
    use alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse};
    let bad = message!(ReassignablePartitionResponse { partition_index: 1, error_code: 39, error_message: some("why") });
    let partitions = vec![bad, message!(ReassignablePartitionResponse {})];
    let topic = message!(ReassignableTopicResponse { name: text("orders"), partitions });
    message!(AlterPartitionReassignmentsResponse {
        throttle_time_ms: 1,
        allow_replication_factor_change: false,
        error_code: 42,
        error_message: some("why"),
        responses: vec![topic]
    })
}

pub(super) fn list_partition_reassignments() -> ListPartitionReassignmentsRequest {
    use list_partition_reassignments_request::ListPartitionReassignmentsTopics;
    let topic = message!(ListPartitionReassignmentsTopics { name: text("orders"), partition_indexes: vec![0, 1] });
    message!(ListPartitionReassignmentsRequest { timeout_ms: 5, topics: Some(vec![topic.clone(), topic]) })
}

pub(super) fn list_partition_reassignments_response() -> ListPartitionReassignmentsResponse {
    use list_partition_reassignments_response::{OngoingPartitionReassignment, OngoingTopicReassignment};
    let partition = message!(OngoingPartitionReassignment {
        partition_index: 1,
        replicas: vec![1, 2],
        adding_replicas: vec![2],
        removing_replicas: vec![1]
    });
    let topic = message!(OngoingTopicReassignment { name: text("orders"), partitions: vec![partition] });
    message!(ListPartitionReassignmentsResponse { throttle_time_ms: 1, error_code: 42, error_message: some("why"), topics: vec![topic] })
}

pub(super) fn describe_client_quotas() -> DescribeClientQuotasRequest {
    use describe_client_quotas_request::ComponentData;
    let exact = message!(ComponentData { entity_type: text("user"), match_type: 0, match_: some("x") });
    let any = message!(ComponentData { entity_type: text("client-id"), match_type: 2, match_: None });
    message!(DescribeClientQuotasRequest { components: vec![exact, any], strict: true })
}

pub(super) fn describe_client_quotas_response() -> DescribeClientQuotasResponse {
    use describe_client_quotas_response::{EntityData, EntryData, ValueData};
    let entity = vec![message!(EntityData { entity_type: text("user"), entity_name: None })];
    let values = vec![message!(ValueData { key: text("producer_byte_rate"), value: 7.5 })];
    let entries = Some(vec![message!(EntryData { entity, values })]);
    message!(DescribeClientQuotasResponse { throttle_time_ms: 1, error_code: 42, error_message: some("why"), entries })
}

pub(super) fn alter_client_quotas() -> AlterClientQuotasRequest {
    use alter_client_quotas_request::{EntityData, EntryData, OpData};
    let entity = vec![message!(EntityData { entity_type: text("user"), entity_name: some("x") })];
    let ops = vec![message!(OpData { key: text("producer_byte_rate"), value: 7.5, remove: true })];
    let entry = message!(EntryData { entity, ops });
    message!(AlterClientQuotasRequest { entries: vec![entry.clone(), entry], validate_only: true })
}

pub(super) fn alter_client_quotas_response() -> AlterClientQuotasResponse {
    use alter_client_quotas_response::{EntityData, EntryData};
    let entity = vec![message!(EntityData { entity_type: text("user"), entity_name: some("x") })];
    let bad = message!(EntryData { error_code: 44, error_message: some("why"), entity });
    message!(AlterClientQuotasResponse { throttle_time_ms: 1, entries: vec![bad, message!(EntryData {})] })
}

pub(super) fn describe_user_scram_credentials() -> DescribeUserScramCredentialsRequest {
    use describe_user_scram_credentials_request::UserName;
    let user = |name: &str| message!(UserName { name: text(name) });
    message!(DescribeUserScramCredentialsRequest { users: Some(vec![user("x"), user("y")]) })
}

pub(super) fn describe_user_scram_credentials_response() -> DescribeUserScramCredentialsResponse {
    use describe_user_scram_credentials_response::{CredentialInfo, DescribeUserScramCredentialsResult};
    let credential_infos = vec![message!(CredentialInfo { mechanism: 1, iterations: 4096 })];
    let user =
        message!(DescribeUserScramCredentialsResult { user: text("x"), error_code: 91, error_message: some("why"), credential_infos });
    message!(DescribeUserScramCredentialsResponse { throttle_time_ms: 1, error_code: 1, error_message: some("why"), results: vec![user] })
}

pub(super) fn alter_user_scram_credentials() -> AlterUserScramCredentialsRequest {
    use alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
    let deletion = message!(ScramCredentialDeletion { name: text("x"), mechanism: 1 });
    let upsertion = message!(ScramCredentialUpsertion {
        name: text("y"),
        mechanism: 2,
        iterations: 4096,
        salt: b"salt"[..].into(),
        salted_password: b"secret"[..].into()
    });
    message!(AlterUserScramCredentialsRequest { deletions: vec![deletion], upsertions: vec![upsertion.clone(), upsertion] })
}

pub(super) fn alter_user_scram_credentials_response() -> AlterUserScramCredentialsResponse {
    use alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
    let user = message!(AlterUserScramCredentialsResult { user: text("x"), error_code: 54, error_message: some("why") });
    message!(AlterUserScramCredentialsResponse { throttle_time_ms: 1, results: vec![user] })
}

pub(super) fn describe_quorum() -> DescribeQuorumRequest {
    use describe_quorum_request::{PartitionData, TopicData};
    let topic =
        message!(TopicData { topic_name: text("__cluster_metadata"), partitions: vec![message!(PartitionData { partition_index: 0 })] });
    message!(DescribeQuorumRequest { topics: vec![topic.clone(), topic] })
}

pub(super) fn describe_quorum_response() -> DescribeQuorumResponse {
    use describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
    let replica = message!(ReplicaState {
        replica_id: 1,
        replica_directory_id: id(5),
        log_end_offset: 77,
        last_fetch_timestamp: 5,
        last_caught_up_timestamp: 6
    });
    let partition = message!(PartitionData {
        partition_index: 0,
        error_code: 3,
        error_message: some("why"),
        leader_id: 1,
        leader_epoch: 9,
        high_watermark: 77,
        current_voters: vec![replica.clone()],
        observers: vec![replica]
    });
    let topic = message!(TopicData { topic_name: text("__cluster_metadata"), partitions: vec![partition] });
    let listener = message!(Listener { name: text("PLAINTEXT"), host: text("b1"), port: 9092 });
    let node = message!(Node { node_id: 1, listeners: vec![listener] });
    message!(DescribeQuorumResponse { error_code: 42, error_message: some("why"), topics: vec![topic], nodes: vec![node] })
}

pub(super) fn update_features(version: i16) -> UpdateFeaturesRequest {
    use update_features_request::FeatureUpdateKey;
    let update = message!(FeatureUpdateKey {
        feature: text("metadata.version"),
        max_version_level: 27,
        allow_downgrade: version < 1,
        upgrade_type: from(version, 1, 2, 1)
    });
    message!(UpdateFeaturesRequest { timeout_ms: 5, feature_updates: vec![update.clone(), update], validate_only: version >= 1 })
}

pub(super) fn update_features_response() -> UpdateFeaturesResponse {
    use update_features_response::UpdatableFeatureResult;
    let result = message!(UpdatableFeatureResult { feature: text("metadata.version"), error_code: 95, error_message: some("why") });
    message!(UpdateFeaturesResponse { throttle_time_ms: 1, error_code: 95, error_message: some("why"), results: vec![result] })
}
