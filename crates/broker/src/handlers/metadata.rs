//! Metadata: brokers, topics, leaders. Creates a topic that is asked for and not there, where broker and client agree.
//!
//! A topic that is created here is in the catalog and takes records before the answer leaves, so the answer is the
//! topic, not "try again".

mod kept;

pub(crate) use kept::KeptAnswers;

use super::{Handled, Reply, encode};
use crate::broker::{Broker, is_internal};
use crate::errors;
use crate::nodes::Leader;
use crate::peer::Peer;
use floe_formats::Topic;
use floe_log::{NewTopic, TopicError};
use floe_metadata::View;
use floe_protocol::messages::metadata_request::MetadataRequestTopic;
use floe_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use floe_protocol::messages::{MetadataRequest, MetadataResponse, StrBytes, Uuid, topic_id, uuid};
use floe_protocol::{ErrorCode, RequestHeader, message};
use floe_types::{PartitionId, check_topic_name};
use kept::{Asked, At};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything Kafka knows of on a topic and on a cluster, as bits of `AclOperation`: nobody is refused anything yet.
pub(super) const TOPIC_OPERATIONS: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
pub(super) const CLUSTER_OPERATIONS: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);

/// Topics that one request may create; a client asks again for the rest.
const MAX_CREATED: usize = 32;

/// Longest wait for one of them.
const CREATE_TIMEOUT: Duration = Duration::from_secs(15);

/// First versions with: no topics meaning none, the client's word on creation, and topics by id.
const EMPTY_IS_NONE: i16 = 1;
const CREATION_FLAG: i16 = 4;
const TOPIC_IDS: i16 = 12;

pub(super) const fn bits(mut operations: &[i32]) -> i32 {
    let mut bits = 0;
    while let [first, rest @ ..] = operations {
        bits |= 1 << *first;
        operations = rest;
    }
    bits
}

pub(super) async fn handle(broker: &Broker, header: &RequestHeader, peer: &Peer, request: MetadataRequest) -> Handled {
    broker.engine.leaders_are_known().await;
    let version = header.version;
    let asked = Asked::new(version, peer, request.include_topic_authorized_operations, request.include_cluster_authorized_operations);
    match request.topics {
        Some(topics) if !topics.is_empty() || version >= EMPTY_IS_NONE => {
            let create = broker.settings().auto_create_topics && (version < CREATION_FLAG || request.allow_auto_topic_creation);
            let topics = named(broker, version, topics, create).await;
            respond(broker, peer, &asked, topics).into()
        }
        _ => all(broker, header, peer, asked),
    }
}

/// From what is kept, if nothing has changed since.
fn all(broker: &Broker, header: &RequestHeader, peer: &Peer, asked: Asked) -> Handled {
    let at = At::now(broker);
    if let Some(frame) = broker.kept_metadata.get(at, &asked, header.correlation_id) {
        return Handled { reply: Reply::Encoded(Ok(frame)), held: Vec::new() };
    }
    let topics = broker.view().topics().map(|topic| describe(broker, topic)).collect();
    let encoded = encode(&broker.metrics, header, respond(broker, peer, &asked, topics).into());
    if let Ok(frame) = &encoded {
        broker.kept_metadata.keep(at, asked, frame.clone());
    }
    Handled { reply: Reply::Encoded(encoded), held: Vec::new() }
}

fn respond(broker: &Broker, peer: &Peer, asked: &Asked, mut topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    if asked.topic_operations {
        topics.iter_mut().filter(|topic| topic.error_code == 0).for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
    }
    let brokers = broker
        .endpoints(peer)
        .into_iter()
        .map(|node| message!(MetadataResponseBroker { node_id: node.node_id, host: node.host, port: node.port, rack: node.rack }));
    let operations = if asked.cluster_operations { CLUSTER_OPERATIONS } else { i32::MIN };
    message!(MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(broker.cluster()),
        controller_id: broker.controller(),
        topics,
        cluster_authorized_operations: operations,
    })
}

async fn named(broker: &Broker, version: i16, asked: Vec<MetadataRequestTopic>, create: bool) -> Vec<MetadataResponseTopic> {
    let by_id = asked.iter().any(|topic| !topic.topic_id.is_zero() || topic.name.is_none());
    let mut view = broker.view();
    let mut left = MAX_CREATED;
    let mut topics = Vec::with_capacity(asked.len());
    for asked in asked {
        let found = if by_id && version < TOPIC_IDS { Err(ErrorCode::InvalidRequest) } else { find(&view, &asked) };
        let found = match (found, &asked.name) {
            (Err(ErrorCode::UnknownTopicOrPartition), Some(name)) if create && left > 0 => {
                left -= 1;
                let created = create_topic(broker, name).await;
                view = broker.view();
                created.and_then(|()| find(&view, &asked))
            }
            (found, _) => found,
        };
        topics.push(match found {
            Ok(topic) => describe(broker, &topic),
            Err(code) => refuse(code, asked.name, asked.topic_id),
        });
    }
    topics
}

fn find(view: &View, asked: &MetadataRequestTopic) -> Result<Arc<Topic>, ErrorCode> {
    if let Some(id) = topic_id(asked.topic_id) {
        return view.by_id(id).cloned().ok_or(ErrorCode::UnknownTopicId);
    }
    let name = asked.name.as_deref().ok_or(ErrorCode::InvalidRequest)?;
    match view.by_name(name) {
        Some(topic) => Ok(topic.clone()),
        None if check_topic_name(name).is_err() => Err(ErrorCode::InvalidTopicException),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

/// Creates the topic with the broker's defaults. That somebody else was faster is as good.
async fn create_topic(broker: &Broker, name: &str) -> Result<(), ErrorCode> {
    let partitions = broker.settings().num_partitions;
    if !broker.has_room_for(partitions) {
        tracing::warn!(topic = name, "not created: floe.max.partitions is reached");
        return Err(ErrorCode::InvalidPartitions);
    }
    let new = NewTopic { name: name.to_owned(), partitions, configs: BTreeMap::new() };
    let engine = broker.engine.clone();
    match broker.run_to_end("create-topic", CREATE_TIMEOUT, async move { engine.create_topic(new).await }).await {
        Some(Ok(_) | Err(TopicError::Exists(_))) => Ok(()),
        Some(Err(error)) => {
            tracing::warn!(topic = name, %error, "the topic that a client asked for could not be created");
            match errors::of_topic(&error) {
                // The client is not asked for its controller here: it asks again.
                ErrorCode::NotController | ErrorCode::RequestTimedOut => Err(ErrorCode::LeaderNotAvailable),
                code => Err(code),
            }
        }
        None => Err(ErrorCode::LeaderNotAvailable),
    }
}

fn describe(broker: &Broker, topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions).map(|index| describe_partition(broker, PartitionId { topic: topic.id, index })).collect();
    message!(MetadataResponseTopic {
        name: Some(topic.name.as_str().into()),
        topic_id: uuid(topic.id),
        is_internal: is_internal(&topic.name),
        partitions,
    })
}

pub(super) fn describe_partition(broker: &Broker, id: PartitionId) -> MetadataResponsePartition {
    match broker.leader(id) {
        Some(Leader { id: leader, epoch }) => message!(MetadataResponsePartition {
            partition_index: id.index,
            leader_id: leader,
            leader_epoch: epoch,
            replica_nodes: vec![leader],
            isr_nodes: vec![leader],
        }),
        None => {
            let owner = broker.engine.cluster_view().and_then(|view| Some(view.incarnations().get(&view.owner(id)?.incarnation)?.broker.0));
            let replicas = vec![owner.unwrap_or_else(|| broker.id())];
            message!(MetadataResponsePartition {
                error_code: ErrorCode::LeaderNotAvailable.code(),
                partition_index: id.index,
                leader_id: -1,
                replica_nodes: replicas.clone(),
                offline_replicas: replicas,
            })
        }
    }
}

fn refuse(code: ErrorCode, name: Option<StrBytes>, topic_id: Uuid) -> MetadataResponseTopic {
    message!(MetadataResponseTopic { error_code: code.code(), name, topic_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_the_bits_that_kafka_gives_without_an_authoriser() {
        assert_eq!((TOPIC_OPERATIONS, CLUSTER_OPERATIONS), (3576, 8096));
    }
}
