//! Settings of the broker: flags over environment over file over defaults, every key checked before anything is touched.
//!
//! A setting has a dotted key, Kafka's where Kafka has the setting. In the file (TOML) it is written `num.partitions = 3`, or
//! as tables; in the environment `FLOE_NUM_PARTITIONS` (`floe.` is left out: `floe.flush.bytes` is `FLOE_FLUSH_BYTES`); on the
//! command line `-o num.partitions=3`. Owned here: where values come from and what is refused. Not here: what they mean.

mod listeners;
mod prices;
mod sources;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use prices::Prices;
pub(crate) use sources::{Layers, dump, load, options};
pub(crate) use table::{Setting, settings};

use crate::logging;
use floe_broker::{BrokerConfig, PLAINTEXT};
use floe_log::{Durability, EngineOptions};
use floe_objstore::{S3Options, StoreUrl};
use floe_types::{ByteSize, Millis};
use listeners::{Address, Dial, Named};
use std::path::PathBuf;
use std::time::Duration;

/// Of the cache on disk, where the store is further away than the disk.
const DISK_CACHE_BYTES: u64 = 1 << 30;

// A broker of a cluster has a part of the load, and the memory and the requests of all of them count together.
const FLUSH_BYTES_OF_MANY: u64 = 8 << 20;
const UPLOAD_BYTES_OF_MANY: u64 = 16 << 20;
const TAIL_BYTES_OF_MANY: u64 = 16 << 20;
/// Three brokers at 20 MB/s then write less than a thousand objects a GB.
const OBJECT_FLUSH_AGE_OF_MANY: Duration = Duration::from_millis(160);

/// Everything that `floe serve` can be told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) server: ServerConfig,
    /// None: by the kind of store.
    pub(crate) durability: Option<Durability>,
    /// None: by the kind of store.
    pub(crate) disk_cache_bytes: Option<u64>,
    /// None: by whether it is a single broker.
    pub(crate) flush_bytes: Option<u64>,
    pub(crate) upload_bytes: Option<u64>,
    pub(crate) object_flush_age: Option<Duration>,
    pub(crate) tail_bytes: Option<u64>,
    pub(crate) engine: EngineOptions,
    pub(crate) s3: S3Options,
    pub(crate) broker: BrokerConfig,
}

/// What belongs to the process rather than to a component.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    /// None: `./floe-data`; for `memory://` a folder that goes with the process.
    pub(crate) data: Option<PathBuf>,
    /// None: the folder `store` in the data directory.
    pub(crate) store: Option<StoreUrl>,
    pub(crate) listen: Named<Address>,
    /// Where there is none: the address that was bound.
    pub(crate) advertise: Option<Named<Dial>>,
    pub(crate) admin: String,
    /// Whether the console shows what records hold.
    pub(crate) console_records: bool,
    pub(crate) insecure: bool,
    pub(crate) drain_timeout: Millis,
    /// Without traffic for so long, it drains and ends. 0: never.
    pub(crate) idle_exit: Millis,
    /// Whether fetches that find nothing are traffic.
    pub(crate) idle_exit_polls: bool,
    pub(crate) log_level: String,
    pub(crate) log_format: logging::Format,
    pub(crate) prices: Prices,
    pub(crate) exports: ExportConfig,
    pub(crate) cluster: ClusterConfig,
}

/// What a broker exports by itself may take.
#[derive(Debug, Clone)]
pub(crate) struct ExportConfig {
    pub(crate) memory: ByteSize,
    pub(crate) registry: Option<String>,
}

/// What only a broker of a cluster is told.
#[derive(Debug, Clone)]
pub(crate) struct ClusterConfig {
    /// None: a single broker.
    pub(crate) etcd: Option<Vec<String>>,
    pub(crate) prefix: String,
    /// The broker's id is the cluster's to give.
    pub(crate) auto_id: bool,
    pub(crate) peer_listen: String,
    /// None: the address that was bound.
    pub(crate) peer_advertise: Option<String>,
    pub(crate) rack: Option<String>,
    /// Of the disk, for copies of others' WALs.
    pub(crate) replica_budget: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        let server = ServerConfig {
            data: None,
            store: None,
            listen: Named(vec![(PLAINTEXT.into(), Address("127.0.0.1:9092".into()))]),
            advertise: None,
            admin: "127.0.0.1:9644".into(),
            console_records: true,
            insecure: false,
            drain_timeout: Millis(60_000),
            idle_exit: Millis(0),
            idle_exit_polls: true,
            log_level: "info".into(),
            log_format: logging::Format::Text,
            prices: Prices::default(),
            exports: ExportConfig { memory: ByteSize(64 << 20), registry: None },
            cluster: ClusterConfig {
                etcd: None,
                prefix: "/floe".into(),
                auto_id: false,
                peer_listen: "127.0.0.1:0".into(),
                peer_advertise: None,
                rack: None,
                replica_budget: ByteSize(4 << 30),
            },
        };
        Self {
            server,
            durability: None,
            disk_cache_bytes: None,
            flush_bytes: None,
            upload_bytes: None,
            object_flush_age: None,
            tail_bytes: None,
            engine: EngineOptions::default(),
            s3: S3Options::default(),
            broker: BrokerConfig::default(),
        }
    }
}

/// A setting that was refused: where it came from, its key, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

impl Config {
    /// The engine's options, with the defaults that fit the store.
    pub(crate) fn engine_options(&self, store: &StoreUrl) -> EngineOptions {
        let (durability, disk_cache_bytes) = match store {
            StoreUrl::File { .. } if self.server.cluster.etcd.is_some() => (Durability::Replicated, 0),
            StoreUrl::S3 { .. } if self.server.cluster.etcd.is_some() => (Durability::Replicated, DISK_CACHE_BYTES),
            StoreUrl::File { .. } => (Durability::Local, 0),
            StoreUrl::S3 { .. } => (Durability::Object, DISK_CACHE_BYTES),
            StoreUrl::Memory => (Durability::Object, 0),
        };
        let engine = &self.engine;
        let is_one_of_many = self.server.cluster.etcd.is_some();
        let fitting = |single: u64, of_many: u64| if is_one_of_many { of_many } else { single };
        EngineOptions {
            durability: self.durability.unwrap_or(durability),
            disk_cache_bytes: self.disk_cache_bytes.unwrap_or(disk_cache_bytes),
            flush_bytes: self.flush_bytes.unwrap_or(fitting(engine.flush_bytes, FLUSH_BYTES_OF_MANY)),
            upload_bytes: self.upload_bytes.unwrap_or(fitting(engine.upload_bytes, UPLOAD_BYTES_OF_MANY)),
            tail_bytes: self.tail_bytes.unwrap_or(fitting(engine.tail_bytes, TAIL_BYTES_OF_MANY)),
            object_flush_age: self.object_flush_age.unwrap_or(if is_one_of_many {
                OBJECT_FLUSH_AGE_OF_MANY
            } else {
                engine.object_flush_age
            }),
            ..engine.clone()
        }
    }

    /// Checks what a single value cannot show.
    pub(crate) fn validate(&self) -> Result<(), Refused> {
        self.broker.validate().map_err(|error| Refused(error.to_string()))?;
        self.validate_engine()?;
        self.validate_cluster()?;
        self.validate_listeners()
    }

    fn validate_engine(&self) -> Result<(), Refused> {
        let engine = &self.engine_options(&StoreUrl::Memory);
        let second = Duration::from_secs(1);
        let rules = [
            (engine.broker.0 >= 0, "broker.id: must not be negative"),
            (
                engine.flush_age <= second,
                "floe.flush.age.ms: must not be longer than 1s: a broker with unflushed records contacts the store that often",
            ),
            (engine.object_flush_age <= second, "floe.object.flush.age.ms: must not be longer than 1s"),
            (engine.flush_bytes >= 1 << 16, "floe.flush.bytes: must be at least 64KiB"),
            (engine.upload_bytes >= 1 << 16, "floe.upload.bytes: must be at least 64KiB"),
            ((1 << 20..=1 << 30).contains(&engine.pack_bytes), "floe.pack.bytes: must lie between 1MiB and 1GiB"),
            (engine.own_pack_bytes >= 1 << 16, "floe.own.pack.bytes: must be at least 64KiB"),
            ((1..=64).contains(&engine.window), "floe.upload.window: must lie between 1 and 64"),
            ((1..=10_000).contains(&engine.index_every_slots), "floe.index.every.slots: must lie between 1 and 10000"),
            ((1 << 20..=1 << 30).contains(&engine.wal_file_bytes), "floe.wal.file.bytes: must lie between 1MiB and 1GiB"),
            (engine.wal_budget >= engine.wal_file_bytes, "floe.wal.budget.bytes: must not be less than floe.wal.file.bytes"),
            ((1 << 20..=1 << 30).contains(&engine.settle_bytes), "floe.settle.bytes: must lie between 1MiB and 1GiB"),
            (engine.settle_least_bytes <= engine.settle_bytes, "floe.settle.least.bytes: must not be more than floe.settle.bytes"),
            (engine.settle_age >= second, "floe.settle.age.ms: must be at least 1s"),
            (engine.retention_check >= second, "log.retention.check.interval.ms: must be at least 1s"),
            (engine.tail_bytes >= 1 << 20, "floe.tail.bytes: must be at least 1MiB"),
            (engine.compaction_bytes >= 1 << 20, "log.cleaner.dedupe.buffer.size: must be at least 1MiB"),
            (engine.object_unflushed_bytes >= 1 << 20, "floe.object.unflushed.bytes: must be at least 1MiB"),
        ];
        let server = [
            (self.server.exports.memory.0 >= 64 << 20, "floe.export.memory.bytes: must be at least 64MiB"),
            (self.server.cluster.replica_budget.0 >= 16 << 20, "floe.replica.budget.bytes: must be at least 16MiB"),
        ];
        rules.iter().chain(&server).find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(Refused((*why).to_owned())))
    }

    fn validate_cluster(&self) -> Result<(), Refused> {
        let cluster = &self.server.cluster;
        if cluster.etcd.is_none() {
            return match self.durability {
                Some(Durability::Replicated) => {
                    Err(Refused("floe.durability: replicated needs a cluster; a single broker knows local and object".into()))
                }
                _ if cluster.auto_id => Err(Refused("broker.id: auto is for a broker of a cluster (etcd.endpoints)".into())),
                _ => Ok(()),
            };
        }
        match (&self.server.store, self.durability) {
            (None | Some(StoreUrl::Memory), _) => Err(Refused(
                "store: a cluster needs a store that all its brokers reach: s3://bucket/prefix, or file:///path on one machine".into(),
            )),
            (_, Some(Durability::Local)) => Err(Refused("floe.durability: local is for a single broker".into())),
            _ => Ok(()),
        }
    }

    fn validate_listeners(&self) -> Result<(), Refused> {
        let server = &self.server;
        let kafka = server.listen.0.iter().map(|(_, address)| ("listen", &address.0));
        let peer = server.cluster.etcd.as_ref().map(|_| ("peer.listen", &server.cluster.peer_listen));
        for (key, address) in kafka.chain([("admin", &server.admin)]).chain(peer) {
            let (host, _) = host_and_port(address).map_err(|reason| Refused(format!("{key}: {reason}")))?;
            if !server.insecure && !is_loopback(host) {
                let why = "there is no encryption and no authentication yet, so that everybody who reaches it may read and write everything. \
                           Listen on 127.0.0.1, or say --insecure where the network is trusted";
                return Err(Refused(format!("{key}: {address} is not a loopback address: {why}")));
            }
        }
        let advertised = |name: &str| server.advertise.as_ref().and_then(|all| all.get(name));
        for (name, address) in &server.listen.0 {
            let (host, _) = host_and_port(&address.0).map_err(|reason| Refused(format!("listen: {reason}")))?;
            let everywhere = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified());
            if everywhere && advertised(name).is_none() {
                return Err(Refused(format!(
                    "advertise: must be set (HOST:PORT that clients can dial) for {name}, which listens on all addresses"
                )));
            }
        }
        match server.advertise.iter().flat_map(|all| &all.0).find(|(name, _)| server.listen.get(name).is_none()) {
            Some((name, _)) => Err(Refused(format!("advertise: there is no listener {name}"))),
            None => Ok(()),
        }
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets.
pub(crate) fn host_and_port(address: &str) -> Result<(&str, u16), String> {
    let wrong = || format!("{address:?} is not host:port");
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() { Err(wrong()) } else { Ok((host, port)) }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
