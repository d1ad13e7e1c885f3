//! Fetch: sizes, positions, waiting, errors.

use crate::support::{TestBroker, batch, fetch_request, produce_request, values};
use floe_protocol::ErrorCode;
use floe_protocol::messages::{FetchRequest, Uuid};
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

#[tokio::test]
async fn sessions_are_not_kept_and_unknown_ids_are_named() {
    let broker = TestBroker::start().await;
    let mut client = broker.client().await;
    let id = client.create_topic("t", 1, &[]).await;
    let mut request = fetch_request("t", &[(0, 0)], 0);
    for (session_id, session_epoch, code) in [(0, 0, 0), (0, -1, 0), (7, -1, 0), (7, 1, 70), (0, 5, 70)] {
        (request.session_id, request.session_epoch) = (session_id, session_epoch);
        let response = client.call(12, &request).await;
        assert_eq!((response.error_code, response.session_id), (code, 0), "session {session_id} epoch {session_epoch}");
    }
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
