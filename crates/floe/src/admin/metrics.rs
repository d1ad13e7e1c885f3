//! Gauges of the engine and the process, read when they are asked for. Broker and store count for themselves.
//!
//! There is no series per partition here: partitions are many, and `/status/partitions` lists them.

use floe_export::Exporter;
use floe_log::Engine;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Says nothing before the engine is open.
#[derive(Debug)]
pub(super) struct EngineCollector(pub(super) Arc<OnceLock<Engine>>);

impl Collector for EngineCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?)
        };
        if let Some(bytes) = resident_memory() {
            gauge("resident_memory", "Memory of the process", Some(Unit::Bytes), bytes)?;
        }
        let Some(engine) = self.0.get() else { return Ok(()) };
        let status = engine.status();
        gauge("log_incarnation", "This broker's incarnation: grows at every start", None, status.incarnation)?;
        gauge("log_catalog_version", "Version of the catalog", None, status.catalog_version)?;
        gauge("log_topics", "Topics", None, status.topics as u64)?;
        gauge("log_partitions", "Partitions that this broker leads", None, status.partitions as u64)?;
        gauge("log_unflushed_batches", "Batches that are not in certain slots", None, status.unflushed_batches)?;
        gauge("log_unplanned", "Unflushed records without a slot yet", Some(Unit::Bytes), status.unplanned_bytes)?;
        gauge("log_tail", "Records held in memory", Some(Unit::Bytes), status.tail_bytes)?;
        gauge("log_wal", "What the WAL holds on to", Some(Unit::Bytes), status.wal_bytes)?;
        gauge("log_wal_budget", "What the WAL may hold on to", Some(Unit::Bytes), engine.options().wal_budget)?;
        gauge(
            "log_disk_stalled_milliseconds",
            "Time that the disk has not been done with what it was given last",
            None,
            status.disk_stalled_ms,
        )?;
        gauge("log_standbys", "Brokers that are to keep copies of this one's WAL", None, status.standbys as u64)?;
        gauge("log_standbys_counting", "Those whose copies count at the moment", None, status.standbys_counting as u64)?;
        gauge(
            "log_stopped",
            "Settling, merging, compaction, retention or deletion of a partition, stopped because of damage",
            None,
            status.stopped as u64,
        )?;
        gauge("log_cache", "Blocks of the store held in memory", Some(Unit::Bytes), status.cached_bytes)?;
        gauge("log_cache_ahead", "Of those, blocks read ahead of consumers", Some(Unit::Bytes), status.cached_ahead_bytes)?;
        gauge("log_disk_cache", "Blocks of the store held on the disk", Some(Unit::Bytes), status.disk_cached_bytes)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
        };
        counter("log_cache_hits", "Blocks found in memory", status.cache_hits)?;
        counter("log_cache_misses", "Blocks that were not in memory", status.cache_misses)?;
        counter("log_disk_cache_hits", "Blocks read from the disk", status.disk_cache_hits)?;
        counter("log_disk_cache_misses", "Blocks that were to be on the disk and were not sound there", status.disk_cache_misses)?;
        counter("log_disk_cache_dropped", "Blocks that the disk was too slow or too small for", status.disk_cache_dropped)
    }
}

/// What the broker exports by itself.
#[derive(Debug)]
pub(super) struct ExporterCollector(pub(super) Arc<OnceLock<Exporter>>);

impl Collector for ExporterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(status) = self.0.get().map(Exporter::status) else { return Ok(()) };
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("export_topics", "Topics whose settings ask for an export", status.topics)?;
        gauge("export_refused_topics", "Those of them that this broker may put nowhere", status.refused)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
        };
        counter("export_files", "Files of tables that were created", status.files)?;
        counter("export_rows", "Records in them", status.rows)?;
        counter("export_bytes", "Bytes of them", status.bytes)?;
        counter("export_lost_files", "Files thrown away because another exporter had been first", status.lost)?;
        counter("export_merged_files", "Small files that were merged", status.merged)?;
        counter("export_failures", "Rounds of a topic's export that failed, and are tried again", status.failures)
    }
}

/// From `/proc`; none where there is no such thing.
pub(super) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
