//! Fetch: whole batches from the tail or from history, without sessions (KIP-227's session id 0).
//!
//! The order of partitions is the client's, who rotates them; the first one that has records gives at least one batch
//! whatever its size, the others share what room is left (KIP-74, T45). An answer that is too small waits for commits,
//! an error is answered at once.

mod plan;
mod read;

use super::Handled;
use crate::broker::Broker;
use floe_log::Registration;
use floe_protocol::ErrorCode;
use floe_protocol::fetch::{FetchResponse, FetchTopic};
use floe_protocol::messages::FetchRequest;
use plan::Plan;
use read::Pass;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Serves one fetch, waiting as long as the client wants to wait.
pub(super) async fn handle(broker: &Broker, version: i16, request: FetchRequest) -> Handled {
    if !matches!(request.session_epoch, -1 | 0) {
        // The client goes on with a session that nobody has: it starts again with a full fetch.
        let error_code = ErrorCode::FetchSessionIdNotFound.code();
        return FetchResponse { error_code, ..FetchResponse::default() }.into();
    }
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(broker.config.fetch_max_wait.into());
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let deadline = broker.env.monotonic() + max_wait;
    let plan = Plan::new(broker, version, request);
    let pass = long_poll(broker, &plan, min_bytes, deadline).await;
    respond(broker, plan, pass)
}

/// Reads until there is enough, something is wrong, or the time is over.
async fn long_poll(broker: &Broker, plan: &Plan, min_bytes: usize, deadline: Duration) -> Pass {
    let news = Arc::new(Notify::new());
    let mut registrations: Vec<Registration> = Vec::new();
    loop {
        let pass = read::pass(broker, plan).await;
        let now = broker.env.monotonic();
        if pass.bytes >= min_bytes || pass.failed || plan.is_empty() || now >= deadline || broker.shutdown.is_triggered() {
            return pass;
        }
        if registrations.is_empty() {
            // What is committed before this is seen by the next pass, what is committed after it wakes us.
            registrations.extend(plan.partitions().map(|partition| partition.register(&news)));
            continue;
        }
        // Nothing is held while waiting.
        drop(pass);
        tokio::select! {
            biased;
            () = news.notified() => {}
            () = broker.shutdown.wait() => {}
            () = broker.env.sleep(deadline.saturating_sub(now)) => {}
        }
    }
}

fn respond(broker: &Broker, plan: Plan, pass: Pass) -> Handled {
    let mut answers = pass.answers.into_iter();
    let topics: Vec<_> = plan
        .topics
        .into_iter()
        .map(|topic| FetchTopic {
            name: topic.name,
            topic_id: topic.id,
            partitions: answers.by_ref().take(topic.partitions.len()).collect(),
        })
        .collect();
    let named = topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.current_leader.is_some());
    let node_endpoints = if named { vec![broker.endpoint()] } else { Vec::new() };
    let response = FetchResponse { topics, node_endpoints, ..FetchResponse::default() };
    Handled { response: response.into(), held: pass.held }
}
