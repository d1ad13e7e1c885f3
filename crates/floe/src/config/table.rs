//! Every setting by its key: how its value is read, shown, and what it is for. The broker's own table is appended.

use super::Config;
use floe_broker::config::BROKER_SETTINGS;
use floe_log::EngineOptions;
use floe_types::{BrokerId, ByteSize, Millis};
use std::str::FromStr;
use std::time::Duration;

/// One setting of this table.
struct Own {
    key: &'static str,
    doc: &'static str,
    /// None: not set.
    get: fn(&Config) -> Option<String>,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Any setting, whoever owns it.
#[derive(Clone, Copy)]
pub(crate) struct Setting(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Own(&'static Own),
    Broker(&'static floe_broker::config::BrokerSetting),
}

/// All settings, in the order of the documentation.
pub(crate) fn settings() -> impl Iterator<Item = Setting> {
    OWN.iter().map(|own| Setting(Kind::Own(own))).chain(BROKER_SETTINGS.iter().map(|broker| Setting(Kind::Broker(broker))))
}

impl Setting {
    pub(crate) fn key(self) -> &'static str {
        match self.0 {
            Kind::Own(own) => own.key,
            Kind::Broker(broker) => broker.key,
        }
    }

    pub(crate) fn doc(self) -> &'static str {
        match self.0 {
            Kind::Own(own) => own.doc,
            Kind::Broker(broker) => broker.doc,
        }
    }

    /// Whether it can be altered while the broker runs.
    #[cfg(test)]
    pub(crate) fn is_dynamic(self) -> bool {
        match self.0 {
            Kind::Own(_) => false,
            Kind::Broker(broker) => broker.is_dynamic(),
        }
    }

    /// Its name in the environment.
    pub(crate) fn variable(self) -> String {
        let key = self.key();
        format!("FLOE_{}", key.strip_prefix("floe.").unwrap_or(key).replace('.', "_").to_ascii_uppercase())
    }

    /// A secret is read, never shown.
    pub(crate) fn is_secret(self) -> bool {
        matches!(self.key(), "s3.secret.access.key" | "s3.session.token" | "floe.export.registry")
    }

    /// The value as text that [`Setting::set`] reads; none if it is not set or secret.
    pub(crate) fn get(self, config: &Config) -> Option<String> {
        match self.0 {
            Kind::Own(own) => (own.get)(config),
            Kind::Broker(broker) => Some(broker.value(&config.broker)),
        }
    }

    /// Reads a value; the error completes the sentence "key: ...".
    pub(crate) fn set(self, config: &mut Config, text: &str) -> Result<(), String> {
        match self.0 {
            Kind::Own(own) => (own.set)(config, text),
            Kind::Broker(broker) => config.broker.set(broker.key, text).map_err(|error| {
                let text = error.to_string();
                text.strip_prefix(&format!("{}: ", broker.key)).map_or(text.clone(), str::to_owned)
            }),
        }
    }
}

/// Any type whose error says what was expected.
fn read<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    text.trim().parse().map_err(|error: T::Err| error.to_string())
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not a whole number in its range"))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    read::<ByteSize>(text).map(|size| size.0)
}

/// The keys end in `.ms`, which says what a bare number means.
fn millis(text: &str) -> Result<Millis, String> {
    text.trim().parse().map(Millis).or_else(|_| read(text))
}

fn show_bytes(value: u64) -> Option<String> {
    Some(ByteSize(value).to_string())
}

fn show_time(value: Duration) -> Option<String> {
    Some(Millis(u64::try_from(value.as_millis()).unwrap_or(u64::MAX)).to_string())
}

fn endpoints(value: &str) -> Result<Vec<String>, String> {
    let all: Vec<String> = value.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
    match all.iter().find(|url| url.strip_prefix("http://").is_none_or(|address| super::host_and_port(address).is_err())) {
        Some(url) => Err(format!("{url:?} is not of the form http://host:port")),
        None => Ok(all),
    }
}

fn urls(all: &[floe_objstore::StoreUrl]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn prefix(value: &str) -> Result<String, String> {
    let value = value.trim_end_matches('/');
    if value.starts_with('/') { Ok(value.to_owned()) } else { Err(format!("{value:?} does not begin with /, or is nothing else")) }
}

fn broker_id(value: &str) -> Result<(BrokerId, bool), String> {
    if value.trim() == "auto" { Ok((EngineOptions::default().broker, true)) } else { number(value).map(|id| (BrokerId(id), false)) }
}

fn text(value: &str) -> Result<Option<String>, String> {
    if value.is_empty() { Err("must not be empty".into()) } else { Ok(Some(value.to_owned())) }
}

macro_rules! own {
    ($($key:literal, $doc:literal, $config:ident => $get:expr, $value:ident => $field:expr, $read:expr;)*) => {
        static OWN: &[Own] = &[$(Own {
            key: $key,
            doc: $doc,
            get: |$config| $get,
            set: |$config, $value| {
                $field = $read?;
                Ok(())
            },
        },)*];
    };
}

own! {
    "data", "Data directory: the WAL, and what says which disk this is. Default: ./floe-data.",
        c => c.server.data.as_ref().map(|path| path.display().to_string()), v => c.server.data, text(v).map(|v| v.map(Into::into));
    "store", "Object store: file:///path, s3://bucket/prefix or memory://. Default: the folder store in the data directory.",
        c => c.server.store.as_ref().map(ToString::to_string), v => c.server.store, read(v).map(Some);
    "listen", "Addresses of the Kafka listeners: [NAME=]HOST:PORT, separated by commas. Loopback addresses, unless insecure is set.",
        c => Some(c.server.listen.to_string()), v => c.server.listen, read(v);
    "advertise", "What clients of a listener are told to dial: [NAME=]HOST:PORT, separated by commas. Default: the address that was bound.",
        c => c.server.advertise.as_ref().map(ToString::to_string), v => c.server.advertise, read(v).map(Some);
    "admin", "Address of the console, /metrics, /healthz, /readyz and /status. A loopback address, unless insecure is set.",
        c => Some(c.server.admin.clone()), v => c.server.admin, super::host_and_port(v).map(|_| v.to_owned());
    "floe.console.records", "Whether the console at the admin address shows what records hold: their keys, values and headers.",
        c => Some(c.server.console_records.to_string()), v => c.server.console_records, boolean(v);
    "insecure", "Allow listeners that others can reach, without encryption and authentication.",
        c => Some(c.server.insecure.to_string()), v => c.server.insecure, boolean(v);
    "broker.id", "What Kafka clients see as the node id. auto, in a cluster: the one that the data directory has, or the first that nobody has.",
        c => Some(if c.server.cluster.auto_id { "auto".to_owned() } else { c.engine.broker.to_string() }),
        v => (c.engine.broker, c.server.cluster.auto_id), broker_id(v);
    "etcd.endpoints", "Endpoints of etcd, http://HOST:PORT, separated by commas: this broker is one of a cluster. Default: none, a single broker.",
        c => c.server.cluster.etcd.as_ref().map(|all| all.join(",")), v => c.server.cluster.etcd, endpoints(v).map(Some);
    "etcd.prefix", "What the cluster's keys in etcd begin with.",
        c => Some(c.server.cluster.prefix.clone()), v => c.server.cluster.prefix, prefix(v);
    "peer.listen", "Address on which the brokers of a cluster reach this one. A loopback address, unless insecure is set.",
        c => Some(c.server.cluster.peer_listen.clone()), v => c.server.cluster.peer_listen, super::host_and_port(v).map(|_| v.to_owned());
    "peer.advertise", "HOST:PORT by which they are told to reach it. Default: the address that was bound.",
        c => c.server.cluster.peer_advertise.clone(), v => c.server.cluster.peer_advertise, super::host_and_port(v).map(|_| Some(v.to_owned()));
    "broker.rack", "Where this broker runs, such as its zone.",
        c => c.server.cluster.rack.clone(), v => c.server.cluster.rack, text(v);
    "log.level", "Level of the log (error, warn, info, debug, trace), or a list such as warn,floe_log=debug.",
        c => Some(c.server.log_level.clone()), v => c.server.log_level, crate::logging::check_level(v).map(|()| v.to_owned());
    "log.format", "Format of the log: text or json.",
        c => Some(c.server.log_format.to_string()), v => c.server.log_format, read(v);
    "floe.durability", "When a record of a topic that does not say it counts as committed: local (fsynced here; a single broker only), replicated (fsynced by two brokers; a cluster only) or object (its pack is in the store). Default: replicated in a cluster, else local on a directory, object otherwise.",
        c => c.durability.map(|d| d.to_string()), v => c.durability, read(v).map(Some);
    "floe.flush.bytes", "Unflushed bytes that start a flush to the store. Default: 8MiB in a cluster, else 16MiB.",
        c => c.flush_bytes.and_then(show_bytes), v => c.flush_bytes, bytes(v).map(Some);
    "floe.flush.age.ms", "Age of the oldest unflushed record that starts a flush; at most 1s.",
        c => show_time(c.engine.flush_age), v => c.engine.flush_age, millis(v).map(Into::into);
    "floe.object.flush.age.ms", "The same while records of object topics wait for their acknowledgement. Default: 160ms in a cluster, where each broker writes objects of its own, else 50ms.",
        c => c.object_flush_age.and_then(show_time), v => c.object_flush_age, millis(v).map(|age| Some(age.into()));
    "floe.pack.bytes", "Most bytes of one object with records.",
        c => show_bytes(c.engine.pack_bytes), v => c.engine.pack_bytes, bytes(v);
    "floe.own.pack.bytes", "A partition with this many unflushed bytes gets an object of its own.",
        c => show_bytes(c.engine.own_pack_bytes), v => c.engine.own_pack_bytes, bytes(v);
    "floe.pack.compression", "How records that producers did not compress are stored: lz4, zstd or none. Clients get the bytes they sent.",
        c => Some(c.engine.block_codec.to_string()), v => c.engine.block_codec, read(v);
    "floe.upload.window", "Uploads under way at once.",
        c => Some(c.engine.window.to_string()), v => c.engine.window, number(v);
    "floe.upload.bytes", "Bytes of records in uploads under way: what is built waits in memory. Default: 16MiB in a cluster, else 64MiB.",
        c => c.upload_bytes.and_then(show_bytes), v => c.upload_bytes, bytes(v).map(Some);
    "floe.index.every.slots", "Objects with records between two indexes, sixteen times as many where an index is large: bounds how many are read when a broker takes over.",
        c => Some(c.engine.index_every_slots.to_string()), v => c.engine.index_every_slots, number(v);
    "floe.settle.bytes", "Bytes of a partition that are merged into an object of its own, and that object's size; one merge is held in memory, compressed.",
        c => show_bytes(c.engine.settle_bytes), v => c.engine.settle_bytes, bytes(v);
    "floe.settle.age.ms", "Age at which less than that is merged, too.",
        c => show_time(c.engine.settle_age), v => c.engine.settle_age, millis(v).map(Into::into);
    "floe.settle.least.bytes", "What is less than this is never merged into an object of its own, however old.",
        c => show_bytes(c.engine.settle_least_bytes), v => c.engine.settle_least_bytes, bytes(v);
    "log.cleaner.dedupe.buffer.size", "Memory for the keys of a compaction (22 bytes each); a log with more keys takes several passes.",
        c => show_bytes(c.engine.compaction_bytes), v => c.engine.compaction_bytes, bytes(v);
    "log.retention.check.interval.ms", "Time between two looks at what retention.ms and retention.bytes may take.",
        c => show_time(c.engine.retention_check), v => c.engine.retention_check, millis(v).map(Into::into);
    "floe.wal.budget.bytes", "Unflushed bytes that the local disk may hold; beyond it producers get a retriable error.",
        c => show_bytes(c.engine.wal_budget), v => c.engine.wal_budget, bytes(v);
    "floe.replica.budget.bytes", "Disk for copies of other brokers' WALs, all of them together, and two files more for each; beyond it a copy does not count, and its owner takes another standby.",
        c => Some(c.server.cluster.replica_budget.to_string()), v => c.server.cluster.replica_budget, read(v);
    "floe.wal.file.bytes", "Size of one WAL file, allocated ahead.",
        c => show_bytes(c.engine.wal_file_bytes), v => c.engine.wal_file_bytes, bytes(v);
    "floe.tail.bytes", "Memory for the newest records: readers of the tail are served from it. Default: 16MiB in a cluster, else 64MiB.",
        c => c.tail_bytes.and_then(show_bytes), v => c.tail_bytes, bytes(v).map(Some);
    "floe.object.unflushed.bytes", "Memory for records of object topics that wait for the store.",
        c => show_bytes(c.engine.object_unflushed_bytes), v => c.engine.object_unflushed_bytes, bytes(v);
    "floe.cache.bytes", "Memory for blocks read from the store, up to three quarters of it for what is read ahead of consumers; all consumers of history share it.",
        c => show_bytes(c.engine.cache_bytes), v => c.engine.cache_bytes, bytes(v);
    "floe.disk.cache.bytes", "Disk in the data directory for the same; 0: none. It may be deleted at any time. Default: 1GiB where the store is S3, none otherwise.",
        c => c.disk_cache_bytes.and_then(show_bytes), v => c.disk_cache_bytes, bytes(v).map(Some);
    "floe.export.targets", "Places within which topics may ask to be exported (their setting floe.export), file:///path or s3://bucket/prefix, separated by commas, reached as the store is; the first is for topics that name none. Default: none.",
        c => (!c.engine.export_targets.is_empty()).then(|| urls(&c.engine.export_targets)), v => c.engine.export_targets, v.split(',').map(read).collect::<Result<_, _>>();
    "floe.export.memory.bytes", "Memory for the files that are exported because topics ask for it, all of them together; at least 64MiB.",
        c => Some(c.server.exports.memory.to_string()), v => c.server.exports.memory, read(v);
    "floe.export.registry", "URL of the schema registry with Confluent's REST API that these exports ask for schemas of Avro and Protocol Buffers. Never shown: a password may be in it.",
        _c => None, v => _c.server.exports.registry, text(v);
    "floe.drain.timeout.ms", "Time that a drain may take after SIGTERM before the broker gives up on it.",
        c => Some(c.server.drain_timeout.to_string()), v => c.server.drain_timeout, millis(v);
    "floe.idle.exit.ms", "Time without client traffic, such as 15min, after which the broker drains and ends with code 0. 0: never.",
        c => Some(c.server.idle_exit.to_string()), v => c.server.idle_exit, millis(v);
    "floe.idle.exit.polls", "Whether fetches that find nothing are traffic: false lets a broker end under consumers that only wait; they reconnect when it is back.",
        c => Some(c.server.idle_exit_polls.to_string()), v => c.server.idle_exit_polls, boolean(v);
    "price.gib.month", "What the store asks for a GiB in a month, in any currency: floe du reckons with it. Default: S3 Standard, us-east-1, in dollars.",
        c => Some(c.server.prices.gib_month.to_string()), v => c.server.prices.gib_month, read(v);
    "price.prefixes", "The same for objects whose keys begin otherwise, such as those that a rule of the bucket moves to a cheaper storage class: PREFIX=PRICE, separated by commas, such as topic/=0.0125. The longest prefix counts.",
        c => c.server.prices.prefixes.shown(), v => c.server.prices.prefixes, read(v);
    "price.put.thousand", "What the store asks for a thousand requests that write or list.",
        c => Some(c.server.prices.put_thousand.to_string()), v => c.server.prices.put_thousand, read(v);
    "price.get.thousand", "What the store asks for a thousand requests that read.",
        c => Some(c.server.prices.get_thousand.to_string()), v => c.server.prices.get_thousand, read(v);
    "s3.endpoint", "URL of an S3-compatible server. Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS itself.",
        c => c.s3.endpoint.clone(), v => c.s3.endpoint, text(v);
    "s3.region", "Region. Default: AWS_REGION, or the AWS profile's.",
        c => c.s3.region.clone(), v => c.s3.region, text(v);
    "s3.path.style", "endpoint/bucket/key instead of bucket.endpoint/key. Default: true with an endpoint, false with AWS itself.",
        c => c.s3.path_style.map(|v| v.to_string()), v => c.s3.path_style, boolean(v).map(Some);
    "s3.access.key.id", "Access key. Default: where the AWS tools look (environment, profile, instance).",
        c => c.s3.access_key_id.clone(), v => c.s3.access_key_id, text(v);
    "s3.secret.access.key", "Secret of the access key. Never shown.",
        _c => None, v => _c.s3.secret_access_key, text(v);
    "s3.session.token", "Token of temporary credentials. Never shown.",
        _c => None, v => _c.s3.session_token, text(v);
    "s3.encryption", "How the store encrypts objects: AES256, aws:kms or aws:kms:dsse. Default: as the bucket says.",
        c => c.s3.encryption.map(|v| v.to_string()), v => c.s3.encryption, read(v).map(Some);
    "s3.kms.key.id", "Key of aws:kms and aws:kms:dsse, by id or ARN. Default: AWS's own key for S3.",
        c => c.s3.kms_key_id.clone(), v => c.s3.kms_key_id, text(v);
    "s3.bucket.key", "Whether S3 asks KMS once for many objects. Default: as the bucket says.",
        c => c.s3.bucket_key.map(|v| v.to_string()), v => c.s3.bucket_key, boolean(v).map(Some);
    "s3.storage.class", "Class of every object: STANDARD, INTELLIGENT_TIERING, STANDARD_IA, ONEZONE_IA, GLACIER_IR, REDUCED_REDUNDANCY or EXPRESS_ONEZONE. Default: the bucket's.",
        c => c.s3.storage_class.map(|v| v.to_string()), v => c.s3.storage_class, read(v).map(Some);
    "s3.request.payer", "Whether requests say that their sender pays for them, as some buckets demand.",
        c => Some(c.s3.request_payer.to_string()), v => c.s3.request_payer, boolean(v);
    "s3.ca.bundle", "File of certificates (PEM) that are trusted beside the system's. Default: AWS_CA_BUNDLE.",
        c => c.s3.ca_bundle.as_ref().map(|path| path.display().to_string()), v => c.s3.ca_bundle, text(v).map(|v| v.map(Into::into));
    "s3.connect.timeout.ms", "Time to connect to the store.",
        c => Some(c.s3.connect_timeout.to_string()), v => c.s3.connect_timeout, millis(v);
    "s3.request.timeout.ms", "A backstop for one request with its body.",
        c => Some(c.s3.request_timeout.to_string()), v => c.s3.request_timeout, millis(v);
}
