//! Produce: appends in the order of arrival, answers when everything is committed.
//!
//! [`start`] checks and appends; it waits only where a topic's settings ask for work on the records themselves.
//! [`Started::finish`] awaits the commits and makes the answer. Between the two the next request of the connection is
//! appended: a partition sees batches in the order in which they came, which idempotent producers rely on.
//!
//! acks=1 is answered as acks=all is. acks=0 gets no answer, and a closed connection if something was refused.

mod prepare;

use crate::broker::{Broker, find_topic, is_internal};
use crate::errors::{self, NO_TRANSACTIONS, Refusal};
use crate::peer::Peer;
use crate::topic_config::TopicSettings;
use floe_formats::Topic;
use floe_log::{AppendError, Appended, Partition};
use floe_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use floe_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use floe_protocol::messages::{ProduceRequest, ProduceResponse, StrBytes, Uuid, topic_id};
use floe_protocol::{Api, ErrorCode, message};
use floe_types::PartitionId;
use prepare::{Prepared, Refused};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a commit, whatever the client asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// First version whose answer names leaders.
const NAMES_LEADERS: i16 = 10;

/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;

/// A produce request whose batches are appended or refused.
#[derive(Debug)]
pub(crate) struct Started {
    acks: i16,
    /// On the monotonic clock.
    deadline: Duration,
    topics: Vec<StartedTopic>,
}

#[derive(Debug)]
struct StartedTopic {
    name: StrBytes,
    id: Uuid,
    partitions: Vec<StartedPartition>,
}

#[derive(Debug)]
struct StartedPartition {
    index: i32,
    outcome: Result<Waiting, Refused>,
}

/// An appended batch whose commit is awaited.
#[derive(Debug)]
struct Waiting {
    partition: Arc<Partition>,
    appended: Appended,
    log_append_time: i64,
    committed: Option<Result<(), AppendError>>,
}

/// Checks and appends every batch of the request.
pub(crate) async fn start(broker: &Broker, version: i16, request: ProduceRequest) -> Started {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(MAX_TIMEOUT);
    let deadline = broker.env.monotonic() + timeout;
    let refusal = refuse_all(&request);
    let view = broker.view();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = match &refusal {
            Some(refusal) => Err(refusal.clone()),
            None => find_topic(&view, &data.name, data.topic_id, version >= TOPIC_IDS)
                .map_err(|code| Refusal::new(code, "This server does not host this topic-partition."))
                .and_then(refuse_internal),
        };
        topics.push(start_topic(broker, version, topic, data).await);
    }
    Started { acks: request.acks, deadline, topics }
}

/// What refuses the request as a whole; said for each partition, since the answer has no other place.
fn refuse_all(request: &ProduceRequest) -> Option<Refusal> {
    if !matches!(request.acks, -1..=1) {
        let message = format!("acks={} is not one of -1, 0, 1", request.acks);
        return Some(Refusal::new(ErrorCode::InvalidRequiredAcks, message));
    }
    request.transactional_id.as_ref().map(|_| Refusal::new(ErrorCode::TransactionalIdAuthorizationFailed, NO_TRANSACTIONS))
}

/// Internal topics are written by the broker alone: what it remembers of them is what it wrote.
fn refuse_internal(topic: Arc<Topic>) -> Result<Arc<Topic>, Refusal> {
    if is_internal(&topic.name) {
        return Err(Refusal::new(ErrorCode::InvalidTopicException, format!("{} is written by the broker alone", topic.name)));
    }
    Ok(topic)
}

async fn start_topic(broker: &Broker, version: i16, topic: Result<Arc<Topic>, Refusal>, data: TopicProduceData) -> StartedTopic {
    let settings = topic.as_ref().ok().map(|topic| TopicSettings::of(&topic.configs, &broker.settings()));
    let mut partitions = Vec::with_capacity(data.partition_data.len());
    for partition in data.partition_data {
        let index = partition.index;
        let outcome = match (&topic, &settings) {
            (Ok(topic), Some(settings)) => append(broker, version, topic, settings, partition).await,
            (Err(refusal), _) => Err(refusal.clone().into()),
            (Ok(_), None) => Err(Refusal::new(ErrorCode::UnknownServerError, "topic without settings").into()),
        };
        partitions.push(StartedPartition { index, outcome });
    }
    // A copy: what is a part of the request would keep all of it in memory until its records are committed.
    StartedTopic { name: StrBytes::from(data.name.to_string()), id: data.topic_id, partitions }
}

async fn append(
    broker: &Broker,
    version: i16,
    topic: &Topic,
    settings: &TopicSettings,
    data: PartitionProduceData,
) -> Result<Waiting, Refused> {
    let partition = broker.partition(topic, data.index).map_err(|code| Refusal::new(code, code.name()))?;
    let Some(records) = data.records else {
        return Err(Refusal::new(ErrorCode::InvalidRecord, "a partition without records").into());
    };
    let Prepared { batch, header, log_append_time } = prepare::prepare(broker, settings, version, records).await?;
    let appended = broker.append(&partition, &batch, &header).await.map_err(|e| Refusal::new(errors::of_append(&e), e.to_string()))?;
    // A repeat is answered with the time that its original got.
    let log_append_time = if log_append_time < 0 { log_append_time } else { appended.max_timestamp };
    Ok(Waiting { partition, appended, log_append_time, committed: None })
}

impl Started {
    /// Whether the client wants no answer at all.
    pub(crate) fn is_unacknowledged(&self) -> bool {
        self.acks == 0
    }

    /// Why something was refused, if anything was.
    pub(crate) fn failure(&self) -> Option<String> {
        let refused = self.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)));
        refused.into_iter().find_map(|(topic, partition)| {
            let refusal = &partition.outcome.as_ref().err()?.refusal;
            Some(format!("{}-{}: {}: {}", topic.name, partition.index, refusal.code, refusal.message))
        })
    }

    /// Waits for all commits, at most until the request's timeout, and makes the answer.
    pub(crate) async fn finish(mut self, broker: &Broker, version: i16, peer: &Peer) -> ProduceResponse {
        let remaining = self.deadline.saturating_sub(broker.env.monotonic());
        if broker.env.timeout(remaining, commits(&mut self.topics)).await.is_err() {
            tracing::debug!(api = %Api::Produce, "a commit took longer than the client waits");
        }
        let mut responses: Vec<_> = self.topics.into_iter().map(StartedTopic::into_response).collect();
        let node_endpoints = if version >= NAMES_LEADERS { name_leaders(broker, peer, &mut responses) } else { Vec::new() };
        message!(ProduceResponse { responses, node_endpoints })
    }
}

/// Says of each partition that is led elsewhere who leads it, and where those are (KIP-951).
fn name_leaders(broker: &Broker, peer: &Peer, responses: &mut [TopicProduceResponse]) -> Vec<NodeEndpoint> {
    let view = broker.view();
    let mut named = BTreeSet::new();
    for topic in responses {
        let id = topic_id(topic.topic_id).or_else(|| view.by_name(&topic.name).map(|topic| topic.id));
        let Some(id) = id else { continue };
        let elsewhere = |partition: &&mut PartitionProduceResponse| partition.error_code == ErrorCode::NotLeaderOrFollower.code();
        for partition in topic.partition_responses.iter_mut().filter(elsewhere) {
            let leader = broker.leader(PartitionId { topic: id, index: partition.index });
            // While it is given away nobody knows yet to whom.
            if let Some(leader) = leader.filter(|leader| leader.id != broker.id()) {
                partition.current_leader = message!(LeaderIdAndEpoch { leader_id: leader.id, leader_epoch: leader.epoch });
                named.insert(leader.id);
            }
        }
    }
    let endpoint = |id| {
        let node = broker.endpoint_of(peer, id)?;
        Some(message!(NodeEndpoint { node_id: node.node_id, host: node.host, port: node.port, rack: node.rack }))
    };
    named.into_iter().filter_map(endpoint).collect()
}

/// Waits for all commits; what was learned before it is cancelled stays.
async fn commits(topics: &mut [StartedTopic]) {
    for topic in topics {
        for partition in &mut topic.partitions {
            if let Ok(waiting) = &mut partition.outcome {
                waiting.committed = Some(waiting.partition.committed(waiting.appended.end_offset).await);
            }
        }
    }
}

impl StartedTopic {
    fn into_response(self) -> TopicProduceResponse {
        let partition_responses = self.partitions.into_iter().map(StartedPartition::into_response).collect();
        message!(TopicProduceResponse { name: self.name, topic_id: self.id, partition_responses })
    }
}

impl StartedPartition {
    fn into_response(self) -> PartitionProduceResponse {
        let index = self.index;
        let refused = match self.outcome {
            Err(refused) => refused,
            Ok(Waiting { committed: Some(Ok(())), appended, log_append_time, .. }) => {
                return message!(PartitionProduceResponse {
                    index,
                    base_offset: appended.base_offset,
                    log_append_time_ms: log_append_time,
                    log_start_offset: appended.log_start,
                });
            }
            Ok(Waiting { committed: Some(Err(e)), .. }) => Refusal::new(errors::of_commit(&e), e.to_string()).into(),
            Ok(Waiting { committed: None, .. }) => {
                Refusal::new(ErrorCode::RequestTimedOut, "appended, but not committed within the request's timeout").into()
            }
        };
        let Refused { refusal, records } = refused;
        let record_errors = records
            .into_iter()
            .map(|(batch_index, message)| {
                message!(BatchIndexAndErrorMessage { batch_index, batch_index_error_message: Some(message.into()) })
            })
            .collect();
        message!(PartitionProduceResponse {
            index,
            error_code: refusal.code.code(),
            base_offset: -1,
            error_message: Some(refusal.message.into()),
            record_errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, batch, create_topic, produce_request};
    use bytes::Bytes;
    use floe_log::Durability;
    use floe_protocol::client::encode_request;
    use floe_protocol::frame::decode_header;
    use floe_protocol::{Request, decode_request};

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_commit_keeps_nothing_of_its_request() {
        let world = World::new(1);
        let broker = world.broker().await;
        for durability in [Durability::Local, Durability::Object] {
            let name = durability.to_string();
            create_topic(&broker, &name, 1, durability).await;
            let request = produce_request(&name, &batch(&broker.env, 1_000), 1_000);
            let sent = encode_request(&request, 9, 1, Some("client")).unwrap().to_bytes();
            drop(request);
            let frame = Bytes::copy_from_slice(&sent[4..]);
            let (header, body) = decode_header(frame.clone()).unwrap();
            let Request::Produce(request) = decode_request(&header, body).unwrap() else { panic!("another request") };
            drop(header);
            let started = start(&broker, 9, request).await;
            assert_eq!(started.failure(), None);
            assert!(frame.is_unique(), "{name}: something holds on to the request");
            drop(started);
        }
    }
}
