//! ListOffsets and OffsetForLeaderEpoch.

use crate::support::{Client, TestBroker, World, batch, values};
use floe_broker::BrokerConfig;
use floe_log::Durability;
use floe_protocol::message;
use floe_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use floe_protocol::messages::metadata_request::MetadataRequestTopic;
use floe_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use floe_protocol::messages::{ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest};
use floe_records::{BatchBuilder, BatchHeader, Codec};

fn list_offsets(timestamps: &[i64]) -> ListOffsetsRequest {
    let partitions = timestamps.iter().map(|timestamp| message!(ListOffsetsPartition { timestamp: *timestamp })).collect();
    message!(ListOffsetsRequest { replica_id: -1, topics: vec![message!(ListOffsetsTopic { name: "t".into(), partitions })] })
}

/// (error, offset, timestamp)
async fn offset_of(client: &mut Client, version: i16, timestamp: i64) -> (i16, i64, i64) {
    let response = client.call(version, &list_offsets(&[timestamp])).await;
    let partition = &response.topics[0].partitions[0];
    (partition.error_code, partition.offset, partition.timestamp)
}

#[tokio::test]
async fn special_offsets_are_known_from_their_versions_on() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(offset_of(&mut client, 7, -3).await, (0, -1, -1), "an empty partition has no greatest timestamp");
    let mut builder = BatchBuilder::new(Codec::Gzip);
    for timestamp in [1_000, 5_000, 3_000] {
        builder.append(timestamp, None, Some(b"x")).expect("it fits");
    }
    client.produce("t", &builder.build()).await;
    for version in 1..=10 {
        assert_eq!(offset_of(&mut client, version, -1).await, (0, 3, -1), "latest");
        assert_eq!(offset_of(&mut client, version, -2).await, (0, 0, -1), "earliest");
        let unsupported = (35, -1, -1);
        assert_eq!(offset_of(&mut client, version, -3).await, if version >= 7 { (0, 1, 5_000) } else { unsupported });
        assert_eq!(offset_of(&mut client, version, -4).await, if version >= 8 { (0, 0, -1) } else { unsupported });
        assert_eq!(offset_of(&mut client, version, -5).await, if version >= 9 { (0, -1, -1) } else { unsupported });
        assert_eq!(offset_of(&mut client, version, -6).await, unsupported);
    }
}

#[tokio::test]
async fn a_time_finds_the_first_record_at_or_after_it() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    for timestamps in [[1_000, 2_000], [4_000, 3_000], [5_000, 6_000]] {
        let mut builder = BatchBuilder::new(Codec::Lz4);
        for timestamp in timestamps {
            builder.append(timestamp, None, Some(b"x")).expect("it fits");
        }
        client.produce("t", &builder.build()).await;
    }
    let cases = [(0, 0, 1_000), (1_000, 0, 1_000), (1_001, 1, 2_000), (2_500, 2, 4_000), (4_500, 4, 5_000), (6_000, 5, 6_000)];
    for (timestamp, offset, found) in cases {
        assert_eq!(offset_of(&mut client, 7, timestamp).await, (0, offset, found), "at {timestamp}");
    }
    assert_eq!(offset_of(&mut client, 7, 6_001).await, (0, -1, -1), "nothing is so late");
}

#[tokio::test]
async fn bad_look_ups_are_errors_of_their_partition() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let mut request = list_offsets(&[-1, -2]);
    request.topics[0].partitions.push(message!(ListOffsetsPartition { partition_index: 4, timestamp: -1_i64 }));
    request.topics[0].partitions.push(message!(ListOffsetsPartition { partition_index: 0, timestamp: -1_i64, current_leader_epoch: 99 }));
    request.topics.push(message!(ListOffsetsTopic { name: "unknown".into(), partitions: vec![message!(ListOffsetsPartition {})] }));
    let response = client.call(7, &request).await;
    let codes: Vec<_> = response.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code).collect();
    assert_eq!(codes, [42, 42, 3, 42, 3], "asked twice, no such partition, no such topic");
    let mut request = list_offsets(&[-1]);
    request.topics[0].partitions[0].current_leader_epoch = 99;
    assert_eq!(client.call(7, &request).await.topics[0].partitions[0].error_code, 75);
}

async fn end_of_epoch(client: &mut Client, version: i16, epoch: i32) -> (i16, i32, i64) {
    let partition = message!(OffsetForLeaderPartition { leader_epoch: epoch });
    let topic = message!(OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition] });
    let response = client.call(version, &message!(OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] })).await;
    let partition = &response.topics[0].partitions[0];
    (partition.error_code, partition.leader_epoch, partition.end_offset)
}

async fn leader_epoch(client: &mut Client) -> i32 {
    let topic = message!(MetadataRequestTopic { name: Some("t".into()) });
    let response = client.call(12, &message!(MetadataRequest { topics: Some(vec![topic]) })).await;
    response.topics[0].partitions[0].leader_epoch
}

#[tokio::test]
async fn t44_epochs_only_grow_and_answers_agree_with_the_epochs_stamped_in_batches() {
    let world = World::new();
    let mut lives = Vec::new();
    for life in 0..3 {
        let broker = world.start(BrokerConfig::default(), Durability::Local).await;
        let mut client = broker.client().await;
        if life == 0 {
            client.create_topic("t", 1, &[]).await;
        }
        let epoch = leader_epoch(&mut client).await;
        assert!(lives.last().is_none_or(|(before, _)| *before < epoch), "{lives:?} then {epoch}");
        client.produce("t", &batch(&["a", "b"])).await;
        lives.push((epoch, 2 * (life + 1)));
        for version in 2..=4 {
            for (epoch, end) in &lives {
                assert_eq!(end_of_epoch(&mut client, version, *epoch).await, (0, *epoch, *end));
            }
            assert_eq!(end_of_epoch(&mut client, version, epoch + 1).await, (0, -1, -1), "the future is not known");
        }
        let records = client.fetch("t", 0).await.records;
        assert_eq!(values(&records).len() as i64, 2 * (life + 1));
        let stamped: Vec<_> = floe_records::Batches::new(records.expect("records")).map(|b| b.expect("a batch").0.leader_epoch).collect();
        assert_eq!(stamped, lives.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>());
        let response = client.call(7, &list_offsets(&[-1])).await;
        assert_eq!(response.topics[0].partitions[0].leader_epoch, epoch);
        if life == 1 { broker.kill().await } else { broker.stop().await }
    }
}

#[tokio::test]
async fn an_offset_look_up_names_the_epoch_of_its_record() {
    let world = World::new();
    let mut epochs = Vec::new();
    for life in 0..2 {
        let broker = world.start(BrokerConfig::default(), Durability::Local).await;
        let mut client = broker.client().await;
        if life == 0 {
            client.create_topic("t", 1, &[]).await;
        }
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(1_000 * (life + 1), None, Some(b"x")).expect("it fits");
        client.produce("t", &builder.build()).await;
        epochs.push(BatchHeader::parse(&client.fetch("t", life).await.records.expect("records")).expect("a batch").leader_epoch);
        for (timestamp, at) in [(1_000, 0), (-2, 0)].into_iter().chain((life == 1).then_some((2_000, 1))) {
            let response = client.call(7, &list_offsets(&[timestamp])).await;
            assert_eq!(response.topics[0].partitions[0].leader_epoch, epochs[at], "life {life}, at {timestamp}");
        }
        broker.stop().await;
    }
}
