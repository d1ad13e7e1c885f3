//! The shaped store: stands for S3 where the real one is out of reach.
//!
//! Latency follows seeded lognormal distributions, bandwidth is that of one connection, errors come on demand, requests,
//! bytes and cost are counted. Two forms: [`Shaped`] wraps any backend within a process, [`ShapedServer`] speaks the S3
//! protocol over HTTP (as process: `shaped-store`). Unshaped, the server is the S3 server of the normal tests. It does
//! not check signatures, keeps no versions, and knows no multipart uploads.

mod latency;
mod listing;
mod protocol;
mod server;
mod stats;
mod wrapper;

pub use latency::{LogNormal, Shape, Shaper};
pub use server::{ServerOptions, ShapedServer};
pub use stats::{Stats, StatsSnapshot};
pub use wrapper::Shaped;
