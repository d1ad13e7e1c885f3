//! The state machine, asked as a broker asks it: a log in memory whose commits come late or not at all, clocks that the test
//! moves, and restarts that read the log back.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod expiry;
mod histories;
mod joins;
mod loading;
mod offsets;
mod statics;
mod support;
