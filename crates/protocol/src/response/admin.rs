//! What the answers to administration do before they are encoded: mostly that no sentence is none, not an empty one.

use super::{Body, none_if_empty};
use crate::messages::{self, StrBytes, Uuid};

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

impl Body for messages::DescribeAclsResponse {
    fn fit(&mut self, _version: i16) {
        none_if_empty(&mut self.error_message);
    }
}

impl Body for messages::CreateAclsResponse {
    fn fit(&mut self, _version: i16) {
        self.results.iter_mut().for_each(|result| none_if_empty(&mut result.error_message));
    }
}

impl Body for messages::DeleteAclsResponse {
    fn fit(&mut self, _version: i16) {
        for result in &mut self.filter_results {
            none_if_empty(&mut result.error_message);
            result.matching_acls.iter_mut().for_each(|acl| none_if_empty(&mut acl.error_message));
        }
    }
}

impl Body for messages::DescribeLogDirsResponse {
    fn fit(&mut self, version: i16) {
        if version < 3 {
            self.error_code = 0;
        }
        for result in &mut self.results {
            // Whether a directory is closed to new partitions: a later Kafka's.
            result.is_cordoned = false;
            if version < 4 {
                (result.total_bytes, result.usable_bytes) = (-1, -1);
            }
        }
    }
}

impl Body for messages::CreateDelegationTokenResponse {
    fn fit(&mut self, version: i16) {
        if version < 3 {
            self.token_requester_principal_type = StrBytes::default();
            self.token_requester_principal_name = StrBytes::default();
        }
    }
}

impl Body for messages::RenewDelegationTokenResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::ExpireDelegationTokenResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::DescribeDelegationTokenResponse {
    fn fit(&mut self, version: i16) {
        if version < 3 {
            for token in &mut self.tokens {
                token.token_requester_principal_type = StrBytes::default();
                token.token_requester_principal_name = StrBytes::default();
            }
        }
    }
}

impl Body for messages::ElectLeadersResponse {
    fn fit(&mut self, version: i16) {
        if version < 1 {
            self.error_code = 0;
        }
        let partitions = self.replica_election_results.iter_mut().flat_map(|topic| &mut topic.partition_result);
        partitions.for_each(|partition| none_if_empty(&mut partition.error_message));
    }
}

impl Body for messages::AlterPartitionReassignmentsResponse {
    fn fit(&mut self, version: i16) {
        if version < 1 {
            self.allow_replication_factor_change = true;
        }
        none_if_empty(&mut self.error_message);
        let partitions = self.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| none_if_empty(&mut partition.error_message));
    }
}

impl Body for messages::ListPartitionReassignmentsResponse {
    fn fit(&mut self, _version: i16) {
        none_if_empty(&mut self.error_message);
    }
}

impl Body for messages::DescribeClientQuotasResponse {
    fn fit(&mut self, _version: i16) {
        none_if_empty(&mut self.error_message);
    }
}

impl Body for messages::AlterClientQuotasResponse {
    fn fit(&mut self, _version: i16) {
        self.entries.iter_mut().for_each(|entry| none_if_empty(&mut entry.error_message));
    }
}

impl Body for messages::DescribeUserScramCredentialsResponse {
    fn fit(&mut self, _version: i16) {
        none_if_empty(&mut self.error_message);
        self.results.iter_mut().for_each(|user| none_if_empty(&mut user.error_message));
    }
}

impl Body for messages::AlterUserScramCredentialsResponse {
    fn fit(&mut self, _version: i16) {
        self.results.iter_mut().for_each(|user| none_if_empty(&mut user.error_message));
    }
}

impl Body for messages::DescribeQuorumResponse {
    fn fit(&mut self, version: i16) {
        if version < 2 {
            self.nodes.clear();
            self.error_message = None;
        }
        none_if_empty(&mut self.error_message);
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            none_if_empty(&mut partition.error_message);
            if version < 2 {
                partition.error_message = None;
            }
            for replica in partition.current_voters.iter_mut().chain(&mut partition.observers) {
                if version < 1 {
                    (replica.last_fetch_timestamp, replica.last_caught_up_timestamp) = (-1, -1);
                }
                if version < 2 {
                    replica.replica_directory_id = Uuid::ZERO;
                }
            }
        }
    }
}

impl Body for messages::UpdateFeaturesResponse {
    fn fit(&mut self, version: i16) {
        if version > 1 {
            self.results.clear();
        }
        none_if_empty(&mut self.error_message);
        self.results.iter_mut().for_each(|feature| none_if_empty(&mut feature.error_message));
    }
}

/// Kafka's number of client metrics among the kinds of resource.
const CLIENT_METRICS: i8 = 16;
