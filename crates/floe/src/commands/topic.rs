//! `floe topic`: create, list, describe, alter, delete.

mod alter;

use super::Broker;
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, TopicInfo, check};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_protocol::message;
use floe_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, ListOffsetsRequest, Uuid,
    create_topics_request::{CreatableTopic, CreatableTopicConfig},
    delete_topics_request::DeleteTopicState,
    describe_configs_request::DescribeConfigsResource,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};
use serde_json::json;
use std::collections::BTreeMap;

/// Time stamps that mean an end of the log (KIP-79).
pub(super) const LATEST: i64 = -1;
pub(super) const EARLIEST: i64 = -2;

/// Kafka's number of a topic among the kinds of resource.
const TOPIC: i8 = 2;
/// Kafka's number of "set on the topic itself" among the sources of a setting.
const OF_TOPIC: i8 = 1;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a topic
    Create {
        name: String,
        /// Number of partitions [default: the broker's num.partitions]
        #[arg(long, short, value_name = "N", default_value_t = -1, hide_default_value = true)]
        partitions: i32,
        /// Replication factor; Floe's copies are made by the object store [default: the broker's]
        #[arg(long, value_name = "N", default_value_t = -1, hide_default_value = true)]
        replication_factor: i16,
        /// A setting of the topic, such as floe.durability=object
        #[arg(long, short, value_name = "KEY=VALUE")]
        config: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// List all topics
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show the partitions, offsets and settings of topics
    Describe {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Change settings of a topic, or its number of partitions
    Alter {
        #[command(flatten)]
        changes: alter::Changes,
        #[command(flatten)]
        common: Common,
    },
    /// Delete topics with all their records
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
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
        Action::Create { name, partitions, replication_factor, config, common } => {
            let (name, configs) = (name.as_str().into(), settings(&config)?);
            let topic = message!(CreatableTopic { name: name, num_partitions: partitions, replication_factor, configs });
            create(&mut Kafka::connect(&env, &common.broker).await?, topic, &common).await
        }
        Action::List { common } => list(&mut Kafka::connect(&env, &common.broker).await?, common.json).await,
        Action::Describe { names, common } => describe(&mut Kafka::connect(&env, &common.broker).await?, &names, common.json).await,
        Action::Alter { changes, common } => alter::run(&mut Kafka::connect(&env, &common.broker).await?, &changes, &common).await,
        Action::Delete { names, common } => delete(&mut Kafka::connect(&env, &common.broker).await?, &names, &common).await,
    }
}

fn settings(given: &[String]) -> Result<Vec<CreatableTopicConfig>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok(message!(CreatableTopicConfig { name: key.into(), value: Some(value.into()) })),
        None => Err(Failure::new(Exit::Refused, format!("--config {text}: is not KEY=VALUE"))),
    };
    given.iter().map(split).collect()
}

fn millis(common: &Common) -> i32 {
    i32::try_from(common.broker.timeout.0).unwrap_or(i32::MAX)
}

async fn create(kafka: &mut Kafka, topic: CreatableTopic, common: &Common) -> Result<Exit, Failure> {
    let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: millis(common) });
    let answer = kafka.ask(|_| request).await?;
    for topic in &answer.topics {
        check(&format!("topic {}", topic.name.as_str()), topic.error_code, topic.error_message.as_deref())?;
        let (name, id) = (topic.name.as_str(), show(topic.topic_id));
        if common.json {
            output::json(&json!({ "name": name, "id": id, "partitions": topic.num_partitions }))?;
        } else {
            output::print(&format!("created {name} with {} partitions, id {id}", topic.num_partitions))?;
        }
    }
    Ok(Exit::Ok)
}

fn show(id: Uuid) -> String {
    floe_protocol::messages::topic_id(id).map(|id| id.to_string()).unwrap_or_default()
}

async fn list(kafka: &mut Kafka, as_json: bool) -> Result<Exit, Failure> {
    let mut topics = kafka.topics(None, false).await?;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    if as_json {
        let rows: Vec<_> = topics.iter().map(|t| json!({ "name": t.name, "id": show(t.id), "partitions": t.partitions.len() })).collect();
        output::json(&rows.into())?;
    } else if topics.is_empty() {
        output::print("no topics")?;
    } else {
        let rows = topics.iter().map(|t| vec![t.name.clone(), t.partitions.len().to_string(), show(t.id)]);
        output::print(&output::table(&["topic", "partitions", "id"], rows))?;
    }
    Ok(Exit::Ok)
}

async fn delete(kafka: &mut Kafka, names: &[String], common: &Common) -> Result<Exit, Failure> {
    let timeout_ms = millis(common);
    let states = names.iter().map(|name| message!(DeleteTopicState { name: Some(name.as_str().into()) })).collect::<Vec<_>>();
    let plain = names.iter().map(|name| name.as_str().into()).collect::<Vec<_>>();
    // By name alone up to version 5, by name or id from then on.
    let make = |version| match version {
        ..=5 => message!(DeleteTopicsRequest { topic_names: plain, timeout_ms }),
        _ => message!(DeleteTopicsRequest { topics: states, timeout_ms }),
    };
    let answer = kafka.ask(make).await?;
    for topic in &answer.responses {
        let name = topic.name.as_deref().unwrap_or_default();
        check(&format!("topic {name}"), topic.error_code, topic.error_message.as_deref())?;
        if !common.json {
            output::print(&format!("deleted {name}"))?;
        }
    }
    if common.json {
        output::json(&json!({ "deleted": names }))?;
    }
    Ok(Exit::Ok)
}

async fn describe(kafka: &mut Kafka, names: &[String], as_json: bool) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    for topic in kafka.topics(Some(names), false).await? {
        let starts = offsets(kafka, &topic, EARLIEST).await?;
        let ends = offsets(kafka, &topic, LATEST).await?;
        let configs = configs(kafka, &topic.name).await?;
        if as_json {
            all.push(to_json(&topic, &starts, &ends, &configs));
            continue;
        }
        let own: Vec<String> = configs.iter().filter(|c| c.own).map(|c| format!("{}={}", c.name, c.value)).collect();
        let own = if own.is_empty() { "no settings of its own".to_owned() } else { own.join(" ") };
        output::print(&format!("{}: id {}, {own}", topic.name, show(topic.id)))?;
        let rows = topic.partitions.iter().map(|(index, p)| {
            let offset = |of: &BTreeMap<i32, i64>| of.get(index).map_or_else(String::new, ToString::to_string);
            let brokers = |of: &[i32]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let (leader, epoch) = (p.leader.to_string(), p.leader_epoch.to_string());
            vec![index.to_string(), leader, epoch, brokers(&p.replicas), brokers(&p.in_sync), offset(&starts), offset(&ends)]
        });
        output::print(&output::table(&["partition", "leader", "epoch", "replicas", "in sync", "start", "end"], rows))?;
    }
    if as_json {
        output::json(&all.into())?;
    }
    Ok(Exit::Ok)
}

fn to_json(topic: &TopicInfo, starts: &BTreeMap<i32, i64>, ends: &BTreeMap<i32, i64>, configs: &[Config]) -> serde_json::Value {
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|(index, p)| {
            json!({
                "partition": index, "leader": p.leader, "leader_epoch": p.leader_epoch, "replicas": p.replicas,
                "in_sync": p.in_sync, "start": starts.get(index), "end": ends.get(index),
            })
        })
        .collect();
    let configs: serde_json::Map<_, _> = configs.iter().map(|c| (c.name.clone(), c.value.clone().into())).collect();
    json!({ "name": topic.name, "id": show(topic.id), "partitions": partitions, "configs": configs })
}

/// The offset that each partition has for a time stamp (or one of the special ones).
pub(super) async fn offsets(kafka: &mut Kafka, topic: &TopicInfo, timestamp: i64) -> Result<BTreeMap<i32, i64>, Failure> {
    let mut by_leader: BTreeMap<String, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for index in topic.partitions.keys() {
        let partition = message!(ListOffsetsPartition { partition_index: *index, current_leader_epoch: -1, timestamp });
        by_leader.entry(topic.leader(*index)?).or_default().push(partition);
    }
    let mut offsets = BTreeMap::new();
    for (address, partitions) in by_leader {
        let asked = message!(ListOffsetsTopic { name: topic.name.as_str().into(), partitions });
        let request = message!(ListOffsetsRequest { replica_id: -1, topics: vec![asked] });
        let answer = kafka.ask_at(&address, |_| request).await?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            check(&format!("offsets of partition {}", partition.partition_index), partition.error_code, None)?;
            offsets.insert(partition.partition_index, partition.offset);
        }
    }
    Ok(offsets)
}

struct Config {
    name: String,
    value: String,
    own: bool,
}

async fn configs(kafka: &mut Kafka, topic: &str) -> Result<Vec<Config>, Failure> {
    let resource = message!(DescribeConfigsResource { resource_type: TOPIC, resource_name: topic.into() });
    let request = message!(DescribeConfigsRequest { resources: vec![resource] });
    let answer = kafka.ask(|_| request).await?;
    let mut configs = Vec::new();
    for result in &answer.results {
        check(&format!("settings of {topic}"), result.error_code, result.error_message.as_deref())?;
        configs.extend(result.configs.iter().map(|config| Config {
            name: config.name.to_string(),
            value: config.value.as_ref().map(ToString::to_string).unwrap_or_default(),
            own: config.config_source == OF_TOPIC,
        }));
    }
    Ok(configs)
}
