//! What an operator may set on a broker, under Kafka's names where Kafka has the setting.
//!
//! One table ([`settings!`] below) is the struct, its defaults, how each value is read and shown, and what
//! DescribeConfigs tells about it. Values may be given as numbers or as text with a unit (`"64MiB"`, `"30s"`).

mod value;

pub use value::ConfigType;
pub(crate) use value::Setting;

use crate::topic_config::{CompressionType, TimestampType};
use floe_types::{ByteSize, Millis};
use serde::{Deserialize, Serialize};

/// A setting that cannot be used, with its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{key}: {reason}")]
    Value { key: &'static str, reason: String },
    #[error("{0}: no such setting")]
    Unknown(String),
}

/// What is known of one broker setting besides its value.
#[derive(Debug, Clone, Copy)]
pub struct BrokerSetting {
    pub key: &'static str,
    pub kind: ConfigType,
    pub doc: &'static str,
    get: fn(&BrokerConfig) -> String,
    set: fn(&mut BrokerConfig, &str) -> Result<(), String>,
}

impl BrokerSetting {
    /// The value as DescribeConfigs shows it: plain numbers of bytes and milliseconds.
    #[must_use]
    pub fn value(&self, config: &BrokerConfig) -> String {
        (self.get)(config)
    }

    /// A value as DescribeConfigs shows it; none if it cannot be read.
    pub(crate) fn shown(&self, text: &str) -> Option<String> {
        let mut config = BrokerConfig::default();
        (self.set)(&mut config, text).ok()?;
        Some(self.value(&config))
    }

    /// Whether it can be altered while the broker runs.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        DYNAMIC.contains(&self.key)
    }

    /// The value when nobody sets it.
    #[must_use]
    pub fn default_value(&self) -> String {
        (self.get)(&BrokerConfig::default())
    }
}

/// Settings that are read each time they are needed, and can therefore be altered while the broker runs.
const DYNAMIC: &[&str] = &[
    "num.partitions",
    "auto.create.topics.enable",
    "default.replication.factor",
    "floe.strict.replication",
    "message.max.bytes",
    "compression.type",
    "log.message.timestamp.type",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.after.max.ms",
    "fetch.max.bytes",
    "floe.fetch.max.wait.ms",
    "floe.max.partitions",
    "group.initial.rebalance.delay.ms",
    "group.min.session.timeout.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "offset.metadata.max.bytes",
    "offsets.retention.minutes",
];

macro_rules! settings {
    ($( $key:literal $field:ident: $type:ty = $default:expr, $doc:literal; )*) => {
        /// The broker's settings.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct BrokerConfig {
            $(
                #[doc = $doc]
                #[serde(rename = $key, deserialize_with = "value::scalar", serialize_with = "value::dump")]
                pub $field: $type,
            )*
        }

        impl Default for BrokerConfig {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// Every setting, in the order of the documentation.
        pub static BROKER_SETTINGS: &[BrokerSetting] = &[
            $(BrokerSetting {
                key: $key,
                kind: <$type as Setting>::KIND,
                doc: $doc,
                get: |config| config.$field.show(),
                set: |config, text| <$type as Setting>::read(text).map(|value| config.$field = value),
            },)*
        ];
    };
}

settings! {
    "num.partitions" num_partitions: i32 = 1,
        "Partitions of a topic that is created without a number of its own.";
    "auto.create.topics.enable" auto_create_topics: bool = true,
        "Whether a client that asks for the metadata of a topic that is not there creates it.";
    "default.replication.factor" default_replication_factor: i32 = 1,
        "Replication factor of a topic that is created without one. Copies are made by the object store; the number is accepted for clients' sake.";
    "floe.strict.replication" strict_replication: bool = false,
        "Refuse replication factors that are greater than the number of live brokers, as Kafka does.";
    "message.max.bytes" message_max_bytes: ByteSize = ByteSize(1_048_588),
        "Largest record batch a producer may send, after compression. Topics override it with max.message.bytes.";
    "compression.type" compression_type: CompressionType = CompressionType::Producer,
        "Codec that batches are stored in; 'producer' keeps what the producer chose. Topics override it.";
    "log.message.timestamp.type" timestamp_type: TimestampType = TimestampType::CreateTime,
        "Whether records keep the producer's timestamp or get the broker's. Topics override it with message.timestamp.type.";
    "log.message.timestamp.before.max.ms" timestamp_before_max: i64 = i64::MAX,
        "How far a record's timestamp may lie before the broker's clock, in milliseconds. Topics override it with message.timestamp.before.max.ms.";
    "log.message.timestamp.after.max.ms" timestamp_after_max: i64 = 3_600_000,
        "How far a record's timestamp may lie ahead of the broker's clock, in milliseconds. Topics override it with message.timestamp.after.max.ms.";
    "fetch.max.bytes" fetch_max_bytes: ByteSize = ByteSize(57_671_680),
        "Most bytes of records in one fetch answer; a single larger batch is still given alone.";
    "max.incremental.fetch.session.cache.slots" fetch_sessions: u32 = 1_000,
        "Fetch sessions kept at once; a consumer without one sends all its partitions with each fetch.";
    "max.connections" max_connections: u32 = 10_000,
        "Connections served at once, over all listeners; further ones wait: one of each listener accepted, the others in its backlog.";
    "connections.max.idle.ms" connections_max_idle: Millis = Millis(600_000),
        "A connection that sends nothing for so long is closed.";
    "socket.request.max.bytes" socket_request_max_bytes: ByteSize = ByteSize(104_857_600),
        "Largest request; a longer one closes its connection.";
    "queued.max.request.bytes" queued_max_request_bytes: ByteSize = ByteSize(134_217_728),
        "Bytes of requests that all connections together may hold in memory; who finds no room waits before its request is read.";
    "floe.queued.max.response.bytes" queued_max_response_bytes: ByteSize = ByteSize(268_435_456),
        "Bytes of answers that all connections together may hold in memory.";
    "floe.max.pending.requests" max_pending_requests: u32 = 1_000,
        "Requests of one connection that may wait for their answer at once.";
    "floe.request.receive.timeout.ms" request_receive_timeout: Millis = Millis(30_000),
        "A request must arrive within this time and one second more per MiB, else its connection is closed.";
    "floe.response.send.timeout.ms" response_send_timeout: Millis = Millis(30_000),
        "A client must take an answer within this time and one second more per MiB, else its connection is closed.";
    "floe.fetch.max.wait.ms" fetch_max_wait: Millis = Millis(60_000),
        "Longest wait of a fetch for new records, whatever the client asks for.";
    "floe.max.partitions" max_partitions: u32 = 100_000,
        "Partitions of all topics together; a topic that would exceed it is refused.";
    "group.initial.rebalance.delay.ms" group_initial_rebalance_delay: Millis = Millis(3_000),
        "How long the first members of an empty group are waited for, so that members that start together begin together; 50 at least.";
    "group.min.session.timeout.ms" group_min_session_timeout: i32 = 6_000,
        "Shortest session that a member of a group may ask for, in milliseconds.";
    "group.max.session.timeout.ms" group_max_session_timeout: i32 = 1_800_000,
        "Longest session that a member of a group may ask for, in milliseconds.";
    "group.max.size" group_max_size: i32 = i32::MAX,
        "Most members of a group.";
    "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = 4_096,
        "Longest metadata of a committed offset, in characters.";
    "offsets.topic.num.partitions" offsets_topic_partitions: i32 = 50,
        "Partitions of __consumer_offsets, which is created when the first group is. Not to be changed afterwards: they say where a group is kept.";
    "offsets.commit.timeout.ms" offsets_commit_timeout: Millis = Millis(5_000),
        "Longest wait of a commit of offsets, or of a group's assignment, for its records to be durable.";
    "offsets.retention.minutes" offsets_retention_minutes: i32 = 10_080,
        "How long offsets are kept once their group is empty, or, without members, since their commit.";
    "offsets.retention.check.interval.ms" offsets_retention_check: Millis = Millis(600_000),
        "How often offsets are looked for that have outlived their retention.";
}

impl BrokerConfig {
    /// Sets one value from text, as environment and command line give it.
    ///
    /// # Errors
    /// An unknown key, or a value that cannot be read.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        let setting = BROKER_SETTINGS.iter().find(|s| s.key == key).ok_or_else(|| ConfigError::Unknown(key.to_owned()))?;
        (setting.set)(self, text).map_err(|reason| ConfigError::Value { key: setting.key, reason })
    }

    /// Checks what a single value's type cannot.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.to_owned() });
        if self.num_partitions < 1 {
            return refuse("num.partitions", "must be at least 1");
        }
        if self.default_replication_factor < 1 {
            return refuse("default.replication.factor", "must be at least 1");
        }
        if self.max_connections < 1 {
            return refuse("max.connections", "must be at least 1");
        }
        if self.max_pending_requests < 1 {
            return refuse("floe.max.pending.requests", "must be at least 1");
        }
        if self.timestamp_before_max < 0 {
            return refuse("log.message.timestamp.before.max.ms", "must not be negative");
        }
        if self.timestamp_after_max < 0 {
            return refuse("log.message.timestamp.after.max.ms", "must not be negative");
        }
        self.validate_groups()?;
        let request_max = self.socket_request_max_bytes.0;
        if !(1024..=i32::MAX as u64).contains(&request_max) {
            return refuse("socket.request.max.bytes", "must lie between 1 KiB and 2 GiB");
        }
        if self.message_max_bytes.0 > request_max {
            return refuse("message.max.bytes", "must not be greater than socket.request.max.bytes");
        }
        if self.queued_max_request_bytes.0 < request_max {
            return refuse("queued.max.request.bytes", "must not be less than socket.request.max.bytes");
        }
        if self.fetch_max_bytes.0 > self.queued_max_response_bytes.0 {
            return refuse("fetch.max.bytes", "must not be greater than floe.queued.max.response.bytes");
        }
        if self.fetch_max_bytes.0 > i32::MAX as u64 {
            return refuse("fetch.max.bytes", "must be less than 2 GiB");
        }
        Ok(())
    }

    fn validate_groups(&self) -> Result<(), ConfigError> {
        let refuse = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.to_owned() });
        if self.group_min_session_timeout < 1 {
            return refuse("group.min.session.timeout.ms", "must be at least 1");
        }
        if self.group_max_session_timeout < self.group_min_session_timeout {
            return refuse("group.max.session.timeout.ms", "must not be less than group.min.session.timeout.ms");
        }
        if self.group_max_size < 1 {
            return refuse("group.max.size", "must be at least 1");
        }
        if self.offset_metadata_max_bytes < 0 {
            return refuse("offset.metadata.max.bytes", "must not be negative");
        }
        if !(1..=10_000).contains(&self.offsets_topic_partitions) {
            return refuse("offsets.topic.num.partitions", "must lie between 1 and 10,000");
        }
        if self.offsets_retention_minutes < 1 {
            return refuse("offsets.retention.minutes", "must be at least 1");
        }
        if self.offsets_commit_timeout.0 < 1 || self.offsets_retention_check.0 < 1 {
            return refuse("offsets.commit.timeout.ms", "must be at least 1, as must offsets.retention.check.interval.ms");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_setting_reads_back_as_shown() {
        let mut config = BrokerConfig::default();
        assert_eq!(config.validate(), Ok(()));
        for setting in BROKER_SETTINGS {
            let shown = setting.value(&config);
            assert_eq!(config.set(setting.key, &shown), Ok(()), "{}", setting.key);
            assert_eq!(setting.value(&config), shown);
            assert!(setting.doc.ends_with('.'), "{} has a sentence of its own", setting.key);
        }
        assert_eq!(BROKER_SETTINGS.iter().filter(|setting| setting.is_dynamic()).count(), DYNAMIC.len(), "each is a setting");
        assert_eq!(config, BrokerConfig::default());
    }

    #[test]
    fn values_may_carry_units_and_unknown_keys_are_refused_by_name() {
        let mut config = BrokerConfig::default();
        assert_eq!(config.set("socket.request.max.bytes", "64MiB"), Ok(()));
        assert_eq!(config.socket_request_max_bytes, ByteSize(64 << 20));
        assert_eq!(config.set("connections.max.idle.ms", "2s"), Ok(()));
        assert_eq!(config.set("connections.max.idle.ms", "2500"), Ok(()), "Kafka's own name says that a bare number is milliseconds");
        assert_eq!(config.connections_max_idle, Millis(2_500));
        assert_eq!(config.set("num.partition", "3"), Err(ConfigError::Unknown("num.partition".into())));
        let error = config.set("num.partitions", "many").expect_err("not a number");
        assert_eq!(error.to_string(), "num.partitions: \"many\" is not a whole number");
    }

    #[test]
    fn contradictions_are_refused_with_the_key() {
        let config = BrokerConfig { num_partitions: 0, ..BrokerConfig::default() };
        assert_eq!(config.validate().expect_err("no partitions").to_string(), "num.partitions: must be at least 1");
        let config = BrokerConfig { queued_max_request_bytes: ByteSize(1), ..BrokerConfig::default() };
        assert!(config.validate().expect_err("a budget that fits no request").to_string().starts_with("queued.max.request.bytes"));
    }
}
