//! Consumer groups over the wire: every version of every API, restarts, and what administrators do.

use crate::support::{Client, TestBroker, World, batch, produce_request, values};
use bytes::Bytes;
use floe_broker::BrokerConfig;
use floe_log::Durability;
use floe_protocol::message;
use floe_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use floe_protocol::messages::leave_group_request::MemberIdentity;
use floe_protocol::messages::metadata_request::MetadataRequestTopic;
use floe_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use floe_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use floe_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
use floe_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use floe_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use floe_protocol::messages::*;
use floe_types::Millis;

fn config() -> BrokerConfig {
    BrokerConfig { group_initial_rebalance_delay: Millis(0), offsets_topic_partitions: 3, ..BrokerConfig::default() }
}

fn join(version: i16, group: &str, member: &str) -> JoinGroupRequest {
    let protocol = message!(JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x06orders") });
    message!(JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: if version >= 1 { 60_000 } else { -1 },
        member_id: member.into(),
        group_instance_id: None,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        reason: None,
    })
}

/// Joins, whatever the version asks for on the way.
async fn joined(client: &mut Client, version: i16, group: &str) -> JoinGroupResponse {
    let first = client.call(version, &join(version, group, "")).await;
    if version < 4 {
        assert_eq!(first.error_code, 0);
        return first;
    }
    assert_eq!((first.error_code, first.generation_id), (79, -1), "MEMBER_ID_REQUIRED");
    let second = client.call(version, &join(version, group, &first.member_id)).await;
    assert_eq!((second.error_code, &second.member_id), (0, &first.member_id));
    second
}

fn sync(joined: &JoinGroupResponse, version: i16, group: &str) -> SyncGroupRequest {
    let assignment =
        message!(SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: Bytes::from_static(b"\xffall") });
    message!(SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: None,
        protocol_type: if version >= 5 { Some("consumer".into()) } else { None },
        protocol_name: if version >= 5 { Some("range".into()) } else { None },
        assignments: vec![assignment],
    })
}

fn commit(version: i16, group: &str, member: (&str, i32), offset: i64) -> OffsetCommitRequest {
    let partition = |partition_index: i32| {
        message!(OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset,
            committed_leader_epoch: if version >= 6 { 4 } else { -1 },
            committed_metadata: Some("note".into()),
        })
    };
    let topic = |name: &str| message!(OffsetCommitRequestTopic { name: name.into(), partitions: vec![partition(0), partition(7)] });
    message!(OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: member.1,
        member_id: member.0.into(),
        group_instance_id: None,
        topics: vec![topic("orders"), topic("nowhere")],
    })
}

/// The codes of orders 0 and 7, and of nowhere 0 and 7.
fn codes(response: &OffsetCommitResponse) -> Vec<i16> {
    response.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
}

/// Offset, epoch and metadata of orders 0, or of everything.
async fn committed(client: &mut Client, version: i16, group: &str, all: bool) -> Vec<(i64, i32, String)> {
    let partitions = vec![0];
    let request = if version < 8 {
        let topic = message!(OffsetFetchRequestTopic { name: "orders".into(), partition_indexes: partitions });
        message!(OffsetFetchRequest { group_id: group.into(), topics: if all { None } else { Some(vec![topic]) } })
    } else {
        let topic = message!(OffsetFetchRequestTopics { name: "orders".into(), partition_indexes: partitions });
        let topics = if all { None } else { Some(vec![topic]) };
        let of = message!(OffsetFetchRequestGroup { group_id: group.into(), member_id: None, member_epoch: -1, topics });
        message!(OffsetFetchRequest { groups: vec![of], topics: Some(vec![]) })
    };
    shown(&client.call(version, &request).await)
}

fn shown(response: &OffsetFetchResponse) -> Vec<(i64, i32, String)> {
    assert_eq!(response.error_code, 0);
    let text = |metadata: &Option<StrBytes>| metadata.as_ref().map(ToString::to_string).unwrap_or_default();
    let old = response.topics.iter().flat_map(|topic| &topic.partitions);
    let old = old.map(|p| (p.error_code, p.committed_offset, p.committed_leader_epoch, text(&p.metadata)));
    let new = response.groups.iter().flat_map(|group| {
        assert_eq!(group.error_code, 0);
        group.topics.iter().flat_map(|topic| &topic.partitions)
    });
    let new = new.map(|p| (p.error_code, p.committed_offset, p.committed_leader_epoch, text(&p.metadata)));
    old.chain(new)
        .map(|(code, offset, epoch, metadata)| {
            assert_eq!(code, 0);
            (offset, epoch, metadata)
        })
        .collect()
}

fn heartbeat(group: &str, member: &str, generation_id: i32) -> HeartbeatRequest {
    message!(HeartbeatRequest { group_id: group.into(), generation_id, member_id: member.into(), group_instance_id: None })
}

fn leave(version: i16, group: &str, member: &str) -> LeaveGroupRequest {
    let identity = message!(MemberIdentity { member_id: member.into(), group_instance_id: None, reason: None });
    if version < 3 {
        message!(LeaveGroupRequest { group_id: group.into(), member_id: member.into() })
    } else {
        message!(LeaveGroupRequest { group_id: group.into(), members: vec![identity] })
    }
}

#[tokio::test]
async fn the_coordinator_is_this_broker_and_its_topic_is_internal() {
    let broker = TestBroker::with(config()).await;
    let mut client = broker.client().await;
    for version in 0..=6 {
        let keys = vec!["a".into(), "b".into()];
        let request = if version < 4 {
            message!(FindCoordinatorRequest { key: "a".into() })
        } else {
            message!(FindCoordinatorRequest { coordinator_keys: keys })
        };
        let response = client.call(version, &request).await;
        let port = i32::from(broker.addr.port());
        if version < 4 {
            assert_eq!((response.error_code, response.node_id, response.port), (0, 0, port), "version {version}");
        } else {
            let found: Vec<_> = response.coordinators.iter().map(|c| (c.key.as_str(), c.error_code, c.node_id, c.port)).collect();
            assert_eq!(found, [("a", 0, 0, port), ("b", 0, 0, port)], "version {version}");
        }
    }
    let topic = message!(MetadataRequestTopic { name: Some("__consumer_offsets".into()) });
    let metadata = client.call(9, &message!(MetadataRequest { topics: Some(vec![topic]) })).await;
    assert_eq!((metadata.topics[0].is_internal, metadata.topics[0].partitions.len()), (true, 3));
    let refused = client.call(9, &produce_request("__consumer_offsets", 0, -1, &batch(&["x"]))).await;
    assert_eq!(refused.responses[0].partition_responses[0].error_code, 17, "clients do not write there");
}

#[tokio::test]
async fn t42_a_member_lives_its_life_in_every_version() {
    let broker = TestBroker::with(config()).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    for version in 0..=9 {
        let group = format!("g{version}");
        let joined = joined(&mut client, version, &group).await;
        let member = joined.member_id.to_string();
        let named = if version >= 7 { Some("consumer") } else { None };
        assert_eq!((joined.generation_id, joined.leader.as_str(), joined.protocol_type.as_deref()), (1, member.as_str(), named));
        assert_eq!((joined.protocol_name.as_deref(), joined.members.len()), (Some("range"), 1));
        let synced = client.call(version.min(5), &sync(&joined, version.min(5), &group)).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"\xffall"[..]));
        let beat = client.call(version.min(4), &heartbeat(&group, &member, 1)).await;
        assert_eq!(beat.error_code, 0);
        let commit_version = version.max(2);
        let done = client.call(commit_version, &commit(commit_version, &group, (&member, 1), 40 + i64::from(version))).await;
        assert_eq!(codes(&done), [0, 3, 3, 3], "partitions that are not there are refused alone");
        let epoch = |fetch: i16| if commit_version >= 6 && fetch >= 5 { 4 } else { -1 };
        for fetch in 1..=9 {
            let got = committed(&mut client, fetch, &group, fetch >= 2).await;
            assert_eq!(got, [(40 + i64::from(version), epoch(fetch), "note".to_owned())], "OffsetFetch {fetch}");
        }
        let left = client.call(version.min(5), &leave(version.min(5), &group, &member)).await;
        assert_eq!((left.error_code, left.members.len()), (0, usize::from(version >= 3)));
        let again = client.call(version.min(5), &leave(version.min(5), &group, &member)).await;
        let code = again.members.first().map_or(again.error_code, |member| member.error_code);
        assert_eq!(code, 25, "UNKNOWN_MEMBER_ID");
    }
    broker.stop().await;
}

#[tokio::test]
async fn groups_are_described_listed_and_deleted_in_every_version() {
    let broker = TestBroker::with(config()).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    let joined = joined(&mut client, 9, "g").await;
    client.call(5, &sync(&joined, 5, "g")).await;
    client.call(9, &commit(9, "simple", ("", -1), 3)).await;
    for version in 0..=6 {
        let request =
            message!(DescribeGroupsRequest { groups: vec!["g".into(), "none".into()], include_authorized_operations: version >= 3 });
        let response = client.call(version, &request).await;
        let (one, none) = (&response.groups[0], &response.groups[1]);
        assert_eq!((one.error_code, one.group_state.as_str(), one.protocol_data.as_str()), (0, "Stable", "range"));
        let member = &one.members[0];
        assert_eq!(
            (member.member_id.clone(), member.client_id.as_str(), member.client_host.as_str()),
            (joined.member_id.clone(), "test", "/127.0.0.1")
        );
        assert_eq!(&member.member_assignment[..], b"\xffall");
        assert_eq!(one.authorized_operations, if version >= 3 { 3400 } else { i32::MIN });
        assert_eq!((none.error_code, none.group_state.as_str()), (if version >= 6 { 69 } else { 0 }, "Dead"));
    }
    for version in 0..=5 {
        let response = client.call(version, &ListGroupsRequest::default()).await;
        let mut groups: Vec<_> =
            response.groups.iter().map(|g| (g.group_id.to_string(), g.group_state.to_string(), g.group_type.to_string())).collect();
        groups.sort();
        let (state, kind) = (|s: &str| if version >= 4 { s.to_owned() } else { String::new() }, if version >= 5 { "classic" } else { "" });
        assert_eq!(groups, [("g".into(), state("Stable"), kind.into()), ("simple".into(), state("Empty"), kind.into())]);
    }
    let filtered = |states: &[&str], types: &[&str]| {
        let own = |texts: &[&str]| texts.iter().map(|text| StrBytes::from(*text)).collect::<Vec<_>>();
        message!(ListGroupsRequest { states_filter: own(states), types_filter: own(types) })
    };
    assert_eq!(client.call(5, &filtered(&["empty"], &["Classic"])).await.groups.len(), 1);
    assert_eq!(client.call(5, &filtered(&[], &["consumer"])).await.groups.len(), 0);
    for version in 0..=2 {
        client.call(9, &commit(9, "simple", ("", -1), 3)).await;
        let request = message!(DeleteGroupsRequest { groups_names: vec!["g".into(), "simple".into(), "none".into()] });
        let codes: Vec<_> = client.call(version, &request).await.results.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [68, 0, 69], "version {version}");
        assert_eq!(committed(&mut client, 9, "simple", false).await, [(-1, -1, String::new())]);
    }
}

#[tokio::test]
async fn offsets_are_deleted_unless_their_topic_is_consumed() {
    let broker = TestBroker::with(config()).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    client.call(9, &commit(9, "simple", ("", -1), 3)).await;
    let delete = |group: &str| {
        let partition = message!(OffsetDeleteRequestPartition { partition_index: 0 });
        let topic = |name: &str| message!(OffsetDeleteRequestTopic { name: name.into(), partitions: vec![partition.clone()] });
        message!(OffsetDeleteRequest { group_id: group.into(), topics: vec![topic("orders"), topic("nowhere")] })
    };
    let codes = |response: OffsetDeleteResponse| {
        (response.error_code, response.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code).collect::<Vec<_>>())
    };
    assert_eq!(codes(client.call(0, &delete("none")).await), (69, vec![]));
    assert_eq!(codes(client.call(0, &delete("simple")).await), (0, vec![0, 3]));
    assert_eq!(committed(&mut client, 9, "simple", false).await[0].0, -1);
    let joined = joined(&mut client, 9, "simple").await;
    client.call(5, &sync(&joined, 5, "simple")).await;
    assert_eq!(codes(client.call(0, &delete("simple")).await), (0, vec![86, 3]), "GROUP_SUBSCRIBED_TO_TOPIC");
}

#[tokio::test]
async fn t43_commits_and_the_group_survive_the_death_of_the_broker() {
    let world = World::new();
    let broker = world.start(config(), Durability::Local).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    let joined = joined(&mut client, 9, "g").await;
    let member = joined.member_id.to_string();
    client.call(5, &sync(&joined, 5, "g")).await;
    assert_eq!(codes(&client.call(9, &commit(9, "g", (&member, 1), 42)).await)[0], 0);
    broker.kill().await;
    let broker = world.start(config(), Durability::Local).await;
    let mut client = broker.client().await;
    assert_eq!(committed(&mut client, 9, "g", false).await, [(42, 4, "note".to_owned())]);
    assert_eq!(client.call(4, &heartbeat("g", &member, 1)).await.error_code, 0, "the member goes on");
    assert_eq!(codes(&client.call(9, &commit(9, "g", (&member, 1), 43)).await)[0], 0);
    broker.stop().await;
    let broker = world.start(config(), Durability::Object).await;
    let mut client = broker.client().await;
    assert_eq!(committed(&mut client, 9, "g", true).await, [(43, 4, "note".to_owned())], "from the store alone");
    broker.stop().await;
}

#[tokio::test]
async fn t29_a_topic_that_is_created_anew_begins_without_the_offsets_of_the_old_one() {
    let broker = TestBroker::with(config()).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    client.call(9, &commit(9, "g", ("", -1), 42)).await;
    let names = vec!["orders".into()];
    client.call(5, &message!(DeleteTopicsRequest { topic_names: names, timeout_ms: 30_000 })).await;
    client.create_topic("orders", 2, &[]).await;
    assert_eq!(committed(&mut client, 9, "g", false).await, [(-1, -1, String::new())]);
}

#[tokio::test]
async fn a_member_that_waits_is_answered_when_the_broker_stops() {
    let broker = TestBroker::with(BrokerConfig { group_initial_rebalance_delay: Millis(3_600_000), ..config() }).await;
    let mut client = broker.client().await;
    client.send(3, &join(3, "g", "")).await;
    // The join is parked once the group is there.
    let mut other = broker.client().await;
    loop {
        let request = message!(DescribeGroupsRequest { groups: vec!["g".into()] });
        if other.call(5, &request).await.groups[0].group_state.as_str() == "PreparingRebalance" {
            break;
        }
    }
    let answer = async { client.receive::<JoinGroupRequest>(3).await.1.error_code };
    let (code, ()) = tokio::join!(answer, broker.stop());
    assert_eq!(code, 16, "NOT_COORDINATOR");
}

#[tokio::test]
async fn what_is_written_is_what_tools_read() {
    let broker = TestBroker::with(BrokerConfig { offsets_topic_partitions: 1, ..config() }).await;
    let mut client = broker.client().await;
    client.create_topic("orders", 2, &[]).await;
    client.call(9, &commit(9, "g", ("", -1), 42)).await;
    let fetched = client.fetch("__consumer_offsets", 0).await;
    let found = values(&fetched.records.map(|records| keys_as_values(&records)));
    assert_eq!(found, [(0, "\0\x01\0\x01g\0\x06orders\0\0\0\0".to_owned())]);
}

/// The same batch with each record's key in place of its value.
fn keys_as_values(batch: &Bytes) -> Bytes {
    let mut builder = floe_records::BatchBuilder::new(floe_records::Codec::None);
    for record in floe_records::records(batch, 1 << 20).expect("readable") {
        let record = record.expect("whole");
        builder.append(record.timestamp, None, record.key.as_deref()).expect("it fits");
    }
    builder.build()
}
