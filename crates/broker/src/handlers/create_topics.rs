//! CreateTopics: checked here, created by the engine, all topics of a request at once. When a topic is answered it is in
//! the catalog and takes records.
//!
//! Copies are the object store's business: any replication factor is accepted and shown as the live brokers, unless
//! `floe.strict.replication` asks for Kafka's refusal.

use crate::broker::Broker;
use crate::errors::{self, Refusal};
use crate::topic_config::{TOPIC_SETTINGS, check_topic_setting};
use floe_log::{NewTopic, TopicError};
use floe_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use floe_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use floe_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, StrBytes, uuid};
use floe_protocol::{ErrorCode, message};
use floe_types::{TopicId, check_topic_name};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest wait for the catalog, whatever the client asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// Most partitions of one topic: a million by mistake must not cost a broker its memory.
const MAX_PARTITIONS: i32 = 100_000;

/// Replicas that are shown of each partition: its leader. How often a record is kept is its topic's durability.
const SHOWN_REPLICAS: i16 = 1;

pub(super) async fn handle(broker: &Broker, _version: i16, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(MAX_TIMEOUT);
    let doubled = doubled(&request.topics);
    let mut planned = 0;
    let mut checked = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        checked.push(if doubled.contains(&topic.name) {
            Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
        } else {
            check(broker, topic, &mut planned)
        });
    }
    let new: Vec<NewTopic> = checked.iter().flatten().cloned().collect();
    let mut created = if request.validate_only { validate(broker, new) } else { create(broker, new, timeout).await }.into_iter();
    let topics = request.topics.into_iter().zip(checked).map(|(topic, checked)| {
        let unanswered = Err(Refusal::new(ErrorCode::UnknownServerError, "the topic was not answered for"));
        let made = checked.and_then(|new| created.next().unwrap_or(unanswered).map(|id| Made { id, new }));
        match made {
            Ok(made) => show(broker, topic.name, made),
            Err(Refusal { code, message }) => refuse(topic.name, code, message),
        }
    });
    message!(CreateTopicsResponse { topics: topics.collect() })
}

/// Names that the request holds more than once.
fn doubled(topics: &[CreatableTopic]) -> BTreeSet<StrBytes> {
    let mut seen = BTreeSet::new();
    topics.iter().map(|topic| &topic.name).filter(|name| !seen.insert((*name).clone())).cloned().collect()
}

/// A topic that exists now, or that could.
struct Made {
    id: TopicId,
    new: NewTopic,
}

/// Creates all that can be at once. One answer for each, in order.
async fn create(broker: &Broker, new: Vec<NewTopic>, timeout: Duration) -> Vec<Result<TopicId, Refusal>> {
    let (engine, count) = (broker.engine.clone(), new.len());
    let refusal = match broker.run_to_end("create-topics", timeout, async move { engine.create_topics(new).await }).await {
        Some(Ok(created)) => return created.into_iter().map(|topic| topic.map(|topic| topic.id).map_err(|e| refusal(&e))).collect(),
        Some(Err(error)) => refusal(&error),
        None => Refusal::new(ErrorCode::RequestTimedOut, "the topic may be there a moment later"),
    };
    vec![Err(refusal); count]
}

fn validate(broker: &Broker, new: Vec<NewTopic>) -> Vec<Result<TopicId, Refusal>> {
    let answers = broker.engine.validate_topics(new);
    answers.into_iter().map(|answer| answer.map(|()| TopicId::default()).map_err(|e| refusal(&e))).collect()
}

fn refusal(error: &TopicError) -> Refusal {
    let message = match error {
        TopicError::Exists(name) => format!("Topic '{name}' already exists."),
        other => other.to_string(),
    };
    Refusal::new(errors::of_topic(error), message)
}

/// Everything that can be said without the store; `planned` counts the partitions of this request.
fn check(broker: &Broker, topic: &CreatableTopic, planned: &mut i32) -> Result<NewTopic, Refusal> {
    let name = topic.name.to_string();
    check_topic_name(&name).map_err(|e| Refusal::new(ErrorCode::InvalidTopicException, e.to_string()))?;
    let partitions = partitions(broker, topic)?;
    check_replication(broker, topic)?;
    if !broker.has_room_for(planned.saturating_add(partitions)) {
        let message = format!("{partitions} partitions more would exceed floe.max.partitions={}", broker.settings().max_partitions);
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let value = config.value.as_deref();
        check_topic_setting(&config.name, value).map_err(|e| Refusal::new(errors::of_topic_config(&e), e.to_string()))?;
        configs.insert(config.name.to_string(), value.unwrap_or_default().to_owned());
    }
    *planned = planned.saturating_add(partitions);
    Ok(NewTopic { name, partitions, configs })
}

fn partitions(broker: &Broker, topic: &CreatableTopic) -> Result<i32, Refusal> {
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let message = "Both a manual assignment and a number of partitions or a replication factor are given.";
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        return assigned(&broker.node_ids(), &topic.assignments);
    }
    match topic.num_partitions {
        -1 => Ok(broker.settings().num_partitions),
        n @ 1..=MAX_PARTITIONS => Ok(n),
        n if n > MAX_PARTITIONS => {
            Err(Refusal::new(ErrorCode::InvalidPartitions, format!("A topic has at most {MAX_PARTITIONS} partitions.")))
        }
        _ => Err(Refusal::new(ErrorCode::InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")),
    }
}

/// A manual assignment: partitions 0, 1, ..., each on brokers that are there.
fn assigned(live: &[i32], assignments: &[CreatableReplicaAssignment]) -> Result<i32, Refusal> {
    let refuse = |why: &str| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
    let indexes: BTreeSet<i32> = assignments.iter().map(|a| a.partition_index).collect();
    let count = i32::try_from(assignments.len()).unwrap_or(i32::MAX);
    if indexes.len() != assignments.len() || !indexes.iter().copied().eq(0..count) {
        return refuse("Partitions should be a consecutive 0-based integer sequence.");
    }
    if assignments.iter().any(|a| a.broker_ids.is_empty() || a.broker_ids.iter().any(|id| !live.contains(id))) {
        return refuse("The assignment names a broker that is not there, or none.");
    }
    if assignments.iter().any(|a| a.broker_ids.iter().collect::<BTreeSet<_>>().len() < a.broker_ids.len()) {
        return refuse("The assignment names a broker twice.");
    }
    Ok(count)
}

fn check_replication(broker: &Broker, topic: &CreatableTopic) -> Result<(), Refusal> {
    let factor = match topic.replication_factor {
        -1 => broker.settings().default_replication_factor,
        factor => i32::from(factor),
    };
    if factor < 1 {
        return Err(Refusal::new(
            ErrorCode::InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ));
    }
    let live = i32::try_from(broker.node_ids().len()).unwrap_or(i32::MAX);
    if broker.settings().strict_replication && factor > live {
        let message = format!("Unable to replicate the partition {factor} time(s): only {live} broker(s) are registered.");
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    Ok(())
}

fn show(broker: &Broker, name: StrBytes, made: Made) -> CreatableTopicResult {
    let (settings, durability) = (broker.settings(), broker.engine.options().durability);
    let configs = TOPIC_SETTINGS
        .iter()
        .filter_map(|setting| {
            let origin = setting.origins(&made.new.configs, &settings, durability).into_iter().next()?;
            Some(message!(CreatableTopicConfigs {
                name: setting.name.into(),
                value: Some(origin.value.into()),
                config_source: origin.source as i8
            }))
        })
        .collect();
    message!(CreatableTopicResult {
        name,
        topic_id: uuid(made.id),
        num_partitions: made.new.partitions,
        replication_factor: SHOWN_REPLICAS,
        configs: Some(configs),
    })
}

fn refuse(name: StrBytes, code: ErrorCode, why: String) -> CreatableTopicResult {
    message!(CreatableTopicResult {
        name,
        error_code: code.code(),
        error_message: Some(why.into()),
        num_partitions: -1,
        replication_factor: -1_i16,
        configs: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(partition_index: i32, broker_ids: &[i32]) -> CreatableReplicaAssignment {
        message!(CreatableReplicaAssignment { partition_index, broker_ids: broker_ids.to_vec() })
    }

    #[test]
    fn a_manual_assignment_counts_its_partitions_and_names_only_live_brokers() {
        assert_eq!(assigned(&[7], &[assignment(1, &[7]), assignment(0, &[7])]), Ok(2));
        for bad in [
            vec![assignment(0, &[7]), assignment(2, &[7])],
            vec![assignment(0, &[7]), assignment(0, &[7])],
            vec![assignment(0, &[8])],
            vec![assignment(0, &[])],
            vec![assignment(0, &[7, 7])],
        ] {
            assert_eq!(assigned(&[7], &bad).expect_err("refused").code, ErrorCode::InvalidReplicaAssignment);
        }
    }

    #[test]
    fn a_name_given_twice_is_found() {
        let topic = |name: &str| message!(CreatableTopic { name: name.into() });
        assert_eq!(doubled(&[topic("a"), topic("b"), topic("a")]), BTreeSet::from(["a".into()]));
    }
}
