//! The command line: one subcommand, one file.

use crate::serve;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "floe", version, about = "A Kafka-compatible broker that keeps its log in object storage", propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker
    Serve(serve::Arguments),
}
