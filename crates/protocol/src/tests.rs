//! Tests over the whole table: every API, every version.

mod fuzz;
mod hostile;
mod responses;
mod round_trips;
pub(crate) mod samples;

use crate::{Api, DecodeError, EncodeError, Frame, Request, client, decode_request, frame, shape, table::with_apis};
use bytes::Bytes;

/// Every API with each version it serves.
fn served() -> impl Iterator<Item = (Api, i16)> {
    crate::table::ROWS.iter().flat_map(|row| (row.served_min..=row.max).map(|version| (row.api, version)))
}

macro_rules! define_any {
    ($($name:ident = $key:literal, advertised $min:literal..=$max:literal, served $served:literal, flexible $flexible:literal,
        $request:ident => $response:ident, shape $shape:ident, $exception:literal;)*) => {
        /// Encodes whichever request it is.
        fn encode(request: &Request, version: i16) -> Result<Frame, EncodeError> {
            match request {
                $(Request::$name(request) => client::encode_request(request, version, 7, Some("tester")),)*
            }
        }

        /// The request of defaults alone.
        fn default_request(api: Api) -> Request {
            match api {
                $(Api::$name => Request::$name(Default::default()),)*
            }
        }

        /// Decodes a response as a client would, and encodes what was read; without its size and headers.
        fn reencode(api: Api, version: i16, frame: Bytes) -> Result<Bytes, client::ResponseError> {
            match api {
                $(Api::$name => {
                    let (_, response) = client::decode_response::<crate::messages::$request>(version, frame)?;
                    let version = kafka_wire_core::ApiVersion::new(version);
                    Ok(kafka_wire_core::KafkaEncode::encode_to_bytes(&response, version).expect("what was decoded can be encoded"))
                })*
            }
        }
    };
}
with_apis!(define_any);

/// A frame's header and body, without its size.
fn split(frame: &Frame) -> (frame::RequestHeader, Bytes) {
    frame::decode_header(frame.to_bytes().slice(4..)).expect("our own header")
}

/// What the broker makes of a frame without its size.
fn receive(frame: Bytes) -> Result<Request, String> {
    let (header, body) = frame::decode_header(frame).map_err(|error| error.to_string())?;
    decode_request(&header, body).map_err(|error: DecodeError| error.to_string())
}

/// Elements counted before decoding.
fn counted(api: Api, version: i16, body: Bytes) -> Result<usize, shape::Refused> {
    let limits = frame::limits(usize::MAX);
    let decoder = kafka_wire_core::Decoder::new(body, limits).expect("no limit");
    shape::count(api.row().shape, decoder, version, api.row().is_flexible(version), usize::MAX)
}
