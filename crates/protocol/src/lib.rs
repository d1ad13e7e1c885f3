//! Kafka's wire protocol: bytes of a frame to a request, a response to bytes, and nothing in between.
//!
//! - [`table`]: THE table of served APIs and versions. ApiVersions, decoding and docs/protocol.md all come from it.
//! - [`frame`]: frame size, request header, and what a response frame is made of.
//! - [`request`]: a body to a [`Request`], bounded by its frame and by a budget of elements.
//! - [`response`]: a [`Response`] to a frame, fitted to the version the client spoke.
//! - [`fetch`]: the Fetch response, which puts stored batches beside its headers instead of copying them.
//! - [`api_versions`]: the handshake, which keeps rules of its own.
//! - [`error_code`]: Kafka's error codes by name.
//! - [`messages`]: Kafka's generated structs, and [`message!`](crate::message) to fill them.
//! - [`client`]: the other side, for the command line and for tests.
//!
//! Everything here is pure: no sockets, no clock, no state. `kafka-wire` does the encoding of single messages and is
//! named nowhere outside this crate. What it does not do is done here: a budget over all arrays of a request
//! ([`shape`]), response fields that an older version does not have ([`response`]), and the zero-copy Fetch response
//! ([`fetch`]).

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod api_versions;
pub mod client;
pub mod error_code;
pub mod fetch;
pub mod frame;
pub mod messages;
pub mod request;
pub mod response;
pub mod shape;
pub mod table;

pub use error_code::ErrorCode;
pub use frame::{Frame, FrameError, RequestHeader};
pub use request::{DecodeError, Request, decode_request};
pub use response::{EncodeError, Response, encode_response};
pub use table::Api;

#[cfg(test)]
mod tests;
