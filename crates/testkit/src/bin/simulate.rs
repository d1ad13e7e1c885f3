//! Runs any number of seeds of the simulation: `cargo run -p floe-testkit --bin simulate -- --seeds 10000 --first 1`.
//! Prints what was covered; exits with 1 and the seed when a promise is broken. As many at once as there are cores.

use clap::Parser;
use floe_testkit::simulation::{self, Coverage};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Operations of each run.
    #[arg(long, default_value_t = simulation::OPERATIONS)]
    operations: u64,
}

#[expect(clippy::print_stdout, reason = "a report for people")]
fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let end = arguments.first.saturating_add(arguments.seeds);
    let (next, broken) = (AtomicU64::new(arguments.first), AtomicBool::new(false));
    // Each seed is a run of its own on one thread; which thread makes no difference.
    let work = || {
        let mut coverage = Coverage::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end || broken.load(Relaxed) {
                return coverage;
            }
            let outcome = simulation::run(seed, arguments.operations);
            coverage.add(&outcome.coverage);
            if let Some(violation) = outcome.violation {
                broken.store(true, Relaxed);
                println!("seed {seed}: {violation}");
            }
        }
    };
    let mut coverage = Coverage::default();
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            coverage.add(&thread.join().expect("a run does not panic"));
        }
    });
    if broken.into_inner() {
        return std::process::ExitCode::FAILURE;
    }
    println!("{} seeds: {coverage}", arguments.seeds);
    std::process::ExitCode::SUCCESS
}
