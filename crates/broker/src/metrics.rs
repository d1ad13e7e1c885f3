//! What the broker counts: by API requests, errors, bytes and time; connections, and the budgets in use.

use floe_protocol::{Api, ErrorCode, table::ROWS};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    api: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// One API's own handles, so that a request looks nothing up.
#[derive(Debug, Clone)]
struct PerApi {
    requests: Counter,
    request_bytes: Counter,
    response_bytes: Counter,
    seconds: Histogram,
}

/// Sums over everything that clients have asked so far, and what is open now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub requests: u64,
    /// Answers, and parts of them, with an error code.
    pub errors: u64,
    /// Bytes of Produce requests.
    pub produce_bytes: u64,
    /// Bytes of records given to consumers.
    pub fetched_bytes: u64,
    pub connections: i64,
}

/// The metrics of one server. Clones count into the same counters.
#[derive(Debug, Clone)]
pub struct BrokerMetrics {
    requests: Family<ApiLabels, Counter>,
    request_bytes: Family<ApiLabels, Counter>,
    response_bytes: Family<ApiLabels, Counter>,
    seconds: Family<ApiLabels, Histogram>,
    errors: Family<ErrorLabels, Counter>,
    all_errors: Counter,
    closed: Family<ReasonLabels, Counter>,
    connections: Gauge,
    accepted: Counter,
    request_bytes_held: Gauge,
    response_bytes_held: Gauge,
    fetched_bytes: Counter,
    per_api: Vec<PerApi>,
}

/// 0.1 ms to 26 s, doubling: enough to tell an fsync from an upload.
fn latency_histogram() -> Histogram {
    Histogram::new((0..19).map(|power| 0.000_1 * f64::from(1_u32 << power)))
}

impl Default for BrokerMetrics {
    fn default() -> Self {
        let (requests, request_bytes, response_bytes): (
            Family<ApiLabels, Counter>,
            Family<ApiLabels, Counter>,
            Family<ApiLabels, Counter>,
        ) = Default::default();
        let seconds: Family<ApiLabels, Histogram> = Family::new_with_constructor(latency_histogram);
        let per_api = ROWS
            .iter()
            .map(|row| {
                let labels = ApiLabels { api: row.name };
                PerApi {
                    requests: requests.get_or_create(&labels).clone(),
                    request_bytes: request_bytes.get_or_create(&labels).clone(),
                    response_bytes: response_bytes.get_or_create(&labels).clone(),
                    seconds: seconds.get_or_create(&labels).clone(),
                }
            })
            .collect();
        Self {
            requests,
            request_bytes,
            response_bytes,
            seconds,
            errors: Family::default(),
            all_errors: Counter::default(),
            closed: Family::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            request_bytes_held: Gauge::default(),
            response_bytes_held: Gauge::default(),
            fetched_bytes: Counter::default(),
            per_api,
        }
    }
}

impl BrokerMetrics {
    /// Registers all of it under `kafka_...`; the caller's registry gives the prefix of the program.
    pub fn register(&self, registry: &mut Registry) {
        let kafka = registry.sub_registry_with_prefix("kafka");
        kafka.register("requests", "Requests answered, or taken without an answer", self.requests.clone());
        kafka.register("errors", "Error codes given, by API", self.errors.clone());
        kafka.register_with_unit("request", "Requests received", Unit::Bytes, self.request_bytes.clone());
        kafka.register_with_unit("response", "Answers sent", Unit::Bytes, self.response_bytes.clone());
        kafka.register_with_unit(
            "request_duration",
            "From the whole request received to its answer written",
            Unit::Seconds,
            self.seconds.clone(),
        );
        kafka.register_with_unit("fetched", "Records given to consumers", Unit::Bytes, self.fetched_bytes.clone());
        kafka.register("connections", "Connections open", self.connections.clone());
        kafka.register("connections_accepted", "Connections accepted", self.accepted.clone());
        kafka.register("connections_closed", "Connections ended, by reason", self.closed.clone());
        kafka.register_with_unit("requests_held", "Budget taken by requests", Unit::Bytes, self.request_bytes_held.clone());
        kafka.register_with_unit("responses_held", "Budget taken by answers", Unit::Bytes, self.response_bytes_held.clone());
    }

    pub(crate) fn received(&self, api: Api, bytes: usize) {
        let per_api = self.of(api);
        per_api.requests.inc();
        per_api.request_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn answered(&self, api: Api, bytes: usize, took: Duration) {
        let per_api = self.of(api);
        per_api.response_bytes.inc_by(bytes as u64);
        per_api.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn error(&self, api: Api, code: i16) {
        let code = ErrorCode::from_code(code).map_or("UNKNOWN", ErrorCode::name);
        self.errors.get_or_create(&ErrorLabels { api: api.name(), code }).inc();
        self.all_errors.inc();
    }

    pub(crate) fn opened(&self) {
        self.accepted.inc();
        self.connections.inc();
    }

    pub(crate) fn closed(&self, reason: &'static str) {
        self.connections.dec();
        self.closed.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn in_flight(&self, requests: usize, responses: usize) {
        self.request_bytes_held.set(i64::try_from(requests).unwrap_or(i64::MAX));
        self.response_bytes_held.set(i64::try_from(responses).unwrap_or(i64::MAX));
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.fetched_bytes.inc_by(bytes);
    }

    /// A number that grows with whatever clients do; with fetches that find nothing only if `polls` count.
    #[must_use]
    pub fn traffic(&self, polls: bool) -> u64 {
        let apis = self.per_api.iter().zip(ROWS).filter(|(_, row)| polls || row.api != Api::Fetch);
        apis.map(|(api, _)| api.requests.get()).sum::<u64>() + self.fetched_bytes.get()
    }

    /// Everything so far, in a few numbers.
    #[must_use]
    pub fn totals(&self) -> Traffic {
        Traffic {
            requests: self.per_api.iter().map(|api| api.requests.get()).sum(),
            errors: self.all_errors.get(),
            produce_bytes: self.of(Api::Produce).request_bytes.get(),
            fetched_bytes: self.fetched_bytes.get(),
            connections: self.connections.get(),
        }
    }

    fn of(&self, api: Api) -> &PerApi {
        self.per_api.get(api as usize).expect("the table's rows are in the order of its names")
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> i64 {
        self.connections.get()
    }

    /// Connections that ended for this reason.
    #[must_use]
    pub fn connections_closed(&self, reason: &'static str) -> u64 {
        self.closed.get_or_create(&ReasonLabels { reason }).get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_counts_under_its_own_name() {
        let metrics = BrokerMetrics::default();
        for row in ROWS {
            metrics.received(row.api, 10);
            assert_eq!(metrics.requests.get_or_create(&ApiLabels { api: row.name }).get(), 1, "{}", row.name);
        }
    }

    #[test]
    fn polls_that_find_nothing_are_traffic_only_if_they_count() {
        let metrics = BrokerMetrics::default();
        let (polls, rest) = (metrics.traffic(true), metrics.traffic(false));
        metrics.received(Api::Fetch, 100);
        assert_eq!((metrics.traffic(true) > polls, metrics.traffic(false) > rest), (true, false));
        metrics.fetched(1);
        assert!(metrics.traffic(false) > rest);
        let rest = metrics.traffic(false);
        metrics.received(Api::Heartbeat, 100);
        assert!(metrics.traffic(false) > rest);
    }

    #[test]
    fn totals_are_sums_over_all_apis() {
        let metrics = BrokerMetrics::default();
        metrics.received(Api::Produce, 1_000);
        metrics.received(Api::Fetch, 70);
        metrics.fetched(5);
        metrics.error(Api::Fetch, 1);
        metrics.opened();
        let all = Traffic { requests: 2, errors: 1, produce_bytes: 1_000, fetched_bytes: 5, connections: 1 };
        assert_eq!(metrics.totals(), all);
    }

    #[test]
    fn the_registry_shows_what_was_counted() {
        let metrics = BrokerMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.received(Api::Produce, 1_000);
        metrics.error(Api::Produce, 19);
        metrics.opened();
        metrics.in_flight(7, 9);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("writing to a string does not fail");
        for line in [
            "kafka_requests_total{api=\"Produce\"} 1",
            "kafka_request_bytes_total{api=\"Produce\"} 1000",
            "kafka_errors_total{api=\"Produce\",code=\"NOT_ENOUGH_REPLICAS\"} 1",
            "kafka_connections 1",
            "kafka_responses_held_bytes 9",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
