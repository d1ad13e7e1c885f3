//! `/api/topics` and `/api/topic`: topics, and the partitions of one.

use super::paging::{Search, Window};
use super::{Asked, Leader, Refused, answered, engine, leader, question, topic};
use crate::admin::State;
use axum::http::Uri;
use axum::response::Response;
use floe_formats::Topic;
use floe_log::{CLEANUP_POLICY, DURABILITY, Engine};
use floe_metadata::cluster::ClusterView;
use floe_types::PartitionId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuestion {
    q: Option<String>,
    offset: Option<usize>,
    limit: Option<usize>,
    /// Also topics that are the broker's own.
    #[serde(default)]
    internal: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OneQuestion {
    name: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

/// What the partitions of a topic that are led here have, all together.
#[derive(Debug, Default, Serialize)]
struct Held {
    /// Partitions led by this broker, and those that nobody leads.
    led: usize,
    without_leader: usize,
    /// By offsets: compaction and transactions leave fewer.
    records: i64,
    stored_bytes: u64,
    wal_bytes: u64,
}

/// One partition. What only its leader knows is there if that is this broker.
#[derive(Debug, Serialize)]
struct Row {
    partition: i32,
    leader: Option<Leader>,
    here: bool,
    preferred: Option<i32>,
    #[serde(flatten)]
    known: Option<Known>,
}

#[derive(Debug, Serialize)]
struct Known {
    log_start: i64,
    committed: i64,
    end: i64,
    stored_bytes: u64,
    wal_bytes: u64,
    records_not_stored: i64,
}

pub(super) async fn list(asked: Asked, uri: Uri) -> Response {
    answered(&asked, async { list_of(&asked, question(&uri)?) }).await
}

fn list_of(state: &State, asked: ListQuestion) -> Result<Value, Refused> {
    let (window, search) = (Window::new(asked.offset, asked.limit)?, Search::new(asked.q)?);
    let engine = engine(state)?;
    let catalog = engine.catalog().view();
    let is_shown = |topic: &&Arc<Topic>| (asked.internal || !is_internal(topic)) && search.finds(&topic.name);
    let part = window.of(catalog.topics().filter(is_shown).collect());
    let view = engine.cluster_view();
    let rows = part.rows.iter().map(|topic| {
        let mut row = of_topic(engine, topic);
        row["held"] = json!(held(engine, view.as_deref(), topic));
        row
    });
    let mut answer = part.show("topics", rows.collect());
    answer["total"] = json!(catalog.topics().count());
    Ok(answer)
}

/// As Kafka's tools take it.
fn is_internal(topic: &Topic) -> bool {
    topic.name.starts_with("__")
}

fn of_topic(engine: &Engine, topic: &Topic) -> Value {
    let durability = topic.configs.get(DURABILITY).cloned().unwrap_or_else(|| engine.options().durability.to_string());
    json!({
        "name": topic.name,
        "id": topic.id.to_string(),
        "partitions": topic.partitions,
        "internal": is_internal(topic),
        "durability": durability,
        "cleanup": topic.configs.get(CLEANUP_POLICY).map_or("delete", String::as_str),
        "created_ms": topic.created_ms,
    })
}

fn held(engine: &Engine, view: Option<&ClusterView>, topic: &Topic) -> Held {
    let mut held = Held::default();
    for index in 0..topic.partitions {
        let id = PartitionId { topic: topic.id, index };
        let Some(partition) = engine.partition(id) else {
            held.without_leader += usize::from(view.is_none_or(|view| view.leader(id).is_none()));
            continue;
        };
        let (offsets, sizes) = (partition.offsets(), partition.sizes());
        held.led += 1;
        held.records += offsets.committed - offsets.log_start;
        held.stored_bytes += sizes.stored_bytes;
        held.wal_bytes += sizes.wal_bytes;
    }
    held
}

pub(super) async fn one(asked: Asked, uri: Uri) -> Response {
    answered(&asked, async { one_of(&asked, &question(&uri)?) }).await
}

fn one_of(state: &State, asked: &OneQuestion) -> Result<Value, Refused> {
    let window = Window::new(asked.offset, asked.limit)?;
    let engine = engine(state)?;
    let topic = topic(&engine.catalog().view(), &asked.name)?;
    let view = engine.cluster_view();
    let part = window.of((0..topic.partitions).collect());
    let rows = part.rows.iter().map(|index| json!(row(state, engine, view.as_deref(), PartitionId { topic: topic.id, index: *index })));
    let mut answer = part.show("rows", rows.collect());
    let mut shown = of_topic(engine, &topic);
    shown["configs"] = json!(topic.configs);
    shown["held"] = json!(held(engine, view.as_deref(), &topic));
    answer["topic"] = shown;
    Ok(answer)
}

fn row(state: &State, engine: &Engine, view: Option<&ClusterView>, id: PartitionId) -> Row {
    let known = engine.partition(id).map(|partition| {
        let (offsets, sizes) = (partition.offsets(), partition.sizes());
        Known {
            log_start: offsets.log_start,
            committed: offsets.committed,
            end: offsets.end,
            stored_bytes: sizes.stored_bytes,
            wal_bytes: sizes.wal_bytes,
            records_not_stored: sizes.records_not_stored,
        }
    });
    let preferred = view.and_then(|view| view.preferred().get(&id)).map(|broker| broker.0);
    Row { partition: id.index, leader: leader(state, engine, id), here: known.is_some(), preferred, known }
}
