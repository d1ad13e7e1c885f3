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
