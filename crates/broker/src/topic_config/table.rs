//! The table of topic settings, by name.

use super::{CompressionType, Default, Effect, TimestampType, TopicSetting};
use crate::config::{ConfigType, Setting};
use floe_log::Durability;
use floe_objstore::StoreUrl;

const LONG_MAX: &str = "9223372036854775807";

fn not_negative_int(text: &str) -> Result<(), String> {
    match i32::read(text)? {
        0.. => Ok(()),
        _ => Err("must not be negative".to_owned()),
    }
}

fn positive_int(text: &str) -> Result<(), String> {
    match i32::read(text)? {
        1.. => Ok(()),
        _ => Err("must be at least 1".to_owned()),
    }
}

fn not_negative_long(text: &str) -> Result<(), String> {
    match i64::read(text)? {
        0.. => Ok(()),
        _ => Err("must not be negative".to_owned()),
    }
}

fn cleanup_policy(text: &str) -> Result<(), String> {
    match text.split(',').map(str::trim).find(|word| !matches!(*word, "delete" | "compact")) {
        None => Ok(()),
        Some(word) => Err(format!("{word:?} is not one of compact, delete")),
    }
}

fn minus_one_or_more(text: &str) -> Result<(), String> {
    match i64::read(text)? {
        -1.. => Ok(()),
        _ => Err("must be -1 or more".to_owned()),
    }
}

fn positive_long(text: &str) -> Result<(), String> {
    match i64::read(text)? {
        1.. => Ok(()),
        _ => Err("must be at least 1".to_owned()),
    }
}

/// Kafka's least size of a segment (KIP-1030).
fn segment_bytes(text: &str) -> Result<(), String> {
    match i32::read(text)? {
        1_048_576.. => Ok(()),
        _ => Err("must be at least 1048576".to_owned()),
    }
}

fn ratio(text: &str) -> Result<(), String> {
    match text.trim().parse::<f64>() {
        Ok(0.0..=1.0) => Ok(()),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

fn one_of(words: &[&str], text: &str) -> Result<(), String> {
    if words.contains(&text.trim()) { Ok(()) } else { Err(format!("{:?} is not one of {}", text.trim(), words.join(", "))) }
}

fn export(text: &str) -> Result<(), String> {
    one_of(&["none", "parquet"], text)
}

fn export_layout(text: &str) -> Result<(), String> {
    one_of(&floe_log::LAYOUTS, text)
}

fn export_mode(text: &str) -> Result<(), String> {
    one_of(&floe_log::MODES, text)
}

fn place(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Ok(()) } else { text.trim().parse::<StoreUrl>().map(|_| ()).map_err(|error| error.to_string()) }
}

fn at_least_100(text: &str) -> Result<(), String> {
    match i64::read(text)? {
        100.. => Ok(()),
        _ => Err("must be at least 100".to_owned()),
    }
}

fn file_bytes(text: &str) -> Result<(), String> {
    match i64::read(text)? {
        0x10_0000..=0x4000_0000 => Ok(()),
        _ => Err("must be from 1048576 to 1073741824".to_owned()),
    }
}

fn readable<T: Setting>(text: &str) -> Result<(), String> {
    T::read(text).map(|_| ())
}

const fn used(
    name: &'static str,
    kind: ConfigType,
    default: Default,
    check: fn(&str) -> Result<(), String>,
    doc: &'static str,
) -> TopicSetting {
    TopicSetting { name, kind, doc, default, effect: Effect::Used(check) }
}

/// A hint: Floe takes every value that Kafka takes, because whatever it says, what Floe does anyway is within it.
const fn hint(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    check: fn(&str) -> Result<(), String>,
    doc: &'static str,
) -> TopicSetting {
    TopicSetting { name, kind, doc, default: Default::Fixed(default), effect: Effect::Used(check) }
}

/// Accepts only `accepts`, whose first is the default.
const fn ignored(name: &'static str, kind: ConfigType, accepts: &'static [&'static str], doc: &'static str) -> TopicSetting {
    TopicSetting { name, kind, doc, default: Default::Fixed(accepts[0]), effect: Effect::Ignored { accepts } }
}

use ConfigType::{Boolean, Double, Int, List, Long, String as Text};

/// Every topic setting, sorted by name.
pub static TOPIC_SETTINGS: &[TopicSetting] = &[
    used(
        "cleanup.policy",
        List,
        Default::Fixed("delete"),
        cleanup_policy,
        "What happens to old records: 'delete' lets them go by age and size, 'compact' keeps the newest of each key, 'compact,delete' does both.",
    ),
    ignored("compression.gzip.level", Int, &["-1"], "Level of gzip when compression.type is gzip."),
    ignored("compression.lz4.level", Int, &["9"], "Level of lz4 when compression.type is lz4."),
    used(
        "compression.type",
        Text,
        Default::Broker("compression.type"),
        readable::<CompressionType>,
        "Codec that batches are stored and served in; 'producer' keeps what the producer chose.",
    ),
    ignored("compression.zstd.level", Int, &["3"], "Level of zstd when compression.type is zstd."),
    used(
        "delete.retention.ms",
        Long,
        Default::Fixed("86400000"),
        not_negative_long,
        "How long compaction keeps a tombstone from when it first meets it, in milliseconds.",
    ),
    hint("file.delete.delay.ms", Long, "60000", not_negative_long, "A hint without effect: Floe has no log files to delete."),
    used(
        "floe.durability",
        Text,
        Default::Durability,
        readable::<Durability>,
        "When a record counts as committed: 'local' once it is fsynced on this broker's disk (a single broker's), 'replicated' once two brokers' disks have it (a cluster's), 'object' once it is in the object store.",
    ),
    used(
        "floe.export",
        Text,
        Default::Fixed("none"),
        export,
        "Whether brokers export the topic as Parquet files that any engine reads: 'parquet' or 'none'. What they have exported stays.",
    ),
    used("floe.export.file.bytes", Long, Default::Fixed("67108864"), file_bytes, "Bytes after which a file of an export ends."),
    used(
        "floe.export.freshness.ms",
        Long,
        Default::Fixed("10000"),
        at_least_100,
        "Time between two looks at what is to be exported, in milliseconds; each that finds something makes a file of a partition.",
    ),
    used(
        "floe.export.layout",
        Text,
        Default::Fixed("plain"),
        export_layout,
        "The folders that an export's files lie in: 'plain', 'partition' or 'date'. What has begun goes on as it is, or not at all.",
    ),
    used(
        "floe.export.merge",
        Boolean,
        Default::Fixed("false"),
        readable::<bool>,
        "Whether small files of an export are merged into large ones, beside the table.",
    ),
    used(
        "floe.export.mode",
        Text,
        Default::Fixed("raw"),
        export_mode,
        "What an export's keys and values are: 'raw', 'string', 'json', 'avro' or 'protobuf', the last two with the broker's registry. What has begun goes on as it is, or not at all.",
    ),
    used(
        "floe.export.target",
        Text,
        Default::Fixed(""),
        place,
        "Where an export goes, within one of the places of the broker's setting floe.export.targets. Empty: the first of them.",
    ),
    hint(
        "flush.messages",
        Long,
        LONG_MAX,
        positive_long,
        "A hint without effect: Floe makes every acknowledged record durable; see floe.durability.",
    ),
    hint(
        "flush.ms",
        Long,
        LONG_MAX,
        not_negative_long,
        "A hint without effect: Floe makes every acknowledged record durable; see floe.durability.",
    ),
    ignored("follower.replication.throttled.replicas", List, &[""], "Floe does not copy partitions between brokers."),
    hint("index.interval.bytes", Int, "4096", not_negative_int, "A hint without effect: Floe's indexes go by block."),
    ignored("leader.replication.throttled.replicas", List, &[""], "Floe does not copy partitions between brokers."),
    ignored("local.retention.bytes", Long, &["-2"], "Floe's log lives in the object store; local disk holds only what is not there yet."),
    ignored("local.retention.ms", Long, &["-2"], "Floe's log lives in the object store; local disk holds only what is not there yet."),
    used(
        "max.compaction.lag.ms",
        Long,
        Default::Fixed(LONG_MAX),
        positive_long,
        "Age beyond which records are compacted whatever min.cleanable.dirty.ratio says, in milliseconds.",
    ),
    used(
        "max.message.bytes",
        Int,
        Default::Broker("message.max.bytes"),
        not_negative_int,
        "Largest record batch, after compression, that the topic takes.",
    ),
    used(
        "message.timestamp.after.max.ms",
        Long,
        Default::Broker("log.message.timestamp.after.max.ms"),
        not_negative_long,
        "How far a record's timestamp may lie ahead of the broker's clock, in milliseconds.",
    ),
    used(
        "message.timestamp.before.max.ms",
        Long,
        Default::Broker("log.message.timestamp.before.max.ms"),
        not_negative_long,
        "How far a record's timestamp may lie before the broker's clock, in milliseconds.",
    ),
    used(
        "message.timestamp.type",
        Text,
        Default::Broker("log.message.timestamp.type"),
        readable::<TimestampType>,
        "Whether records keep the producer's timestamp (CreateTime) or get the broker's (LogAppendTime).",
    ),
    used(
        "min.cleanable.dirty.ratio",
        Double,
        Default::Fixed("0.5"),
        ratio,
        "The part of the log that must not have been compacted yet before compaction begins.",
    ),
    used(
        "min.compaction.lag.ms",
        Long,
        Default::Fixed("0"),
        not_negative_long,
        "Age below which records are not compacted, in milliseconds.",
    ),
    used(
        "min.insync.replicas",
        Int,
        Default::Fixed("1"),
        positive_int,
        "Copies that a record has before it counts as committed. Where there are fewer, records count once they are in the object store, which satisfies any number.",
    ),
    ignored("preallocate", Boolean, &["false"], "Floe has no log files of a partition to allocate."),
    ignored("remote.log.copy.disable", Boolean, &["false"], "Floe's log always lives in the object store."),
    ignored("remote.log.delete.on.disable", Boolean, &["false"], "Floe's log always lives in the object store."),
    ignored("remote.storage.enable", Boolean, &["false"], "Floe's log always lives in the object store, without Kafka's tiering."),
    used(
        "retention.bytes",
        Long,
        Default::Fixed("-1"),
        minus_one_or_more,
        "Size of a partition at which its oldest records go; -1 keeps them all.",
    ),
    used(
        "retention.ms",
        Long,
        Default::Fixed("-1"),
        minus_one_or_more,
        "Age at which records go, in milliseconds; -1 keeps them for ever.",
    ),
    hint("segment.bytes", Int, "1073741824", segment_bytes, "A hint without effect: Floe's segments are sized by the flush, not by topic."),
    hint("segment.index.bytes", Int, "10485760", not_negative_int, "A hint without effect: Floe's indexes have no size of their own."),
    hint("segment.jitter.ms", Long, "0", not_negative_long, "A hint without effect: Floe's segments are sized by the flush, not by topic."),
    hint("segment.ms", Long, "604800000", positive_long, "A hint without effect: Floe's segments are sized by the flush, not by topic."),
    ignored("unclean.leader.election.enable", Boolean, &["false"], "Floe never elects a leader that lacks acknowledged records."),
];
