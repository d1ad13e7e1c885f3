//! `floe completions`: a script for a shell, to be put where that shell looks for such.

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Such as bash: floe completions bash > /etc/bash_completion.d/floe
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    // As a whole: the generator itself does not take a reader that goes away.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "floe", &mut script);
    output::gone_is_fine(std::io::stdout().lock().write_all(&script))?;
    Ok(Exit::Ok)
}
