//! The project's own tooling: `cargo xtask <command>`. One file per command; a command returns an error to fail.

#![expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]
#![expect(clippy::disallowed_methods, reason = "tooling runs outside of every simulation")]

mod bench;
mod chaos;
mod docs;
mod terraform;
mod test;
mod tidy;
mod traps;
mod tree;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Floe's own tooling")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure Floe beside the machine's limits and Apache Kafka, and write docs/benchmarks.md
    Bench(bench::Arguments),
    /// Hurt a cluster of brokers at random, and check what clients saw
    Chaos(chaos::Arguments),
    /// Write the documents that come from code
    Docs(docs::Arguments),
    /// Install what tests need, and run all checks and tests
    Test(test::Arguments),
    /// Check what the compiler does not: lengths, words, layers, docs, links
    Tidy(tidy::Arguments),
    /// Print which known trap is covered by which tests
    Traps(traps::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Tidy(arguments) => tidy::run(&arguments),
        Command::Traps(arguments) => traps::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", chain.join(": "));
            ExitCode::FAILURE
        }
    }
}
