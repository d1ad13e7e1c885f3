//! What the tests of whole processes share: a broker as a child process, load through librdkafka, a history checker, system-call
//! traces, an S3 server, and a few requests written byte by byte.
//!
//! Nothing here waits for a fixed time: each wait ends with what it waits for, or fails at a limit. The broker is `FLOE_TEST_BROKER`, or
//! what `cargo build -p floe` left beside the test; `FLOE_E2E_ROUNDS` sets how often the kill tests kill.

#![expect(clippy::print_stdout, reason = "tests say what they did, and what they skipped")]
#![expect(clippy::disallowed_methods, reason = "this is outside the broker: real processes, threads, files and sockets")]

pub mod broker;
pub mod etcd;
pub mod group;
pub mod history;
pub mod load;
pub mod net;
pub mod proxy;
pub mod seaweed;
pub mod trace;
pub mod volume;
pub mod wait;
pub mod wire;
