//! What an engine says of itself: for `/status`, metrics, and tests.

use crate::Engine;
use crate::copies::StandbyState;
use floe_types::{LeaderEpoch, Offset};
use serde::Serialize;
use std::sync::atomic::Ordering::Relaxed;

/// Reasons that are told at once.
const STOPPED_TOLD: usize = 20;

/// One engine, as it is now. Sizes are bytes.
#[derive(Debug, Clone, Serialize)]
pub struct EngineStatus {
    pub cluster: String,
    pub incarnation: u64,
    pub catalog_version: u64,
    pub topics: usize,
    pub partitions: usize,
    pub durability: crate::Durability,
    /// Batches that are not in certain slots.
    pub unflushed_batches: u64,
    /// Bytes that have not been given a slot.
    pub unplanned_bytes: u64,
    /// Batches held in memory.
    pub tail_bytes: u64,
    /// What the WAL holds on to: its end less what was trimmed.
    pub wal_bytes: u64,
    /// The generation of the newest claim; the standbys of its WAL, and how many of them count.
    pub generation: u64,
    pub standbys: usize,
    pub standbys_counting: usize,
    /// Records' bytes that only copies had, of brokers that were recovered by this one.
    pub recovered_bytes: u64,
    /// Incarnations of other brokers that are being recovered here, and what that waits for.
    pub recovering: Vec<Recovering>,
    /// How long the disk has not been done with what the WAL gave it last; 0 when nothing is asked of it.
    pub disk_stalled_ms: u64,
    pub cached_bytes: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    /// Own packs written by settling, and their bytes, since the start.
    pub settled_packs: u64,
    pub settled_bytes: u64,
    /// Bytes that compaction has gone through since the start.
    pub compacted_bytes: u64,
    /// Segments of larger shared packs that small ones were merged into, and their bytes, since the start.
    pub remerged_segments: u64,
    pub remerged_bytes: u64,
    /// Pages of manifests written since the start; bytes of memory of those that were read lately.
    pub manifest_pages: u64,
    pub manifest_page_bytes: u64,
    /// Objects deleted since the start.
    pub deleted_objects: u64,
    /// Settling, merging, compaction, retention or deletion of a partition that has stopped because of damage: how many, and of the first,
    /// which and why.
    pub stopped: usize,
    pub stopped_because: Vec<String>,
    /// Of the bytes in memory, those that were read ahead of consumers.
    pub cached_ahead_bytes: u64,
    /// The cache on the disk; all 0 without one.
    pub disk_cached_bytes: u64,
    pub disk_cache_hits: u64,
    pub disk_cache_misses: u64,
    pub disk_cache_dropped: u64,
    pub ended: Option<String>,
}

/// A recovery that is not done.
#[derive(Debug, Clone, Serialize)]
pub struct Recovering {
    pub incarnation: u64,
    /// Why the last try was not enough, such as disks that do not answer (R12); none in the first.
    pub waits_for: Option<String>,
}

/// One partition, as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionStatus {
    pub topic: String,
    pub partition: i32,
    pub leader_epoch: LeaderEpoch,
    pub log_start: Offset,
    pub committed: Offset,
    pub end: Offset,
}

impl Engine {
    /// The engine, as it is now.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let shared = self.shared();
        let view = self.catalog().view();
        let (blocks, disk) = shared.packs.stats();
        let disk = disk.unwrap_or_default();
        let current = shared.wals.current();
        let standbys = current.and_then(|own| own.copied.as_ref().map(|copied| copied.standbys())).unwrap_or_default();
        let (stopped, stopped_because) = shared.stopped.list(STOPPED_TOLD, |id| shared.partition(id).is_some());
        EngineStatus {
            cluster: self.cluster().to_string(),
            incarnation: shared.incarnation.0,
            catalog_version: view.version,
            topics: view.topics().count(),
            partitions: shared.partitions().len(),
            durability: shared.options.durability,
            unflushed_batches: shared.unflushed_batches(),
            unplanned_bytes: shared.dirty.unplanned_bytes.load(Relaxed),
            tail_bytes: shared.tail_memory.used(),
            wal_bytes: shared.wals.bytes(),
            generation: u64::from(shared.wals.newest().0),
            standbys: standbys.len(),
            standbys_counting: standbys.iter().filter(|standby| matches!(standby.state, StandbyState::Counting { .. })).count(),
            recovered_bytes: self.recovered_bytes(),
            recovering: self
                .recoveries()
                .into_iter()
                .map(|(incarnation, waits_for)| Recovering { incarnation: incarnation.0, waits_for })
                .collect(),
            disk_stalled_ms: shared.wals.current().map_or(0, |own| u64::try_from(own.wal.stalled().as_millis()).unwrap_or(u64::MAX)),
            cached_bytes: blocks.bytes,
            cache_hits: blocks.hits,
            cache_misses: blocks.misses,
            settled_packs: shared.history.settled_packs(),
            settled_bytes: shared.history.settled_bytes(),
            compacted_bytes: shared.history.compacted_bytes(),
            remerged_segments: shared.history.remerged_segments(),
            remerged_bytes: shared.history.remerged_bytes(),
            manifest_pages: shared.history.pages(),
            manifest_page_bytes: shared.pages.held(),
            deleted_objects: shared.history.deleted_objects(),
            stopped,
            stopped_because,
            cached_ahead_bytes: blocks.ahead_bytes,
            disk_cached_bytes: disk.bytes,
            disk_cache_hits: disk.hits,
            disk_cache_misses: disk.misses,
            disk_cache_dropped: disk.dropped,
            ended: shared.ended.get().map(|ended| ended.to_string()),
        }
    }

    /// All partitions, by topic name.
    #[must_use]
    pub fn partition_statuses(&self) -> Vec<PartitionStatus> {
        let view = self.catalog().view();
        let of_topic = |topic: &std::sync::Arc<floe_formats::Topic>| {
            let topic = topic.clone();
            (0..topic.partitions).filter_map(move |index| {
                let partition = self.partition(floe_types::PartitionId { topic: topic.id, index })?;
                let offsets = partition.offsets();
                Some(PartitionStatus {
                    topic: topic.name.clone(),
                    partition: index,
                    leader_epoch: partition.leader_epoch(),
                    log_start: offsets.log_start,
                    committed: offsets.committed,
                    end: offsets.end,
                })
            })
        };
        view.topics().flat_map(of_topic).collect()
    }
}
