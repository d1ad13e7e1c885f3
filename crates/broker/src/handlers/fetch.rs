//! Fetch: whole batches from the tail or from history, with sessions or without (KIP-227, `session.rs`).
//!
//! The order of partitions is the client's, who rotates them, or the session's; the first one that has records gives at least one batch
//! whatever its size, the others share what room is left (KIP-74, T45). An answer that is too small waits for commits,
//! an error is answered at once.

mod plan;
mod read;
pub(crate) mod session;

use super::Handled;
use crate::broker::Broker;
use crate::peer::Peer;
use floe_log::Registration;
use floe_protocol::fetch::{FetchResponse, FetchTopic};
use floe_protocol::messages::FetchRequest;
use plan::{Plan, Terms};
use read::Pass;
use session::{Context, NO_SESSION, Opening, Run};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;

/// Serves one fetch, waiting as long as the client wants to wait.
pub(super) async fn handle(broker: &Broker, version: i16, peer: &Peer, request: FetchRequest) -> Handled {
    let by_id = version >= TOPIC_IDS;
    let opening = Opening {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        by_id,
        topics: &request.topics,
        forgotten: &request.forgotten_topics_data,
    };
    let context = match broker.sessions.open(&opening) {
        Ok(context) => context,
        Err(code) => return FetchResponse { error_code: code.code(), ..FetchResponse::default() }.into(),
    };
    let runs: Vec<Run> = match &context {
        Context::Incremental { session, .. } => session.runs(),
        Context::Sessionless | Context::Full { .. } => request.topics.iter().map(Run::from).collect(),
    };
    let terms = Terms {
        by_id,
        is_follower: request.replica_id >= 0 || request.replica_state.replica_id >= 0,
        max_bytes: request.max_bytes,
        read_committed: request.isolation_level == 1,
    };
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(broker.settings().fetch_max_wait.into());
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let deadline = broker.env.monotonic() + max_wait;
    let plan = Plan::new(broker, terms, &runs);
    let pass = long_poll(broker, &plan, min_bytes, deadline).await;
    respond(broker, peer, &context, &runs, plan, pass)
}

/// Reads until there is enough, something is wrong, or the time is over.
async fn long_poll(broker: &Broker, plan: &Plan, min_bytes: usize, deadline: Duration) -> Pass {
    let news = Arc::new(Notify::new());
    let mut registrations: Vec<Registration> = Vec::new();
    loop {
        let pass = read::pass(broker, plan, min_bytes).await;
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

fn respond(broker: &Broker, peer: &Peer, context: &Context, asked: &[Run], plan: Plan, pass: Pass) -> Handled {
    broker.metrics.fetched(pass.bytes as u64);
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
    let (session_id, topics) = match context {
        Context::Sessionless => (NO_SESSION, topics),
        Context::Full { by_id } => (broker.sessions.create(*by_id, asked, &topics), topics),
        Context::Incremental { session, epoch } => match session.tell(*epoch, topics) {
            Ok(news) => (session.id(), news),
            Err(code) => return FetchResponse { error_code: code.code(), ..FetchResponse::default() }.into(),
        },
    };
    let named: BTreeSet<i32> =
        topics.iter().flat_map(|topic| &topic.partitions).filter_map(|partition| partition.current_leader.map(|(id, _)| id)).collect();
    let node_endpoints = named.into_iter().filter_map(|id| broker.endpoint_of(peer, id)).collect();
    let response = FetchResponse { session_id, topics, node_endpoints, ..FetchResponse::default() };
    Handled { reply: response.into(), held: pass.held }
}
