//! Responses: filled once, fitted to every version, read by the client half.

use super::{reencode, samples, served};
use crate::{
    Api, EncodeError, ErrorCode, Response, api_versions, client, encode_response,
    frame::RequestHeader,
    message,
    messages::{self, StrBytes, produce_response},
};
use bytes::Bytes;

fn header(api: Api, version: i16) -> RequestHeader {
    RequestHeader { api, version, correlation_id: 0x0102_0304, client_id: None }
}

/// The frame without its size, which is checked.
fn encode(api: Api, version: i16, response: Response) -> Bytes {
    let frame = encode_response(&header(api, version), response).unwrap_or_else(|error| panic!("{api} {version}: {error}"));
    let bytes = frame.to_bytes();
    assert_eq!(bytes.len(), frame.len());
    assert!(frame.chunks().iter().all(|chunk| !chunk.is_empty()), "an empty chunk stalls a vectored write");
    assert_eq!(bytes[..4], u32::try_from(bytes.len() - 4).unwrap().to_be_bytes(), "{api} {version}: the size");
    bytes.slice(4..)
}

/// Length of the response header.
fn header_len(api: Api, version: i16) -> usize {
    if api != Api::ApiVersions && api.row().is_flexible(version) { 5 } else { 4 }
}

#[test]
fn a_response_that_knows_everything_goes_out_in_every_version_and_reads_back() {
    for (api, version) in served() {
        let frame = encode(api, version, samples::response(api));
        assert_eq!(frame[..4], [1, 2, 3, 4], "{api} {version}");
        let read = reencode(api, version, frame.clone()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read, frame.slice(header_len(api, version)..), "{api} {version}");
    }
}

#[test]
fn an_empty_response_goes_out_in_every_version() {
    for (api, version) in served() {
        let response = match api {
            Api::Fetch => crate::fetch::FetchResponse::default().into(),
            Api::FindCoordinator => messages::FindCoordinatorResponse::default().into(),
            _ => samples::response(api),
        };
        assert!(reencode(api, version, encode(api, version, response)).is_ok(), "{api} {version}");
    }
}

#[test]
fn the_header_is_flexible_where_the_version_is_except_for_the_handshake() {
    for (api, version) in served() {
        let frame = encode(api, version, samples::response(api));
        if header_len(api, version) == 5 {
            assert_eq!(frame[4], 0, "{api} {version}: no tagged fields");
        }
    }
    // The handshake's body begins right behind the correlation id: an error code.
    let frame = encode(Api::ApiVersions, 4, api_versions::unsupported_version().into());
    assert_eq!(frame[4..6], [0, 35]);
}

#[test]
fn an_unknown_handshake_is_answered_in_version_0_with_all_ranges() {
    for version in [5, 99, i16::MAX, -1] {
        let frame = encode(Api::ApiVersions, version, api_versions::unsupported_version().into());
        let (correlation, response) = client::decode_response::<messages::ApiVersionsRequest>(0, frame.clone()).unwrap();
        assert_eq!((correlation, response.error_code), (0x0102_0304, 35));
        assert_eq!(response.api_keys.len(), crate::table::ROWS.len());
        assert_eq!(frame.len(), 4 + 2 + 4 + 6 * crate::table::ROWS.len());
        // A client that asked in its own version sees the same.
        let (_, seen) = client::decode_response::<messages::ApiVersionsRequest>(4, frame).unwrap();
        assert_eq!(seen, response);
    }
}

#[test]
fn features_with_a_minimum_of_zero_are_shown_from_version_4_on() {
    for version in 3..=4 {
        let frame = encode(Api::ApiVersions, version, samples::response(Api::ApiVersions));
        let (_, response) = client::decode_response::<messages::ApiVersionsRequest>(version, frame).unwrap();
        let names: Vec<_> = response.supported_features.iter().map(|feature| feature.name.to_string()).collect();
        let all = ["transaction.version", "metadata.version"];
        assert_eq!(names, if version < 4 { &all[1..] } else { &all[..] });
    }
}

#[test]
fn t61_a_current_leader_goes_out_whole_with_its_endpoint_or_not_at_all() {
    let read = |version, response: messages::ProduceResponse| {
        let frame = encode(Api::Produce, version, response.into());
        client::decode_response::<messages::ProduceRequest>(version, frame).unwrap().1
    };
    let leader = |response: &messages::ProduceResponse| {
        let leader = response.responses[0].partition_responses[2].current_leader.clone();
        (leader.leader_id, leader.leader_epoch)
    };
    let full = samples::produce_response();
    for version in 3..=13 {
        let seen = read(version, full.clone());
        let expected = if version >= 10 { ((1, 9), 1) } else { ((-1, -1), 0) };
        assert_eq!((leader(&seen), seen.node_endpoints.len()), expected, "version {version}");
    }
    let mut no_endpoint = full.clone();
    no_endpoint.node_endpoints.clear();
    let mut no_epoch = full.clone();
    no_epoch.responses[0].partition_responses[2].current_leader.leader_epoch = -1;
    let mut no_leader = full.clone();
    no_leader.responses[0].partition_responses[2].current_leader = message!(produce_response::LeaderIdAndEpoch { leader_epoch: 3 });
    let mut no_node = full;
    no_node.node_endpoints[0].node_id = -1;
    no_node.responses[0].partition_responses[2].current_leader = message!(produce_response::LeaderIdAndEpoch { leader_epoch: 3 });
    for half in [no_endpoint, no_epoch, no_leader, no_node] {
        let seen = read(10, half);
        assert_eq!((leader(&seen), seen.node_endpoints.len()), ((-1, -1), 0));
    }
}

/// The bytes of a failed partition behind its index, code and base offset, where a client once read past the end.
#[test]
fn t61_an_error_without_a_leader_carries_no_tagged_fields() {
    let failed = messages::produce_failed(0, ErrorCode::NotLeaderOrFollower, None);
    let topic = message!(produce_response::TopicProduceResponse { name: StrBytes::from("t"), partition_responses: vec![failed] });
    let frame = encode(Api::Produce, 10, message!(messages::ProduceResponse { responses: vec![topic] }).into());
    let (ff, code) = ([0xFF; 8], [0, 6]);
    let parts: [&[u8]; 12] = [&[1, 2, 3, 4, 0], &[2, 2, b't', 2], &[0; 4], &code, &ff, &ff, &ff, &[1], &[0], &[0], &[0], &[0, 0, 0, 0, 0]];
    assert_eq!(frame, parts.concat());
}

#[test]
fn a_group_s_coordinator_is_found_in_old_and_new_versions() {
    for version in 0..=6 {
        let frame = encode(Api::FindCoordinator, version, samples::response(Api::FindCoordinator));
        let (_, response) = client::decode_response::<messages::FindCoordinatorRequest>(version, frame).unwrap();
        let (code, text, node) = match response.coordinators.first() {
            Some(first) => (first.error_code, first.error_message.clone(), first.node_id),
            None => (response.error_code, response.error_message.clone(), response.node_id),
        };
        let shown = if version >= 1 { Some(StrBytes::from("groups are not served yet")) } else { text.clone() };
        assert_eq!((code, text, node), (15, shown, -1), "version {version}");
        assert_eq!(response.coordinators.len(), usize::from(version >= 4));
    }
}

#[test]
fn nothing_is_written_where_nothing_is_meant() {
    let topic = message!(messages::create_topics_response::CreatableTopicResult { name: StrBytes::from("t") });
    let response = message!(messages::CreateTopicsResponse { topics: vec![topic] });
    let frame = encode(Api::CreateTopics, 7, response.into());
    let (_, response) = client::decode_response::<messages::CreateTopicsRequest>(7, frame).unwrap();
    assert_eq!(response.topics[0].error_message, None);
}

#[test]
fn a_topic_that_has_no_name_has_an_empty_one_in_old_versions() {
    for version in 0..=13 {
        let frame = encode(Api::Metadata, version, samples::response(Api::Metadata));
        let (_, response) = client::decode_response::<messages::MetadataRequest>(version, frame).unwrap();
        assert_eq!(response.topics[1].name.as_deref(), if version < 12 { Some("") } else { None });
    }
}

#[test]
fn a_response_of_another_api_or_version_is_refused() {
    let other = encode_response(&header(Api::Metadata, 5), samples::response(Api::Produce));
    assert_eq!(other, Err(EncodeError::WrongApi { request: Api::Metadata, response: Api::Produce }));
    let unserved = encode_response(&header(Api::Produce, 2), samples::response(Api::Produce));
    assert_eq!(unserved, Err(EncodeError::UnsupportedVersion { api: Api::Produce, version: 2 }));
}

#[test]
fn a_client_speaks_the_highest_version_that_both_know() {
    let mut broker = api_versions::response();
    assert_eq!(client::choose_version(Api::Produce, &broker), Some(13));
    let produce = &mut broker.api_keys[0];
    (produce.min_version, produce.max_version) = (0, 9);
    assert_eq!(client::choose_version(Api::Produce, &broker), Some(9));
    broker.api_keys[0].max_version = 2;
    assert_eq!(client::choose_version(Api::Produce, &broker), None);
    broker.api_keys[0] = message!(messages::api_versions_response::ApiVersion { api_key: 0, min_version: 14, max_version: 20 });
    assert_eq!(client::choose_version(Api::Produce, &broker), None);
    broker.api_keys.clear();
    assert_eq!(client::choose_version(Api::Produce, &broker), None);
}

#[test]
fn an_answer_that_was_kept_differs_from_a_new_one_in_nothing() {
    for (api, version) in served() {
        let of = |id| encode_response(&RequestHeader { correlation_id: id, ..header(api, version) }, samples::response(api)).unwrap();
        let again = of(7).with_correlation_id(-2);
        assert_eq!((again.to_bytes(), again.len()), (of(-2).to_bytes(), of(-2).len()), "{api} {version}");
        assert!(again.chunks().iter().all(|chunk| !chunk.is_empty()), "{api} {version}");
    }
}
