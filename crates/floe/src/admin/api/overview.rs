//! `/api/overview` and `/api/brokers`: this broker, and the cluster as it knows it.

use super::{Asked, Refused, answered, engine};
use crate::admin::State;
use crate::admin::metrics::resident_memory;
use axum::response::Response;
use floe_formats::etcd::BrokerEntry;
use floe_log::Engine;
use floe_metadata::cluster::ClusterView;
use floe_types::{BrokerId, Incarnation};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) async fn overview(asked: Asked) -> Response {
    answered(&asked, async { Ok(of_all(&asked)) }).await
}

/// Polled every few seconds: asks the store nothing. There is an answer before the engine is open, too.
fn of_all(state: &State) -> Value {
    let reasons = state.reasons();
    let traffic = state.broker.totals();
    let counts = state.store_metrics.counts();
    let mut all = json!({
        "now_ms": state.env.now_ms(),
        "uptime_ms": state.uptime_ms(),
        "version": env!("CARGO_PKG_VERSION"),
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "store": state.store,
        "records_shown": state.records_shown,
        "memory_bytes": resident_memory(),
        "kafka": {
            "requests": traffic.requests,
            "errors": traffic.errors,
            "produce_bytes": traffic.produce_bytes,
            "fetched_bytes": traffic.fetched_bytes,
            "connections": traffic.connections,
        },
        "requests": {
            "all": counts.requests,
            "failed": counts.failed,
            "bytes_written": counts.bytes_written,
            "bytes_read": counts.bytes_read,
            "unavailable": state.store_metrics.unavailable(),
        },
    });
    if let Some(engine) = state.engine.get() {
        let catalog = engine.catalog().view();
        let partitions: i64 = catalog.topics().map(|topic| i64::from(topic.partitions)).sum();
        let view = engine.cluster_view();
        let led = view
            .as_ref()
            .map(|view| view.owners().keys().filter(move |id| engine.partition(**id).is_some() || view.leader(**id).is_some()));
        let status = engine.status();
        all["broker"] = json!(engine.options().broker.0);
        all["is_cluster"] = json!(view.is_some());
        all["brokers"] = json!(view.as_ref().map_or(1, |view| view.brokers().len()));
        all["partitions"] = json!(partitions);
        all["with_leader"] = json!(led.map_or(status.partitions, Iterator::count));
        all["wal_budget"] = json!(engine.options().wal_budget);
        all["engine"] = json!(status);
    }
    all
}

pub(super) async fn brokers(asked: Asked) -> Response {
    answered(&asked, async { list(&asked) }).await
}

/// Brokers are few: they are not paged.
fn list(state: &State) -> Result<Value, Refused> {
    let engine = engine(state)?;
    let own = engine.options().broker;
    let brokers = match engine.cluster_view() {
        Some(view) => of_cluster(&view, own),
        None => vec![json!({
            "id": own.0, "here": true, "listed": true, "incarnation": engine.incarnation().0, "host": state.advertised.host,
            "port": state.advertised.port, "rack": "", "leads": engine.status().partitions,
        })],
    };
    Ok(json!({ "brokers": brokers, "recovering": recovering(engine) }))
}

fn of_cluster(view: &Arc<ClusterView>, own: BrokerId) -> Vec<Value> {
    let mut leads: BTreeMap<Incarnation, usize> = BTreeMap::new();
    for owner in view.owners().values() {
        *leads.entry(owner.incarnation).or_default() += 1;
    }
    let show = |(id, entry): (BrokerId, &BrokerEntry)| {
        json!({
            "id": id.0, "here": id == own, "listed": view.brokers().contains_key(&id), "incarnation": entry.incarnation.0, "host": entry.host,
            "port": entry.port, "rack": entry.rack, "leads": leads.get(&entry.incarnation).copied().unwrap_or(0),
            "draining": view.should_drain(entry.incarnation),
        })
    };
    view.reachable().into_iter().map(show).collect()
}

fn recovering(engine: &Engine) -> Value {
    json!(engine.status().recovering)
}
