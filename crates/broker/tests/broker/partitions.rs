//! Partitions: more of them, shown in pages, with the producers they remember.

use crate::support::{Client, TestBroker, World, batch, fetch_request, produce_request, sequenced, values};
use floe_broker::BrokerConfig;
use floe_log::Durability;
use floe_protocol::message;
use floe_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use floe_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use floe_protocol::messages::{
    CreatePartitionsRequest, DescribeProducersRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, FetchRequest,
    InitProducerIdRequest, describe_producers_request,
};

fn grown(name: &str, count: i32) -> CreatePartitionsTopic {
    message!(CreatePartitionsTopic { name: name.into(), count, assignments: None })
}

fn assigned(name: &str, count: i32, brokers: &[&[i32]]) -> CreatePartitionsTopic {
    let assignments = brokers.iter().map(|ids| message!(CreatePartitionsAssignment { broker_ids: ids.to_vec() })).collect();
    message!(CreatePartitionsTopic { name: name.into(), count, assignments: Some(assignments) })
}

async fn grow(client: &mut Client, version: i16, topics: Vec<CreatePartitionsTopic>) -> Vec<i16> {
    let response = client.call(version, &message!(CreatePartitionsRequest { topics, timeout_ms: 30_000 })).await;
    response.results.iter().inspect(|t| assert_eq!(t.error_message.is_some(), t.error_code != 0)).map(|t| t.error_code).collect()
}

#[tokio::test]
async fn a_topic_gets_more_partitions_which_take_records_at_once_in_every_version() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["old"])).await;
    for version in 0..=3 {
        let (before, count) = (i32::from(version) + 1, i32::from(version) + 2);
        let refused = client.call(9, &produce_request("t", before, -1, &batch(&["x"]))).await;
        assert_eq!(refused.responses[0].partition_responses[0].error_code, 3);
        assert_eq!(grow(&mut client, version, vec![grown("t", count)]).await, [0]);
        let taken = client.call(9, &produce_request("t", before, -1, &batch(&["new"]))).await;
        assert_eq!(taken.responses[0].partition_responses[0].error_code, 0);
    }
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let response = broker.client().await.call::<FetchRequest>(12, &fetch_request("t", &[(0, 0), (4, 0)], 0)).await;
    let found: Vec<_> = response.responses[0].partitions.iter().map(|p| values(&p.records)).collect();
    assert_eq!(found, [[(0, "old".to_owned())], [(0, "new".to_owned())]]);
}

#[tokio::test]
async fn partitions_that_cannot_be_are_refused_each_for_its_own_reason_and_the_rest_is_one_change() {
    let broker = TestBroker::with(BrokerConfig { max_partitions: 100, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    for name in ["t", "u", "v", "__consumer_offsets"] {
        client.create_topic(name, 2, &[]).await;
    }
    let version = broker.engine.catalog().view().version;
    for (bad, code) in [
        (grown("unknown", 3), 3),
        (grown("t", 2), 37),
        (grown("__consumer_offsets", 9), 37),
        (grown("u", 95), 37),
        (grown("t", 1), 37),
        (grown("t", 0), 37),
        (grown("t", -1), 37),
        (grown("t", i32::MAX), 37),
        (assigned("t", 3, &[&[7]]), 39),
        (assigned("t", 3, &[&[0, 0]]), 39),
        (assigned("t", 3, &[&[]]), 39),
        (assigned("t", 3, &[&[0], &[0]]), 39),
    ] {
        assert_eq!(grow(&mut client, 3, vec![bad.clone()]).await, [code], "{bad:?}");
    }
    assert_eq!(broker.engine.catalog().view().version, version, "nothing of that was written");
    let topics = vec![grown("twice", 3), grown("t", 40), grown("twice", 3), assigned("u", 3, &[&[0]]), grown("v", 80)];
    assert_eq!(grow(&mut client, 3, topics).await, [42, 0, 42, 0, 37], "the last one has no room beside the others");
    assert_eq!(broker.engine.catalog().view().version, version + 1);
    let validated = message!(CreatePartitionsRequest { topics: vec![grown("v", 3)], timeout_ms: 30_000, validate_only: true });
    assert_eq!(client.call(3, &validated).await.results[0].error_code, 0);
    assert_eq!(broker.engine.catalog().view().by_name("v").map(|topic| topic.partitions), Some(2));
}

async fn page(client: &mut Client, names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsResponse {
    let topics = names.iter().map(|name| message!(TopicRequest { name: (*name).into() })).collect();
    let cursor = cursor.map(|(name, index)| message!(Cursor { topic_name: name.into(), partition_index: index }));
    client.call(0, &message!(DescribeTopicPartitionsRequest { topics, response_partition_limit: limit, cursor })).await
}

/// Topic, error, partitions.
type Row = (String, i16, Vec<i32>);

/// What a page shows, and where the next one starts.
fn shown(response: &DescribeTopicPartitionsResponse) -> (Vec<Row>, Option<(String, i32)>) {
    let topic = |t: &floe_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic| {
        let indexes = t.partitions.iter().map(|p| p.partition_index).collect();
        (t.name.clone().unwrap_or_default().to_string(), t.error_code, indexes)
    };
    let next = response.next_cursor.as_ref().map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (response.topics.iter().map(topic).collect(), next)
}

fn rows(rows: &[(&str, i16, &[i32])]) -> Vec<Row> {
    rows.iter().map(|(name, code, indexes)| ((*name).to_owned(), *code, indexes.to_vec())).collect()
}

#[tokio::test]
async fn partitions_are_described_in_pages_that_go_on_where_the_last_one_ended() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("a", 3, &[]).await;
    client.create_topic("b", 2, &[]).await;
    client.create_topic("c", 1, &[]).await;
    let at = |name: &str, index: i32| Some((name.to_owned(), index));
    assert_eq!(shown(&page(&mut client, &[], 2, None).await), (rows(&[("a", 0, &[0, 1])]), at("a", 2)));
    assert_eq!(shown(&page(&mut client, &[], 2, Some(("a", 2))).await), (rows(&[("a", 0, &[2]), ("b", 0, &[0])]), at("b", 1)));
    assert_eq!(shown(&page(&mut client, &[], 1, Some(("b", 1))).await), (rows(&[("b", 0, &[1])]), at("c", 0)));
    assert_eq!(shown(&page(&mut client, &[], 2, Some(("c", 0))).await), (rows(&[("c", 0, &[0])]), None));
    assert_eq!(shown(&page(&mut client, &[], 100, None).await).1, None);
    // By name, in order of names whatever the client's; what is not there is said.
    let named = page(&mut client, &["c", "zz", "a", "not/a/name", "a"], 100, None).await;
    assert_eq!(shown(&named).0, rows(&[("a", 0, &[0, 1, 2]), ("c", 0, &[0]), ("not/a/name", 17, &[]), ("zz", 3, &[])]));
    assert_eq!(shown(&page(&mut client, &["c", "a"], 100, Some(("a", 2))).await).0, rows(&[("a", 0, &[2]), ("c", 0, &[0])]));
    assert_eq!(shown(&page(&mut client, &["c"], 0, None).await).0, rows(&[("c", 0, &[0])]), "a page has room for one at least");
    // A cursor must lie in what is asked for.
    assert_eq!(shown(&page(&mut client, &["c"], 100, Some(("a", 0))).await), (rows(&[("c", 42, &[])]), None));
    assert_eq!(shown(&page(&mut client, &["c"], 100, Some(("c", -1))).await).0, rows(&[("c", 42, &[])]));
    // A topic may be gone when the next page is asked for, or have got fewer partitions than the cursor says.
    assert_eq!(shown(&page(&mut client, &[], 100, Some(("b", 9))).await).0, rows(&[("b", 0, &[]), ("c", 0, &[0])]));
    assert_eq!(shown(&page(&mut client, &[], 100, Some(("bb", 1))).await).0, rows(&[("c", 0, &[0])]));
    let topic = &page(&mut client, &["a"], 1, None).await.topics[0];
    let partition = &topic.partitions[0];
    assert_eq!((topic.topic_id, topic.is_internal, topic.topic_authorized_operations), (id, false, 3576));
    assert_eq!(
        (partition.error_code, partition.leader_id, &partition.replica_nodes[..], &partition.isr_nodes[..]),
        (0, 0, &[0][..], &[0][..])
    );
    assert_eq!((partition.eligible_leader_replicas.as_deref(), partition.last_known_elr.as_deref()), (Some(&[][..]), Some(&[][..])));
}

#[tokio::test]
async fn the_producers_that_a_partition_remembers_are_described() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    let id = client.call(4, &message!(InitProducerIdRequest { transactional_id: None })).await.producer_id;
    for sequence in 0..3 {
        client.produce("t", &sequenced(id, 2, sequence, "v")).await;
    }
    client.produce("t", &batch(&["of nobody"])).await;
    let topic = |name: &str, indexes: &[i32]| {
        message!(describe_producers_request::TopicRequest { name: name.into(), partition_indexes: indexes.to_vec() })
    };
    let request = message!(DescribeProducersRequest { topics: vec![topic("t", &[0, 1, 2]), topic("unknown", &[0])] });
    let response = client.call(0, &request).await;
    let codes: Vec<_> =
        response.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (p.error_code, p.active_producers.len()))).collect();
    assert_eq!(codes, [(0, 1), (0, 0), (3, 0), (3, 0)]);
    let producer = &response.topics[0].partitions[0].active_producers[0];
    assert_eq!((producer.producer_id, producer.producer_epoch, producer.last_sequence), (id, 2, 2));
    assert_eq!((producer.coordinator_epoch, producer.current_txn_start_offset), (-1, -1));
    assert!(producer.last_timestamp > 0);
}
