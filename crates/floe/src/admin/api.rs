//! `/api/...`: what the console shows, as JSON. It only reads, and everything is bounded: the rows of an answer, its bytes, how many are made at once, and
//! for how long.
//!
//! A broker answers for its cluster from what it knows of it; offsets, sizes and records it has only of what it leads itself, and says who leads the rest.

mod groups;
mod overview;
mod paging;
mod records;
mod store;
mod topics;

use super::State;
use axum::Router;
use axum::extract::{Query, State as Shared};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use floe_env::Env;
use floe_formats::Topic;
use floe_log::Engine;
use floe_metadata::View;
use floe_types::{BrokerId, PartitionId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a request waits until others are answered, and how long answering may take.
const TURN: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(10);

/// Answers that are made at the same time; of those with records, each of which may hold some batches, fewer.
const AT_ONCE: usize = 8;
const RECORDS_AT_ONCE: usize = 2;

/// Places for answers under way.
#[derive(Debug)]
pub(super) struct Gates {
    all: Semaphore,
    records: Semaphore,
}

impl Default for Gates {
    fn default() -> Self {
        Self { all: Semaphore::new(AT_ONCE), records: Semaphore::new(RECORDS_AT_ONCE) }
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Refused {
    /// The question makes no sense; what is wrong with it.
    Question(String),
    NotThere(String),
    /// Only the broker that leads it knows; who that is, if anybody.
    Elsewhere(String, Option<Leader>),
    /// A setting says no.
    Off(&'static str),
    /// Come again.
    Later(String),
    Late,
    Failed(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (code, error, leader) = match self {
            Self::Question(why) => (StatusCode::BAD_REQUEST, why, None),
            Self::NotThere(what) => (StatusCode::NOT_FOUND, what, None),
            Self::Elsewhere(what, leader) => (StatusCode::CONFLICT, what, Some(leader)),
            Self::Off(why) => (StatusCode::FORBIDDEN, why.to_owned(), None),
            Self::Later(why) => (StatusCode::SERVICE_UNAVAILABLE, why, None),
            Self::Late => (StatusCode::GATEWAY_TIMEOUT, format!("no answer within {} s", LIMIT.as_secs()), None),
            Self::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, why, None),
        };
        let mut body = json!({ "error": error });
        if let Some(leader) = leader {
            body["leader"] = json!(leader);
        }
        (code, Json(body)).into_response()
    }
}

/// Who leads a partition, as its clients are told.
#[derive(Debug, Clone, Serialize)]
struct Leader {
    id: i32,
    host: String,
    port: u16,
    epoch: i32,
}

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/api/overview", get(overview::overview))
        .route("/api/brokers", get(overview::brokers))
        .route("/api/topics", get(topics::list))
        .route("/api/topic", get(topics::one))
        .route("/api/groups", get(groups::list))
        .route("/api/group", get(groups::one))
        .route("/api/records", get(records::read))
        .route("/api/store", get(store::store))
}

/// What a question says behind `?`. A word that is not known is refused: a limit with a mistake in its name would be none.
fn question<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refused> {
    Query::try_from_uri(uri).map(|Query(asked)| asked).map_err(|error| Refused::Question(error.to_string()))
}

/// Answers when it is this request's turn, and not for longer than is allowed.
async fn answered(state: &State, work: impl Future<Output = Result<Value, Refused>>) -> Response {
    in_turn(&state.env, &state.gates.all, async { work.await.map(|value| Json(value).into_response()) }).await
}

async fn in_turn(env: &Env, gate: &Semaphore, work: impl Future<Output = Result<Response, Refused>>) -> Response {
    let turn = match env.timeout(TURN, gate.acquire()).await {
        Ok(Ok(turn)) => turn,
        Ok(Err(_)) | Err(_) => {
            let mut busy = Refused::Later("too many requests are being answered".to_owned()).into_response();
            busy.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            return busy;
        }
    };
    let answer = env.timeout(LIMIT, work).await.unwrap_or(Err(Refused::Late)).into_response();
    drop(turn);
    answer
}

/// The engine, once it is open.
fn engine(state: &State) -> Result<&Engine, Refused> {
    state.engine.get().ok_or_else(|| Refused::Later("starting: the engine is not open yet".to_owned()))
}

fn topic(view: &View, name: &str) -> Result<Arc<Topic>, Refused> {
    view.by_name(name).cloned().ok_or_else(|| Refused::NotThere(format!("there is no topic {name:?}")))
}

/// Who leads a partition, if that is known and there.
fn leader(state: &State, engine: &Engine, id: PartitionId) -> Option<Leader> {
    if let Some(partition) = engine.partition(id) {
        let here = &state.advertised;
        return Some(Leader { id: engine.options().broker.0, host: here.host.clone(), port: here.port, epoch: partition.leader_epoch() });
    }
    let view = engine.cluster_view()?;
    let (BrokerId(broker), entry) = view.leader(id).filter(|(broker, _)| *broker != engine.options().broker)?;
    let epoch = view.owner(id).map_or(-1, |owner| owner.epoch);
    Some(Leader { id: broker, host: entry.host.clone(), port: entry.port, epoch })
}

type Asked = Shared<Arc<State>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(answer: &Response) -> u16 {
        answer.status().as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_in_time_is_told_to_come_again_and_what_takes_too_long_is_given_up() {
        let (env, gate) = (Env::real(), Semaphore::new(1));
        let held = gate.acquire().await.expect("open");
        let busy = in_turn(&env, &gate, async { Ok("never".into_response()) }).await;
        assert_eq!((code(&busy), busy.headers().contains_key(header::RETRY_AFTER)), (503, true));
        drop(held);
        assert_eq!(code(&in_turn(&env, &gate, std::future::pending()).await), 504);
        assert_eq!(code(&in_turn(&env, &gate, async { Ok("now".into_response()) }).await), 200, "its place is free again");
    }
}
