//! The settings of a topic: every name that Kafka 4.1 knows and Floe's own, with type, default and meaning.
//!
//! A setting that Floe does not act on yet is refused unless it asks for what happens anyway: nobody is to believe
//! that a topic is compacted or expires when it does not. What is only a hint is taken, and its documentation says so.
//! What a topic does not set, the broker's settings give.

mod table;

pub use table::TOPIC_SETTINGS;

use crate::config::{BROKER_SETTINGS, BrokerConfig, ConfigType, Setting};
use crate::live::Settings;
use floe_log::Durability;
use floe_records::Codec;
use std::collections::BTreeMap;

/// One setting that a topic can have.
#[derive(Debug, Clone, Copy)]
pub struct TopicSetting {
    pub name: &'static str,
    pub kind: ConfigType,
    pub doc: &'static str,
    pub(crate) default: Default,
    pub(crate) effect: Effect,
}

/// Where the value comes from when the topic does not say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    Fixed(&'static str),
    /// The broker setting of this name.
    Broker(&'static str),
    /// Depends on what the broker stores to.
    Durability,
}

/// What Floe does with the setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    /// Acts on it; the check completes the sentence "name: ...".
    Used(fn(&str) -> Result<(), String>),
    /// Nothing yet: only values that ask for what happens anyway are taken.
    Ignored { accepts: &'static [&'static str] },
}

/// Why a topic's setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    #[error("Unknown topic config name: {0}")]
    Unknown(String),
    #[error("Null value not supported for topic configs: {0}")]
    Null(String),
    #[error("Invalid value for configuration {name}: {reason}")]
    Value { name: &'static str, reason: String },
    #[error("{name}={value} has no effect in this version of Floe and is refused; it accepts {accepts}")]
    NoEffect { name: &'static str, value: String, accepts: String },
}

/// Finds a setting by its name.
#[must_use]
pub fn topic_setting(name: &str) -> Option<&'static TopicSetting> {
    TOPIC_SETTINGS.iter().find(|setting| setting.name == name)
}

/// Checks one setting as CreateTopics brings it.
///
/// # Errors
/// An unknown name, a value that cannot be read, or one that would silently do nothing.
pub fn check_topic_setting(name: &str, value: Option<&str>) -> Result<(), TopicConfigError> {
    let setting = topic_setting(name).ok_or_else(|| TopicConfigError::Unknown(name.to_owned()))?;
    let value = value.ok_or_else(|| TopicConfigError::Null(name.to_owned()))?;
    match setting.effect {
        Effect::Used(check) => check(value).map_err(|reason| TopicConfigError::Value { name: setting.name, reason }),
        Effect::Ignored { accepts } if accepts.contains(&value.trim()) => Ok(()),
        Effect::Ignored { accepts } => {
            let accepts = accepts.iter().map(|v| if v.is_empty() { "the empty value" } else { v }).collect::<Vec<_>>().join(", ");
            Err(TopicConfigError::NoEffect { name: setting.name, value: value.to_owned(), accepts })
        }
    }
}

/// `compression.type`: what codec batches are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them: nothing is touched.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl CompressionType {
    /// The codec to store in, or `None` to leave batches alone.
    #[must_use]
    pub fn codec(self) -> Option<Codec> {
        match self {
            Self::Producer => None,
            Self::Uncompressed => Some(Codec::None),
            Self::Gzip => Some(Codec::Gzip),
            Self::Snappy => Some(Codec::Snappy),
            Self::Lz4 => Some(Codec::Lz4),
            Self::Zstd => Some(Codec::Zstd),
        }
    }
}

/// `message.timestamp.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

macro_rules! names {
    ($type:ty { $($variant:ident = $name:literal),* $(,)? }) => {
        impl Setting for $type {
            const KIND: ConfigType = ConfigType::String;
            fn read(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($name => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is not one of {}", [$($name),*].join(", "))),
                }
            }
            fn show(&self) -> String {
                match self { $(Self::$variant => $name.to_owned(),)* }
            }
        }
    };
}
names!(CompressionType {
    Producer = "producer",
    Uncompressed = "uncompressed",
    Gzip = "gzip",
    Snappy = "snappy",
    Lz4 = "lz4",
    Zstd = "zstd",
});
names!(TimestampType { CreateTime = "CreateTime", LogAppendTime = "LogAppendTime" });

/// `floe.durability`: the log's own word.
impl Setting for Durability {
    const KIND: ConfigType = ConfigType::String;
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// A topic's settings as the produce path needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    pub(crate) max_message_bytes: usize,
    pub(crate) timestamp_type: TimestampType,
    /// Milliseconds that a timestamp may lie before and after the broker's clock.
    pub(crate) timestamp_before_max: i64,
    pub(crate) timestamp_after_max: i64,
    pub(crate) compression: CompressionType,
    /// Every record must have a key.
    pub(crate) is_compacted: bool,
}

impl TopicSettings {
    /// Reads the topic's own settings over the broker's. A stored value that this version cannot read counts as not
    /// set: it was checked when it was stored, and one odd topic must not stop the others.
    pub(crate) fn of(configs: &BTreeMap<String, String>, broker: &BrokerConfig) -> Self {
        let max_message_bytes = value(configs, "max.message.bytes").unwrap_or(broker.message_max_bytes.0 as i64);
        Self {
            max_message_bytes: usize::try_from(max_message_bytes).unwrap_or(0),
            timestamp_type: value(configs, "message.timestamp.type").unwrap_or(broker.timestamp_type),
            timestamp_before_max: value(configs, "message.timestamp.before.max.ms").unwrap_or(broker.timestamp_before_max),
            timestamp_after_max: value(configs, "message.timestamp.after.max.ms").unwrap_or(broker.timestamp_after_max),
            compression: value(configs, "compression.type").unwrap_or(broker.compression_type),
            is_compacted: floe_log::is_compacted(configs.get(floe_log::CLEANUP_POLICY).map(String::as_str)),
        }
    }
}

/// Where a value comes from, with its number in DescribeConfigs (`ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub(crate) enum Source {
    Topic = 1,
    /// Altered while brokers ran: for this one, and for all.
    DynamicBroker = 2,
    DynamicCluster = 3,
    /// Given when the broker was started.
    Broker = 4,
    Default = 5,
}

/// One value that a setting has, would have, or has by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: Source,
}

impl TopicSetting {
    /// Every place that gives this setting a value, the one that counts first. Never empty.
    pub(crate) fn origins(&self, configs: &BTreeMap<String, String>, broker: &Settings, durability: Durability) -> Vec<Origin> {
        let own = configs.get(self.name).map(|value| Origin { name: self.name, value: value.clone(), source: Source::Topic });
        let inherited = match self.default {
            Default::Fixed(value) => vec![Origin { name: self.name, value: value.to_owned(), source: Source::Default }],
            Default::Durability => vec![Origin { name: self.name, value: durability.to_string(), source: Source::Default }],
            Default::Broker(key) => BROKER_SETTINGS.iter().filter(|setting| setting.key == key).flat_map(|s| broker.origins(s)).collect(),
        };
        own.into_iter().chain(inherited).collect()
    }
}

fn value<T: Setting>(configs: &BTreeMap<String, String>, name: &str) -> Option<T> {
    configs.get(name).and_then(|text| T::read(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_floe_acts_on_are_checked() {
        assert_eq!(check_topic_setting("max.message.bytes", Some("1000")), Ok(()));
        assert_eq!(check_topic_setting("floe.durability", Some("object")), Ok(()));
        assert_eq!(check_topic_setting("compression.type", Some("zstd")), Ok(()));
        for value in ["delete", "compact", "compact,delete", "delete, compact"] {
            assert_eq!(check_topic_setting("cleanup.policy", Some(value)), Ok(()));
        }
        for value in ["-1", "0", "604800000", "9223372036854775807"] {
            assert_eq!(check_topic_setting("retention.ms", Some(value)), Ok(()));
            assert_eq!(check_topic_setting("retention.bytes", Some(value)), Ok(()));
        }
        for (name, value) in [
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "lots"),
            ("floe.durability", "twice"),
            ("compression.type", "brotli"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "squash"),
            ("cleanup.policy", ""),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("min.cleanable.dirty.ratio", "nan"),
            ("max.compaction.lag.ms", "0"),
            ("delete.retention.ms", "-1"),
            ("retention.bytes", "9223372036854775808"),
            ("message.timestamp.type", "logappendtime"),
            ("message.timestamp.before.max.ms", "-5"),
        ] {
            let error = check_topic_setting(name, Some(value)).expect_err("refused");
            assert!(matches!(error, TopicConfigError::Value { .. }), "{name}={value}: {error}");
        }
    }

    #[test]
    fn settings_without_effect_are_refused_unless_they_ask_for_what_happens_anyway() {
        for (name, value) in [("cleanup.policy", "delete"), ("segment.ms", "604800000"), ("min.insync.replicas", "1")] {
            assert_eq!(check_topic_setting(name, Some(value)), Ok(()), "{name}={value}");
        }
        for (name, value) in [("preallocate", "true"), ("remote.storage.enable", "true")] {
            let error = check_topic_setting(name, Some(value)).expect_err("it would do nothing");
            assert!(error.to_string().contains("has no effect"), "{error}");
        }
    }

    #[test]
    fn hints_are_taken_as_kafka_takes_them() {
        for (name, value) in
            [("flush.ms", "12345678"), ("segment.bytes", "1048576"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0.01")]
        {
            assert_eq!(check_topic_setting(name, Some(value)), Ok(()), "{name}={value}");
        }
        for (name, value) in [("flush.ms", "-1"), ("segment.bytes", "10000"), ("segment.ms", "0"), ("min.cleanable.dirty.ratio", "2")] {
            let error = check_topic_setting(name, Some(value)).expect_err("no such value");
            assert!(matches!(error, TopicConfigError::Value { .. }), "{name}={value}: {error}");
        }
    }

    #[test]
    fn unknown_names_and_null_values_are_refused() {
        assert_eq!(check_topic_setting("retention.day", Some("1")), Err(TopicConfigError::Unknown("retention.day".into())));
        assert_eq!(check_topic_setting("retention.ms", None), Err(TopicConfigError::Null("retention.ms".into())));
    }

    #[test]
    fn every_setting_has_a_sentence_and_a_default_that_it_accepts() {
        for setting in TOPIC_SETTINGS {
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
            let origins = setting.origins(&BTreeMap::new(), &Settings::started(BrokerConfig::default()), Durability::Local);
            let [default] = &origins[..] else { panic!("{} has one default, not {origins:?}", setting.name) };
            assert_eq!(check_topic_setting(setting.name, Some(&default.value)), Ok(()));
        }
        let names: Vec<_> = TOPIC_SETTINGS.iter().map(|s| s.name).collect();
        assert!(names.is_sorted(), "sorted and therefore seen to be without duplicates: {names:?}");
    }

    #[test]
    fn a_value_knows_where_it_comes_from() {
        let broker = BrokerConfig { message_max_bytes: floe_types::ByteSize(500), ..BrokerConfig::default() };
        let own = BTreeMap::from([("max.message.bytes".to_owned(), "77".to_owned())]);
        let setting = topic_setting("max.message.bytes").expect("it exists");
        let origins = setting.origins(&own, &Settings::started(broker), Durability::Local);
        let got: Vec<_> = origins.iter().map(|o| (o.name, o.value.as_str(), o.source)).collect();
        let expected = [
            ("max.message.bytes", "77", Source::Topic),
            ("message.max.bytes", "500", Source::Broker),
            ("message.max.bytes", "1048588", Source::Default),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn a_topics_own_settings_win_over_the_brokers() {
        let broker = BrokerConfig::default();
        let own = BTreeMap::from([
            ("max.message.bytes".to_owned(), "77".to_owned()),
            ("message.timestamp.type".to_owned(), "LogAppendTime".to_owned()),
            ("compression.type".to_owned(), "from the future".to_owned()),
        ]);
        let settings = TopicSettings::of(&own, &broker);
        assert_eq!((settings.max_message_bytes, settings.timestamp_type), (77, TimestampType::LogAppendTime));
        assert_eq!(settings.compression, CompressionType::Producer, "what cannot be read counts as not set");
        assert_eq!(settings.timestamp_after_max, 3_600_000);
    }
}
