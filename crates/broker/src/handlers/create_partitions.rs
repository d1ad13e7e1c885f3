//! CreatePartitions: more partitions for topics that are there, never fewer. All topics of a request are one change of
//! the catalog; new partitions take records when this answers.

use crate::broker::Broker;
use crate::broker::is_internal;
use crate::errors::{self, Refusal};
use floe_formats::CatalogChange;
use floe_metadata::View;
use floe_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use floe_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use floe_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, StrBytes};
use floe_protocol::{ErrorCode, message};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the catalog, whatever the client asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// Most partitions of one topic.
const MAX_PARTITIONS: i32 = 100_000;

/// What is planned upon besides the catalog.
struct Ground {
    topics: Vec<CreatePartitionsTopic>,
    doubled: BTreeSet<StrBytes>,
    broker: i32,
    /// Of all topics together.
    max_partitions: i64,
}

pub(super) async fn handle(broker: &Broker, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(MAX_TIMEOUT);
    let mut seen = BTreeSet::new();
    let doubled = request.topics.iter().map(|topic| &topic.name).filter(|name| !seen.insert((*name).clone())).cloned().collect();
    let max_partitions = i64::from(broker.settings().max_partitions);
    let ground = Arc::new(Ground { topics: request.topics, doubled, broker: broker.id(), max_partitions });
    let answers = if request.validate_only { ground.plan(&broker.view()).1 } else { create(broker, &ground, timeout).await };
    let results = ground.topics.iter().zip(answers).map(|(topic, answer)| {
        let (code, message) = answer.map_or_else(|refusal| (refusal.code.code(), Some(refusal.message.into())), |()| (0, None));
        message!(CreatePartitionsTopicResult { name: topic.name.clone(), error_code: code, error_message: message })
    });
    message!(CreatePartitionsResponse { results: results.collect() })
}

async fn create(broker: &Broker, ground: &Arc<Ground>, timeout: Duration) -> Vec<Result<(), Refusal>> {
    let (engine, planner) = (broker.engine.clone(), ground.clone());
    let work = async move { engine.change_catalog(|view| planner.plan(view)).await };
    let refusal = match broker.run_to_end("create-partitions", timeout, work).await {
        Some(Ok(answers)) => return answers,
        Some(Err(error)) => Refusal::new(errors::of_topic(&error), error.to_string()),
        None => Refusal::new(ErrorCode::RequestTimedOut, "the partitions may be there a moment later"),
    };
    vec![Err(refusal); ground.topics.len()]
}

impl Ground {
    /// What to change, and the answers if that is done.
    fn plan(&self, view: &View) -> (Vec<CatalogChange>, Vec<Result<(), Refusal>>) {
        let mut there: i64 = view.topics().map(|topic| i64::from(topic.partitions)).sum();
        let mut changes = Vec::new();
        let answers = self.topics.iter().map(|asked| {
            let (change, more) = self.plan_topic(view, asked)?;
            if there + more > self.max_partitions {
                let why = format!("{more} partitions more would exceed floe.max.partitions={}", self.max_partitions);
                return Err(Refusal::new(ErrorCode::InvalidPartitions, why));
            }
            there += more;
            changes.push(change);
            Ok(())
        });
        let answers = answers.collect();
        (changes, answers)
    }

    fn plan_topic(&self, view: &View, asked: &CreatePartitionsTopic) -> Result<(CatalogChange, i64), Refusal> {
        if self.doubled.contains(&asked.name) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."));
        }
        let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("The topic '{}' does not exist.", asked.name.as_str()));
        let topic = view.by_name(&asked.name).ok_or_else(unknown)?;
        let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidPartitions, why));
        if is_internal(&topic.name) {
            return refuse(format!("The partitions of {} say who coordinates which group: their number is fixed.", topic.name));
        }
        match asked.count {
            count if count == topic.partitions => return refuse(format!("Topic already has {count} partition(s).")),
            count if count < topic.partitions => {
                let (name, now) = (&topic.name, topic.partitions);
                return refuse(format!("The topic {name} currently has {now} partition(s); {count} would not be an increase."));
            }
            count if count > MAX_PARTITIONS => return refuse(format!("A topic has at most {MAX_PARTITIONS} partitions.")),
            _ => {}
        }
        let more = asked.count - topic.partitions;
        self.check_assignments(asked, more)?;
        Ok((CatalogChange::SetPartitions { id: topic.id, count: asked.count }, i64::from(more)))
    }

    /// Where the client says which brokers, these must be one for each partition, and there.
    fn check_assignments(&self, asked: &CreatePartitionsTopic, more: i32) -> Result<(), Refusal> {
        let Some(assignments) = &asked.assignments else { return Ok(()) };
        let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
        if i32::try_from(assignments.len()) != Ok(more) {
            let given = assignments.len();
            return refuse(format!("Attempted to add {more} additional partition(s), but only {given} assignment(s) were specified."));
        }
        match assignments.iter().find(|assignment| assignment.broker_ids != [self.broker]) {
            None => Ok(()),
            Some(other) => refuse(format!("Every partition is on broker {}, not on {:?}.", self.broker, other.broker_ids)),
        }
    }
}
