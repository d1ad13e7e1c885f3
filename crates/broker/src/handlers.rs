//! One file per Kafka API: a request to a response. Handlers know the protocol's rules; sockets, order and budgets of
//! connections are not theirs.

mod acls;
mod alter_configs;
mod api_versions;
mod client_quotas;
mod count_admin;
mod create_partitions;
mod create_topics;
mod delegation_tokens;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod partition_reassignments;
pub(crate) mod produce;
mod scram_credentials;
mod sync_group;
mod update_features;

pub(crate) use fetch::session::FetchSessions;
pub(crate) use metadata::KeptAnswers;

use crate::broker::Broker;
use crate::budget::Held;
use crate::metrics::BrokerMetrics;
use crate::peer::Peer;
use floe_protocol::{EncodeError, Frame, Request, RequestHeader, Response, encode_response};

/// What is answered: a response, or one that is encoded already.
#[expect(clippy::large_enum_variant, reason = "each is moved once, to be written")]
pub(crate) enum Reply {
    Response(Response),
    Encoded(Result<Frame, EncodeError>),
}

impl<T: Into<Response>> From<T> for Reply {
    fn from(response: T) -> Self {
        Self::Response(response.into())
    }
}

/// An answer, and the budget its bytes are charged to; none if it is still to be charged.
pub(crate) struct Handled {
    pub(crate) reply: Reply,
    pub(crate) held: Vec<Held>,
}

impl<T: Into<Reply>> From<T> for Handled {
    fn from(reply: T) -> Self {
        Self { reply: reply.into(), held: Vec::new() }
    }
}

/// Counts a response's errors and encodes it.
pub(crate) fn encode(metrics: &BrokerMetrics, header: &RequestHeader, response: Response) -> Result<Frame, EncodeError> {
    count_errors(metrics, &response);
    encode_response(header, response)
}

/// Handles one request to its end.
pub(crate) async fn handle(broker: &Broker, header: &RequestHeader, peer: &Peer, request: Request) -> Handled {
    let version = header.version;
    match request {
        Request::Produce(request) => produce::start(broker, version, request).await.finish(broker, version, peer).await.into(),
        Request::Fetch(request) => fetch::handle(broker, version, peer, request).await,
        Request::ListOffsets(request) => list_offsets::handle(broker, version, request).await.into(),
        Request::Metadata(request) => metadata::handle(broker, header, peer, request).await,
        Request::OffsetCommit(request) => offset_commit::handle(broker, version, request).await.into(),
        Request::OffsetFetch(request) => offset_fetch::handle(broker, version, request).await.into(),
        Request::FindCoordinator(request) => find_coordinator::handle(broker, version, peer, request).await.into(),
        Request::JoinGroup(request) => join_group::handle(broker, header, peer, request).await.into(),
        Request::Heartbeat(request) => heartbeat::handle(broker, request).await.into(),
        Request::LeaveGroup(request) => leave_group::handle(broker, version, request).await.into(),
        Request::SyncGroup(request) => sync_group::handle(broker, request).await.into(),
        Request::DescribeGroups(request) => describe_groups::handle(broker, version, request).await.into(),
        Request::ListGroups(request) => list_groups::handle(broker, request).await.into(),
        Request::DeleteGroups(request) => delete_groups::handle(broker, request).await.into(),
        Request::OffsetDelete(request) => offset_delete::handle(broker, request).await.into(),
        Request::ApiVersions(request) => api_versions::handle(broker, version, &request).into(),
        Request::CreateTopics(request) => create_topics::handle(broker, version, request).await.into(),
        Request::DeleteRecords(request) => delete_records::handle(broker, request).await.into(),
        Request::DeleteTopics(request) => delete_topics::handle(broker, version, request).await.into(),
        Request::InitProducerId(request) => init_producer_id::handle(broker, &request).into(),
        Request::OffsetForLeaderEpoch(request) => offset_for_leader_epoch::handle(broker, request).into(),
        Request::DescribeConfigs(request) => describe_configs::handle(broker, request).into(),
        Request::DescribeCluster(request) => describe_cluster::handle(broker, peer, &request).into(),
        Request::DescribeAcls(_) => acls::describe().into(),
        Request::CreateAcls(request) => acls::create(&request).into(),
        Request::DeleteAcls(request) => acls::delete(&request).into(),
        Request::DescribeLogDirs(request) => describe_log_dirs::handle(broker, &request).into(),
        Request::CreateDelegationToken(_) => delegation_tokens::create().into(),
        Request::RenewDelegationToken(_) => delegation_tokens::renew().into(),
        Request::ExpireDelegationToken(_) => delegation_tokens::expire().into(),
        Request::DescribeDelegationToken(_) => delegation_tokens::describe().into(),
        Request::ElectLeaders(request) => elect_leaders::handle(broker, request).await.into(),
        Request::AlterPartitionReassignments(request) => partition_reassignments::alter(broker, request).await.into(),
        Request::ListPartitionReassignments(request) => partition_reassignments::list(broker, &request).into(),
        Request::DescribeClientQuotas(request) => client_quotas::describe(&request).into(),
        Request::AlterClientQuotas(request) => client_quotas::alter(request).into(),
        Request::DescribeUserScramCredentials(request) => scram_credentials::describe(request).into(),
        Request::AlterUserScramCredentials(request) => scram_credentials::alter(request).into(),
        Request::DescribeQuorum(request) => describe_quorum::handle(broker, peer, request).into(),
        Request::UpdateFeatures(request) => update_features::handle(version, request).into(),
        Request::AlterConfigs(request) => alter_configs::handle(broker, request).await.into(),
        Request::CreatePartitions(request) => create_partitions::handle(broker, request).await.into(),
        Request::IncrementalAlterConfigs(request) => incremental_alter_configs::handle(broker, request).await.into(),
        Request::DescribeProducers(request) => describe_producers::handle(broker, request).into(),
        Request::ListConfigResources(request) => list_config_resources::handle(broker, version, &request).into(),
        Request::DescribeTopicPartitions(request) => describe_topic_partitions::handle(broker, &request).into(),
    }
}

/// Counts every error code of a response, wherever it stands.
pub(crate) fn count_errors(metrics: &BrokerMetrics, response: &Response) {
    let api = response.api();
    let count = |code: i16| {
        if code != 0 {
            metrics.error(api, code);
        }
    };
    match response {
        Response::Produce(r) => r.responses.iter().flat_map(|t| &t.partition_responses).for_each(|p| count(p.error_code)),
        Response::Fetch(r) => {
            count(r.error_code);
            r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code));
        }
        Response::ListOffsets(r) => r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code)),
        Response::Metadata(r) => {
            count(r.error_code);
            r.topics.iter().for_each(|t| count(t.error_code));
        }
        Response::FindCoordinator(r) => {
            count(r.error_code);
            r.coordinators.iter().for_each(|c| count(c.error_code));
        }
        Response::OffsetCommit(r) => r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code)),
        Response::OffsetFetch(r) => r.groups.iter().for_each(|g| count(g.error_code)),
        Response::JoinGroup(r) => count(r.error_code),
        Response::Heartbeat(r) => count(r.error_code),
        Response::LeaveGroup(r) => {
            count(r.error_code);
            r.members.iter().for_each(|m| count(m.error_code));
        }
        Response::SyncGroup(r) => count(r.error_code),
        Response::DescribeGroups(r) => r.groups.iter().for_each(|g| count(g.error_code)),
        Response::ListGroups(r) => count(r.error_code),
        Response::DeleteGroups(r) => r.results.iter().for_each(|g| count(g.error_code)),
        Response::OffsetDelete(r) => {
            count(r.error_code);
            r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code));
        }
        Response::ApiVersions(r) => count(r.error_code),
        Response::CreateTopics(r) => r.topics.iter().for_each(|t| count(t.error_code)),
        Response::DeleteTopics(r) => r.responses.iter().for_each(|t| count(t.error_code)),
        Response::DeleteRecords(r) => r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code)),
        Response::InitProducerId(r) => count(r.error_code),
        Response::OffsetForLeaderEpoch(r) => r.topics.iter().flat_map(|t| &t.partitions).for_each(|p| count(p.error_code)),
        Response::DescribeConfigs(r) => r.results.iter().for_each(|r| count(r.error_code)),
        Response::DescribeCluster(r) => count(r.error_code),
        administration => count_admin::count_errors(administration, &count),
    }
}
