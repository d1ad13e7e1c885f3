//! Topics: created, shown, configured, deleted.

use crate::support::{Client, TestBroker, batch, values};
use floe_broker::BrokerConfig;
use floe_broker::topic_config::TOPIC_SETTINGS;
use floe_protocol::message;
use floe_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use floe_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use floe_protocol::messages::create_topics_response::CreatableTopicResult;
use floe_protocol::messages::delete_topics_request::DeleteTopicState;
use floe_protocol::messages::describe_configs_request::DescribeConfigsResource;
use floe_protocol::messages::metadata_request::MetadataRequestTopic;
use floe_protocol::messages::metadata_response::MetadataResponseTopic;
use floe_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, MetadataRequest, Uuid,
};

fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    message!(CreatableTopic { name: name.into(), num_partitions: partitions, replication_factor: replicas })
}

fn configured(name: &str, key: &str, value: Option<&str>) -> CreatableTopic {
    let config = message!(CreatableTopicConfig { name: key.into(), value: value.map(Into::into) });
    message!(CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1_i16, configs: vec![config] })
}

async fn create(client: &mut Client, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    client.call(7, &message!(CreateTopicsRequest { topics, timeout_ms: 30_000 })).await.topics
}

async fn metadata(client: &mut Client, version: i16, names: &[&str], create: bool) -> Vec<MetadataResponseTopic> {
    let topics = names.iter().map(|name| message!(MetadataRequestTopic { name: Some((*name).into()) })).collect();
    client.call(version, &message!(MetadataRequest { topics: Some(topics), allow_auto_topic_creation: create })).await.topics
}

#[tokio::test]
async fn a_topic_is_created_with_defaults_and_shown_with_all_its_settings() {
    let broker = TestBroker::with(BrokerConfig { num_partitions: 3, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    let results = create(&mut client, vec![topic("defaults", -1, -1), topic("many copies", 1, 3), topic("many-copies", 2, 3)]).await;
    let shown: Vec<_> = results.iter().map(|t| (t.error_code, t.num_partitions, t.replication_factor)).collect();
    assert_eq!(shown, [(0, 3, 1), (17, -1, -1), (0, 2, 1)], "any factor is taken, the live brokers are shown");
    let configs = results[0].configs.as_ref().expect("settings");
    assert_eq!(configs.len(), TOPIC_SETTINGS.len());
    let topics = metadata(&mut client, 12, &["defaults"], false).await;
    assert_eq!(topics[0].topic_id, results[0].topic_id);
    assert_eq!(topics[0].partitions.len(), 3);
    for partition in &topics[0].partitions {
        assert_eq!((partition.error_code, partition.leader_id), (0, 0));
        assert_eq!(
            (&partition.replica_nodes[..], &partition.isr_nodes[..], &partition.offline_replicas[..]),
            (&[0][..], &[0][..], &[][..])
        );
    }
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_each_for_its_own_reason() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("there", 1, &[]).await;
    let mut both = topic("both", 1, 1);
    both.assignments = vec![message!(CreatableReplicaAssignment { broker_ids: vec![0] })];
    let mut elsewhere = topic("elsewhere", -1, -1);
    elsewhere.assignments = vec![message!(CreatableReplicaAssignment { broker_ids: vec![5] })];
    let cases = [
        (topic("there", 1, 1), 36),
        (topic("", 1, 1), 17),
        (topic("..", 1, 1), 17),
        (topic("a/b", 1, 1), 17),
        (topic(&"n".repeat(250), 1, 1), 17),
        (topic("none", 0, 1), 37),
        (topic("negative", -2, 1), 37),
        (topic("far too many", i32::MAX, 1), 17),
        (topic("far-too-many", i32::MAX, 1), 37),
        (topic("no-copies", 1, 0), 38),
        (topic("twice", 1, 1), 42),
        (topic("twice", 1, 1), 42),
        (both, 42),
        (elsewhere, 39),
        (configured("typo", "retention.mss", Some("1")), 40),
        (configured("null", "retention.ms", None), 40),
        (configured("no-effect", "preallocate", Some("true")), 40),
        (configured("nonsense", "retention.ms", Some("-2")), 40),
        (configured("squashed", "cleanup.policy", Some("squash")), 40),
        (configured("compacted", "cleanup.policy", Some("compact")), 0),
        (configured("replicated", "floe.durability", Some("replicated")), 40),
        (configured("infinite", "retention.ms", Some("-1")), 0),
        (configured("a-day", "retention.ms", Some("86400000")), 0),
    ];
    let (topics, codes): (Vec<_>, Vec<i16>) = cases.into_iter().unzip();
    let results = create(&mut client, topics).await;
    for (result, code) in results.iter().zip(codes) {
        assert_eq!(result.error_code, code, "{}: {:?}", result.name, result.error_message);
        assert_eq!(result.error_message.is_some(), code != 0);
    }
}

#[tokio::test]
async fn names_that_differ_by_dots_and_underscores_alone_collide() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("a.b_c", 1, &[]).await;
    client.create_topic("plain", 1, &[]).await;
    let topics = || ["a_b.c", "a.b_c", "a.b-c", "x.y", "x_y", "plain"].map(|name| topic(name, 1, 1)).to_vec();
    let validated =
        client.call(7, &message!(CreateTopicsRequest { topics: topics(), timeout_ms: 30_000, validate_only: true })).await.topics;
    let created = create(&mut client, topics()).await;
    for results in [validated, created] {
        assert_eq!(results.iter().map(|t| t.error_code).collect::<Vec<_>>(), [17, 36, 0, 0, 17, 36]);
        assert!(results[0].error_message.as_ref().is_some_and(|why| why.contains("collides with existing topic 'a.b_c'")));
    }
    let asked = metadata(&mut client, 12, &["a_b_c"], true).await;
    assert_eq!(asked[0].error_code, 17, "nor is it created by asking for it");
}

#[tokio::test]
async fn all_topics_of_a_request_are_created_and_deleted_in_one_change_of_the_catalog() {
    let broker = TestBroker::with(BrokerConfig { max_partitions: 1_003, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    let version = broker.engine.catalog().view().version;
    let topics = (0..1_001).map(|n| topic(&format!("t{n}"), if n == 1_000 { 4 } else { 1 }, 1)).collect();
    let results = create(&mut client, topics).await;
    assert!(results[..1_000].iter().all(|t| t.error_code == 0));
    assert_eq!(results[1_000].error_code, 37, "no room beside the others");
    assert_eq!(broker.engine.catalog().view().version, version + 1);
    for n in [0, 999] {
        assert_eq!(client.produce(&format!("t{n}"), &batch(&["x"])).await.error_code, 0);
    }
    let topic_names = (0..1_000).map(|n| format!("t{n}").as_str().into()).collect();
    let deleted = client.call(5, &message!(DeleteTopicsRequest { topic_names, timeout_ms: 30_000 })).await;
    assert!(deleted.responses.iter().all(|t| t.error_code == 0));
    assert_eq!(broker.engine.catalog().view().version, version + 2);
    assert_eq!(client.produce("t0", &batch(&["x"])).await.error_code, 3);
}

#[tokio::test]
async fn a_validated_topic_is_not_there_and_an_assigned_one_is() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let request = message!(CreateTopicsRequest { topics: vec![topic("t", 2, 1)], timeout_ms: 30_000, validate_only: true });
    assert_eq!(client.call(7, &request).await.topics[0].error_code, 0);
    assert_eq!(metadata(&mut client, 12, &["t"], false).await[0].error_code, 3);
    let mut assigned = topic("t", -1, -1);
    assigned.assignments =
        (0..2).map(|index| message!(CreatableReplicaAssignment { partition_index: index, broker_ids: vec![0] })).collect();
    assert_eq!(create(&mut client, vec![assigned]).await[0].num_partitions, 2);
}

#[tokio::test]
async fn strict_replication_refuses_more_copies_than_brokers() {
    let broker = TestBroker::with(BrokerConfig { strict_replication: true, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    let results = create(&mut client, vec![topic("three", 1, 3), topic("one", 1, 1)]).await;
    assert_eq!(results.iter().map(|t| t.error_code).collect::<Vec<_>>(), [38, 0]);
}

#[tokio::test]
async fn the_sum_of_partitions_is_bounded() {
    let broker = TestBroker::with(BrokerConfig { max_partitions: 10, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    let results = create(&mut client, vec![topic("a", 6, 1), topic("b", 5, 1), topic("c", 4, 1)]).await;
    assert_eq!(results.iter().map(|t| t.error_code).collect::<Vec<_>>(), [0, 37, 0]);
    assert_eq!(metadata(&mut client, 12, &["auto"], true).await[0].error_code, 37);
}

#[tokio::test]
async fn metadata_creates_a_topic_only_where_broker_and_client_agree() {
    let broker = TestBroker::with(BrokerConfig { num_partitions: 2, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    assert_eq!(metadata(&mut client, 12, &["a"], false).await[0].error_code, 3);
    for version in 0..=13 {
        let name = format!("auto-{version}");
        let topics = metadata(&mut client, version, &[&name, "not/a/name", &name], true).await;
        assert_eq!(topics.iter().map(|t| t.error_code).collect::<Vec<_>>(), [0, 17, 0], "version {version}");
        assert_eq!(topics[0].partitions.len(), 2);
        assert_eq!(client.produce(&name, &batch(&["at once"])).await.error_code, 0, "it takes records at once");
    }
    let broker = TestBroker::with(BrokerConfig { auto_create_topics: false, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    assert_eq!(metadata(&mut client, 12, &["a"], true).await[0].error_code, 3);
}

#[tokio::test]
async fn metadata_lists_all_some_or_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("b", 1, &[]).await;
    client.create_topic("a", 1, &[]).await;
    let names =
        |topics: &[MetadataResponseTopic]| topics.iter().map(|t| t.name.clone().unwrap_or_default().to_string()).collect::<Vec<_>>();
    for version in 0..=13 {
        let none = message!(MetadataRequest { topics: Some(vec![]) });
        let response = client.call(version, &none).await;
        let expected: &[&str] = if version == 0 { &["a", "b"] } else { &[] };
        assert_eq!(names(&response.topics), expected, "version {version}");
        assert_eq!(response.brokers.len(), 1);
        assert_eq!(response.controller_id, if version == 0 { response.controller_id } else { 0 });
        if version >= 1 {
            let all = client.call(version, &message!(MetadataRequest { topics: None })).await;
            assert_eq!(names(&all.topics), ["a", "b"]);
        }
    }
    let by_id = message!(MetadataRequestTopic { topic_id: id, name: None });
    let unknown = message!(MetadataRequestTopic { topic_id: Uuid::from_bytes([1; 16]), name: None });
    let request = message!(MetadataRequest { topics: Some(vec![by_id, unknown]) });
    let response = client.call(12, &request).await;
    assert_eq!(response.topics.iter().map(|t| t.error_code).collect::<Vec<_>>(), [0, 100]);
    assert_eq!(response.topics[0].name.as_deref(), Some("b"));
}

#[tokio::test]
async fn authorised_operations_are_told_only_when_asked_for() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    for version in 8..=10 {
        let request = message!(MetadataRequest {
            topics: None,
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true
        });
        let response = client.call(version, &request).await;
        assert_eq!((response.cluster_authorized_operations, response.topics[0].topic_authorized_operations), (8096, 3576));
        let response = client.call(version, &message!(MetadataRequest { topics: None })).await;
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
        assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN);
    }
}

#[tokio::test]
async fn t29_a_topic_created_anew_under_its_name_is_empty_and_has_another_id() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let first = client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["old"])).await;
    let request = message!(DeleteTopicsRequest { topic_names: vec!["t".into(), "unknown".into()], timeout_ms: 30_000 });
    let response = client.call(5, &request).await;
    assert_eq!(response.responses.iter().map(|t| t.error_code).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(client.produce("t", &batch(&["nowhere"])).await.error_code, 3);
    let second = client.create_topic("t", 1, &[]).await;
    assert_ne!(first, second);
    assert_eq!(values(&client.fetch("t", 0).await.records), []);
    assert_eq!(client.produce("t", &batch(&["new"])).await.base_offset, 0);
}

#[tokio::test]
async fn a_topic_is_deleted_by_name_or_by_id_but_not_by_both() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let (a, b) = (client.create_topic("a", 1, &[]).await, client.create_topic("b", 1, &[]).await);
    let state = |name: Option<&str>, topic_id: Uuid| message!(DeleteTopicState { name: name.map(Into::into), topic_id });
    let topics = vec![
        state(Some("a"), b),
        state(None, Uuid::default()),
        state(None, Uuid::from_bytes([3; 16])),
        state(Some("a"), Uuid::default()),
        state(None, b),
    ];
    let response = client.call(6, &message!(DeleteTopicsRequest { topics, timeout_ms: 30_000 })).await;
    assert_eq!(response.responses.iter().map(|t| t.error_code).collect::<Vec<_>>(), [42, 42, 100, 0, 0]);
    assert_eq!(response.responses[3].topic_id, a);
    assert_eq!(response.responses[4].name.as_deref(), Some("b"));
    assert!(client.call(12, &message!(MetadataRequest { topics: None })).await.topics.is_empty());
}

fn describe(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let keys = keys.map(|keys| keys.iter().map(|key| (*key).into()).collect());
    let resource = message!(DescribeConfigsResource { resource_type: kind, resource_name: name.into(), configuration_keys: keys });
    message!(DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, include_documentation: true })
}

#[tokio::test]
async fn all_settings_of_a_topic_are_described_with_source_type_and_meaning() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("max.message.bytes", "777")]).await;
    for version in 1..=4 {
        let mut request = describe(2, "t", None);
        request.include_documentation = version >= 3;
        let response = client.call(version, &request).await;
        let result = &response.results[0];
        assert_eq!((result.error_code, result.configs.len()), (0, TOPIC_SETTINGS.len()));
        for config in &result.configs {
            let own = config.name.as_str() == "max.message.bytes";
            assert_eq!(config.config_source, if own { 1 } else { 5 }, "{}", config.name);
            assert_eq!(config.synonyms.len(), if own { 2 } else { 1 }, "{}", config.name);
            let meaning = config.documentation.as_ref().is_some_and(|doc| doc.ends_with('.'));
            assert_eq!((meaning, config.config_type > 0), (version >= 3, version >= 3), "{}", config.name);
            assert!(config.value.is_some());
            if own {
                assert_eq!(config.value.as_deref(), Some("777"));
            }
        }
    }
    let some = client.call(4, &describe(2, "t", Some(&["floe.durability", "no.such"]))).await;
    let got: Vec<_> =
        some.results[0].configs.iter().map(|c| (c.name.to_string(), c.value.clone().unwrap_or_default().to_string())).collect();
    assert_eq!(got, [("floe.durability".to_owned(), "local".to_owned())]);
}

#[tokio::test]
async fn the_brokers_settings_are_described_and_unknown_resources_refused() {
    let broker = TestBroker::with(BrokerConfig { num_partitions: 4, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    let response = client.call(4, &describe(4, "0", None)).await;
    let partitions = response.results[0].configs.iter().find(|c| c.name.as_str() == "num.partitions").expect("described");
    assert_eq!((partitions.value.as_deref(), partitions.config_source, partitions.read_only), (Some("4"), 4, false));
    let connections = response.results[0].configs.iter().find(|c| c.name.as_str() == "max.connections").expect("described");
    assert!(connections.read_only, "it is read when the broker starts");
    assert_eq!(client.call(4, &describe(4, "", None)).await.results[0].error_code, 0);
    for (kind, name, code) in [(4, "9", 42), (2, "unknown", 3), (2, "not/a/name", 17), (32, "group", 42)] {
        let response = client.call(4, &describe(kind, name, None)).await;
        assert_eq!(response.results[0].error_code, code, "{kind} {name}");
    }
}

/// Names and partitions of all topics, as one version tells them.
async fn all_topics(client: &mut Client, version: i16) -> Vec<(String, usize)> {
    let topics = if version == 0 { Some(Vec::new()) } else { None };
    let answer = client.call(version, &message!(MetadataRequest { topics })).await;
    let told = answer.topics.iter().map(|topic| (topic.name.clone().unwrap_or_default().to_string(), topic.partitions.len()));
    assert!(
        answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .all(|partition| partition.leader_id == answer.controller_id || version == 0)
    );
    told.collect()
}

#[tokio::test]
async fn the_answer_for_all_topics_follows_every_change() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let mut other = broker.client().await;
    let versions = [0, 1, 8, 9, 12, 13];
    for expected in [1, 2] {
        client.create_topic(&format!("t{expected}"), expected, &[]).await;
        let want: Vec<_> = (1..=expected).map(|n| (format!("t{n}"), usize::try_from(n).unwrap())).collect();
        // Twice, and by two connections whose requests have other ids: most of these are kept answers.
        for version in versions.into_iter().chain(versions) {
            assert_eq!(all_topics(&mut client, version).await, want);
            assert_eq!(all_topics(&mut other, version).await, want);
        }
    }
    let more = message!(CreatePartitionsTopic { name: "t1".into(), count: 5, assignments: None });
    let grown = client.call(3, &message!(CreatePartitionsRequest { topics: vec![more], timeout_ms: 10_000 })).await;
    assert_eq!(grown.results[0].error_code, 0);
    assert_eq!(all_topics(&mut client, 12).await, [("t1".to_owned(), 5), ("t2".to_owned(), 2)]);
    let gone = client.call(5, &message!(DeleteTopicsRequest { topic_names: vec!["t2".into()], timeout_ms: 10_000 })).await;
    assert_eq!(gone.responses[0].error_code, 0);
    assert_eq!(all_topics(&mut other, 12).await, [("t1".to_owned(), 5)]);
    let operations = message!(MetadataRequest { topics: None, include_topic_authorized_operations: true });
    assert!(client.call(12, &operations).await.topics[0].topic_authorized_operations > 0);
    assert!(client.call(12, &message!(MetadataRequest { topics: None })).await.topics[0].topic_authorized_operations < 0);
    broker.stop().await;
}
