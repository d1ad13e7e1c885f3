//! What the answers to administration do before they are encoded: mostly that no sentence is none, not an empty one.

use super::{Body, none_if_empty};
use crate::messages;

impl Body for messages::AlterConfigsResponse {
    fn fit(&mut self, _version: i16) {
        self.responses.iter_mut().for_each(|resource| none_if_empty(&mut resource.error_message));
    }
}

impl Body for messages::IncrementalAlterConfigsResponse {
    fn fit(&mut self, _version: i16) {
        self.responses.iter_mut().for_each(|resource| none_if_empty(&mut resource.error_message));
    }
}

impl Body for messages::ListConfigResourcesResponse {
    /// Version 0 knows one kind of resource and does not name it.
    fn fit(&mut self, version: i16) {
        if version < 1 {
            self.config_resources.retain(|resource| resource.resource_type == CLIENT_METRICS);
        }
    }
}

impl Body for messages::CreatePartitionsResponse {
    fn fit(&mut self, _version: i16) {
        self.results.iter_mut().for_each(|topic| none_if_empty(&mut topic.error_message));
    }
}

impl Body for messages::DescribeTopicPartitionsResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::DescribeProducersResponse {
    fn fit(&mut self, _version: i16) {
        let partitions = self.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| none_if_empty(&mut partition.error_message));
    }
}

/// Kafka's number of client metrics among the kinds of resource.
const CLIENT_METRICS: i8 = 16;
