//! A request's body to a [`Request`].
//!
//! Invariants: a version outside the table is refused before a byte is looked at; no allocation is larger than the
//! frame and its elements justify (see [`crate::shape`]); records, strings and blobs are slices of the frame, so a
//! request keeps its frame alive until it is dropped. Bytes left over behind a message are ignored, as Apache Kafka
//! ignores them.

use crate::{
    frame::{RequestHeader, limits},
    messages,
    shape::{self, MAX_ELEMENTS, Refused},
    table::{Api, with_apis},
};
use bytes::Bytes;
use floe_types::ErrorKind;
use kafka_wire_core::{ApiVersion, Decoder, KafkaDecode};

/// Why a body is not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// ApiVersions is answered even so ([`crate::api_versions::unsupported_version`]); any other API's connection closes.
    #[error("{api} version {version} is not served")]
    UnsupportedVersion { api: Api, version: i16 },
    #[error("{api} version {version} holds more than {MAX_ELEMENTS} array elements")]
    TooManyElements { api: Api, version: i16 },
    #[error("{api} version {version} is malformed: {reason}")]
    Malformed { api: Api, version: i16, reason: String },
}

impl DecodeError {
    /// Always the client's fault.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

macro_rules! define_requests {
    ($($name:ident = $key:literal, advertised $min:literal..=$max:literal, served $served:literal, flexible $flexible:literal,
        $request:ident => $response:ident, shape $shape:ident, $exception:literal;)*) => {
        /// A decoded request.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $($name(messages::$request),)*
        }

        impl Request {
            /// Which API it belongs to.
            #[must_use]
            pub const fn api(&self) -> Api {
                match self {
                    $(Request::$name(_) => Api::$name,)*
                }
            }
        }

        fn decode(api: Api, mut decoder: Decoder, version: ApiVersion) -> Result<Request, kafka_wire_core::DecodeError> {
            match api {
                $(Api::$name => messages::$request::decode(&mut decoder, version).map(Request::$name),)*
            }
        }
    };
}
with_apis!(define_requests);

/// Decodes the body that [`crate::frame::decode_header`] left.
///
/// # Errors
/// A version that is not served, too many elements, or malformed bytes. Only ApiVersions is answered then.
pub fn decode_request(header: &RequestHeader, body: Bytes) -> Result<Request, DecodeError> {
    let RequestHeader { api, version, .. } = *header;
    let row = api.row();
    if !row.serves(version) {
        return Err(DecodeError::UnsupportedVersion { api, version });
    }
    let malformed = |error: kafka_wire_core::DecodeError| DecodeError::Malformed { api, version, reason: error.to_string() };
    let mut limits = limits(body.len());
    limits.max_array_elements = MAX_ELEMENTS;
    let decoder = Decoder::new(body, limits).map_err(malformed)?;
    shape::count(row.shape, decoder.clone(), version, row.is_flexible(version), MAX_ELEMENTS).map_err(|refused| match refused {
        Refused::TooMany => DecodeError::TooManyElements { api, version },
        Refused::Wire(error) => malformed(error),
    })?;
    decode(api, decoder, ApiVersion::new(version)).map_err(malformed)
}
