//! `cargo xtask docs`: writes the documents that come from code; with `--check` only compares.

use crate::{terraform, tree::root};
use anyhow::{Context, bail};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail if a document is not what the code says
    #[arg(long)]
    check: bool,
}

/// Path and text of every document that comes from code. docs/formats.md has a test of its own beside the formats.
fn documents() -> anyhow::Result<[(&'static str, String); 2]> {
    Ok([("docs/protocol.md", floe_protocol::table::markdown()), (terraform::README, terraform::readme()?)])
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    for (path, text) in documents()? {
        let place = root().join(path);
        let is = std::fs::read_to_string(&place).unwrap_or_default();
        if is == text {
            println!("docs: {path} is up to date");
        } else if arguments.check {
            bail!("{path} is not what the code says: run cargo xtask docs");
        } else {
            std::fs::write(&place, text).with_context(|| format!("cannot write {path}"))?;
            println!("docs: {path} written");
        }
    }
    Ok(())
}
