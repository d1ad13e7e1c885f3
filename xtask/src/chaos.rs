//! `cargo xtask chaos`: builds the broker and the program of tests/e2e that hurts a cluster of them, and runs it.

use crate::tree::root;
use anyhow::{Context, bail};
use std::process::Command;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// No new fault after so long; the last round is still healed and checked
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    minutes: f64,
    /// Decides which faults, on whom, and when; one of the clock, if not given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Build with optimisation
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for what in [&["-p", "floe"][..], &["-p", "floe-e2e", "--bin", "chaos"]] {
        let mut command = Command::new(&cargo);
        command.args(["build", "--quiet"]).args(what).args(arguments.release.then_some("--release")).current_dir(root());
        checked(&mut command)?;
    }
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs());
    let seed = arguments.seed.unwrap_or_else(clock).to_string();
    let program = root().join("target").join(if arguments.release { "release" } else { "debug" }).join("chaos");
    checked(Command::new(program).args(["--minutes", &arguments.minutes.to_string(), "--seed", &seed]))
}

fn checked(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?}: {status}") }
}
