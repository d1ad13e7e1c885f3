//! Frames that lie: errors, and nothing allocated on their word (T41). How much is allocated is measured in
//! `tests/memory.rs`.

use super::{encode, receive, samples, served, split};
use crate::{
    Api, DecodeError, FrameError, Request, decode_request,
    frame::{self, RequestHeader, parse_size},
    shape::MAX_ELEMENTS,
};
use floe_types::ErrorKind;

#[test]
fn t41_sizes_that_are_negative_too_short_or_too_large_are_refused() {
    assert_eq!(parse_size([0, 0, 0, 10], 100), Ok(10));
    assert_eq!(parse_size([0, 0, 0, 100], 100), Ok(100));
    assert_eq!(parse_size([0, 0, 0, 101], 100), Err(FrameError::TooLarge { size: 101, limit: 100 }));
    assert_eq!(parse_size([0x7F, 255, 255, 255], 100), Err(FrameError::TooLarge { size: 0x7FFF_FFFF, limit: 100 }));
    assert_eq!(parse_size([255; 4], 100), Err(FrameError::Negative(-1)));
    assert_eq!(parse_size([0x80, 0, 0, 0], 100), Err(FrameError::Negative(i32::MIN)));
    assert_eq!(parse_size([0; 4], 100), Err(FrameError::TooShort(0)));
    assert_eq!(parse_size([0, 0, 0, 9], 100).map_err(|error| error.kind()), Err(ErrorKind::Invalid));
    // "GET " of a browser.
    assert!(matches!(parse_size(*b"GET ", 100 << 20), Err(FrameError::TooLarge { .. })));
}

#[test]
fn t41_a_frame_cut_anywhere_is_an_error() {
    for (api, version) in served() {
        let frame = encode(&samples::request(api, version), version).unwrap().to_bytes().slice(4..);
        for len in 0..frame.len() {
            assert!(receive(frame.slice(..len)).is_err(), "{api} {version} cut to {len} of {}", frame.len());
        }
    }
}

#[test]
fn unknown_keys_are_named_with_what_is_needed_for_the_log() {
    for key in [-1i16, 4, 7, 17, 71, 1000] {
        let frame = [&key.to_be_bytes()[..], &[0, 1, 0, 0, 0, 9, 255, 255]].concat();
        let refused = FrameError::UnknownApi { key, version: 1, correlation_id: 9 };
        assert_eq!(frame::decode_header(frame.into()), Err(refused));
    }
}

fn header(api: Api, version: i16) -> RequestHeader {
    RequestHeader { api, version, correlation_id: 1, client_id: None }
}

#[test]
fn t41_array_lengths_that_are_not_there_are_errors() {
    // transactional id null, acks, timeout, then a topic count.
    let produce = |count: [u8; 4]| [&[255, 255, 255, 255, 0, 0, 0, 0][..], &count].concat();
    for count in [[0x7F, 255, 255, 255], [0x80, 0, 0, 0], [255, 255, 255, 254], [0, 0, 0, 1], [0, 1, 0, 0]] {
        let refused = decode_request(&header(Api::Produce, 3), produce(count).into());
        assert!(refused.is_err(), "{count:?}: {refused:?}");
    }
    for count in [&[255, 255, 255, 255, 15][..], &[255, 255, 255, 255, 255], &[0x80, 0x80, 0x40], &[2]] {
        let body = [&[0, 255, 255, 0, 0, 0, 0][..], count].concat();
        let refused = decode_request(&header(Api::Produce, 9), body.into());
        assert!(refused.is_err(), "{count:?}: {refused:?}");
    }
}

#[test]
fn t41_records_longer_than_their_frame_and_negative_lengths_are_errors() {
    for length in [[0x7F, 255, 255, 255], [255, 255, 255, 254], [0, 0, 0, 1]] {
        // one topic "t", one partition, records of this length and no bytes
        let body = [&[255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0][..], &length].concat();
        assert!(matches!(decode_request(&header(Api::Produce, 3), body.into()), Err(DecodeError::Malformed { .. })));
    }
}

/// Arrays in arrays, each within its own limit and really there: together over the budget.
#[test]
fn t41_a_full_frame_of_tiny_elements_is_refused_before_it_is_decoded() {
    let half = MAX_ELEMENTS / 2;
    let resource = |keys: usize| [&[2, 2, b't'][..], &varint(keys + 1), &vec![1; keys], &[0]].concat();
    let body = |keys: [usize; 3]| [&[4][..], &resource(keys[0]), &resource(keys[1]), &resource(keys[2]), &[0, 0, 0]].concat();
    let decode = |body: Vec<u8>| decode_request(&header(Api::DescribeConfigs, 4), body.into());
    let fits = decode(body([half, half - 3, 0]));
    assert!(matches!(fits, Ok(Request::DescribeConfigs(_))), "{fits:?}");
    let refused = decode(body([half, half - 3, 1]));
    assert_eq!(refused, Err(DecodeError::TooManyElements { api: Api::DescribeConfigs, version: 4 }));
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

#[test]
fn t41_tagged_fields_are_counted_and_bounded() {
    // Metadata version 9: one topic "", with so many tagged fields of no bytes.
    let tags = |count: usize| {
        let fields: Vec<u8> = (0..count).flat_map(|tag| [varint(tag), vec![0]].concat()).collect();
        [&[2, 1][..], &varint(count), &fields, &[0, 0, 0, 0]].concat()
    };
    assert!(decode_request(&header(Api::Metadata, 9), tags(64).into()).is_ok());
    assert!(decode_request(&header(Api::Metadata, 9), tags(65).into()).is_err());
    assert!(matches!(decode_request(&header(Api::Metadata, 9), tags(MAX_ELEMENTS).into()), Err(DecodeError::TooManyElements { .. })));
    let lie = [&[2, 1][..], &[255, 255, 255, 255, 15], &[0; 16]].concat();
    assert!(matches!(decode_request(&header(Api::Metadata, 9), lie.into()), Err(DecodeError::Malformed { .. })));
}

#[test]
fn a_decoded_element_takes_less_than_200_bytes() {
    use crate::messages as m;
    let sizes = [
        size_of::<m::produce_request::TopicProduceData>(),
        size_of::<m::produce_request::PartitionProduceData>(),
        size_of::<m::fetch_request::FetchTopic>(),
        size_of::<m::fetch_request::FetchPartition>(),
        size_of::<m::fetch_request::ForgottenTopic>(),
        size_of::<m::list_offsets_request::ListOffsetsTopic>(),
        size_of::<m::metadata_request::MetadataRequestTopic>(),
        size_of::<m::create_topics_request::CreatableTopic>(),
        size_of::<m::create_topics_request::CreatableTopicConfig>(),
        size_of::<m::delete_records_request::DeleteRecordsTopic>(),
        size_of::<m::delete_topics_request::DeleteTopicState>(),
        size_of::<m::describe_configs_request::DescribeConfigsResource>(),
        size_of::<m::alter_configs_request::AlterConfigsResource>(),
        size_of::<m::incremental_alter_configs_request::AlterableConfig>(),
        size_of::<m::create_partitions_request::CreatePartitionsTopic>(),
        size_of::<m::describe_producers_request::TopicRequest>(),
        size_of::<kafka_wire_core::TaggedField>(),
    ];
    assert!(sizes.iter().all(|size| *size < 200), "{sizes:?}");
}

#[test]
fn names_that_are_not_utf8_are_malformed() {
    let body = [0, 0, 0, 1, 0, 2, 0xFF, 0xFE];
    let refused = decode_request(&header(Api::Metadata, 1), body.to_vec().into());
    assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "{refused:?}");
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Invalid));
}

#[test]
fn null_where_kafka_has_none_is_malformed() {
    // CreateTopics version 5 with null topics.
    assert!(decode_request(&header(Api::CreateTopics, 5), vec![0, 0, 0, 0, 0, 0, 0].into()).is_err());
    let (fine, body) = split(&encode(&samples::request(Api::CreateTopics, 5), 5).unwrap());
    assert!(decode_request(&fine, body).is_ok());
}
