//! The client's side of the protocol: for `floe topic`, `floe produce`, `floe consume`, and for tests.
//!
//! Generic over the request: `encode_request(&request, ..)` writes a frame, `decode_response::<Request>(..)` reads the
//! answer to it. Opening connections and asking in a good order is the caller's.

use crate::{
    frame::{Frame, RequestHeader, SIZE_LEN, limits},
    messages::{ApiVersionsResponse, StrBytes},
    response::{EncodeError, finish, has_tagged_header, wire},
    table::Api,
};
use bytes::{Bytes, BytesMut};
use floe_types::ErrorKind;
use kafka_wire::{KafkaRequest, RequestResponsePair};
use kafka_wire_core::{ApiVersion, Decoder, Encoder, KafkaDecode};

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("response of {api} version {version} is malformed: {reason}")]
pub struct ResponseError {
    pub api: &'static str,
    pub version: i16,
    pub reason: String,
}

impl ResponseError {
    /// The other side's fault.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// A request of an API that is in the table. All generated requests are.
pub trait ClientRequest: RequestResponsePair {
    /// Its API.
    fn api() -> Api {
        Api::from_key(<Self as KafkaRequest>::API_KEY.value()).expect("only requests of served APIs implement this")
    }
}

macro_rules! define_client {
    ($($name:ident = $key:literal, advertised $min:literal..=$max:literal, served $served:literal, flexible $flexible:literal,
        $request:ident => $response:ident, shape $shape:ident, $exception:literal;)*) => {
        $(impl ClientRequest for crate::messages::$request {})*
    };
}
crate::table::with_apis!(define_client);

/// The highest version of `api` that both sides speak; `None` if there is none.
#[must_use]
pub fn choose_version(api: Api, broker: &ApiVersionsResponse) -> Option<i16> {
    let row = api.row();
    let theirs = broker.api_keys.iter().find(|range| range.api_key == row.key)?;
    let version = row.max.min(theirs.max_version);
    (version >= row.served_min && version >= theirs.min_version).then_some(version)
}

/// Writes a request as a frame, size prefix included. Records are copied.
///
/// # Errors
/// A version that is not served, or a field that it does not have.
pub fn encode_request<R: ClientRequest>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Frame, EncodeError> {
    let api = R::api();
    if !api.row().serves(version) {
        return Err(EncodeError::UnsupportedVersion { api, version });
    }
    let mut frame = BytesMut::with_capacity(128);
    frame.extend_from_slice(&[0; SIZE_LEN]);
    let mut out = Encoder::new(&mut frame);
    let header = RequestHeader { api, version, correlation_id, client_id: client_id.map(StrBytes::from) };
    put_header(&mut out, &header).map_err(wire(api, version))?;
    request.encode_into(&mut frame, ApiVersion::new(version)).map_err(wire(api, version))?;
    finish(frame)
}

fn put_header(out: &mut Encoder<kafka_wire_core::BufferTarget<'_>>, header: &RequestHeader) -> Result<(), kafka_wire_core::EncodeError> {
    out.write_i16(header.api.key())?;
    out.write_i16(header.version)?;
    out.write_i32(header.correlation_id)?;
    out.write_nullable_string(header.client_id.as_ref())?;
    if header.api.row().is_flexible(header.version) { out.write_raw_slice(&[0]) } else { Ok(()) }
}

/// Reads the answer to a request of type `R` sent at `version`: the frame without its size prefix. Gives back the
/// correlation id and the answer.
///
/// An ApiVersions answer with UNSUPPORTED_VERSION is in version 0 whatever was asked; it is read as such.
///
/// # Errors
/// Bytes that are not such an answer.
pub fn decode_response<R: ClientRequest>(version: i16, frame: Bytes) -> Result<(i32, R::Response), ResponseError> {
    let api = R::api();
    let first = read::<R>(version, frame.clone());
    match first {
        Err(_) if api == Api::ApiVersions && version > 0 => read::<R>(0, frame),
        other => other,
    }
    .map_err(|error| ResponseError { api: api.name(), version, reason: error.to_string() })
}

fn read<R: ClientRequest>(version: i16, frame: Bytes) -> Result<(i32, R::Response), kafka_wire_core::DecodeError> {
    let mut decoder = Decoder::new(frame.clone(), limits(frame.len()))?;
    let correlation_id = decoder.read_i32()?;
    if has_tagged_header(R::api(), version) {
        decoder.read_tagged_fields()?;
    }
    let response = <R::Response as KafkaDecode>::decode(&mut decoder, ApiVersion::new(version))?;
    decoder.finish()?;
    Ok((correlation_id, response))
}
