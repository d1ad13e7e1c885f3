//! Searches the models and prints how far: `--full` the larger bounds, `--mutants` what breaks when a rule is left out. Exit code 1: a rule does not hold.
#![expect(clippy::print_stdout, reason = "a report on stdout is what it is for")]

use clap::Parser;
use floe_models::runs;
use std::process::ExitCode;

/// Exhaustive searches of Floe's models.
#[derive(Parser, Debug)]
struct Arguments {
    /// The larger bounds: 670 million states, 50 minutes beside other work, 4.1 GiB.
    #[arg(long)]
    full: bool,
    /// Break each rule in each quick world of its model and print the shortest way to what breaks.
    #[arg(long)]
    mutants: bool,
    /// Only searches whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// States after which a search is given up: up to 60 bytes each.
    #[arg(long, default_value_t = 150_000_000)]
    limit: usize,
}

#[expect(clippy::disallowed_methods, reason = "the time that a search took is for its reader; nothing depends on it")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runs = if arguments.mutants { runs::mutants() } else { runs::rules(arguments.full) };
    let mut holds = true;
    for run in runs.iter().filter(|run| run.name.contains(&arguments.only)) {
        let begun = std::time::Instant::now();
        let report = (run.search)(arguments.limit);
        let seconds = begun.elapsed().as_secs_f64();
        println!("{}\n  {} states, {} steps deep, {seconds:.1} s", run.name, report.states, report.depth);
        match &report.counterexample {
            Some(found) => println!("  {found}"),
            None if report.complete => println!("  holds in every state; not met: {:?}", report.unseen),
            None => println!("  given up at the limit"),
        }
        holds &= report.complete;
    }
    if holds || arguments.mutants { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
