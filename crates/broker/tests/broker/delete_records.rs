//! DeleteRecords: what it deletes is out of reach at once and for ever; what it refuses.

use crate::support::{Client, TestBroker, World, batch, values};
use floe_broker::BrokerConfig;
use floe_log::Durability;
use floe_protocol::message;
use floe_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use floe_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use floe_protocol::messages::{DeleteRecordsRequest, ListOffsetsRequest};

fn delete_records(topic: &str, partitions: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = partitions
        .iter()
        .map(|(partition_index, offset)| message!(DeleteRecordsPartition { partition_index: *partition_index, offset: *offset }))
        .collect();
    message!(DeleteRecordsRequest { topics: vec![message!(DeleteRecordsTopic { name: topic.into(), partitions })], timeout_ms: 30_000 })
}

/// (error, low watermark) of each partition.
async fn delete(client: &mut Client, version: i16, topic: &str, partitions: &[(i32, i64)]) -> Vec<(i16, i64)> {
    let response = client.call(version, &delete_records(topic, partitions)).await;
    response.topics[0].partitions.iter().map(|partition| (partition.error_code, partition.low_watermark)).collect()
}

async fn earliest(client: &mut Client) -> i64 {
    let partitions = vec![message!(ListOffsetsPartition { timestamp: -2_i64 })];
    let topics = vec![message!(ListOffsetsTopic { name: "t".into(), partitions })];
    let response = client.call(7, &message!(ListOffsetsRequest { replica_id: -1, topics })).await;
    response.topics[0].partitions[0].offset
}

async fn produced(broker: &TestBroker) -> Client {
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    client.produce("t", &batch(&["a", "b", "c"])).await;
    client.produce("t", &batch(&["d"])).await;
    client
}

#[tokio::test]
async fn deleted_records_are_out_of_range_and_the_rest_stays() {
    let world = World::new();
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = produced(&broker).await;
    for (version, offset) in [(0, 1), (1, 2), (2, 3)] {
        assert_eq!(delete(&mut client, version, "t", &[(0, offset)]).await, [(0, offset)]);
        assert_eq!(earliest(&mut client).await, offset);
        let gone = client.fetch("t", offset - 1).await;
        assert_eq!((gone.error_code, gone.log_start_offset), (1, offset), "OFFSET_OUT_OF_RANGE");
    }
    assert_eq!(values(&client.fetch("t", 3).await.records), [(3, "d".to_owned())]);
    broker.kill().await;
    let broker = world.start(BrokerConfig::default(), Durability::Local).await;
    let mut client = broker.client().await;
    assert_eq!(earliest(&mut client).await, 3, "also for the next broker");
    assert_eq!(values(&client.fetch("t", 3).await.records), [(3, "d".to_owned())]);
    broker.stop().await;
}

#[tokio::test]
async fn everything_can_be_deleted_and_producing_goes_on() {
    let broker = TestBroker::start().await;
    let mut client = produced(&broker).await;
    assert_eq!(delete(&mut client, 2, "t", &[(0, -1), (1, -1)]).await, [(0, 4), (0, 0)]);
    assert_eq!(client.fetch("t", 4).await.error_code, 0);
    assert_eq!(client.produce("t", &batch(&["e"])).await.base_offset, 4);
    assert_eq!(values(&client.fetch("t", 4).await.records), [(4, "e".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_deleted_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = produced(&broker).await;
    assert_eq!(delete(&mut client, 2, "t", &[(0, 5), (1, -2), (2, 0)]).await, [(1, -1), (1, -1), (3, -1)]);
    assert_eq!(delete(&mut client, 2, "nowhere", &[(0, 0)]).await, [(3, -1)]);
    assert_eq!(delete(&mut client, 2, "t", &[(0, 1), (0, 2)]).await, [(42, -1), (42, -1)], "one partition twice");
    assert_eq!(earliest(&mut client).await, 0, "a refusal deletes nothing");
    assert_eq!(delete(&mut client, 2, "t", &[(0, 3)]).await, [(0, 3)]);
    assert_eq!(delete(&mut client, 2, "t", &[(0, 1)]).await, [(0, 3)], "the log start never goes back");
}
