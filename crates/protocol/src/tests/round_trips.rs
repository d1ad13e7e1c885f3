//! Requests: encoded by the client half, decoded by the broker half, equal.

use super::{counted, default_request, encode, receive, samples, served, split};
use crate::{Api, DecodeError, FrameError, decode_request, frame, table};
use kafka_wire::API_DESCRIPTORS;

#[test]
fn t42_every_served_version_of_every_api_is_decoded_to_what_was_sent() {
    for (api, version) in served() {
        let sent = samples::request(api, version);
        let frame = encode(&sent, version).unwrap_or_else(|error| panic!("{api} {version}: {error}"));
        let (header, body) = split(&frame);
        assert_eq!((header.api, header.version, header.correlation_id), (api, version, 7));
        assert_eq!(header.client_id.as_deref(), Some("tester"));
        assert_eq!(decode_request(&header, body), Ok(sent), "{api} {version}");
    }
}

#[test]
fn t42_requests_of_defaults_are_decoded_in_every_served_version() {
    for (api, version) in served() {
        // Field defaults may belong to another version than this one; an encoder that then refuses is no failure.
        let sent = default_request(api);
        let frame = encode(&sent, version).unwrap_or_else(|error| panic!("{api} {version}: {error}"));
        let (header, body) = split(&frame);
        assert_eq!(decode_request(&header, body).map(|request| request.api()), Ok(api), "{api} {version}");
    }
}

#[test]
fn t42_what_is_advertised_lies_in_what_the_codec_covers_and_no_version_beside_it_is_taken() {
    for row in table::ROWS {
        let codec = API_DESCRIPTORS.iter().find(|api| api.api_key.value() == row.key).expect("the codec has it");
        assert!(codec.supported_versions.min().value() <= row.served_min, "{}", row.name);
        assert!(codec.supported_versions.max().value() >= row.max, "{}", row.name);
        let flexible = codec.flexible_versions.map_or(i16::MAX, |range| range.min().value());
        assert_eq!(flexible, row.flexible_from, "{}", row.name);
        assert_eq!(codec.request.name, format!("{}Request", row.name));
        for version in [i16::MIN, -1, row.served_min - 1, row.max + 1, i16::MAX] {
            let header = frame::RequestHeader { api: row.api, version, correlation_id: 1, client_id: None };
            let refused = DecodeError::UnsupportedVersion { api: row.api, version };
            assert_eq!(decode_request(&header, bytes::Bytes::new()), Err(refused), "{} {version}", row.name);
        }
    }
}

#[test]
fn only_produce_advertises_versions_that_it_does_not_serve() {
    for row in table::ROWS {
        let expected = if row.api == Api::Produce { (0, 3) } else { (row.served_min, row.served_min) };
        assert_eq!((row.advertised_min, row.served_min), expected, "{}", row.name);
    }
}

#[test]
fn elements_are_counted_before_decoding_and_none_is_missed() {
    for (api, version) in served() {
        let sent = samples::request(api, version);
        let (_, body) = split(&encode(&sent, version).unwrap());
        let counted = counted(api, version, body).unwrap_or_else(|error| panic!("{api} {version}: {error:?}"));
        // Fetch partitions carry known tagged fields from version 17 on, which count as well.
        let tags = match (api, version) {
            (Api::Fetch, 17) => 4,
            (Api::Fetch, 18..) => 8,
            _ => 0,
        };
        assert_eq!(counted, samples::elements(&sent) + tags, "{api} {version}");
    }
}

#[test]
fn records_are_slices_of_their_frame() {
    let frame = encode(&samples::request(Api::Produce, 13), 13).unwrap().to_bytes();
    let (header, body) = frame::decode_header(frame.slice(4..)).unwrap();
    let Ok(crate::Request::Produce(request)) = decode_request(&header, body) else { panic!("not a produce request") };
    let records = request.topic_data[0].partition_data[0].records.clone().unwrap();
    assert!(frame.as_ptr_range().contains(&records.as_ptr()), "copied");
}

/// What `kafka-topics.sh` of Kafka 2.8 opens with.
#[test]
fn a_real_handshake_is_read() {
    let mut bytes = vec![0, 18, 0, 3, 0, 0, 0, 101, 0, 13];
    bytes.extend(b"adminclient-1\0\x12apache-kafka-java\x062.8.0\0");
    let (header, body) = frame::decode_header(bytes.into()).unwrap();
    assert_eq!((header.api, header.version, header.correlation_id), (Api::ApiVersions, 3, 101));
    let Ok(crate::Request::ApiVersions(request)) = decode_request(&header, body) else { panic!("not a handshake") };
    assert_eq!((&*request.client_software_name, &*request.client_software_version), ("apache-kafka-java", "2.8.0"));
}

#[test]
fn bytes_behind_a_message_and_unknown_tagged_fields_are_ignored() {
    let mut bytes = encode(&samples::request(Api::Metadata, 5), 5).unwrap().to_bytes()[4..].to_vec();
    bytes.extend([1, 2, 3]);
    assert_eq!(receive(bytes.into()), Ok(samples::request(Api::Metadata, 5)));

    // Header with tag 9, message with tag 5.
    let bytes = [0, 60, 0, 0, 0, 0, 0, 1, 255, 255, 1, 9, 1, 0, 1, 1, 5, 2, 7, 7];
    assert!(receive(bytes.to_vec().into()).is_ok());
}

#[test]
fn a_client_id_may_be_missing_empty_or_not_utf8() {
    let header = |id: &[u8]| {
        let bytes = [&[0, 3, 0, 1, 0, 0, 0, 5][..], id, &[255, 255, 255, 255]].concat();
        frame::decode_header(bytes.into()).map(|(header, body)| (header.client_id.map(|id| id.to_string()), body.len()))
    };
    assert_eq!(header(&[255, 255]), Ok((None, 4)));
    assert_eq!(header(&[0, 0]), Ok((Some(String::new()), 4)));
    assert_eq!(header(&[0, 2, b'a', 0xE9]), Ok((Some("a\u{FFFD}".into()), 4)));
    assert!(matches!(header(&[255, 254]), Err(FrameError::Header(_))));
    assert!(matches!(header(&[1, 0]), Err(FrameError::Header(_))));
}
