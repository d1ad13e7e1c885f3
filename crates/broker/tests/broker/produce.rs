//! Produce: what is refused, with which code, and that order holds while requests are pipelined.

use crate::support::{TestBroker, batch, batch_of, fetch_request, produce_request, sequenced, values};
use bytes::{Bytes, BytesMut};
use floe_env::Env;
use floe_protocol::messages::produce_response::PartitionProduceResponse;
use floe_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use floe_protocol::{ErrorCode, message};
use floe_records::{BatchBuilder, BatchHeader, Codec};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

#[tokio::test]
async fn what_is_produced_comes_back_byte_for_byte_in_every_version_and_codec() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    let mut offset = 0;
    for (version, codec) in (3..=13).flat_map(|version| CODECS.map(|codec| (version, codec))) {
        if codec == Codec::Zstd && version < 7 {
            continue;
        }
        let sent = batch_of(codec, &["one", "two"]);
        let mut request = produce_request("t", 0, -1, &sent);
        request.topic_data[0].topic_id = id;
        if version >= 13 {
            request.topic_data[0].name = "".into();
        } else {
            request.topic_data[0].topic_id = Default::default();
        }
        let response = client.call(version, &request).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, offset), "version {version} {codec}");
        assert_eq!(partition.log_append_time_ms, -1, "records keep the producer's time");

        let mut expected = BytesMut::from(sent.as_ref());
        let epoch = BatchHeader::parse(&client.fetch("t", offset).await.records.expect("records")).expect("a batch").leader_epoch;
        floe_records::stamp(&mut expected, offset, epoch);
        assert_eq!(client.fetch("t", offset).await.records, Some(expected.freeze()), "version {version} {codec}");
        offset += 2;
    }
    broker.stop().await;
}

#[tokio::test]
async fn every_version_of_fetch_gives_the_same_records() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["a", "b"])).await;
    for version in 4..=18 {
        let mut request = fetch_request("t", &[(0, 0)], 0);
        if version >= 13 {
            request.topics[0].topic = "".into();
            request.topics[0].topic_id = id;
        }
        if version < 7 {
            request.session_epoch = -1;
        }
        let response = client.call::<FetchRequest>(version, &request).await;
        let partition = &response.responses[0].partitions[0];
        assert_eq!((partition.error_code, partition.high_watermark, partition.last_stable_offset), (0, 2, 2), "version {version}");
        assert_eq!(values(&partition.records), [(0, "a".to_owned()), (1, "b".to_owned())], "version {version}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_appended_and_answered_in_order() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let mut sent = Vec::new();
    for n in 0..200 {
        sent.push(client.send(9, &produce_request("t", 0, -1, &batch(&[&format!("v{n}")]))).await);
    }
    let asked = client.send(12, &message!(MetadataRequest {})).await;
    for (n, correlation) in sent.into_iter().enumerate() {
        let (got, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!((got, response.responses[0].partition_responses[0].base_offset), (correlation, n as i64));
    }
    assert_eq!(client.receive::<MetadataRequest>(12).await.0, asked);
    let fetched = values(&client.fetch("t", 0).await.records);
    assert_eq!(fetched, (0..200).map(|n| (n, format!("v{n}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn acks_zero_gets_no_answer_and_a_closed_connection_if_something_was_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    client.send(9, &produce_request("t", 0, 0, &batch(&["silent"]))).await;
    // The next answer is that of the next request.
    let partition = client.produce("t", &batch(&["loud"])).await;
    assert_eq!((partition.error_code, partition.base_offset), (0, 1));
    client.send(9, &produce_request("t", 7, 0, &batch(&["nowhere"]))).await;
    client.assert_closed().await;
    broker.closed("unacknowledged_failure", 1).await;
    assert_eq!(broker.client().await.produce("t", &batch(&["others go on"])).await.error_code, 0);
}

async fn refused(client: &mut crate::support::Client, version: i16, request: ProduceRequest) -> PartitionProduceResponse {
    let response = client.call(version, &request).await;
    let partition = response.responses[0].partition_responses[0].clone();
    assert_eq!((partition.base_offset, partition.log_append_time_ms), (-1, -1));
    assert_eq!(partition.error_message.is_some(), version >= 8, "a reason where there is room for one");
    partition
}

#[tokio::test]
async fn bad_batches_are_refused_with_kafkas_codes_and_nothing_is_appended() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("max.message.bytes", "1000")]).await;
    let good = batch(&["good"]);
    let flipped = |at: usize| {
        let mut bytes = BytesMut::from(good.as_ref());
        bytes[at] ^= 1;
        bytes.freeze()
    };
    let control = BatchBuilder::new(Codec::None).control();
    let transactional = BatchBuilder::new(Codec::None).producer(5, 0, 0).transactional();
    let with_record = |mut builder: BatchBuilder| {
        builder.append(Env::real().now_ms(), None, Some(b"x")).expect("it fits");
        builder.build()
    };
    let mut magic_1 = BytesMut::from(good.as_ref());
    magic_1[16] = 1;
    let cases: [(&str, Bytes, ErrorCode); 10] = [
        ("a flipped bit", flipped(good.len() - 1), ErrorCode::CorruptMessage),
        ("a checksum that is wrong", flipped(17), ErrorCode::CorruptMessage),
        ("half a batch", good.slice(..good.len() - 1), ErrorCode::CorruptMessage),
        ("half a header", good.slice(..30), ErrorCode::CorruptMessage),
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        ("two batches", [good.as_ref(), good.as_ref()].concat().into(), ErrorCode::InvalidRecord),
        ("an old format", magic_1.freeze(), ErrorCode::InvalidRecord),
        ("a control batch", with_record(control), ErrorCode::InvalidRecord),
        ("a transactional batch", with_record(transactional), ErrorCode::TransactionalIdAuthorizationFailed),
        ("a batch too large", batch(&[&"x".repeat(1_000)]), ErrorCode::MessageTooLarge),
    ];
    for (what, bytes, code) in cases {
        let partition = refused(&mut client, 9, produce_request("t", 0, -1, &bytes)).await;
        assert_eq!(ErrorCode::from_code(partition.error_code), Some(code), "{what}: {:?}", partition.error_message);
    }
    assert_eq!(client.produce("t", &good).await.base_offset, 0, "nothing was appended");
}

#[tokio::test]
async fn bad_requests_are_refused_for_each_partition() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let good = batch(&["good"]);
    let mut transactional = produce_request("t", 0, -1, &good);
    transactional.transactional_id = Some("tx".into());
    let mut without_records = produce_request("t", 0, -1, &good);
    without_records.topic_data[0].partition_data[0].records = None;
    let mut by_id = produce_request("", 0, -1, &good);
    by_id.topic_data[0].topic_id = floe_protocol::messages::Uuid::from_bytes([9; 16]);
    let cases = [
        (9, produce_request("t", 0, 2, &good), ErrorCode::InvalidRequiredAcks),
        (9, transactional, ErrorCode::TransactionalIdAuthorizationFailed),
        (9, without_records, ErrorCode::InvalidRecord),
        (9, produce_request("unknown", 0, -1, &good), ErrorCode::UnknownTopicOrPartition),
        (9, produce_request("t", 1, -1, &good), ErrorCode::UnknownTopicOrPartition),
        (9, produce_request("t", -1, -1, &good), ErrorCode::UnknownTopicOrPartition),
        (13, by_id, ErrorCode::UnknownTopicId),
        (6, produce_request("t", 0, -1, &batch_of(Codec::Zstd, &["z"])), ErrorCode::UnsupportedCompressionType),
    ];
    for (version, request, code) in cases {
        let partition = refused(&mut client, version, request).await;
        assert_eq!(ErrorCode::from_code(partition.error_code), Some(code));
    }
}

#[tokio::test]
async fn one_bad_partition_does_not_hurt_the_others_of_its_request() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 2, &[]).await;
    let mut request = produce_request("t", 0, -1, &batch(&["a"]));
    let mut more = produce_request("t", 1, -1, &batch(&["b"])).topic_data[0].partition_data.clone();
    more.extend(produce_request("t", 2, -1, &batch(&["c"])).topic_data[0].partition_data.clone());
    request.topic_data[0].partition_data.extend(more);
    let response = client.call(9, &request).await;
    let codes: Vec<_> = response.responses[0].partition_responses.iter().map(|p| (p.index, p.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, 0), (2, 3)]);
}

#[tokio::test]
async fn log_append_time_is_set_returned_and_covered_by_the_checksum() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let before = Env::real().now_ms();
    let mut old = BatchBuilder::new(Codec::Lz4);
    old.append(1_000, None, Some(b"from the past")).expect("it fits");
    let partition = client.produce("t", &old.build()).await;
    assert!(partition.log_append_time_ms >= before);
    let records = client.fetch("t", 0).await.records.expect("records");
    let header = floe_records::verify(&records).expect("an intact batch");
    assert_eq!(header.timestamp_type(), floe_records::TimestampType::LogAppendTime);
    assert_eq!(header.max_timestamp, partition.log_append_time_ms);
}

#[tokio::test]
async fn a_topic_with_a_codec_stores_in_it_whatever_was_sent() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("compression.type", "zstd")]).await;
    let text = "a rather repetitive value ".repeat(50);
    for (n, codec) in CODECS.into_iter().enumerate() {
        assert_eq!(client.produce("t", &batch_of(codec, &[&text])).await.base_offset, n as i64);
    }
    let records = client.fetch("t", 0).await.records;
    for stored in floe_records::Batches::new(records.clone().expect("records")) {
        assert_eq!(stored.expect("a batch").0.codec(), Ok(Codec::Zstd));
    }
    assert_eq!(values(&records), (0..5).map(|n| (n, text.clone())).collect::<Vec<_>>());
}

#[tokio::test]
async fn timestamps_outside_the_topics_window_are_refused_and_the_records_named() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")]).await;
    let now = Env::real().now_ms();
    let timed = |timestamps: &[i64]| {
        let mut builder = BatchBuilder::new(Codec::Gzip);
        for timestamp in timestamps {
            builder.append(*timestamp, None, Some(b"x")).expect("it fits");
        }
        builder.build()
    };
    for bad in [vec![now + 600_000], vec![now - 600_000], vec![now, now - 600_000, now]] {
        let partition = client.produce("t", &timed(&bad)).await;
        assert_eq!(partition.error_code, ErrorCode::InvalidTimestamp.code(), "{bad:?}");
        let named: Vec<_> = partition.record_errors.iter().map(|e| e.batch_index).collect();
        assert_eq!(named, if bad.len() == 3 { vec![1] } else { vec![] });
    }
    assert_eq!(client.produce("t", &timed(&[now, now - 1_000])).await.error_code, 0);
}

#[tokio::test]
async fn t61_an_error_in_a_produce_answer_carries_no_half_filled_leader() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    for version in 10..=12 {
        let response = client.call(version, &produce_request("t", 5, -1, &batch(&["x"]))).await;
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, 3);
        assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (-1, -1));
        assert!(response.node_endpoints.is_empty());
        assert!(partition.record_errors.is_empty());
    }
}

#[tokio::test]
async fn a_producer_id_of_another_incarnation_starts_anywhere() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    assert_eq!(client.produce("t", &sequenced(77, 3, 1_000, "state may have expired")).await.error_code, 0);
}

#[tokio::test]
async fn a_compacted_topic_refuses_records_without_a_key_and_says_which() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[("cleanup.policy", "compact")]).await;
    let mut builder = BatchBuilder::new(Codec::None);
    for key in [Some(b"a".as_slice()), None, Some(b"b"), None] {
        builder.append(0, key, Some(b"x")).expect("it fits");
    }
    let refused = client.produce("t", &builder.build()).await;
    assert_eq!((refused.error_code, refused.base_offset), (87, -1), "INVALID_RECORD");
    let named: Vec<_> = refused.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(named, [1, 3]);
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(0, Some(b"a"), None).expect("it fits");
    assert_eq!(client.produce("t", &builder.build()).await.error_code, 0, "a tombstone is a record");
}
