//! What an engine is told at its start. The composition root fills it from flags, environment and file.

use floe_formats::BlockCodec;
use floe_objstore::StoreUrl;
use floe_types::BrokerId;
use std::time::Duration;

/// When a record counts as committed (`floe.durability`). A single broker knows two of the three levels, one of several the other two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Fsynced on this disk.
    Local,
    /// Its pack is in a certain slot of the object store.
    Object,
    /// Fsynced by a quorum of the brokers that keep copies of this one's WAL.
    Replicated,
}

impl Durability {
    /// The level that `text` names, if brokers of this kind know it.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn read(text: &str, in_cluster: bool) -> Result<Self, String> {
        match text.trim().parse()? {
            Self::Replicated if !in_cluster => {
                Err("floe.durability=replicated needs a cluster; a single broker knows local and object".into())
            }
            known => Ok(known),
        }
    }
}

impl std::str::FromStr for Durability {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "object" => Ok(Self::Object),
            "replicated" => Ok(Self::Replicated),
            _ => Err(format!("floe.durability is {text:?}, not one of local, object, replicated")),
        }
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Object => "object",
            Self::Replicated => "replicated",
        })
    }
}

/// Settings of one engine. Sizes are bytes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    pub broker: BrokerId,
    /// For topics that name none.
    pub durability: Durability,
    /// One broker of several: what it leads is what the records of ownership say, and nothing is `local`.
    pub in_cluster: bool,
    /// Take a store over although another disk may hold acknowledged records that were never flushed (T47).
    pub take_over: bool,
    /// Unflushed bytes that start a flush.
    pub flush_bytes: u64,
    /// Age of the oldest unflushed record that starts a flush. At most a second: a broker with unflushed records
    /// contacts the store that often, so that it learns of a successor.
    pub flush_age: Duration,
    /// The same while `object` records wait for their acknowledgement.
    pub object_flush_age: Duration,
    /// Most bytes of one pack.
    pub pack_bytes: u64,
    /// A partition with this many unflushed bytes gets a pack of its own.
    pub own_pack_bytes: u64,
    /// How blocks of batches that producers did not compress are stored.
    pub block_codec: BlockCodec,
    /// Uploads in flight; also how far behind the first free slot a recoverer has to look.
    pub window: u32,
    /// Bytes of records in those; one more pack is begun below it.
    pub upload_bytes: u64,
    /// Slots between two index objects that are small; sixteen times as many between large ones, whose bytes have to be worth it:
    /// bounds how many footers a recovery reads.
    pub index_every_slots: u64,
    /// How long a quorum of copies may take before what waits for it is flushed as `object` is.
    pub replica_timeout: Duration,
    /// How long a standby may be away before another is chosen, and the least time between two such changes.
    pub replace_standby_after: Duration,
    /// Unflushed bytes on the local disk.
    pub wal_budget: u64,
    pub wal_file_bytes: u64,
    /// Batches kept in memory for readers of the tail and for flushing.
    pub tail_bytes: u64,
    /// `object` records that wait for their slot, in memory only.
    pub object_unflushed_bytes: u64,
    /// Blocks read from packs, in memory; up to three quarters of it hold what is read ahead of consumers.
    pub cache_bytes: u64,
    /// Time between two looks at what retention may take. A look makes no request.
    pub retention_check: Duration,
    /// Bytes of a partition in slots that are merged into a pack of its own, and that pack's size: one merge is in memory.
    pub settle_bytes: u64,
    /// Age at which less than that is merged, too.
    pub settle_age: Duration,
    /// What is less than this stays in slots, however old: a pack of its own would cost more than it saves.
    pub settle_least_bytes: u64,
    /// Memory for the keys of one compaction; what has more takes several passes.
    pub compaction_bytes: u64,
    /// Small segments that all partitions together may have in slots before any are merged into fewer.
    pub merge_segments: usize,
    /// Segments are of one size within a factor of 2 to the power of this, and so many of one size are merged.
    pub merge_size_bits: u32,
    /// Segments that a manifest names itself, at most; older ones it names by pages.
    pub manifest_segments: usize,
    /// Time between two looks at what is to be settled or compacted. A look makes no request.
    pub settle_check: Duration,
    /// The same on the data directory's disk; 0: none.
    pub disk_cache_bytes: u64,
    /// Places within which topics may ask to be exported; none: nowhere.
    pub export_targets: Vec<StoreUrl>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            broker: BrokerId(0),
            durability: Durability::Local,
            in_cluster: false,
            take_over: false,
            flush_bytes: 16 << 20,
            flush_age: Duration::from_millis(1000),
            object_flush_age: Duration::from_millis(50),
            pack_bytes: 16 << 20,
            own_pack_bytes: 8 << 20,
            block_codec: BlockCodec::Lz4,
            window: 4,
            upload_bytes: 64 << 20,
            index_every_slots: 64,
            replica_timeout: Duration::from_millis(500),
            replace_standby_after: Duration::from_secs(10),
            wal_budget: 1 << 30,
            wal_file_bytes: 16 << 20,
            tail_bytes: 64 << 20,
            object_unflushed_bytes: 64 << 20,
            retention_check: Duration::from_secs(60),
            settle_bytes: 128 << 20,
            settle_age: Duration::from_secs(6 * 3600),
            settle_least_bytes: 4 << 20,
            merge_segments: 4096,
            merge_size_bits: 5,
            manifest_segments: 128,
            compaction_bytes: 96 << 20,
            settle_check: Duration::from_secs(10),
            cache_bytes: 256 << 20,
            disk_cache_bytes: 0,
            export_targets: Vec::new(),
        }
    }
}
