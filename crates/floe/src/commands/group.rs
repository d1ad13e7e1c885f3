//! `floe group`: list, describe, reset, delete.

mod offsets;
mod reset;

use super::Broker;
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, check};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_protocol::message;
use floe_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, consumer_assignment, describe_groups_response::DescribedGroup,
    describe_groups_response::DescribedGroupMember,
};
pub(super) use offsets::{commit, committed};
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all groups
    List {
        /// Only groups in these states, separated by commas, such as Stable,Empty
        #[arg(long, value_name = "STATE,...", value_delimiter = ',')]
        state: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show the members of groups, their offsets, and how far they lag behind
    Describe {
        #[arg(required = true)]
        groups: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Set the offsets of a group that has no members
    Reset(reset::Arguments),
    /// Delete groups that have no members, with their offsets
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Clone, Args)]
struct Common {
    #[command(flatten)]
    broker: Broker,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    match arguments.action {
        Action::List { state, common } => list(&mut Kafka::connect(&env, &common.broker).await?, &state, common.json).await,
        Action::Describe { groups, common } => describe(&mut Kafka::connect(&env, &common.broker).await?, &groups, common.json).await,
        Action::Reset(arguments) => reset::run(&env, arguments).await,
        Action::Delete { groups, common } => delete(&mut Kafka::connect(&env, &common.broker).await?, &groups, common.json).await,
    }
}

/// Groups are listed by the broker that coordinates them: all brokers are asked.
async fn list(kafka: &mut Kafka, states: &[String], as_json: bool) -> Result<Exit, Failure> {
    let mut groups = Vec::new();
    for address in kafka.brokers().await? {
        // Before version 4 a broker tells no states.
        let states_filter: Vec<_> = states.iter().map(|state| state.as_str().into()).collect();
        let answer =
            kafka.ask_at(
                &address,
                |version| if version < 4 { ListGroupsRequest::default() } else { message!(ListGroupsRequest { states_filter }) },
            );
        let answer = answer.await?;
        check("groups", answer.error_code, None)?;
        groups.extend(answer.groups.iter().map(|g| (g.group_id.to_string(), g.group_state.to_string(), g.protocol_type.to_string())));
    }
    groups.sort();
    if as_json {
        let rows: Vec<_> = groups.iter().map(|(id, state, kind)| json!({ "group": id, "state": state, "protocol_type": kind })).collect();
        output::json(&rows.into())?;
    } else if groups.is_empty() {
        output::print("no groups")?;
    } else {
        let rows = groups.into_iter().map(|(id, state, kind)| vec![id, state, kind]);
        output::print(&output::table(&["group", "state", "protocol type"], rows))?;
    }
    Ok(Exit::Ok)
}

/// One partition as a group sees it.
struct Line {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    /// By its id, with where it is.
    member: Option<(String, String)>,
}

impl Line {
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

async fn describe(kafka: &mut Kafka, groups: &[String], as_json: bool) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    for id in groups {
        let group = describe_one(kafka, id).await?;
        let lines = lines(kafka, id, &group).await?;
        if as_json {
            all.push(to_json(id, &group, &lines));
            continue;
        }
        let protocol = match (group.protocol_type.as_str(), group.protocol_data.as_str()) {
            ("", _) => "no members so far".to_owned(),
            (kind, "") => kind.to_owned(),
            (kind, name) => format!("{kind}, {name}"),
        };
        let total: i64 = lines.iter().filter_map(Line::lag).sum();
        output::print(&format!("{id}: {}, {protocol}, {} members, lag {total}", group.group_state.as_str(), group.members.len()))?;
        let shown = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let rows = lines.iter().map(|line| {
            let (member, place) = line.member.clone().unwrap_or_else(|| ("-".into(), String::new()));
            let numbers = [shown(line.committed), shown(line.end), shown(line.lag())];
            [line.topic.clone(), line.partition.to_string()].into_iter().chain(numbers).chain([member, place]).collect()
        });
        output::print(&output::table(&["topic", "partition", "committed", "end", "lag", "member", "client"], rows))?;
        let idle = |member: &&DescribedGroupMember| {
            !lines.iter().any(|line| line.member.as_ref().is_some_and(|(id, _)| **id == *member.member_id))
        };
        for member in group.members.iter().filter(idle) {
            output::print(&format!("without partitions: {}  {}", member.member_id.as_str(), place(member)))?;
        }
    }
    if as_json {
        output::json(&all.into())?;
    }
    Ok(Exit::Ok)
}

/// What a client calls itself, and where it is.
fn place(member: &DescribedGroupMember) -> String {
    format!("{}@{}", member.client_id.as_str(), member.client_host.trim_start_matches('/'))
}

async fn describe_one(kafka: &mut Kafka, id: &str) -> Result<DescribedGroup, Failure> {
    let address = kafka.coordinator(id).await?;
    let request = message!(DescribeGroupsRequest { groups: vec![id.into()] });
    let answer = kafka.ask_at(&address, |_| request).await?;
    let group = answer.groups.into_iter().next().ok_or_else(|| Failure::error(format!("group {id}: the broker does not speak of it")))?;
    check(&format!("group {id}"), group.error_code, group.error_message.as_deref())?;
    if group.group_state.as_str() == "Dead" {
        return Err(Failure::error(format!("group {id}: there is no such group")));
    }
    Ok(group)
}

/// Every partition that the group has committed for or a member has, with its end.
async fn lines(kafka: &mut Kafka, id: &str, group: &DescribedGroup) -> Result<Vec<Line>, Failure> {
    let committed = committed(kafka, id).await?;
    let mut members = BTreeMap::new();
    for member in &group.members {
        for (topic, partitions) in consumer_assignment(&member.member_assignment).unwrap_or_default() {
            for partition in partitions {
                members.insert((topic.clone(), partition), (member.member_id.to_string(), place(member)));
            }
        }
    }
    let mut lines = Vec::new();
    let mut ends: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    let all: std::collections::BTreeSet<_> = committed.keys().chain(members.keys()).cloned().collect();
    for (topic, partition) in all {
        if !ends.contains_key(&topic) {
            ends.insert(topic.clone(), offsets::ends(kafka, &topic).await?);
        }
        let at = (topic.clone(), partition);
        let end = ends.get(&topic).and_then(|ends| ends.get(&partition)).copied();
        lines.push(Line { committed: committed.get(&at).copied(), member: members.get(&at).cloned(), end, topic, partition });
    }
    Ok(lines)
}

fn to_json(id: &str, group: &DescribedGroup, lines: &[Line]) -> serde_json::Value {
    let partition = |line: &Line| {
        json!({
            "topic": line.topic, "partition": line.partition, "committed": line.committed, "end": line.end, "lag": line.lag(),
            "member": line.member.as_ref().map(|(id, _)| id),
        })
    };
    let member = |member: &DescribedGroupMember| {
        json!({
            "member": member.member_id.as_str(), "instance": member.group_instance_id.as_deref(),
            "client": member.client_id.as_str(), "host": member.client_host.as_str(),
        })
    };
    json!({
        "group": id, "state": group.group_state.as_str(), "protocol_type": group.protocol_type.as_str(),
        "protocol": group.protocol_data.as_str(), "lag": lines.iter().filter_map(Line::lag).sum::<i64>(),
        "partitions": lines.iter().map(partition).collect::<Vec<_>>(), "members": group.members.iter().map(member).collect::<Vec<_>>(),
    })
}

async fn delete(kafka: &mut Kafka, groups: &[String], as_json: bool) -> Result<Exit, Failure> {
    for id in groups {
        let address = kafka.coordinator(id).await?;
        let request = message!(DeleteGroupsRequest { groups_names: vec![id.as_str().into()] });
        let answer = kafka.ask_at(&address, |_| request).await?;
        for result in &answer.results {
            check(&format!("group {id}"), result.error_code, None)?;
        }
        if !as_json {
            output::print(&format!("deleted {id}"))?;
        }
    }
    if as_json {
        output::json(&json!({ "deleted": groups }))?;
    }
    Ok(Exit::Ok)
}
