//! The handshake. ApiVersions keeps rules of its own, because it is spoken before either side knows the other.
//!
//! - A version that is not served is answered, in version 0, with UNSUPPORTED_VERSION and the ranges, so that the client
//!   can ask again ([`unsupported_version`]); [`crate::encode_response`] picks version 0 by itself.
//! - The response header never has tagged fields.
//! - From version 3 on the client names its software, by a pattern ([`is_software_name`]).
//! - Supported features with a minimum of 0 are left out below version 4, when the response is encoded.

use crate::{
    error_code::ErrorCode,
    message,
    messages::{ApiVersionsRequest, ApiVersionsResponse, api_versions_response::ApiVersion},
    table,
};

/// All ranges of [`table::ROWS`], no error, no features.
#[must_use]
pub fn response() -> ApiVersionsResponse {
    let api_keys = table::ROWS
        .iter()
        .map(|row| message!(ApiVersion { api_key: row.key, min_version: row.advertised_min, max_version: row.max }))
        .collect();
    message!(ApiVersionsResponse { api_keys })
}

/// The answer to a version that is not served: code 35, with the ranges.
#[must_use]
pub fn unsupported_version() -> ApiVersionsResponse {
    let mut response = response();
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response
}

/// The answer to software that is not named by the rules: code 42, nothing else.
#[must_use]
pub fn invalid_request() -> ApiVersionsResponse {
    message!(ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code() })
}

/// Whether the client names its software and version as Kafka asks; before version 3 it does not name them.
#[must_use]
pub fn is_valid(request: &ApiVersionsRequest, version: i16) -> bool {
    version < 3 || (is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version))
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (KIP-511).
#[must_use]
pub fn is_software_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::StrBytes;

    #[test]
    fn software_is_named_by_kafkas_pattern() {
        for name in ["apache-kafka-java", "librdkafka", "2.12.1", "a", "A.b-c.9", "a--b"] {
            assert!(is_software_name(name), "{name}");
        }
        for name in ["", "-a", "a-", ".", "a.", "a b", "a_b", "\u{e4}", "a\n", "a/b"] {
            assert!(!is_software_name(name), "{name:?}");
        }
    }

    #[test]
    fn software_is_not_asked_for_before_version_3() {
        let unnamed = ApiVersionsRequest::default();
        assert!((0..3).all(|version| is_valid(&unnamed, version)));
        assert!(!is_valid(&unnamed, 3));
        let name = || StrBytes::from("kcat");
        assert!(is_valid(&message!(ApiVersionsRequest { client_software_name: name(), client_software_version: name() }), 3));
        assert!(!is_valid(&message!(ApiVersionsRequest { client_software_name: name() }), 4));
        assert_eq!(invalid_request().error_code, 42);
    }

    #[test]
    fn the_ranges_are_those_of_kafka_4_1() {
        let ranges: Vec<_> = response().api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        let expected = [
            (0, 0, 13),
            (1, 4, 18),
            (2, 1, 10),
            (3, 0, 13),
            (8, 2, 9),
            (9, 1, 9),
            (10, 0, 6),
            (11, 0, 9),
            (12, 0, 4),
            (13, 0, 5),
            (14, 0, 5),
            (15, 0, 6),
            (16, 0, 5),
            (18, 0, 4),
            (19, 2, 7),
            (20, 1, 6),
            (21, 0, 2),
            (22, 0, 5),
            (23, 2, 4),
            (29, 1, 3),
            (30, 1, 3),
            (31, 1, 3),
            (32, 1, 4),
            (33, 0, 2),
            (35, 1, 4),
            (37, 0, 3),
            (38, 1, 3),
            (39, 1, 2),
            (40, 1, 2),
            (41, 1, 3),
            (42, 0, 2),
            (43, 0, 2),
            (44, 0, 1),
            (45, 0, 1),
            (46, 0, 0),
            (47, 0, 0),
            (48, 0, 1),
            (49, 0, 1),
            (50, 0, 0),
            (51, 0, 0),
            (55, 0, 2),
            (57, 0, 2),
            (60, 0, 2),
            (61, 0, 0),
            (74, 0, 1),
            (75, 0, 0),
        ];
        assert_eq!(ranges, expected);
    }
}
