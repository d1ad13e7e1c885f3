//! The shaped store as a process: an S3 server with a cloud's latency, for benchmarks and tests with processes.
#![expect(clippy::print_stdout, reason = "the line that says where it listens is its interface")]

use anyhow::Context;
use clap::Parser;
use floe_env::Env;
use floe_objstore::{Backend, FileBackend, MemoryBackend};
use floe_testkit::shaped::{ServerOptions, Shape, ShapedServer};
use std::{path::PathBuf, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// Serves S3 (path style, any credentials) with GET p50 30 ms p99 120 ms, PUT p50 60 ms p99 300 ms, 80 MB/s per connection.
/// GET /_stats counts, POST /_control makes errors.
#[derive(Debug, Parser)]
struct Arguments {
    /// host:port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Keep the objects in this directory instead of in memory
    #[arg(long)]
    data: Option<PathBuf>,
    /// The latencies follow from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Answer as fast as possible
    #[arg(long)]
    unshaped: bool,
    /// A bucket that exists (may be repeated); none given: any does
    #[arg(long)]
    bucket: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = Env::real();
    let backend: Arc<dyn Backend> = match &arguments.data {
        None => Arc::new(MemoryBackend::new()),
        Some(path) => Arc::new(FileBackend::open(&env, path, true).await.with_context(|| path.display().to_string())?),
    };
    let shape = if arguments.unshaped { Shape::none() } else { Shape::s3() };
    let options = ServerOptions { listen: arguments.listen, shape, seed: arguments.seed, buckets: arguments.bucket };
    let server = ShapedServer::start(&env, backend, options).await?;
    println!("{}", server.url());
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        ended = server.wait() => ended?,
        _ = terminated.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
