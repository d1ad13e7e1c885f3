//! Measures Floe beside the machine's own limits and, where Java is, Apache Kafka: in turn, in the same run, with the same client.
//!
//! `cargo xtask bench` builds what is needed and calls this program; `docs/benchmarks.md` is what it writes.

#![expect(clippy::print_stdout, reason = "a program with a report")]
#![expect(clippy::disallowed_methods, reason = "it measures real clocks, disks and processes, outside of every simulation")]

mod candidate;
mod cluster;
mod gap;
mod http;
mod load;
mod pair;
mod process;
mod raw;
mod replay;
mod report;
mod requests;
mod rows;
mod samples;
mod values;
mod wire;

use anyhow::{Context, bail};
use candidate::Programs;
use clap::Parser;
use rows::Bench;
use samples::Samples;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's binary
    #[arg(long)]
    floe: PathBuf,
    /// The shaped store's binary
    #[arg(long)]
    shaped_store: PathBuf,
    /// Folder with the jars of Apache Kafka; without it Kafka is left out
    #[arg(long)]
    kafka: Option<PathBuf>,
    /// SeaweedFS' `weed`; without it E3 stays open
    #[arg(long)]
    seaweed: Option<PathBuf>,
    /// Where data directories are made: the disk under measurement
    #[arg(long)]
    folder: PathBuf,
    /// The report to write
    #[arg(long)]
    report: PathBuf,
    /// Prose that the report ends with
    #[arg(long)]
    notes: PathBuf,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Less data: for trying things out
    #[arg(long)]
    quick: bool,
    /// Measure only these; the others keep what an earlier run measured
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Measure nothing, write the report anew
    #[arg(long)]
    report_only: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(unknown) = arguments.rows.iter().find(|row| !report::rows().any(|known| known == row.as_str())) {
        bail!("{unknown} is not one of {}", report::rows().collect::<Vec<_>>().join(", "));
    }
    let rows =
        if arguments.rows.is_empty() { report::rows().map(str::to_owned).collect() } else { arguments.rows.iter().cloned().collect() };
    std::fs::create_dir_all(&arguments.folder)?;
    let file = arguments.folder.join(if arguments.quick { "samples-quick.json" } else { "samples.json" });
    let programs =
        Programs { floe: arguments.floe, kafka: arguments.kafka, shaped_store: arguments.shaped_store, seaweed: arguments.seaweed };
    let samples = Samples::load(&file)?;
    let mut bench = Bench { programs, folder: arguments.folder, quick: arguments.quick, rows, samples };
    let mut failed = Vec::new();
    if !arguments.report_only {
        let circumstances = format!("{}, {} rounds{}", circumstances()?, arguments.rounds, if arguments.quick { ", quick" } else { "" });
        for row in bench.rows.clone() {
            bench.samples.begin(&row, &circumstances);
        }
        for round in 1..=arguments.rounds {
            println!("round {round} of {}, {}", arguments.rounds, self::circumstances()?);
            failed.extend(measure(&mut bench));
            bench.samples.save(&file)?;
        }
    }
    let notes = std::fs::read_to_string(&arguments.notes).with_context(|| arguments.notes.display().to_string())?;
    std::fs::write(&arguments.report, report::markdown(&bench.samples, &notes)?).context("cannot write the report")?;
    println!("{} written", arguments.report.display());
    if failed.is_empty() { Ok(()) } else { bail!("not measured: {}", failed.join("; ")) }
}

/// One way to measure rows, and the rows that it measures.
type Step = (&'static [&'static str], fn(&mut Bench) -> anyhow::Result<()>);

const STEPS: &[Step] = &[
    (&["E1", "E2", "E4", "E12"], rows::produce::round),
    (&["E3"], rows::s3::round),
    (&["E5"], rows::latency::round),
    (&["E6", "E7"], rows::shaped::round),
    (&["E8"], rows::start::empty),
    (&["E9"], rows::start::history),
    (&["E10"], rows::start::replay),
    (&["E11"], rows::idle::memory),
    (&["E13"], rows::idle::requests),
    (&["S1"], rows::groups::rebalance),
    (&["S2"], rows::surface::commits),
    (&["S3"], rows::groups::many_members),
    (&["S4", "S5"], rows::surface::topics),
    (&["S6"], rows::surface::small_requests),
    (&["S7"], rows::offsets::loading),
    (&["S8"], rows::crowd::crowd),
    (&["H1", "H2", "H6"], rows::history::speed),
    (&["H3"], rows::history::directory),
    (&["H4", "H7"], rows::history::beside),
    (&["H5"], rows::cold::lookups),
    (&["H8"], rows::many::partitions),
    (&["H9"], rows::compaction::compaction),
    (&["Z1", "Z6"], rows::zero::on_a_server),
    (&["Z2"], rows::zero::on_the_shaped_store),
    (&["C1", "C2", "C3", "C4"], rows::gaps::gaps),
    (&["C7", "C8", "C11"], rows::three::produce),
    (&["C9", "C10"], rows::three::latency),
    (&["C5"], rows::failover::many_partitions),
    (&["C6"], rows::opening::opening),
    (&["C15"], rows::failover::metadata),
    (&["C12", "C13", "C14"], rows::modes::modes),
];

/// One round of every row that is wanted. A row that fails does not keep the others from being measured.
fn measure(bench: &mut Bench) -> Vec<String> {
    let mut failed = Vec::new();
    for (rows, step) in STEPS {
        if bench.wants(rows)
            && let Err(error) = step(bench)
        {
            println!("  {} FAILED: {error:#}", rows.join(", "));
            failed.push(format!("{}: {error:#}", rows.join(", ")));
        }
    }
    failed
}

fn circumstances() -> anyhow::Result<String> {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"]).output()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(format!("{} UTC, load {}", String::from_utf8(date.stdout)?.trim(), load.split(' ').next().unwrap_or("?")))
}
