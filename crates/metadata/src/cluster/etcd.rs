//! etcd, over its gRPC API (version 3.4 and newer).
//!
//! The few messages that are needed are written down here ([`messages`]) rather than generated from etcd's .proto files: they have been the same since 3.2, and
//! nothing has to be installed to build them. One HTTP/2 connection to each endpoint, with keep-alives, so that a server that stands still is noticed; a
//! stream that breaks is not mended here.

mod client;
mod messages;
mod watch;

#[cfg(feature = "testing")]
pub use client::compact;
pub use client::{EtcdBackend, EtcdOptions};
