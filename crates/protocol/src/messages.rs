//! Kafka's generated request and response structs, by Kafka's own names.
//!
//! The flat names are whole messages; the structs inside a message live in the module named after it, for example
//! [`produce_response::PartitionProduceResponse`]. All of them are `#[non_exhaustive]` upstream: fill them with
//! [`message!`](crate::message). A Fetch response of the broker is [`crate::fetch::FetchResponse`]; the one here is
//! what a client decodes.

use crate::{ErrorCode, message};
use bytes::Bytes;
use floe_types::TopicId;

pub use kafka_wire::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse,
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ExpireDelegationTokenRequest, ExpireDelegationTokenResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse, UpdateFeaturesRequest, UpdateFeaturesResponse, alter_client_quotas_request,
    alter_client_quotas_response, alter_partition_reassignments_request, alter_partition_reassignments_response,
    alter_user_scram_credentials_request, alter_user_scram_credentials_response, create_acls_request, create_acls_response,
    create_delegation_token_request, create_delegation_token_response, delete_acls_request, delete_acls_response, describe_acls_request,
    describe_acls_response, describe_client_quotas_request, describe_client_quotas_response, describe_delegation_token_request,
    describe_delegation_token_response, describe_log_dirs_request, describe_log_dirs_response, describe_quorum_request,
    describe_quorum_response, describe_user_scram_credentials_request, describe_user_scram_credentials_response, elect_leaders_request,
    elect_leaders_response, expire_delegation_token_request, expire_delegation_token_response, list_partition_reassignments_request,
    list_partition_reassignments_response, renew_delegation_token_request, renew_delegation_token_response, update_features_request,
    update_features_response,
};
pub use kafka_wire::{
    AlterConfigsRequest, AlterConfigsResponse, CreatePartitionsRequest, CreatePartitionsResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse, alter_configs_request,
    alter_configs_response, create_partitions_request, create_partitions_response, describe_producers_request, describe_producers_response,
    describe_topic_partitions_request, describe_topic_partitions_response, incremental_alter_configs_request,
    incremental_alter_configs_response, list_config_resources_request, list_config_resources_response,
};
pub use kafka_wire::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, FetchRequest, FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse, api_versions_request, api_versions_response, create_topics_request,
    create_topics_response, delete_records_request, delete_records_response, delete_topics_request, delete_topics_response,
    describe_cluster_request, describe_cluster_response, describe_configs_request, describe_configs_response, fetch_request,
    fetch_response, find_coordinator_request, find_coordinator_response, init_producer_id_request, init_producer_id_response,
    list_offsets_request, list_offsets_response, metadata_request, metadata_response, offset_for_leader_epoch_request,
    offset_for_leader_epoch_response, produce_request, produce_response,
};
/// Consumer groups.
pub use kafka_wire::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse, delete_groups_request, delete_groups_response, describe_groups_request, describe_groups_response,
    join_group_request, join_group_response, leave_group_request, leave_group_response, list_groups_request, list_groups_response,
    offset_commit_request, offset_commit_response, offset_delete_request, offset_delete_response, offset_fetch_request,
    offset_fetch_response, sync_group_request, sync_group_response,
};
pub use kafka_wire_core::{StrBytes, TaggedFields, Uuid};

/// A topic id as Kafka writes it. The zero id means "none" on the wire.
#[must_use]
pub fn uuid(id: TopicId) -> Uuid {
    Uuid::from_bytes(id.0.to_be_bytes())
}

/// The topic id of a wire UUID; `None` for the zero UUID, Kafka's "no id given".
#[must_use]
pub fn topic_id(uuid: Uuid) -> Option<TopicId> {
    if uuid.is_zero() { None } else { Some(TopicId(u128::from_be_bytes(uuid.to_bytes()))) }
}

/// The partitions by topic in the assignment of a member of a consumers' group; `None` for bytes that are no such
/// assignment: members of other kinds have their own.
#[must_use]
pub fn consumer_assignment(assignment: &Bytes) -> Option<Vec<(String, Vec<i32>)>> {
    let limits = crate::frame::limits(assignment.len());
    let (_, decoded) = kafka_wire::decode_consumer_protocol_assignment(assignment.clone(), limits).ok()?;
    Some(decoded.assigned_partitions.into_iter().map(|topic| (topic.topic.to_string(), topic.partitions)).collect())
}

/// One partition's answer to a Produce request that failed: every offset unknown, as Kafka answers.
#[must_use]
pub fn produce_failed(index: i32, error: ErrorCode, message: Option<&str>) -> produce_response::PartitionProduceResponse {
    let (error_code, base_offset, error_message) = (error.code(), -1, message.map(StrBytes::from));
    message!(produce_response::PartitionProduceResponse { index, error_code, base_offset, error_message })
}

/// Builds a generated message: defaults, then the named fields.
///
/// The generated structs cannot be written as literals outside their crate (`#[non_exhaustive]`), so that a field added
/// by a later Kafka does not break builds.
///
/// ```
/// use floe_protocol::{message, messages::{InitProducerIdResponse}};
/// let response = message!(InitProducerIdResponse { producer_id: 7, producer_epoch: 0 });
/// assert_eq!(response.producer_id, 7);
/// ```
#[macro_export]
macro_rules! message {
    ($kind:path { $($field:ident $(: $value:expr)?),* $(,)? }) => {{
        #[allow(unused_mut, reason = "a message may be built from defaults alone")]
        let mut message = <$kind as ::core::default::Default>::default();
        $($crate::message!(@set message, $field $(, $value)?);)*
        message
    }};
    (@set $message:ident, $field:ident) => { $message.$field = $field };
    (@set $message:ident, $field:ident, $value:expr) => { $message.$field = $value };
}
