//! DeleteTopics: by name, or by id from version 6 on, all topics of a request at once. A deleted topic is out of the catalog
//! when this answers, and a new one of its name has another id (T29).

use crate::broker::Broker;
use crate::errors::{self, Refusal};
use floe_formats::Topic;
use floe_log::TopicError;
use floe_protocol::messages::delete_topics_request::DeleteTopicState;
use floe_protocol::messages::delete_topics_response::DeletableTopicResult;
use floe_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, topic_id, uuid};
use floe_protocol::{ErrorCode, message};
use floe_types::TopicId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the catalog, whatever the client asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// First version that can name topics by id.
const TOPIC_IDS: i16 = 6;

pub(super) async fn handle(broker: &Broker, version: i16, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(MAX_TIMEOUT);
    let asked = if version >= TOPIC_IDS {
        request.topics
    } else {
        request.topic_names.into_iter().map(|name| message!(DeleteTopicState { name: Some(name) })).collect()
    };
    let mut seen = BTreeSet::new();
    let found: Vec<Result<Arc<Topic>, Refusal>> = asked
        .iter()
        .map(|asked| match find(broker, asked) {
            Ok(topic) if !seen.insert(topic.id) => Err(Refusal::new(ErrorCode::InvalidRequest, format!("Duplicate topic {}", topic.name))),
            found => found,
        })
        .collect();
    let ids: Vec<TopicId> = found.iter().flatten().map(|topic| topic.id).collect();
    let mut deleted = delete(broker, ids, timeout).await.into_iter();
    let mut responses = Vec::with_capacity(asked.len());
    for (asked, found) in asked.into_iter().zip(found) {
        let unanswered = Err(Refusal::new(ErrorCode::UnknownServerError, "the topic was not answered for"));
        responses.push(match found.and_then(|topic| deleted.next().unwrap_or(unanswered).map(|()| topic)) {
            Ok(topic) => {
                // A new topic of the name is not to begin where groups were in the old one.
                broker.groups.forget_topic(&topic.name).await;
                message!(DeletableTopicResult { name: Some(topic.name.as_str().into()), topic_id: uuid(topic.id) })
            }
            Err(Refusal { code, message }) => message!(DeletableTopicResult {
                name: asked.name,
                topic_id: asked.topic_id,
                error_code: code.code(),
                error_message: Some(message.into()),
            }),
        });
    }
    message!(DeleteTopicsResponse { responses })
}

fn find(broker: &Broker, asked: &DeleteTopicState) -> Result<Arc<Topic>, Refusal> {
    let view = broker.view();
    match (asked.name.as_deref(), topic_id(asked.topic_id)) {
        (Some(name), None) => {
            let unknown = || Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}"));
            view.by_name(name).cloned().ok_or_else(unknown)
        }
        (None, Some(id)) => {
            let unknown = || Refusal::new(ErrorCode::UnknownTopicId, format!("there is no topic of id {id}"));
            view.by_id(id).cloned().ok_or_else(unknown)
        }
        (Some(_), Some(_)) => Err(Refusal::new(ErrorCode::InvalidRequest, "You may not specify both topic name and topic id.")),
        (None, None) => Err(Refusal::new(ErrorCode::InvalidRequest, "Neither topic name nor id was specified.")),
    }
}

/// One answer for each, in order.
async fn delete(broker: &Broker, ids: Vec<TopicId>, timeout: Duration) -> Vec<Result<(), Refusal>> {
    let (engine, count) = (broker.engine.clone(), ids.len());
    let refusal = |error: &TopicError| Refusal::new(errors::of_topic(error), error.to_string());
    let refusal = match broker.run_to_end("delete-topics", timeout, async move { engine.delete_topics(ids).await }).await {
        Some(Ok(answers)) => return answers.into_iter().map(|answer| answer.map_err(|e| refusal(&e))).collect(),
        Some(Err(error)) => refusal(&error),
        None => Refusal::new(ErrorCode::RequestTimedOut, "the topic may be gone a moment later"),
    };
    vec![Err(refusal); count]
}
