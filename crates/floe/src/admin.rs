//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `/status`, and the console with its `/api`. Read only; it asks nothing of the store, but for
//! records that somebody looks at.

mod accept;
mod api;
mod console;
mod metrics;

use crate::config::Prices;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use floe_broker::{Advertised, BrokerMetrics, GroupReads};
use floe_env::{Env, Shutdown, Task, net};
use floe_export::Exporter;
use floe_log::Engine;
use floe_objstore::StoreMetrics;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::json;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Time that answers under way get at the end.
const GRACE: Duration = Duration::from_secs(1);
/// A WAL this full, in percent of its budget, is said by `/readyz`: producers are about to be turned away.
const NEARLY_FULL: u64 = 95;

/// Where in its life the broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Draining,
}

/// A disk that takes so long for one write is said by `/readyz`: whoever produces to `local` topics waits for it (T69).
const STALLED: Duration = Duration::from_secs(5);

/// What the pages are made of before the engine is open.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) broker: BrokerMetrics,
    pub(crate) store: StoreMetrics,
    pub(crate) groups: GroupReads,
    /// The store's URL.
    pub(crate) url: String,
    /// What clients are told to dial.
    pub(crate) advertised: Advertised,
    pub(crate) prices: Prices,
    /// Whether the console shows what records hold.
    pub(crate) records_shown: bool,
    /// Whether the listener is for this machine alone.
    pub(crate) is_local: bool,
}

/// What the pages show.
#[derive(Debug)]
pub(crate) struct State {
    env: Env,
    began: Duration,
    phase: Mutex<Phase>,
    engine: Arc<OnceLock<Engine>>,
    exporter: Arc<OnceLock<Exporter>>,
    registry: Registry,
    gates: api::Gates,
    broker: BrokerMetrics,
    store_metrics: StoreMetrics,
    groups: GroupReads,
    store: String,
    advertised: Advertised,
    prices: Prices,
    records_shown: bool,
    is_local: bool,
}

impl State {
    pub(crate) fn new(env: &Env, sources: Sources) -> Arc<Self> {
        let (engine, exporter) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let mut registry = Registry::with_prefix("floe");
        sources.store.register(&mut registry);
        sources.broker.register(&mut registry);
        registry.register_collector(Box::new(metrics::EngineCollector(engine.clone())));
        registry.register_collector(Box::new(metrics::ExporterCollector(exporter.clone())));
        let Sources { broker, store, groups, url, advertised, prices, records_shown, is_local } = sources;
        Arc::new(Self {
            env: env.clone(),
            began: env.monotonic(),
            phase: Mutex::new(Phase::Starting),
            engine,
            exporter,
            registry,
            gates: api::Gates::default(),
            broker,
            store_metrics: store,
            groups,
            store: url,
            advertised,
            prices,
            records_shown,
            is_local,
        })
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.env.monotonic().saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn opened(&self, engine: Engine, exporter: Exporter) {
        // There is one engine in a process's life.
        let _first = (self.engine.set(engine), self.exporter.set(exporter));
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    /// Why no new clients should be sent here; empty when they should.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        match *self.phase.lock() {
            Phase::Starting => reasons.push("starting: the engine is not open yet".to_owned()),
            Phase::Draining => reasons.push("draining".to_owned()),
            Phase::Ready => {}
        }
        let Some(engine) = self.engine.get() else { return reasons };
        match engine.has_ended() {
            Some(ended) => reasons.push(format!("ended: {ended}")),
            None if !engine.is_healthy() => reasons.push("the flusher has ended".to_owned()),
            None => {}
        }
        let status = engine.status();
        let (used, budget) = (status.wal_bytes, engine.options().wal_budget);
        if used >= budget / 100 * NEARLY_FULL {
            reasons.push(format!("the store is behind: unflushed records hold {used} of {budget} bytes of the WAL"));
        }
        let stalled = Duration::from_millis(status.disk_stalled_ms);
        if stalled >= STALLED {
            reasons.push(format!("the disk has not stored what it was given {} s ago", stalled.as_secs()));
        }
        reasons
    }
}

/// The running listener.
#[derive(Debug)]
pub(crate) struct Running {
    env: Env,
    task: Task<()>,
    stop: Shutdown,
}

impl Running {
    /// Ends it; answers under way get a moment.
    pub(crate) async fn stop(self) {
        self.stop.trigger();
        // Cut off at the end of the grace period: the task ends with its handle.
        let _ended = self.env.timeout(GRACE, self.task.join()).await;
    }
}

/// Serves the pages until stopped.
pub(crate) fn serve(env: &Env, listener: net::Listener, state: Arc<State>) -> Running {
    let stop = Shutdown::new();
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/status/partitions", get(partitions))
        .merge(console::router().merge(api::router()).route_layer(from_fn_with_state(state.clone(), console::guard)))
        .with_state(state);
    let stopped = stop.clone();
    let listener = accept::Accept::new(env.clone(), listener);
    let serving = async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(async move { stopped.wait().await }).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin listener failed");
        }
    };
    Running { env: env.clone(), task: env.spawn("admin-listener", serving), stop }
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &state.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn healthz(Shared(state): Shared<Arc<State>>) -> Response {
    match state.engine.get() {
        Some(engine) if !engine.is_healthy() && *state.phase.lock() == Phase::Ready => {
            (StatusCode::SERVICE_UNAVAILABLE, "the engine has ended\n").into_response()
        }
        _ => "ok\n".into_response(),
    }
}

async fn readyz(Shared(state): Shared<Arc<State>>) -> Response {
    let reasons = state.reasons();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

async fn status(Shared(state): Shared<Arc<State>>) -> Response {
    let reasons = state.reasons();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "store": state.store,
        "engine": state.engine.get().map(Engine::status),
        "exports": state.exporter.get().map(Exporter::status),
    }))
    .into_response()
}

async fn partitions(Shared(state): Shared<Arc<State>>) -> Response {
    Json(state.engine.get().map(Engine::partition_statuses).unwrap_or_default()).into_response()
}
