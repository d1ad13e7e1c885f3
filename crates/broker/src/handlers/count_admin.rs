//! The error codes of administration's answers. A new API does not compile before somebody has said where its codes are:
//! here, or in [`super::count_errors`].

use floe_protocol::Response;

/// Calls `count` for every code, wherever it stands.
pub(super) fn count_errors(response: &Response, count: &dyn Fn(i16)) {
    match response {
        Response::DescribeAcls(r) => count(r.error_code),
        Response::CreateAcls(r) => r.results.iter().for_each(|r| count(r.error_code)),
        Response::DeleteAcls(r) => r.filter_results.iter().for_each(|r| count(r.error_code)),
        Response::DescribeLogDirs(r) => count(r.error_code),
        Response::CreateDelegationToken(r) => count(r.error_code),
        Response::RenewDelegationToken(r) => count(r.error_code),
        Response::ExpireDelegationToken(r) => count(r.error_code),
        Response::DescribeDelegationToken(r) => count(r.error_code),
        Response::ElectLeaders(r) => {
            count(r.error_code);
            r.replica_election_results.iter().flat_map(|t| &t.partition_result).for_each(|p| count(p.error_code));
        }
        Response::AlterPartitionReassignments(r) => {
            r.responses.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code));
        }
        Response::ListPartitionReassignments(r) => count(r.error_code),
        Response::DescribeClientQuotas(r) => count(r.error_code),
        Response::AlterClientQuotas(r) => r.entries.iter().for_each(|e| count(e.error_code)),
        Response::DescribeUserScramCredentials(r) => r.results.iter().for_each(|u| count(u.error_code)),
        Response::AlterUserScramCredentials(r) => r.results.iter().for_each(|u| count(u.error_code)),
        Response::DescribeQuorum(r) => r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code)),
        Response::UpdateFeatures(r) => count(r.error_code),
        Response::AlterConfigs(r) => r.responses.iter().for_each(|r| count(r.error_code)),
        Response::CreatePartitions(r) => r.results.iter().for_each(|t| count(t.error_code)),
        Response::IncrementalAlterConfigs(r) => r.responses.iter().for_each(|r| count(r.error_code)),
        Response::DescribeProducers(r) => r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code)),
        Response::ListConfigResources(r) => count(r.error_code),
        Response::DescribeTopicPartitions(r) => {
            for topic in &r.topics {
                count(topic.error_code);
                topic.partitions.iter().for_each(|p| count(p.error_code));
            }
        }
        // Counted before they get here.
        Response::Produce(_)
        | Response::Fetch(_)
        | Response::ListOffsets(_)
        | Response::Metadata(_)
        | Response::OffsetCommit(_)
        | Response::OffsetFetch(_)
        | Response::FindCoordinator(_)
        | Response::JoinGroup(_)
        | Response::Heartbeat(_)
        | Response::LeaveGroup(_)
        | Response::SyncGroup(_)
        | Response::DescribeGroups(_)
        | Response::ListGroups(_)
        | Response::DeleteGroups(_)
        | Response::OffsetDelete(_)
        | Response::ApiVersions(_)
        | Response::CreateTopics(_)
        | Response::DeleteRecords(_)
        | Response::DeleteTopics(_)
        | Response::InitProducerId(_)
        | Response::OffsetForLeaderEpoch(_)
        | Response::DescribeConfigs(_)
        | Response::DescribeCluster(_) => {}
    }
}
