//! Samples of the APIs about consumer groups.

use super::{from, name_until, some, text};
use crate::{Api, Request, Response, message, messages::*};
use bytes::Bytes;

pub(super) fn request(api: Api, version: i16) -> Request {
    match api {
        Api::OffsetCommit => Request::OffsetCommit(offset_commit(version)),
        Api::OffsetFetch => Request::OffsetFetch(offset_fetch(version)),
        Api::JoinGroup => Request::JoinGroup(join_group(version)),
        Api::Heartbeat => Request::Heartbeat(message!(HeartbeatRequest {
            group_id: text("g"),
            generation_id: 3,
            member_id: text("m"),
            group_instance_id: from(version, 3, some("i"), None)
        })),
        Api::LeaveGroup => Request::LeaveGroup(leave_group(version)),
        Api::SyncGroup => Request::SyncGroup(sync_group(version)),
        Api::DescribeGroups => Request::DescribeGroups(message!(DescribeGroupsRequest {
            groups: vec![text("a"), text("b")],
            include_authorized_operations: version >= 3
        })),
        Api::ListGroups => Request::ListGroups(message!(ListGroupsRequest {
            states_filter: from(version, 4, vec![text("Stable"), text("Empty")], vec![]),
            types_filter: from(version, 5, vec![text("classic")], vec![])
        })),
        Api::DeleteGroups => Request::DeleteGroups(message!(DeleteGroupsRequest { groups_names: vec![text("a"), text("b")] })),
        Api::OffsetDelete => Request::OffsetDelete(offset_delete()),
        other => panic!("{other} is not about groups"),
    }
}

fn offset_commit(version: i16) -> OffsetCommitRequest {
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = message!(OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: 77,
        committed_leader_epoch: from(version, 6, 3, -1),
        committed_metadata: some("meta"),
    });
    let topic = message!(OffsetCommitRequestTopic { name: text("orders"), partitions: vec![partition.clone(), partition] });
    message!(OffsetCommitRequest {
        group_id: text("g"),
        generation_id_or_member_epoch: 3,
        member_id: text("m"),
        group_instance_id: from(version, 7, some("i"), None),
        retention_time_ms: if version <= 4 { 1_000 } else { -1 },
        topics: vec![topic.clone(), topic]
    })
}

fn offset_fetch(version: i16) -> OffsetFetchRequest {
    use offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
    let topic = message!(OffsetFetchRequestTopic { name: text("orders"), partition_indexes: vec![1, 2] });
    let of_group = message!(OffsetFetchRequestTopics { name: text("orders"), partition_indexes: vec![1, 2] });
    let group = message!(OffsetFetchRequestGroup {
        group_id: text("g"),
        member_id: from(version, 9, some("m"), None),
        member_epoch: from(version, 9, 4, -1),
        topics: Some(vec![of_group.clone(), of_group])
    });
    let all = message!(OffsetFetchRequestGroup { group_id: text("h"), member_id: None, member_epoch: -1, topics: None });
    message!(OffsetFetchRequest {
        group_id: name_until(version, 7, "g"),
        topics: if version <= 7 { Some(vec![topic.clone(), topic]) } else { Some(vec![]) },
        groups: from(version, 8, vec![group, all], vec![]),
        require_stable: version >= 7
    })
}

fn join_group(version: i16) -> JoinGroupRequest {
    use join_group_request::JoinGroupRequestProtocol;
    let protocol = message!(JoinGroupRequestProtocol { name: text("range"), metadata: Bytes::from_static(b"meta") });
    message!(JoinGroupRequest {
        group_id: text("g"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: from(version, 1, 60_000, -1),
        member_id: text("m"),
        group_instance_id: from(version, 5, some("i"), None),
        protocol_type: text("consumer"),
        protocols: vec![protocol.clone(), protocol],
        reason: from(version, 8, some("why"), None)
    })
}

fn leave_group(version: i16) -> LeaveGroupRequest {
    use leave_group_request::MemberIdentity;
    let member =
        message!(MemberIdentity { member_id: text("m"), group_instance_id: some("i"), reason: from(version, 5, some("why"), None) });
    message!(LeaveGroupRequest {
        group_id: text("g"),
        member_id: name_until(version, 2, "m"),
        members: from(version, 3, vec![member.clone(), member], vec![])
    })
}

fn sync_group(version: i16) -> SyncGroupRequest {
    use sync_group_request::SyncGroupRequestAssignment;
    let assignment = message!(SyncGroupRequestAssignment { member_id: text("m"), assignment: Bytes::from_static(b"all") });
    message!(SyncGroupRequest {
        group_id: text("g"),
        generation_id: 3,
        member_id: text("m"),
        group_instance_id: from(version, 3, some("i"), None),
        protocol_type: from(version, 5, some("consumer"), None),
        protocol_name: from(version, 5, some("range"), None),
        assignments: vec![assignment.clone(), assignment]
    })
}

fn offset_delete() -> OffsetDeleteRequest {
    use offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    let partition = message!(OffsetDeleteRequestPartition { partition_index: 1 });
    let topic = message!(OffsetDeleteRequestTopic { name: text("orders"), partitions: vec![partition.clone(), partition] });
    message!(OffsetDeleteRequest { group_id: text("g"), topics: vec![topic.clone(), topic] })
}

pub(super) fn elements(request: &Request) -> usize {
    match request {
        Request::OffsetCommit(r) => r.topics.iter().map(|t| 1 + t.partitions.len()).sum(),
        Request::OffsetFetch(r) => {
            let old: usize = r.topics.iter().flatten().map(|t| 1 + t.partition_indexes.len()).sum();
            let of_groups = |topics: &[offset_fetch_request::OffsetFetchRequestTopics]| -> usize {
                topics.iter().map(|t| 1 + t.partition_indexes.len()).sum()
            };
            old + r.groups.iter().map(|g| 1 + g.topics.as_deref().map_or(0, of_groups)).sum::<usize>()
        }
        Request::JoinGroup(r) => r.protocols.len(),
        Request::LeaveGroup(r) => r.members.len(),
        Request::SyncGroup(r) => r.assignments.len(),
        Request::DescribeGroups(r) => r.groups.len(),
        Request::ListGroups(r) => r.states_filter.len() + r.types_filter.len(),
        Request::DeleteGroups(r) => r.groups_names.len(),
        Request::OffsetDelete(r) => r.topics.iter().map(|t| 1 + t.partitions.len()).sum(),
        _ => 0,
    }
}

pub(super) fn response(api: Api) -> Response {
    match api {
        Api::OffsetCommit => offset_commit_response().into(),
        Api::OffsetFetch => offset_fetch_response().into(),
        Api::JoinGroup => join_group_response().into(),
        Api::Heartbeat => message!(HeartbeatResponse { throttle_time_ms: 1, error_code: 27 }).into(),
        Api::LeaveGroup => leave_group_response().into(),
        Api::SyncGroup => message!(SyncGroupResponse {
            throttle_time_ms: 1,
            error_code: 27,
            protocol_type: some("consumer"),
            protocol_name: some("range"),
            assignment: Bytes::from_static(b"all")
        })
        .into(),
        Api::DescribeGroups => describe_groups_response().into(),
        Api::ListGroups => {
            use list_groups_response::ListedGroup;
            let group = message!(ListedGroup {
                group_id: text("g"),
                protocol_type: text("consumer"),
                group_state: text("Stable"),
                group_type: text("classic")
            });
            message!(ListGroupsResponse { throttle_time_ms: 1, error_code: 15, groups: vec![group.clone(), group] }).into()
        }
        Api::DeleteGroups => {
            use delete_groups_response::DeletableGroupResult;
            let result = message!(DeletableGroupResult { group_id: text("g"), error_code: 68, error_message: some("why") });
            message!(DeleteGroupsResponse { throttle_time_ms: 1, results: vec![result] }).into()
        }
        Api::OffsetDelete => {
            use offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
            let partition = message!(OffsetDeleteResponsePartition { partition_index: 1, error_code: 86 });
            let topic = message!(OffsetDeleteResponseTopic { name: text("orders"), partitions: vec![partition.clone(), partition] });
            message!(OffsetDeleteResponse { error_code: 69, throttle_time_ms: 1, topics: vec![topic] }).into()
        }
        other => panic!("{other} is not about groups"),
    }
}

fn offset_commit_response() -> OffsetCommitResponse {
    use offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
    let partition = message!(OffsetCommitResponsePartition { partition_index: 1, error_code: 22 });
    let topic = message!(OffsetCommitResponseTopic { name: text("orders"), partitions: vec![partition.clone(), partition] });
    message!(OffsetCommitResponse { throttle_time_ms: 1, topics: vec![topic] })
}

fn offset_fetch_response() -> OffsetFetchResponse {
    use offset_fetch_response::{OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics};
    let partition = message!(OffsetFetchResponsePartitions {
        partition_index: 1,
        committed_offset: 77,
        committed_leader_epoch: 3,
        metadata: some("meta")
    });
    let topic = message!(OffsetFetchResponseTopics { name: text("orders"), partitions: vec![partition.clone(), partition] });
    let group = message!(OffsetFetchResponseGroup { group_id: text("g"), topics: vec![topic], error_code: 16 });
    message!(OffsetFetchResponse { throttle_time_ms: 1, groups: vec![group] })
}

fn join_group_response() -> JoinGroupResponse {
    use join_group_response::JoinGroupResponseMember;
    let member =
        message!(JoinGroupResponseMember { member_id: text("m"), group_instance_id: some("i"), metadata: Bytes::from_static(b"meta") });
    message!(JoinGroupResponse {
        throttle_time_ms: 1,
        generation_id: 3,
        protocol_type: some("consumer"),
        protocol_name: None,
        leader: text("m"),
        skip_assignment: true,
        member_id: text("m"),
        members: vec![member.clone(), member]
    })
}

fn leave_group_response() -> LeaveGroupResponse {
    use leave_group_response::MemberResponse;
    let member = message!(MemberResponse { member_id: text("m"), group_instance_id: some("i"), error_code: 25 });
    message!(LeaveGroupResponse { throttle_time_ms: 1, members: vec![member.clone(), member] })
}

fn describe_groups_response() -> DescribeGroupsResponse {
    use describe_groups_response::{DescribedGroup, DescribedGroupMember};
    let member = message!(DescribedGroupMember {
        member_id: text("m"),
        group_instance_id: some("i"),
        client_id: text("c"),
        client_host: text("/127.0.0.1"),
        member_metadata: Bytes::from_static(b"meta"),
        member_assignment: Bytes::from_static(b"all")
    });
    let group = message!(DescribedGroup {
        error_code: 69,
        error_message: some("why"),
        group_id: text("g"),
        group_state: text("Stable"),
        protocol_type: text("consumer"),
        protocol_data: text("range"),
        members: vec![member.clone(), member],
        authorized_operations: 3
    });
    message!(DescribeGroupsResponse { throttle_time_ms: 1, groups: vec![group] })
}
