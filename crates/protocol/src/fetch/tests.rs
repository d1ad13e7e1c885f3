//! Our Fetch response against the generated encoder's, byte for byte.

use super::*;
use crate::{Response, encode_response, frame::RequestHeader, message, messages, messages::fetch_response as generated, tests::samples};
use kafka_wire_core::{ApiVersion, KafkaEncode};

fn header(version: i16) -> RequestHeader {
    RequestHeader { api: Api::Fetch, version, correlation_id: 3, client_id: None }
}

fn ours(response: &FetchResponse, version: i16) -> Frame {
    encode_response(&header(version), Response::Fetch(response.clone())).expect("encodes")
}

/// The same response as a generated struct, with the fields that `version` has.
fn theirs(response: &FetchResponse, version: i16) -> Vec<u8> {
    let endpoints = if version >= 16 { &response.node_endpoints[..] } else { &[] };
    let leader = |p: &FetchPartition| {
        p.current_leader.filter(|(id, epoch)| *id >= 0 && *epoch >= 0 && endpoints.iter().any(|node| node.node_id == *id))
    };
    let leaders: Vec<i32> = response.topics.iter().flat_map(|t| &t.partitions).filter_map(|p| leader(p).map(|(id, _)| id)).collect();
    let partition = |p: &FetchPartition| {
        let leader = leader(p).map(|(leader_id, leader_epoch)| message!(generated::LeaderIdAndEpoch { leader_id, leader_epoch }));
        let diverging = p.diverging_epoch.filter(|_| version >= 12);
        let diverging = diverging.map(|(epoch, end_offset)| message!(generated::EpochEndOffset { epoch, end_offset }));
        let aborted =
            |a: &AbortedTransaction| message!(generated::AbortedTransaction { producer_id: a.producer_id, first_offset: a.first_offset });
        message!(generated::PartitionData {
            partition_index: p.index,
            error_code: p.error_code,
            high_watermark: p.high_watermark,
            last_stable_offset: p.last_stable_offset,
            log_start_offset: p.log_start_offset,
            diverging_epoch: diverging.unwrap_or_default(),
            current_leader: leader.unwrap_or_default(),
            aborted_transactions: p.aborted.as_ref().map(|all| all.iter().map(aborted).collect()),
            preferred_read_replica: if version >= 11 { p.preferred_read_replica } else { -1 },
            records: Some(Bytes::from(p.records.concat())),
        })
    };
    let topic = |t: &FetchTopic| {
        message!(generated::FetchableTopicResponse {
            topic: t.name.clone(),
            topic_id: t.topic_id,
            partitions: t.partitions.iter().map(partition).collect(),
        })
    };
    let node = |n: &NodeEndpoint| {
        message!(generated::NodeEndpoint { node_id: n.node_id, host: n.host.clone(), port: n.port, rack: n.rack.clone() })
    };
    let response = message!(messages::FetchResponse {
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        session_id: if version >= 7 { response.session_id } else { 0 },
        responses: response.topics.iter().map(topic).collect(),
        node_endpoints: endpoints.iter().filter(|n| leaders.contains(&n.node_id)).map(node).collect(),
    });
    let body = response.encode_to_bytes(ApiVersion::new(version)).expect("encodes");
    let header: &[u8] = if version >= 12 { &[0, 0, 0, 3, 0] } else { &[0, 0, 0, 3] };
    let size = u32::try_from(header.len() + body.len()).unwrap().to_be_bytes();
    [&size[..], header, &body].concat()
}

#[test]
fn every_version_is_byte_for_byte_what_the_generated_encoder_writes() {
    let full = samples::fetch_response();
    let shapes = [
        FetchResponse::default(),
        FetchResponse { error_code: 70, session_id: 9, ..FetchResponse::default() },
        FetchResponse { topics: vec![FetchTopic::default()], ..FetchResponse::default() },
        FetchResponse { node_endpoints: Vec::new(), ..full.clone() },
        full,
    ];
    for response in &shapes {
        for version in 4..=18 {
            assert_eq!(ours(response, version).to_bytes(), theirs(response, version), "version {version}: {response:?}");
        }
    }
}

mod random {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

    fn text() -> impl Strategy<Value = StrBytes> {
        "[a-z.]{0,12}|[a-z]{130}".prop_map(StrBytes::from)
    }

    fn batches() -> impl Strategy<Value = Vec<Bytes>> {
        vec(vec(any::<u8>(), 0..200).prop_map(Bytes::from), 0..4)
    }

    fn partition() -> impl Strategy<Value = FetchPartition> {
        let offsets = (any::<i64>(), any::<i64>(), any::<i64>());
        let aborted = (any::<i64>(), any::<i64>()).prop_map(|(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
        let tags = (option::of((0..9i32, any::<i64>())), option::of((-1..3i32, -1..3i32)));
        ((any::<i32>(), any::<i16>()), offsets, tags, option::of(vec(aborted, 0..3)), any::<i32>(), batches()).prop_map(
            |((index, error_code), (high_watermark, last_stable_offset, log_start_offset), tags, aborted, replica, records)| {
                FetchPartition {
                    index,
                    error_code,
                    high_watermark,
                    last_stable_offset,
                    log_start_offset,
                    diverging_epoch: tags.0,
                    current_leader: tags.1,
                    aborted,
                    preferred_read_replica: replica,
                    records,
                }
            },
        )
    }

    fn response() -> impl Strategy<Value = FetchResponse> {
        let topic = (text(), any::<[u8; 16]>(), vec(partition(), 0..5)).prop_map(|(name, id, partitions)| FetchTopic {
            name,
            topic_id: Uuid::from_bytes(id),
            partitions,
        });
        let node = (-1..3i32, text(), any::<i32>(), option::of(text()));
        let node = node.prop_map(|(node_id, host, port, rack)| NodeEndpoint { node_id, host, port, rack });
        (any::<(i32, i16, i32)>(), vec(topic, 0..4), vec(node, 0..3)).prop_map(|(numbers, topics, node_endpoints)| FetchResponse {
            throttle_time_ms: numbers.0,
            error_code: numbers.1,
            session_id: numbers.2,
            topics,
            node_endpoints,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]
        #[test]
        fn random_responses_are_byte_for_byte_what_the_generated_encoder_writes(response in response(), version in 4..=18i16) {
            let frame = ours(&response, version);
            prop_assert!(frame.chunks().iter().all(|chunk| !chunk.is_empty()));
            prop_assert_eq!(frame.to_bytes(), theirs(&response, version));
        }
    }
}

#[test]
fn t62_a_partition_without_records_has_length_zero_and_is_never_null() {
    let partition = FetchPartition { records: vec![Bytes::new(), Bytes::new()], ..FetchPartition::default() };
    for records in [partition.records.clone(), Vec::new()] {
        let partition = FetchPartition { records, ..partition.clone() };
        let topic = FetchTopic { partitions: vec![partition], ..FetchTopic::default() };
        let response = FetchResponse { topics: vec![topic], ..FetchResponse::default() };
        for version in 4..=18 {
            let bytes = ours(&response, version).to_bytes();
            // Legacy versions end with the records' length; flexible ones with it and three sections of no tagged fields.
            let end: &[u8] = if version >= 12 { &[1, 0, 0, 0] } else { &[0, 0, 0, 0] };
            assert_eq!(&bytes[bytes.len() - 4..], end, "version {version}");
            let (_, read) = crate::client::decode_response::<messages::FetchRequest>(version, bytes.slice(4..)).unwrap();
            assert_eq!(read.responses[0].partitions[0].records, Some(Bytes::new()), "version {version}");
        }
    }
}

/// Version 4 by hand, as Kafka's documentation lays it out.
#[test]
fn a_small_response_of_version_4_is_what_the_specification_says() {
    let partition = FetchPartition { index: 1, high_watermark: 7, last_stable_offset: 6, ..FetchPartition::default() };
    let partition = FetchPartition { records: vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")], ..partition };
    let topic = FetchTopic { name: StrBytes::from("t"), partitions: vec![partition], ..FetchTopic::default() };
    let bytes = ours(&FetchResponse { throttle_time_ms: 2, topics: vec![topic], ..FetchResponse::default() }, 4).to_bytes();
    let mut expected = vec![0, 0, 0, 56, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1];
    expected.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 6]);
    expected.extend([255, 255, 255, 255, 0, 0, 0, 3, b'a', b'b', b'c']);
    expected[3] = u8::try_from(expected.len() - 4).unwrap();
    assert_eq!(bytes, expected);
}

#[test]
fn stored_batches_lie_beside_the_headers_uncopied_and_in_order() {
    let response = samples::fetch_response();
    for version in 4..=18 {
        let frame = ours(&response, version);
        let stored: Vec<_> =
            response.topics.iter().flat_map(|t| &t.partitions).flat_map(|p| &p.records).filter(|b| !b.is_empty()).collect();
        let beside: Vec<_> = frame.chunks().iter().filter(|chunk| stored.iter().any(|b| b.as_ptr() == chunk.as_ptr())).collect();
        assert_eq!(beside, stored, "version {version}");
        let headers: usize = frame.chunks().iter().map(Bytes::len).sum::<usize>() - stored.iter().map(|b| b.len()).sum::<usize>();
        assert!(headers < 600, "{headers} bytes of headers");
        assert_eq!(frame.len(), frame.to_bytes().len());
    }
}

#[test]
fn t61_a_leader_goes_out_whole_with_its_endpoint_or_not_at_all() {
    let read = |response: &FetchResponse, version| {
        let bytes = ours(response, version).to_bytes().slice(4..);
        let read = crate::client::decode_response::<messages::FetchRequest>(version, bytes).unwrap().1;
        let leader = read.responses[0].partitions[2].current_leader.clone();
        (leader.leader_id, leader.leader_epoch, read.node_endpoints.len())
    };
    let full = samples::fetch_response();
    for version in 4..=18 {
        assert_eq!(read(&full, version), if version >= 16 { (1, 9, 1) } else { (-1, -1, 0) }, "version {version}");
    }
    let with = |leader| {
        let mut response = full.clone();
        response.topics[0].partitions[2].current_leader = Some(leader);
        response.node_endpoints[1].node_id = -1;
        response
    };
    for half in [with((1, -1)), with((-1, 9)), with((5, 9))] {
        assert_eq!(read(&half, 17), (-1, -1, 0));
    }
}

#[test]
fn a_frame_larger_than_its_size_can_say_is_refused() {
    let chunk = Bytes::from(vec![0u8; 1 << 20]);
    let partition = |chunks| FetchPartition { records: vec![chunk.clone(); chunks], ..FetchPartition::default() };
    let with = |partitions| {
        let topic = FetchTopic { partitions, ..FetchTopic::default() };
        encode_response(&header(17), FetchResponse { topics: vec![topic], ..FetchResponse::default() }.into())
    };
    assert!(with(vec![partition(2047)]).is_ok());
    assert!(matches!(with(vec![partition(2048)]), Err(EncodeError::Wire { .. })), "one partition");
    assert!(matches!(with(vec![partition(1024), partition(1024)]), Err(EncodeError::TooLarge(_))), "the whole frame");
}
