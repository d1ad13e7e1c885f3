//! What commands print: tables for people, JSON for programs.

use crate::exit::Failure;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use std::io::{self, Write};

/// Rows below their headings, in columns without lines.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Prints a line or more. A reader that has gone away is no error: who pipes into `head` has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    gone_is_fine(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints a value on one line, or on several for people.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}"))
}

/// As [`print`] sees errors of writing.
pub(crate) fn gone_is_fine(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}
