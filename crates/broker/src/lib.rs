//! The Kafka side of a broker: connections, requests, answers.
//!
//! Read in this order: [`server`] (accepting), `connection.rs` (order, pipelining, budgets), `handlers.rs` (one file per
//! API), `errors.rs` (what clients are told when something goes wrong), [`config`] and [`topic_config`] (settings).
//!
//! Keeps: answers leave in the order of requests; batches go from the socket to the log and from the log to the socket as
//! the bytes they are; everything a client can make the broker hold is bounded and charged to a budget; one bad request,
//! connection or partition stays one. Is not: the log, which knows no requests, nor the wire format, which has no state.

mod broker;
mod budget;
pub mod config;
mod config_change;
mod connection;
mod errors;
mod features;
mod group_reads;
mod groups;
mod handlers;
mod live;
mod metrics;
mod nodes;
mod peer;
pub mod server;
#[cfg(test)]
mod testing;
pub mod topic_config;

pub use config::{BrokerConfig, ConfigError};
pub use group_reads::{GroupOffset, GroupReads};
pub use metrics::{BrokerMetrics, Traffic};
pub use peer::{Advertised, PLAINTEXT};
pub use server::{BindError, Server};
