//! A [`Response`] to a [`Frame`], in the version the request was asked in.
//!
//! Handlers fill a response once, with all they know; what the version asked for cannot carry is dropped here
//! (`fit`), because the encoder underneath refuses a field that a version does not have. Fields are dropped only
//! where Kafka's own schema calls that harmless, or where an older field says the same.

mod admin;
mod groups;

use crate::{
    fetch,
    frame::{Frame, RequestHeader, SIZE_LEN},
    messages::{self, StrBytes, produce_response},
    table::{Api, with_apis},
};
use bytes::BytesMut;
use floe_types::ErrorKind;
use kafka_wire_core::{ApiVersion, KafkaEncode};

/// Why a response cannot be encoded: a fault of the broker, never of the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("a {response} response was given for a {request} request")]
    WrongApi { request: Api, response: Api },
    #[error("{api} version {version} is not served")]
    UnsupportedVersion { api: Api, version: i16 },
    #[error("{api} version {version} cannot be encoded: {reason}")]
    Wire { api: Api, version: i16, reason: String },
    #[error("a frame of {0} bytes is over what its size can say")]
    TooLarge(usize),
}

impl EncodeError {
    /// Always ours.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Bug
    }
}

/// Turns a wire error into ours.
pub(crate) fn wire(api: Api, version: i16) -> impl Fn(kafka_wire_core::EncodeError) -> EncodeError {
    move |error| EncodeError::Wire { api, version, reason: error.to_string() }
}

/// What a response body does before it is encoded. An API without an implementation does not compile.
trait Body {
    /// Drops what `version` cannot carry.
    fn fit(&mut self, version: i16);
}

macro_rules! define_responses {
    ($($name:ident = $key:literal, advertised $min:literal..=$max:literal, served $served:literal, flexible $flexible:literal,
        $request:ident => $response:ident, shape $shape:ident, $exception:literal;)*) => {
        /// A response of the broker. All generated structs but Fetch, which is [`fetch::FetchResponse`].
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response {
            $($name(define_responses!(@type $response)),)*
        }

        impl Response {
            /// Which API it belongs to.
            #[must_use]
            pub const fn api(&self) -> Api {
                match self {
                    $(Response::$name(_) => Api::$name,)*
                }
            }

            fn fit(&mut self, version: i16) {
                match self {
                    $(Response::$name(body) => body.fit(version),)*
                }
            }

            fn encode(&self, head: BytesMut, version: i16) -> Result<Frame, EncodeError> {
                match self {
                    $(Response::$name(body) => define_responses!(@encode $name, $response, body, head, version),)*
                }
            }
        }

        $(
            impl From<define_responses!(@type $response)> for Response {
                fn from(body: define_responses!(@type $response)) -> Response {
                    Response::$name(body)
                }
            }
        )*
    };
    (@type FetchResponse) => { fetch::FetchResponse };
    (@type $response:ident) => { messages::$response };
    (@encode $name:ident, FetchResponse, $body:ident, $head:ident, $version:ident) => { $body.encode($head, $version) };
    (@encode $name:ident, $response:ident, $body:ident, $head:ident, $version:ident) => {{
        let mut head = $head;
        $body.encode_into(&mut head, ApiVersion::new($version)).map_err(wire(Api::$name, $version))?;
        finish(head)
    }};
}
with_apis!(define_responses);

/// Encodes the answer to the request of `header`. An ApiVersions request of a version that is not served is answered
/// in version 0.
///
/// # Errors
/// A response of another API, or one that cannot be encoded: faults of the caller.
pub fn encode_response(header: &RequestHeader, mut response: Response) -> Result<Frame, EncodeError> {
    let api = header.api;
    if response.api() != api {
        return Err(EncodeError::WrongApi { request: api, response: response.api() });
    }
    let row = api.row();
    let version = match api {
        Api::ApiVersions if !row.serves(header.version) => 0,
        _ if !row.serves(header.version) => return Err(EncodeError::UnsupportedVersion { api, version: header.version }),
        _ => header.version,
    };
    response.fit(version);
    let mut head = BytesMut::with_capacity(128);
    head.extend_from_slice(&[0; SIZE_LEN]);
    head.extend_from_slice(&header.correlation_id.to_be_bytes());
    if has_tagged_header(api, version) {
        head.extend_from_slice(&[0]);
    }
    response.encode(head, version)
}

/// Whether a response's header ends with tagged fields. ApiVersions never has them, so that a client can read the
/// answer to a version the broker does not know (KIP-511).
pub(crate) fn has_tagged_header(api: Api, version: i16) -> bool {
    api != Api::ApiVersions && api.row().is_flexible(version)
}

/// Writes the size into the space left for it.
pub(crate) fn finish(mut head: BytesMut) -> Result<Frame, EncodeError> {
    let len = head.len();
    put_size(&mut head, len.saturating_sub(SIZE_LEN))?;
    Ok(Frame::new(vec![head.freeze()]))
}

/// Writes `size` into the first four bytes.
pub(crate) fn put_size(head: &mut BytesMut, size: usize) -> Result<(), EncodeError> {
    let prefix = i32::try_from(size).map_err(|_| EncodeError::TooLarge(size))?;
    head.get_mut(..SIZE_LEN).expect("space was left for the size").copy_from_slice(&prefix.to_be_bytes());
    Ok(())
}

/// The generated default of a nullable text is an empty one, which clients would show; none is meant.
fn none_if_empty(text: &mut Option<StrBytes>) {
    if text.as_ref().is_some_and(|text| text.is_empty()) {
        *text = None;
    }
}

impl Body for messages::ApiVersionsResponse {
    fn fit(&mut self, version: i16) {
        // A client below version 4 takes a minimum of 0 for malformed and drops the connection (KAFKA-17492).
        if version < 4 {
            self.supported_features.retain(|feature| feature.min_version != 0);
        }
    }
}

impl Body for messages::ProduceResponse {
    /// A current leader goes out whole and with its endpoint, or not at all (T61).
    fn fit(&mut self, version: i16) {
        if version < 10 {
            self.node_endpoints.clear();
        }
        for partition in self.responses.iter_mut().flat_map(|topic| &mut topic.partition_responses) {
            let leader = &partition.current_leader;
            let known = self.node_endpoints.iter().any(|node| node.node_id == leader.leader_id);
            if !known || leader.leader_id < 0 || leader.leader_epoch < 0 {
                partition.current_leader = produce_response::LeaderIdAndEpoch::default();
            }
            none_if_empty(&mut partition.error_message);
        }
        let partitions = || self.responses.iter().flat_map(|topic| &topic.partition_responses);
        let named = |id: i32| id >= 0 && partitions().any(|partition| partition.current_leader.leader_id == id);
        self.node_endpoints.retain(|node| named(node.node_id));
    }
}

/// Fitted while it is written: it is too large to be walked twice.
impl Body for fetch::FetchResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::ListOffsetsResponse {
    fn fit(&mut self, version: i16) {
        if version < 4 {
            for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.leader_epoch = -1;
            }
        }
    }
}

impl Body for messages::MetadataResponse {
    fn fit(&mut self, version: i16) {
        if !(8..=10).contains(&version) {
            self.cluster_authorized_operations = i32::MIN;
        }
        for topic in &mut self.topics {
            if version < 8 {
                topic.topic_authorized_operations = i32::MIN;
            }
            if version < 12 {
                topic.name.get_or_insert_default();
            }
        }
    }
}

impl Body for messages::FindCoordinatorResponse {
    /// Handlers fill `coordinators`; before version 4 there was one, in the message itself.
    fn fit(&mut self, version: i16) {
        if version < 4 {
            if let Some(only) = std::mem::take(&mut self.coordinators).into_iter().next() {
                self.error_code = only.error_code;
                self.error_message = only.error_message;
                self.node_id = only.node_id;
                self.host = only.host;
                self.port = only.port;
            }
        } else {
            self.error_code = 0;
            self.node_id = 0;
            self.host = StrBytes::default();
            self.port = 0;
        }
        none_if_empty(&mut self.error_message);
        self.coordinators.iter_mut().for_each(|coordinator| none_if_empty(&mut coordinator.error_message));
    }
}

impl Body for messages::CreateTopicsResponse {
    fn fit(&mut self, _version: i16) {
        self.topics.iter_mut().for_each(|topic| none_if_empty(&mut topic.error_message));
    }
}

impl Body for messages::DeleteTopicsResponse {
    fn fit(&mut self, version: i16) {
        for topic in &mut self.responses {
            if version < 6 {
                topic.name.get_or_insert_default();
            }
            none_if_empty(&mut topic.error_message);
        }
    }
}

impl Body for messages::DeleteRecordsResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::InitProducerIdResponse {
    /// The ongoing transaction belongs to version 6, which Kafka has not released.
    fn fit(&mut self, _version: i16) {
        self.ongoing_txn_producer_id = -1;
        self.ongoing_txn_producer_epoch = -1;
    }
}

impl Body for messages::OffsetForLeaderEpochResponse {
    fn fit(&mut self, _version: i16) {}
}

impl Body for messages::DescribeConfigsResponse {
    fn fit(&mut self, _version: i16) {
        for result in &mut self.results {
            none_if_empty(&mut result.error_message);
            result.configs.iter_mut().for_each(|config| none_if_empty(&mut config.documentation));
        }
    }
}

impl Body for messages::DescribeClusterResponse {
    fn fit(&mut self, version: i16) {
        if version < 1 {
            self.endpoint_type = 1;
        }
        if version < 2 {
            self.brokers.iter_mut().for_each(|broker| broker.is_fenced = false);
        }
        none_if_empty(&mut self.error_message);
    }
}
