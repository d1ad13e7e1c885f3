//! Fetch: sizes, positions, waiting, errors.

use crate::support::{TestBroker, batch, fetch_request, produce_request, values};
use floe_broker::BrokerConfig;
use floe_protocol::messages::fetch_request::ForgottenTopic;
use floe_protocol::messages::{DeleteTopicsRequest, FetchRequest, Uuid};
use floe_protocol::{ErrorCode, message};
use floe_records::BatchHeader;

#[tokio::test]
async fn t36_a_fetch_in_the_middle_of_a_batch_gets_the_whole_batch() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["a", "b", "c"])).await;
    client.produce("t", &batch(&["d", "e"])).await;
    for (from, first) in [(0, 0), (1, 0), (2, 0), (3, 3), (4, 3)] {
        let got = values(&client.fetch("t", from).await.records);
        assert_eq!(got.first().map(|(offset, _)| *offset), Some(first), "from {from}");
        assert_eq!(got.last().map(|(offset, _)| *offset), Some(4), "from {from}");
    }
}

#[tokio::test]
async fn t45_the_first_partition_with_records_gives_one_batch_whatever_the_limits_and_the_others_have_no_floor() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 4, &[]).await;
    let large = batch(&[&"x".repeat(10_000)]);
    for partition in 1..4 {
        for _ in 0..2 {
            client.call(9, &produce_request("t", partition, -1, &large)).await;
        }
    }
    let mut request = fetch_request("t", &[(0, 0), (2, 0), (1, 0), (3, 0)], 0);
    request.max_bytes = 1;
    let sizes = |response: &floe_protocol::messages::FetchResponse| {
        let partitions = response.responses[0].partitions.iter();
        partitions.map(|p| (p.partition_index, p.records.as_ref().map_or(0, bytes::Bytes::len) / large.len())).collect::<Vec<_>>()
    };
    let response = client.call(12, &request).await;
    assert_eq!(sizes(&response), [(0, 0), (2, 1), (1, 0), (3, 0)], "one batch of the first that has any");
    // The room of the whole answer is shared in the client's order.
    request.max_bytes = i32::try_from(3 * large.len() + 100).expect("small");
    let response = client.call(12, &request).await;
    assert_eq!(sizes(&response), [(0, 0), (2, 2), (1, 1), (3, 0)]);
    // A partition's own limit is no floor either, except for the first.
    request.max_bytes = 50 << 20;
    for partition in &mut request.topics[0].partitions {
        partition.partition_max_bytes = 100;
    }
    let response = client.call(12, &request).await;
    assert_eq!(sizes(&response), [(0, 0), (2, 1), (1, 0), (3, 0)]);
}

#[tokio::test]
async fn t62_a_partition_without_records_answers_with_none_of_length_zero() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    for version in 4..=18 {
        let mut request = fetch_request("t", &[(0, 0), (9, 0)], 0);
        if version >= 13 {
            request.topics[0].topic = "".into();
            request.topics[0].topic_id = id;
        }
        let response = client.call::<FetchRequest>(version, &request).await;
        for partition in &response.responses[0].partitions {
            assert_eq!(partition.records.as_deref(), Some(&[][..]), "version {version}: empty, not null");
        }
        let [empty, missing] = &response.responses[0].partitions[..] else { panic!("every partition is answered") };
        assert_eq!((empty.error_code, empty.high_watermark, empty.last_stable_offset), (0, 0, 0));
        assert_eq!(missing.error_code, 3);
    }
}

#[tokio::test]
async fn a_long_poll_wakes_when_a_record_is_committed() {
    let broker = TestBroker::start().await;
    let (mut reader, mut writer) = (broker.client().await, broker.client().await);
    writer.create_topic("t", 2, &[]).await;
    reader.send(12, &fetch_request("t", &[(0, 0), (1, 0)], 59_000)).await;
    let asked = writer.call(9, &produce_request("t", 1, -1, &batch(&["news"]))).await;
    assert_eq!(asked.responses[0].partition_responses[0].error_code, 0);
    let (_, response) = reader.receive::<FetchRequest>(12).await;
    assert_eq!(values(&response.responses[0].partitions[1].records), [(0, "news".to_owned())]);
}

#[tokio::test]
async fn a_long_poll_waits_for_min_bytes_and_ends_when_its_client_goes() {
    let broker = TestBroker::start().await;
    let (mut reader, mut writer) = (broker.client().await, broker.client().await);
    writer.create_topic("t", 1, &[]).await;
    let news = batch(&["0123456789"]);
    let mut request = fetch_request("t", &[(0, 0)], 59_000);
    request.min_bytes = i32::try_from(3 * news.len()).expect("small");
    reader.send(12, &request).await;
    for _ in 0..3 {
        writer.produce("t", &news).await;
    }
    let (_, response) = reader.receive::<FetchRequest>(12).await;
    assert_eq!(values(&response.responses[0].partitions[0].records).len(), 3);
    request.topics[0].partitions[0].fetch_offset = 3;
    reader.send(12, &request).await;
    drop(reader);
    broker.closed("by_client", 1).await;
}

#[tokio::test]
async fn an_error_is_answered_at_once_even_with_other_partitions_to_wait_for() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["a"])).await;
    for (partition, offset, code) in
        [(5, 0, ErrorCode::UnknownTopicOrPartition), (0, 2, ErrorCode::OffsetOutOfRange), (0, -1, ErrorCode::OffsetOutOfRange)]
    {
        let request = fetch_request("t", &[(0, 1), (partition, offset)], i32::MAX);
        let response = client.call(12, &request).await;
        let partition = &response.responses[0].partitions[1];
        assert_eq!(partition.error_code, code.code());
        if code == ErrorCode::OffsetOutOfRange {
            assert_eq!((partition.high_watermark, partition.log_start_offset), (1, 0));
        }
    }
}

/// A request of a session, by names.
fn session_request(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let mut request = fetch_request("t", partitions, 0);
    (request.session_id, request.session_epoch) = (id, epoch);
    if partitions.is_empty() {
        request.topics.clear();
    }
    request
}

#[tokio::test]
async fn a_session_asks_and_answers_only_what_has_changed_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 3, &[]).await;
    let mut end = 0;
    for version in 7..=12 {
        let opened = client.call(version, &session_request(0, 0, &[(0, end), (1, 0), (2, 0)])).await;
        let id = opened.session_id;
        assert!(id > 0 && opened.error_code == 0);
        assert_eq!(opened.responses[0].partitions.len(), 3, "a full answer lists every partition");
        let quiet = client.call(version, &session_request(id, 1, &[])).await;
        assert_eq!((quiet.error_code, quiet.session_id, quiet.responses.len()), (0, id, 0));
        client.produce("t", &batch(&["news"])).await;
        let news = client.call(version, &session_request(id, 2, &[])).await;
        assert_eq!(news.responses.len(), 1);
        let [partition] = &news.responses[0].partitions[..] else { panic!("one partition has news") };
        assert_eq!((partition.partition_index, partition.high_watermark), (0, end + 1));
        assert_eq!(values(&partition.records), [(end, "news".to_owned())]);
        end += 1;
        let read = client.call(version, &session_request(id, 3, &[(0, end)])).await;
        assert_eq!(read.responses.len(), 0, "the watermark was told with the records");
        let mut forget = session_request(id, 4, &[]);
        forget.forgotten_topics_data = vec![message!(ForgottenTopic { topic: "t".into(), partitions: vec![0, 1] })];
        client.call(version, &forget).await;
        client.produce("t", &batch(&["unheard"])).await;
        end += 1;
        assert_eq!(client.call(version, &session_request(id, 5, &[])).await.responses.len(), 0);
        // Out of turn, then closed.
        let wrong = client.call(version, &session_request(id, 5, &[])).await;
        assert_eq!((wrong.error_code, wrong.session_id), (ErrorCode::InvalidFetchSessionEpoch.code(), 0));
        let closed = client.call(version, &session_request(id, -1, &[(0, end)])).await;
        assert_eq!((closed.error_code, closed.session_id), (0, 0));
        let gone = client.call(version, &session_request(id, 6, &[])).await;
        assert_eq!(gone.error_code, ErrorCode::FetchSessionIdNotFound.code());
    }
}

#[tokio::test]
async fn a_session_by_topic_id_outlives_its_topic_and_does_not_meet_the_next_of_its_name() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    for version in 13..=18 {
        let mut request = session_request(0, 0, &[(0, 0)]);
        (request.topics[0].topic, request.topics[0].topic_id) = ("".into(), id);
        let opened = client.call(version, &request).await;
        assert!(opened.session_id > 0);
        assert_eq!(opened.responses[0].topic_id, id);
        let by_name = client.call(12, &session_request(opened.session_id, 1, &[])).await;
        assert_eq!(by_name.error_code, ErrorCode::FetchSessionTopicIdError.code());
        if version == 18 {
            let request = message!(DeleteTopicsRequest { topic_names: vec!["t".into()], timeout_ms: 30_000 });
            assert_eq!(client.call(5, &request).await.responses[0].error_code, 0);
            client.create_topic("t", 1, &[]).await;
            let gone = client.call(version, &session_request(opened.session_id, 1, &[])).await;
            assert_eq!(gone.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
        }
    }
}

#[tokio::test]
async fn a_long_poll_of_a_session_wakes_for_a_partition_that_the_request_does_not_name() {
    let broker = TestBroker::start().await;
    let (mut reader, mut writer) = (broker.client().await, broker.client().await);
    writer.create_topic("t", 2, &[]).await;
    let opened = reader.call(12, &session_request(0, 0, &[(0, 0), (1, 0)])).await;
    let mut waiting = session_request(opened.session_id, 1, &[]);
    waiting.max_wait_ms = 59_000;
    reader.send(12, &waiting).await;
    writer.call(9, &produce_request("t", 1, -1, &batch(&["news"]))).await;
    let (_, response) = reader.receive::<FetchRequest>(12).await;
    assert_eq!(values(&response.responses[0].partitions[0].records), [(0, "news".to_owned())]);
}

#[tokio::test]
async fn without_a_free_slot_a_consumer_goes_on_without_a_session() {
    let broker = TestBroker::with(BrokerConfig { fetch_sessions: 1, ..BrokerConfig::default() }).await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["a"])).await;
    assert!(client.call(12, &session_request(0, 0, &[(0, 0)])).await.session_id > 0);
    let second = client.call(12, &session_request(0, 0, &[(0, 0)])).await;
    assert_eq!((second.error_code, second.session_id), (0, 0));
    assert_eq!(values(&second.responses[0].partitions[0].records).len(), 1);
}

#[tokio::test]
async fn unknown_topic_ids_are_named() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    let mut request = fetch_request("", &[(0, 0)], i32::MAX);
    request.topics[0].topic_id = Uuid::from_bytes([7; 16]);
    let response = client.call(16, &request).await;
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
    request.topics[0].topic_id = id;
    request.max_wait_ms = 0;
    let response = client.call(16, &request).await;
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
}

#[tokio::test]
async fn a_client_with_another_leader_epoch_is_told_so_and_where_the_leader_is() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    client.produce("t", &batch(&["a"])).await;
    let records = client.fetch("t", 0).await.records.expect("records");
    let epoch = BatchHeader::parse(&records).expect("a batch").leader_epoch;
    let mut request = fetch_request("", &[(0, 0)], 0);
    request.topics[0].topic_id = id;
    for (known, code) in [(-1, 0), (epoch, 0), (epoch - 1, 74), (epoch + 1, 75)] {
        request.topics[0].partitions[0].current_leader_epoch = known;
        let response = client.call(17, &request).await;
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, code);
        let named = code == 74;
        assert_eq!(partition.current_leader.leader_epoch, if named { epoch } else { -1 });
        assert_eq!(response.node_endpoints.len(), usize::from(named), "endpoints only where a leader is named");
    }
}

#[tokio::test]
async fn read_committed_lists_aborted_transactions_of_which_there_are_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    client.create_topic("t", 1, &[]).await;
    let mut request = fetch_request("t", &[(0, 0)], 0);
    for (isolation, aborted) in [(0, None), (1, Some(vec![]))] {
        request.isolation_level = isolation;
        let response = client.call(12, &request).await;
        assert_eq!(response.responses[0].partitions[0].aborted_transactions, aborted);
    }
}
