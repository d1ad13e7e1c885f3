//! Whole brokers as processes: killed, paused, moved, traced; seen through real clients.

#![expect(clippy::disallowed_methods, reason = "tests of processes: real clocks, threads and files")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests too may panic, and say what they did")]

mod cluster;
mod cluster_faults;
mod connections;
mod ends;
mod full_disk;
mod groups;
mod kill;
mod network;
mod store_gone;
mod system_calls;
mod tour;
mod zero;

use floe_e2e::history::History;
use parking_lot::{Mutex, MutexGuard};

/// One test at a time: each has several processes, and its clients' time limits are real.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

fn assert_clean(history: &History) {
    let findings = history.check();
    let shown: Vec<_> = findings.iter().take(10).collect();
    assert!(findings.is_empty(), "{} findings, the first: {shown:#?}", findings.len());
}
