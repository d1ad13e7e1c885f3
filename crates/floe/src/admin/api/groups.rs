//! `/api/groups` and `/api/group`: consumer groups that this broker coordinates, and how far they lag behind what it leads.

use super::paging::{Search, Window};
use super::{Asked, Refused, answered, engine, leader, question};
use crate::admin::State;
use axum::http::Uri;
use axum::response::Response;
use floe_broker::GroupOffset;
use floe_coordinator::{DescribedMember, Description, GroupError, Name, OFFSETS_TOPIC};
use floe_log::Engine;
use floe_protocol::messages::consumer_assignment;
use floe_types::PartitionId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Committed offsets that are looked through for one list; groups behind that are shown without their lag.
const OFFSETS_OF_A_LIST: usize = 100_000;
/// Members, and partitions of a member, that are shown.
const MEMBERS_SHOWN: usize = 500;
const ASSIGNED_SHOWN: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuestion {
    q: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneQuestion {
    group: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

/// How far a group is behind: of the partitions that this broker leads, and of how many it cannot tell.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Lag {
    partitions: usize,
    lag: i64,
    unknown: usize,
}

pub(super) async fn list(asked: Asked, uri: Uri) -> Response {
    answered(&asked, Box::pin(async { list_of(&asked, question(&uri)?).await })).await
}

async fn list_of(state: &State, asked: ListQuestion) -> Result<Value, Refused> {
    let (window, search) = (Window::new(asked.offset, asked.limit)?, Search::new(asked.q)?);
    let engine = engine(state)?;
    let all = state.groups.list().await.map_err(|error| not_now(error, None))?;
    let total = all.len();
    let part = window.of(all.into_iter().filter(|listed| search.finds(&listed.group)).collect());
    let (mut rows, mut room) = (Vec::with_capacity(part.rows.len()), OFFSETS_OF_A_LIST);
    for listed in &part.rows {
        let (mut lag, mut members) = (None, None);
        if room > 0 {
            let offsets = state.groups.offsets(&listed.group).await.map_err(|error| not_now(error, None))?;
            let described = state.groups.describe(&listed.group).await.map_err(|error| not_now(error, None))?;
            room = room.saturating_sub(offsets.len());
            members = described.map(|described| described.members.len());
            lag = Some(lag_of(engine, &offsets));
        }
        rows.push(json!({
            "group": &*listed.group, "state": listed.state.name(), "protocol_type": &*listed.protocol_type, "members": members, "lag": lag,
        }));
    }
    let mut answer = part.show("groups", rows);
    answer["total"] = json!(total);
    answer["coordinators"] = coordinators(state, engine);
    Ok(answer)
}

/// Which brokers coordinate groups, by how many of the partitions that keep them; with none named: those without a leader.
fn coordinators(state: &State, engine: &Engine) -> Value {
    let catalog = engine.catalog().view();
    let Some(topic) = catalog.by_name(OFFSETS_TOPIC) else { return json!([]) };
    let mut brokers: BTreeMap<Option<(i32, String, u16)>, usize> = BTreeMap::new();
    for index in 0..topic.partitions {
        let leader = leader(state, engine, PartitionId { topic: topic.id, index });
        *brokers.entry(leader.map(|leader| (leader.id, leader.host, leader.port))).or_default() += 1;
    }
    let own = engine.options().broker.0;
    let show = |(broker, partitions): (&Option<(i32, String, u16)>, &usize)| {
        let broker = broker.as_ref();
        json!({
            "id": broker.map(|(id, ..)| id), "host": broker.map(|(_, host, _)| host), "port": broker.map(|(.., port)| port),
            "here": broker.is_some_and(|(id, ..)| *id == own), "partitions": partitions,
        })
    };
    brokers.iter().map(show).collect()
}

/// The end of what consumers see of a partition, if this broker leads it.
fn end_of(engine: &Engine, topic: &str, partition: i32) -> Option<(i64, i64)> {
    let catalog = engine.catalog().view();
    let id = PartitionId { topic: catalog.by_name(topic)?.id, index: partition };
    engine.partition(id).map(|partition| partition.offsets()).map(|offsets| (offsets.log_start, offsets.committed))
}

fn lag_of(engine: &Engine, offsets: &[GroupOffset]) -> Lag {
    let mut all = Lag { partitions: offsets.len(), ..Lag::default() };
    for offset in offsets {
        match end_of(engine, &offset.topic, offset.partition) {
            Some((_, end)) => all.lag += (end - offset.committed.offset).max(0),
            None => all.unknown += 1,
        }
    }
    all
}

/// What a coordinator's refusal means to who looks.
fn not_now(error: GroupError, group: Option<(&State, &Engine, &str)>) -> Refused {
    match (error, group) {
        (GroupError::NotCoordinator, Some((state, engine, group))) => {
            let leader = state.groups.partition_of(group).and_then(|id| leader(state, engine, id));
            Refused::Elsewhere(format!("group {group:?} is coordinated by another broker"), leader)
        }
        (GroupError::InvalidGroupId, _) => Refused::Question(error.to_string()),
        _ => Refused::Later(error.to_string()),
    }
}

pub(super) async fn one(asked: Asked, uri: Uri) -> Response {
    answered(&asked, Box::pin(async { one_of(&asked, question(&uri)?).await })).await
}

async fn one_of(state: &State, asked: OneQuestion) -> Result<Value, Refused> {
    let window = Window::new(asked.offset, asked.limit)?;
    let engine = engine(state)?;
    let name: Name = asked.group.as_str().into();
    let failed = |error| not_now(error, Some((state, engine, &asked.group)));
    let Some(described) = state.groups.describe(&name).await.map_err(failed)? else {
        return Err(Refused::NotThere(format!("there is no group {:?}", asked.group)));
    };
    let offsets = state.groups.offsets(&name).await.map_err(failed)?;
    let lag = lag_of(engine, &offsets);
    let owners = owners(&described);
    let part = window.of(offsets);
    let rows = part.rows.iter().map(|offset| of_offset(engine, offset, &owners)).collect();
    let mut answer = part.show("rows", rows);
    answer["group"] = json!(asked.group);
    answer["state"] = json!(described.state.name());
    answer["protocol_type"] = json!(&*described.protocol_type);
    answer["protocol"] = json!(&*described.protocol);
    answer["lag"] = json!(lag);
    answer["member_count"] = json!(described.members.len());
    answer["members"] = described.members.iter().take(MEMBERS_SHOWN).map(of_member).collect();
    Ok(answer)
}

/// Which member has which partition.
fn owners(described: &Description) -> BTreeMap<(String, i32), Name> {
    let mut owners = BTreeMap::new();
    for member in &described.members {
        for (topic, partitions) in consumer_assignment(&member.assignment).unwrap_or_default() {
            owners.extend(partitions.into_iter().map(|partition| ((topic.clone(), partition), member.member.clone())));
        }
    }
    owners
}

fn of_offset(engine: &Engine, offset: &GroupOffset, owners: &BTreeMap<(String, i32), Name>) -> Value {
    let known = end_of(engine, &offset.topic, offset.partition);
    let committed = offset.committed.offset;
    json!({
        "topic": &*offset.topic,
        "partition": offset.partition,
        "committed": committed,
        "log_start": known.map(|(start, _)| start),
        "end": known.map(|(_, end)| end),
        "lag": known.map(|(_, end)| (end - committed).max(0)),
        "committed_ms": offset.committed.committed_ms,
        "metadata": &*offset.committed.metadata,
        "member": owners.get(&(offset.topic.to_string(), offset.partition)).map(|member| &**member),
    })
}

fn of_member(member: &DescribedMember) -> Value {
    let assigned = consumer_assignment(&member.assignment).unwrap_or_default();
    let partitions: usize = assigned.iter().map(|(_, partitions)| partitions.len()).sum();
    let named = assigned.iter().flat_map(|(topic, partitions)| partitions.iter().map(move |partition| format!("{topic}-{partition}")));
    json!({
        "member": &*member.member,
        "instance": member.instance.as_deref(),
        "client": &*member.client_id,
        "host": member.client_host.trim_start_matches('/'),
        "partitions": partitions,
        "assigned": named.take(ASSIGNED_SHOWN).collect::<Vec<_>>(),
    })
}
