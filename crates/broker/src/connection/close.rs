//! Why a connection ends. Each reason is logged once, counted by its label, and never hurts another connection.

use floe_protocol::{Api, DecodeError, EncodeError, FrameError};
use std::io;
use std::time::Duration;

/// The end of one connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Close {
    #[error("the client closed it")]
    ByClient,
    #[error("the client went away in the middle of a request")]
    InRequest,
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    #[error("a request of {size} bytes did not arrive within {within:?}")]
    SlowRequest { size: usize, within: Duration },
    #[error("an answer of {size} bytes was not taken within {within:?}")]
    SlowReader { size: usize, within: Duration },
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
    #[error("bad request: {0}")]
    Request(#[from] DecodeError),
    #[error("an answer to {api} could not be encoded: {source}")]
    Response { api: Api, source: EncodeError },
    #[error("a produce request with acks=0 failed, which only a closed connection can tell: {0}")]
    UnacknowledgedFailure(String),
    #[error("the broker is shutting down")]
    Shutdown,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Close {
    /// For metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::ByClient => "by_client",
            Self::InRequest => "in_request",
            Self::Idle(_) => "idle",
            Self::SlowRequest { .. } => "slow_request",
            Self::SlowReader { .. } => "slow_reader",
            Self::Frame(_) => "bad_frame",
            Self::Request(_) => "bad_request",
            Self::Response { .. } => "bad_response",
            Self::UnacknowledgedFailure(_) => "unacknowledged_failure",
            Self::Shutdown => "shutdown",
            Self::Io(_) => "io",
        }
    }

    /// Whether an operator should read of it: everything but ordinary partings.
    pub(crate) fn is_ordinary(&self) -> bool {
        match self {
            Self::ByClient | Self::Idle(_) | Self::Shutdown => true,
            Self::Io(e) => matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
            Self::InRequest
            | Self::SlowRequest { .. }
            | Self::SlowReader { .. }
            | Self::Frame(_)
            | Self::Request(_)
            | Self::Response { .. }
            | Self::UnacknowledgedFailure(_) => false,
        }
    }
}

/// Time that so many bytes may take: a base, and a second for each MiB. A client has to be slower than that to be cut
/// off, and cannot hold a budget for longer.
pub(crate) fn time_for(base: Duration, bytes: usize) -> Duration {
    base + Duration::from_secs(bytes as u64 >> 20)
}
