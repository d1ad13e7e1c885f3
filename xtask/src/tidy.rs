//! `cargo xtask tidy`: style that a machine can check and the compiler does not.
//!
//! Each checker is a function from the project's files to findings. A problem fails the command, a warning is only shown.
//! Lengths of functions, numbers of parameters and forbidden calls are clippy's (`clippy.toml`).

mod binaries;
mod determinism;
mod docs;
mod layers;
mod lengths;
mod links;
mod words;

use crate::{traps, tree::Tree};
use anyhow::bail;
use std::fmt;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Do not print warnings
    #[arg(long)]
    quiet: bool,
}

/// A place and what is wrong there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// From 1; `None` where it is about the whole file.
    line: Option<usize>,
    message: String,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Report {
    pub(crate) fn problem(&mut self, path: &str, line: impl Into<Option<usize>>, message: impl Into<String>) {
        self.problems.push(Finding { path: path.into(), line: line.into(), message: message.into() });
    }

    fn warning(&mut self, path: &str, message: impl Into<String>) {
        self.warnings.push(Finding { path: path.into(), line: None, message: message.into() });
    }

    #[cfg(test)]
    pub(crate) fn of(check: impl FnOnce(&Tree, &mut Self), files: &[(&str, &str)]) -> Vec<String> {
        let mut report = Self::default();
        check(&Tree::of(files), &mut report);
        report.problems.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tree = Tree::read()?;
    let mut report = check(&tree);
    if !crate::tree::is_tracked("Cargo.lock")? {
        report.problem("Cargo.lock", None, "is not committed: builds must be repeatable");
    }
    if !arguments.quiet {
        report.warnings.sort_unstable();
        report.warnings.iter().for_each(|finding| println!("warning: {finding}"));
    }
    report.problems.sort_unstable();
    report.problems.iter().for_each(|finding| println!("{finding}"));
    match report.problems.len() {
        0 => println!("tidy: {} files are fine", tree.files().count()),
        n => bail!("{n} problems"),
    }
    Ok(())
}

fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let checkers =
        [lengths::check, words::check, docs::check, determinism::check, layers::check, binaries::check, links::check, traps::check];
    for checker in checkers {
        checker(tree, &mut report);
    }
    report
}

/// Whether the file is a test as a whole: it may be longer than production code.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}
