//! Runs any number of seeds of the simulation: `cargo run -p floe-testkit --bin simulate -- --seeds 10000 --first 1`.
//! Prints what was covered; exits with 1 and the seed at the first broken promise.

use clap::Parser;
use floe_testkit::simulation::{self, Coverage};

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
    let mut coverage = Coverage::default();
    for seed in arguments.first..arguments.first + arguments.seeds {
        let outcome = simulation::run(seed, arguments.operations);
        coverage.add(&outcome.coverage);
        if let Some(violation) = outcome.violation {
            println!("seed {seed}: {violation}");
            return std::process::ExitCode::FAILURE;
        }
    }
    println!("{} seeds: {coverage}", arguments.seeds);
    std::process::ExitCode::SUCCESS
}
