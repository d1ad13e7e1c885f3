//! Frames: their size, the header of a request, and the pieces a response is written from.
//!
//! Reading a frame from a socket is the broker's job, in this order: four bytes, [`parse_size`]; that many bytes;
//! [`decode_header`]; then [`crate::decode_request`]. Nothing is allocated from a length before the length was checked
//! (T41).

use crate::table::Api;
use bytes::{Buf, Bytes, BytesMut};
use floe_types::ErrorKind;
use kafka_wire_core::{DecodeLimits, Decoder, StrBytes};

/// Bytes of the size before each frame.
pub const SIZE_LEN: usize = 4;

/// A response begins with its size and the id of the request it answers.
const ADDRESS_LEN: usize = SIZE_LEN + 4;

/// The shortest request: key, version, correlation id, and the length of a client id.
pub const MIN_REQUEST_LEN: usize = 10;

/// Why a frame, or its header, cannot be read. The connection cannot go on after any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame size {0} is negative")]
    Negative(i32),
    #[error("frame of {0} bytes is too short for a request header")]
    TooShort(usize),
    #[error("frame of {size} bytes is over the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("API key {key} is not served (version {version}, correlation id {correlation_id})")]
    UnknownApi { key: i16, version: i16, correlation_id: i32 },
    #[error("request header is malformed: {0}")]
    Header(String),
}

impl FrameError {
    /// Always the client's fault.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Reads the size before a frame: how many bytes follow.
///
/// # Errors
/// A size that is negative, too short for a request header, or over `limit`.
pub fn parse_size(prefix: [u8; SIZE_LEN], limit: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(prefix);
    let size = usize::try_from(size).map_err(|_| FrameError::Negative(size))?;
    if size > limit {
        return Err(FrameError::TooLarge { size, limit });
    }
    if size < MIN_REQUEST_LEN {
        return Err(FrameError::TooShort(size));
    }
    Ok(size)
}

/// What every request begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api: Api,
    /// As sent: may be a version that is not served.
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
}

/// Splits a frame into its header and its body. Tagged fields of the header are skipped.
///
/// The version may be one that is not served: [`crate::decode_request`] says so, because ApiVersions answers even then.
///
/// # Errors
/// [`FrameError::UnknownApi`] for a key that is not in the table, otherwise what is wrong with the bytes.
pub fn decode_header(mut frame: Bytes) -> Result<(RequestHeader, Bytes), FrameError> {
    if frame.len() < MIN_REQUEST_LEN {
        return Err(FrameError::TooShort(frame.len()));
    }
    let (key, version, correlation_id) = (frame.get_i16(), frame.get_i16(), frame.get_i32());
    let Some(api) = Api::from_key(key) else {
        return Err(FrameError::UnknownApi { key, version, correlation_id });
    };
    let mut decoder = Decoder::new(frame, limits(0)).map_err(malformed)?;
    // The client id keeps its two-byte length in the flexible header too (KIP-511).
    let client_id = match decoder.read_i16().map_err(malformed)? {
        -1 => None,
        len => {
            let len = usize::try_from(len).map_err(|_| FrameError::Header(format!("client id of length {len}")))?;
            Some(text(decoder.take_bytes(len).map_err(malformed)?))
        }
    };
    if api.row().is_flexible(version) {
        decoder.read_tagged_fields().map_err(malformed)?;
    }
    let rest = decoder.remaining();
    let body = decoder.take_bytes(rest).map_err(malformed)?;
    Ok((RequestHeader { api, version, correlation_id, client_id }, body))
}

fn malformed(error: kafka_wire_core::DecodeError) -> FrameError {
    FrameError::Header(error.to_string())
}

/// A client id that is not UTF-8 is shown as well as it can be, as Apache Kafka does: it is only a label.
fn text(bytes: Bytes) -> StrBytes {
    StrBytes::try_from(bytes.clone()).unwrap_or_else(|_| StrBytes::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Limits for decoding: no field is larger than its frame, and the frame was bounded before it was read.
pub(crate) fn limits(max_string: usize) -> DecodeLimits {
    let mut limits = DecodeLimits::default();
    limits.max_frame_bytes = usize::MAX;
    limits.max_bytes_bytes = usize::MAX;
    limits.max_string_bytes = max_string;
    limits.max_tagged_fields = crate::shape::MAX_TAGGED_FIELDS;
    limits
}

/// A response (or, for a client, a request) ready for the socket: its size prefix included, in pieces so that stored
/// batches are written from where they lie. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Frame {
    pub(crate) fn new(chunks: Vec<Bytes>) -> Frame {
        let len = chunks.iter().fold(0, |sum: usize, chunk| sum.saturating_add(chunk.len()));
        Frame { chunks, len }
    }

    /// Bytes on the wire, with the size prefix.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a frame has at least its size prefix")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The pieces, in order; none is empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The pieces, in order; none is empty.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// The same answer to another request of the same API and version: the body is shared, not copied.
    #[must_use]
    pub fn with_correlation_id(&self, correlation_id: i32) -> Frame {
        let mut head = BytesMut::with_capacity(ADDRESS_LEN);
        let mut chunks = vec![Bytes::new()];
        for chunk in &self.chunks {
            let mut rest = chunk.clone();
            head.extend_from_slice(&rest.split_to(rest.len().min(ADDRESS_LEN.saturating_sub(head.len()))));
            chunks.extend((!rest.is_empty()).then_some(rest));
        }
        if let Some(id) = head.get_mut(SIZE_LEN..) {
            id.copy_from_slice(&correlation_id.to_be_bytes());
        }
        if let Some(first) = chunks.first_mut() {
            *first = head.freeze();
        }
        Frame { chunks, len: self.len }
    }

    /// One contiguous copy: for tests and small frames.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.chunks.concat())
    }
}
