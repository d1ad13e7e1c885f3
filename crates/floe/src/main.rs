//! `floe`: the broker and its tools in one binary. Read on in `serve.rs`, the life of a broker from flags to exit code.

#![expect(clippy::print_stdout, reason = "a command-line program talks on stdout; logs go to stderr")]

mod activator;
mod admin;
mod cli;
mod commands;
mod config;
mod exit;
mod kafka;
mod logging;
mod output;
mod serve;
mod store;

use clap::Parser;
use cli::{Cli, Command};
use commands::{
    bench, broker, check, cluster, completions, consume, dev, du, export, gc, group, iceberg, inspect, partition, produce, topic, verify,
};
use exit::{Exit, Failure};
use std::process::ExitCode;
use std::time::Duration;

/// Returns memory to the system soon and keeps few arenas: see `.cargo/config.toml` for its settings.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Time that file operations under way get when the process ends; they are not needed any more.
const LAST_MOMENT: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = run(cli.command).unwrap_or_else(|failure| {
        eprintln!("floe: {failure}");
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn run(command: Command) -> Result<Exit, Failure> {
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(128)
        .thread_name("floe")
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start: {error}")))?;
    let done = runtime.block_on(dispatch(command));
    runtime.shutdown_timeout(LAST_MOMENT);
    done
}

async fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(arguments) => Box::pin(serve::run(arguments)).await,
        Command::Activator(arguments) => Box::pin(activator::run(arguments)).await,
        Command::Topic(arguments) => Box::pin(topic::run(arguments)).await,
        Command::Produce(arguments) => Box::pin(produce::run(arguments)).await,
        Command::Group(arguments) => Box::pin(group::run(arguments)).await,
        Command::Consume(arguments) => Box::pin(consume::run(arguments)).await,
        Command::Bench(arguments) => Box::pin(bench::run(arguments)).await,
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Inspect(arguments) => Box::pin(inspect::run(arguments)).await,
        Command::Verify(arguments) => Box::pin(verify::run(arguments)).await,
        Command::Du(arguments) => Box::pin(du::run(arguments)).await,
        Command::Iceberg(arguments) => Box::pin(iceberg::run(arguments)).await,
        Command::Export(arguments) => Box::pin(export::run(arguments)).await,
        Command::Gc(arguments) => Box::pin(gc::run(arguments)).await,
        Command::Store(arguments) => Box::pin(check::run(arguments)).await,
        Command::Cluster(arguments) => Box::pin(cluster::run(arguments)).await,
        Command::Broker(arguments) => Box::pin(broker::run(arguments)).await,
        Command::Partition(arguments) => Box::pin(partition::run(arguments)).await,
        Command::Dev(arguments) => Box::pin(dev::run(arguments)).await,
    }
}
