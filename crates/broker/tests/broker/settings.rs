//! Settings changed while topics are in use: what is taken, what is refused and why, and that they take effect.

use crate::support::{Client, TestBroker, World, batch, batch_of, produce_request, values};
use bytes::Bytes;
use floe_broker::BrokerConfig;
use floe_broker::topic_config::TOPIC_SETTINGS;
use floe_env::Env;
use floe_log::{Durability, EngineOptions};
use floe_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, JoinGroupRequest, ListConfigResourcesRequest,
    MetadataRequest, ProduceRequest, alter_configs_request, describe_configs_request::DescribeConfigsResource,
    incremental_alter_configs_request as incremental, join_group_request::JoinGroupRequestProtocol, metadata_request::MetadataRequestTopic,
};
use floe_protocol::{ErrorCode, message};
use floe_records::{BatchBuilder, BatchHeader, Codec, TimestampType};
use std::collections::BTreeMap;
use std::time::Duration;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn resource(kind: i8, name: &str, changes: &[(i8, &str, Option<&str>)]) -> incremental::AlterConfigsResource {
    let config = |(operation, key, value): &(i8, &str, Option<&str>)| {
        message!(incremental::AlterableConfig { name: (*key).into(), config_operation: *operation, value: value.map(Into::into) })
    };
    let configs = changes.iter().map(config).collect();
    message!(incremental::AlterConfigsResource { resource_type: kind, resource_name: name.into(), configs })
}

fn alter(changes: &[(i8, &str, Option<&str>)]) -> IncrementalAlterConfigsRequest {
    message!(IncrementalAlterConfigsRequest { resources: vec![resource(TOPIC, "t", changes)] })
}

impl Client {
    /// Sets one setting of a topic.
    async fn set(&mut self, topic: &str, key: &str, value: &str) {
        let resources = vec![resource(TOPIC, topic, &[(SET, key, Some(value))])];
        let response = self.call(1, &message!(IncrementalAlterConfigsRequest { resources })).await;
        assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
    }

    /// The settings that the topic has of its own.
    async fn own(&mut self, topic: &str) -> BTreeMap<String, String> {
        let resource = message!(DescribeConfigsResource { resource_type: TOPIC, resource_name: topic.into(), configuration_keys: None });
        let response = self.call(4, &message!(DescribeConfigsRequest { resources: vec![resource] })).await;
        let configs = response.results[0].configs.iter().filter(|config| config.config_source == 1);
        configs.map(|config| (config.name.to_string(), config.value.clone().unwrap_or_default().to_string())).collect()
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn single_settings_are_set_put_back_and_edited_as_lists_in_every_version() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("retention.ms", "-1")]).await;
    for version in 0..=1 {
        let set = alter(&[(SET, "max.message.bytes", Some("777")), (APPEND, "cleanup.policy", Some("delete")), (DELETE, "flush.ms", None)]);
        let response = client.call(version, &set).await;
        assert_eq!((response.responses[0].error_code, response.responses[0].error_message.clone()), (0, None));
        assert_eq!((response.responses[0].resource_type, response.responses[0].resource_name.as_str()), (TOPIC, "t"));
        let expected = map(&[("retention.ms", "-1"), ("max.message.bytes", "777"), ("cleanup.policy", "delete")]);
        assert_eq!(client.own("t").await, expected);
        let back = alter(&[
            (DELETE, "max.message.bytes", Some("ignored")),
            (DELETE, "cleanup.policy", None),
            (SUBTRACT, "leader.replication.throttled.replicas", Some("0:1")),
        ]);
        assert_eq!(client.call(version, &back).await.responses[0].error_code, 0);
        assert_eq!(client.own("t").await, map(&[("retention.ms", "-1"), ("leader.replication.throttled.replicas", "")]));
        client.call(1, &alter(&[(DELETE, "leader.replication.throttled.replicas", None)])).await;
    }
    client.set("t", "max.message.bytes", "888").await;
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let own = broker.client().await.own("t").await;
    assert_eq!(own, map(&[("retention.ms", "-1"), ("max.message.bytes", "888")]), "settings survive a kill");
}

#[tokio::test]
async fn what_is_only_validated_changes_nothing() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let version = broker.engine.catalog().view().version;
    let mut request = alter(&[(SET, "max.message.bytes", Some("777"))]);
    request.validate_only = true;
    assert_eq!(client.call(1, &request).await.responses[0].error_code, 0);
    let mut bad = alter(&[(SET, "max.message.bytes", Some("-7"))]);
    bad.validate_only = true;
    assert_eq!(client.call(1, &bad).await.responses[0].error_code, ErrorCode::InvalidConfig.code());
    assert_eq!(client.call(1, &alter(&[(DELETE, "max.message.bytes", None)])).await.responses[0].error_code, 0);
    assert_eq!(client.own("t").await, map(&[]));
    assert_eq!(broker.engine.catalog().view().version, version, "what changes nothing writes nothing");
}

#[tokio::test]
async fn bad_changes_are_refused_with_the_reason_and_nothing_of_their_resource_is_changed() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let fine = (SET, "max.message.bytes", Some("777"));
    for (change, code, reason) in [
        ((SET, "compression.type", Some("brotli")), 40, "Invalid value for configuration compression.type"),
        ((SET, "min.insync.replicas", Some("0")), 40, "at least 1"),
        ((SET, "message.timestamp.type", Some("now")), 40, "LogAppendTime"),
        ((SET, "message.timestamp.after.max.ms", Some("-1")), 40, "must not be negative"),
        ((SET, "floe.durability", Some("replicated")), 40, "needs a cluster"),
        ((SET, "retention.mss", Some("1")), 40, "Unknown topic config name: retention.mss"),
        ((SET, "preallocate", Some("true")), 40, "no effect"),
        ((APPEND, "cleanup.policy", Some("squash")), 40, "squash"),
        ((SUBTRACT, "cleanup.policy", Some("delete")), 40, "not one of compact, delete"),
        ((APPEND, "compression.type", Some("gzip")), 40, "not LIST"),
        ((SET, "compression.type", None), 42, "Null value"),
        ((APPEND, "cleanup.policy", None), 42, "Null value"),
        ((9, "compression.type", Some("gzip")), 42, "Unknown operation"),
        ((SET, "max.message.bytes", Some("7")), 42, "duplicate"),
    ] {
        let response = client.call(1, &alter(&[fine, change])).await;
        let answer = &response.responses[0];
        let why = answer.error_message.clone().unwrap_or_default();
        assert_eq!(answer.error_code, code, "{change:?}: {why}");
        assert!(why.contains(reason), "{change:?}: {why}");
        assert_eq!(client.own("t").await, map(&[]), "{change:?}");
    }
}

#[tokio::test]
async fn each_resource_succeeds_or_fails_by_itself_and_all_are_one_change_of_the_catalog() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for name in ["t", "u"] {
        client.create_topic(name, 1, &[]).await;
    }
    let version = broker.engine.catalog().view().version;
    let change: &[_] = &[(SET, "max.message.bytes", Some("777"))];
    let cases = [
        (resource(TOPIC, "t", change), 0),
        (resource(TOPIC, "unknown", change), 3),
        (resource(TOPIC, "not/a/name", change), 17),
        (resource(TOPIC, "", change), 42),
        (resource(TOPIC, "twice", change), 42),
        (resource(TOPIC, "twice", change), 42),
        (resource(TOPIC, "u", change), 0),
        (resource(BROKER, "0x", &[]), 42),
        (resource(BROKER, "7", &[]), 42),
        (resource(BROKER, "0", &[(SET, "max.connections", Some("7"))]), 42),
        (resource(BROKER, "", &[(SET, "num.partitions", Some("none"))]), 40),
        (resource(8, "0", &[(SET, "kafka.server", Some("DEBUG"))]), 40),
        (resource(8, "7", &[]), 42),
        (resource(16, "metrics", &[]), 42),
        (resource(1, "any", &[]), 42),
    ];
    let (resources, codes): (Vec<_>, Vec<i16>) = cases.into_iter().unzip();
    let response = client.call(1, &message!(IncrementalAlterConfigsRequest { resources })).await;
    for (answer, code) in response.responses.iter().zip(codes) {
        assert_eq!(answer.error_code, code, "{} {}: {:?}", answer.resource_type, answer.resource_name, answer.error_message);
        assert_eq!(answer.error_message.is_some(), code != 0);
    }
    assert_eq!(broker.engine.catalog().view().version, version + 1);
    assert_eq!(
        (client.own("t").await, client.own("u").await),
        (map(&[("max.message.bytes", "777")]), map(&[("max.message.bytes", "777")]))
    );
}

#[tokio::test]
async fn alter_configs_replaces_all_settings_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let replace = |kind: i8, configs: &[(&str, Option<&str>)]| {
        use alter_configs_request::{AlterConfigsResource, AlterableConfig};
        let config = |(key, value): &(&str, Option<&str>)| message!(AlterableConfig { name: (*key).into(), value: value.map(Into::into) });
        let configs = configs.iter().map(config).collect();
        let resource = message!(AlterConfigsResource { resource_type: kind, resource_name: "t".into(), configs });
        message!(AlterConfigsRequest { resources: vec![resource] })
    };
    for version in 0..=2 {
        client.set("t", "compression.type", "zstd").await;
        let wanted = replace(TOPIC, &[("max.message.bytes", Some("777")), ("message.timestamp.type", Some("LogAppendTime"))]);
        let response = client.call(version, &wanted).await;
        assert_eq!((response.responses[0].error_code, response.responses[0].error_message.clone()), (0, None));
        assert_eq!(client.own("t").await, map(&[("max.message.bytes", "777"), ("message.timestamp.type", "LogAppendTime")]));
        for (bad, code) in [
            (replace(TOPIC, &[("compression.type", Some("brotli"))]), 40),
            (replace(TOPIC, &[("compression.type", None)]), 42),
            (replace(8, &[]), 42),
        ] {
            assert_eq!(client.call(version, &bad).await.responses[0].error_code, code);
        }
        assert_eq!(client.own("t").await.len(), 2, "what was refused changed nothing");
        let mut nothing = replace(TOPIC, &[]);
        nothing.validate_only = true;
        assert_eq!(client.call(version, &nothing).await.responses[0].error_code, 0);
        assert_eq!(client.own("t").await.len(), 2);
        nothing.validate_only = false;
        assert_eq!(client.call(version, &nothing).await.responses[0].error_code, 0);
        assert_eq!(client.own("t").await, map(&[]));
    }
}

#[tokio::test]
async fn everything_that_has_settings_is_listed_by_kind() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    for name in ["b", "a"] {
        client.create_topic(name, 1, &[]).await;
    }
    let mut list = async |version: i16, kinds: &[i8]| {
        let response = client.call(version, &message!(ListConfigResourcesRequest { resource_types: kinds.to_vec() })).await;
        let resources = response.config_resources.iter().map(|r| (r.resource_type, r.resource_name.to_string())).collect::<Vec<_>>();
        (response.error_code, resources)
    };
    let named = |resources: &[(i8, &str)]| resources.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(list(1, &[]).await, (0, named(&[(8, "0"), (4, "0"), (2, "a"), (2, "b")])));
    assert_eq!(list(1, &[2]).await, (0, named(&[(2, "a"), (2, "b")])));
    assert_eq!(list(1, &[4, 16, 32]).await, (0, named(&[(4, "0")])));
    assert_eq!(list(1, &[2, 99]).await, (ErrorCode::UnsupportedVersion.code(), vec![]));
    assert_eq!(list(0, &[]).await, (0, vec![]), "version 0 asks for client metrics");
}

/// What a partition answers to one batch.
async fn code_of(client: &mut Client, batch: &Bytes) -> i16 {
    client.produce("t", batch).await.error_code
}

#[tokio::test]
async fn settings_of_records_take_effect_with_the_next_batch() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let now = Env::real().now_ms();
    let at = |time: i64| {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(time, None, Some(b"x")).expect("it fits");
        builder.build()
    };
    let large = batch(&[&"x".repeat(2_000)]);
    for (key, value, bad, batch, code) in [
        ("max.message.bytes", "3000", "1000", &large, ErrorCode::MessageTooLarge),
        ("message.timestamp.before.max.ms", "9223372036854775807", "60000", &at(now - 3_600_000), ErrorCode::InvalidTimestamp),
        ("message.timestamp.after.max.ms", "7200000", "60000", &at(now + 3_600_000), ErrorCode::InvalidTimestamp),
    ] {
        client.set("t", key, value).await;
        assert_eq!(code_of(&mut client, batch).await, 0, "{key}={value}");
        client.set("t", key, bad).await;
        assert_eq!(code_of(&mut client, batch).await, code.code(), "{key}={bad}");
        client.set("t", key, value).await;
    }
    client.set("t", "message.timestamp.type", "LogAppendTime").await;
    for (name, codec) in
        [("gzip", Codec::Gzip), ("snappy", Codec::Snappy), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd), ("uncompressed", Codec::None)]
    {
        client.set("t", "compression.type", name).await;
        let sent = batch_of(if codec == Codec::Gzip { Codec::Zstd } else { Codec::Gzip }, &["one", "two"]);
        let answer = client.produce("t", &sent).await;
        let stored = client.fetch("t", answer.base_offset).await.records.expect("records");
        let header = floe_records::verify(&stored).expect("an intact batch");
        assert_eq!(header.codec(), Ok(codec));
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((header.max_timestamp, answer.log_append_time_ms >= now), (answer.log_append_time_ms, true));
        assert_eq!(values(&Some(stored)).iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }
}

/// Whether a record that is acknowledged under these settings is there when the broker's disk is not.
async fn survives_without_its_disk(before: &[(&str, &str)], altered: &[(&str, &str)]) -> bool {
    let world = World::new();
    // Nothing is flushed by age while the test runs, except what waits for its slot.
    let options =
        || EngineOptions { take_over: true, wal_file_bytes: 1 << 20, flush_age: Duration::from_secs(3_600), ..EngineOptions::default() };
    let broker = world.start_with(BrokerConfig::default(), options()).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, before).await;
    for (key, value) in altered {
        client.set("t", key, value).await;
    }
    assert_eq!(client.produce("t", &batch(&["precious"])).await.error_code, 0);
    broker.kill().await;
    let broker = world.on_another_disk().start_with(BrokerConfig::default(), options()).await;
    let found = values(&broker.client().await.fetch("t", 0).await.records);
    found == [(0, "precious".to_owned())]
}

#[tokio::test]
async fn durability_and_copies_are_switched_live_and_mean_what_they_say() {
    let (local, object) = (&[("floe.durability", "local")][..], &[("floe.durability", "object")][..]);
    assert!(!survives_without_its_disk(local, &[]).await, "else the rest shows nothing");
    assert!(survives_without_its_disk(local, object).await);
    assert!(!survives_without_its_disk(object, local).await);
    assert!(survives_without_its_disk(local, &[("min.insync.replicas", "2")]).await, "two copies are asked for and the disk is one");
    assert!(!survives_without_its_disk(&[("min.insync.replicas", "2")], &[("min.insync.replicas", "1")]).await);
}

#[tokio::test]
async fn t50_a_topic_changes_its_durability_under_a_pipelining_producer_and_loses_and_doubles_nothing() {
    const BATCHES: i64 = 400;
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let (mut producer, mut admin) = (broker.client().await, broker.client().await);
    admin.create_topic("t", 1, &[]).await;
    let mut acknowledged = 0;
    for n in 0..BATCHES {
        producer.send(9, &produce_request("t", 0, -1, &batch(&[&n.to_string()]))).await;
        if n % 20 == 19 {
            admin.set("t", "floe.durability", if n % 40 == 19 { "object" } else { "local" }).await;
        }
        // A few are always under way.
        while n - acknowledged > 30 {
            acknowledged = answer(&mut producer, acknowledged).await;
        }
    }
    while acknowledged < BATCHES {
        acknowledged = answer(&mut producer, acknowledged).await;
    }
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut consumer = broker.client().await;
    let mut found = Vec::new();
    while (found.len() as i64) < BATCHES {
        let more = values(&consumer.fetch("t", found.len() as i64).await.records);
        assert!(!more.is_empty(), "{} of {BATCHES} are there", found.len());
        found.extend(more);
    }
    assert_eq!(found, (0..BATCHES).map(|n| (n, n.to_string())).collect::<Vec<_>>());
}

async fn answer(producer: &mut Client, expected: i64) -> i64 {
    let (_, response) = producer.receive::<ProduceRequest>(9).await;
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (0, expected));
    expected + 1
}

#[tokio::test]
async fn every_setting_can_be_set_to_its_default_and_put_back() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let resource = message!(DescribeConfigsResource { resource_type: TOPIC, resource_name: "t".into(), configuration_keys: None });
    let described = client.call(4, &message!(DescribeConfigsRequest { resources: vec![resource] })).await;
    let defaults: Vec<_> =
        described.results[0].configs.iter().map(|c| (c.name.to_string(), c.value.clone().unwrap_or_default().to_string())).collect();
    let set: Vec<_> = defaults.iter().map(|(key, value)| (SET, key.as_str(), Some(value.as_str()))).collect();
    assert_eq!(client.call(1, &alter(&set)).await.responses[0].error_code, 0);
    assert_eq!(client.own("t").await.len(), TOPIC_SETTINGS.len());
    let records = client.fetch("t", 0).await.records;
    assert_eq!(values(&records), []);
    let back: Vec<_> = defaults.iter().map(|(key, _)| (DELETE, key.as_str(), None)).collect();
    assert_eq!(client.call(1, &alter(&back)).await.responses[0].error_code, 0);
    assert_eq!(client.own("t").await, map(&[]));
    assert_eq!(code_of(&mut client, &batch(&["x"])).await, 0);
    assert!(BatchHeader::parse(&client.fetch("t", 0).await.records.expect("records")).is_ok());
}

/// The settings of a broker, or of all: name to value and source.
async fn broker_settings(client: &mut Client, name: &str) -> BTreeMap<String, (String, i8)> {
    let resource = message!(DescribeConfigsResource { resource_type: BROKER, resource_name: name.into(), configuration_keys: None });
    let response = client.call(4, &message!(DescribeConfigsRequest { resources: vec![resource], include_synonyms: true })).await;
    let result = &response.results[0];
    assert_eq!(result.error_code, 0);
    let shown = result.configs.iter().map(|c| (c.name.to_string(), (c.value.clone().unwrap_or_default().to_string(), c.config_source)));
    shown.collect()
}

async fn alter_broker(client: &mut Client, name: &str, changes: &[(i8, &str, Option<&str>)]) -> (i16, String) {
    let request = message!(IncrementalAlterConfigsRequest { resources: vec![resource(BROKER, name, changes)] });
    let answer = client.call(1, &request).await.responses[0].clone();
    (answer.error_code, answer.error_message.unwrap_or_default().to_string())
}

#[tokio::test]
async fn settings_of_brokers_are_altered_for_all_or_for_one_and_hold_across_a_restart() {
    let world = World::new();
    let started = || BrokerConfig { num_partitions: 2, ..BrokerConfig::default() };
    let broker = world.start(started(), Durability::Local).await;
    let mut client = broker.client().await;
    let shown = |value: &str, source: i8| (value.to_owned(), source);
    assert_eq!(broker_settings(&mut client, "").await, BTreeMap::new());
    assert_eq!(broker_settings(&mut client, "0").await["num.partitions"], shown("2", 4));
    assert_eq!(alter_broker(&mut client, "", &[(SET, "num.partitions", Some("3")), (SET, "message.max.bytes", Some("2KiB"))]).await.0, 0);
    let for_all = broker_settings(&mut client, "").await;
    assert_eq!(for_all, BTreeMap::from([("num.partitions".into(), shown("3", 3)), ("message.max.bytes".into(), shown("2048", 3))]));
    assert_eq!(broker_settings(&mut client, "0").await["num.partitions"], shown("3", 3));
    assert_eq!(alter_broker(&mut client, "0", &[(SET, "num.partitions", Some("5"))]).await.0, 0);
    assert_eq!(broker_settings(&mut client, "0").await["num.partitions"], shown("5", 2));
    drop(client);
    broker.kill().await;
    let broker = world.start(started(), Durability::Local).await;
    let mut client = broker.client().await;
    assert_eq!(broker_settings(&mut client, "0").await["num.partitions"], shown("5", 2));
    // A topic without a number of its own gets it, and its limit.
    client.create_topic("t", -1, &[]).await;
    assert_eq!(broker.engine.catalog().view().by_name("t").map(|topic| topic.partitions), Some(5));
    let large = batch(&[&"x".repeat(3_000)]);
    assert_eq!(code_of(&mut client, &large).await, ErrorCode::MessageTooLarge.code());
    let back = &[(DELETE, "num.partitions", None), (DELETE, "message.max.bytes", None)][..];
    assert_eq!((alter_broker(&mut client, "0", back).await.0, alter_broker(&mut client, "", back).await.0), (0, 0));
    assert_eq!(broker_settings(&mut client, "").await, BTreeMap::new());
    assert_eq!(broker_settings(&mut client, "0").await["num.partitions"], shown("2", 4));
    assert_eq!(code_of(&mut client, &large).await, 0);
}

#[tokio::test]
async fn what_a_broker_cannot_change_while_it_runs_or_at_all_is_refused_with_the_reason() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let version = broker.engine.catalog().view().version;
    for (name, change, code, reason) in [
        ("0", (SET, "max.connections", Some("5")), 42, "Cannot update these configs dynamically: max.connections"),
        ("", (DELETE, "no.such.setting", None), 42, "no.such.setting"),
        ("", (SET, "num.partitions", Some("0")), 40, "num.partitions: must be at least 1"),
        ("0", (SET, "compression.type", Some("brotli")), 40, "not one of"),
        ("0", (SET, "message.max.bytes", Some("1GiB")), 40, "must not be greater than socket.request.max.bytes"),
        ("0", (APPEND, "num.partitions", Some("1")), 40, "not LIST"),
        ("", (SET, "group.max.session.timeout.ms", Some("1")), 40, "group.max.session.timeout.ms"),
    ] {
        let (got, why) = alter_broker(&mut client, name, &[change]).await;
        assert_eq!(got, code, "{change:?}: {why}");
        assert!(why.contains(reason), "{change:?}: {why}");
    }
    assert_eq!(broker.engine.catalog().view().version, version);
    // Every setting says whether it can be, and those that can take the value that they have.
    let resource = message!(DescribeConfigsResource { resource_type: BROKER, resource_name: "0".into(), configuration_keys: None });
    let described = client.call(4, &message!(DescribeConfigsRequest { resources: vec![resource] })).await.results[0].configs.clone();
    for config in described {
        let value = config.value.clone().unwrap_or_default();
        let (code, why) = alter_broker(&mut client, "0", &[(SET, config.name.as_str(), Some(value.as_str()))]).await;
        assert_eq!(code, if config.read_only { 42 } else { 0 }, "{}: {why}", config.name);
    }
}

#[tokio::test]
async fn altered_limits_count_from_the_next_request_on() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let metadata = |name: &str| {
        let topic = message!(MetadataRequestTopic { name: Some(name.into()) });
        message!(MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true })
    };
    assert_eq!(alter_broker(&mut client, "", &[(SET, "auto.create.topics.enable", Some("false"))]).await.0, 0);
    assert_eq!(client.call(12, &metadata("t")).await.topics[0].error_code, 3);
    assert_eq!(alter_broker(&mut client, "", &[(DELETE, "auto.create.topics.enable", None)]).await.0, 0);
    assert_eq!(client.call(12, &metadata("t")).await.topics[0].error_code, 0);
    let join = message!(JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![message!(JoinGroupRequestProtocol { name: "range".into() })],
    });
    // Version 4 asks a member without an id to come again, version 3 would wait for others.
    assert_eq!(client.call(4, &join).await.error_code, ErrorCode::MemberIdRequired.code());
    assert_eq!(alter_broker(&mut client, "0", &[(SET, "group.max.session.timeout.ms", Some("9000"))]).await.0, 0);
    assert_eq!(client.call(4, &join).await.error_code, ErrorCode::InvalidSessionTimeout.code());
}
