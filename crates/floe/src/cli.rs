//! The command line: one subcommand, one file.

use crate::commands::{
    bench, broker, check, cluster, completions, consume, dev, du, export, gc, group, iceberg, inspect, partition, produce, topic, verify,
};
use crate::{activator, serve};
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
    #[command(args_override_self = true)]
    Serve(serve::Arguments),
    /// Hold the addresses that clients know while there are no brokers, and wake them when somebody connects
    Activator(activator::Arguments),
    /// Create, list, describe and delete topics
    Topic(topic::Arguments),
    /// List, describe, reset and delete consumer groups
    Group(group::Arguments),
    /// Send lines as records
    Produce(produce::Arguments),
    /// Print the records of a topic
    Consume(consume::Arguments),
    /// Load a broker with producers and consumers, and measure it
    Bench(bench::Arguments),
    /// Print what a shell needs to complete this program's commands
    Completions(completions::Arguments),
    /// Show any persisted object or WAL file, every field explained
    Inspect(inspect::Arguments),
    /// Check every object of a store, and that they agree with each other
    Verify(verify::Arguments),
    /// Show what each topic takes in a store, and what that costs
    Du(du::Arguments),
    /// Write a topic as Parquet files, with no broker needed
    Export(export::Arguments),
    /// Give an export's files to an Iceberg table
    Iceberg(iceberg::Arguments),
    /// Show what the broker is going to delete from a store
    Gc(gc::Arguments),
    /// Look at object stores
    Store(check::Arguments),
    /// Show a cluster of brokers
    Cluster(cluster::Arguments),
    /// List, describe and drain the brokers of a cluster
    Broker(broker::Arguments),
    /// Move partitions of a cluster between brokers
    Partition(partition::Arguments),
    /// Run a cluster on this machine, for a try
    Dev(dev::Arguments),
}
