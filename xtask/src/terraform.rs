//! The tables of `terraform/modules/floe/README.md`: its inputs and outputs, read from the files that declare them.
//!
//! What stands in the README outside the two marks is written by hand. The reader knows as much of HCL as `terraform fmt` leaves: blocks
//! begin and end at the start of a line, arguments are `name = value` one level in. It is no parser of HCL.

use crate::tree::root;
use anyhow::{Context, bail};
use std::fmt::Write;

pub(crate) const README: &str = "terraform/modules/floe/README.md";
const BEGIN: &str = "<!-- by cargo xtask docs, from variables.tf and outputs.tf -->";
const END: &str = "<!-- end -->";

#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    name: String,
    description: String,
    kind: String,
    default: Option<String>,
}

/// The README with its tables as the module's files say.
pub(crate) fn readme() -> anyhow::Result<String> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"));
    let (variables, outputs) = (read("terraform/modules/floe/variables.tf")?, read("terraform/modules/floe/outputs.tf")?);
    fill(&read(README)?, &tables(&variables, &outputs)?)
}

/// `text` with `tables` between the marks.
fn fill(text: &str, tables: &str) -> anyhow::Result<String> {
    let marks = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = marks else { bail!("{README} lacks the marks {BEGIN} and {END}") };
    Ok(format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
}

fn tables(variables: &str, outputs: &str) -> anyhow::Result<String> {
    let mut text = String::from("| input | type | default | |\n|---|---|---|---|\n");
    for block in blocks(variables, "variable")? {
        let default = block.default.as_deref().map_or("needed".to_owned(), |value| format!("`{value}`"));
        writeln!(text, "| `{}` | `{}` | {default} | {} |", block.name, block.kind, cell(&block.description))?;
    }
    text.push_str("\n| output | |\n|---|---|\n");
    for block in blocks(outputs, "output")? {
        writeln!(text, "| `{}` | {} |", block.name, cell(&block.description))?;
    }
    Ok(text)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\\\"", "\"")
}

/// The blocks of this kind, in the order of the file.
fn blocks(text: &str, kind: &str) -> anyhow::Result<Vec<Block>> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(kind).and_then(|rest| rest.strip_prefix(" \"")) {
            let name = rest.split('"').next().unwrap_or_default().to_owned();
            found.push(Block { name, ..Block::default() });
            inside = true;
        } else if line.starts_with('}') {
            inside = false;
        } else if let (true, Some((name, value)), Some(block)) = (inside, argument(line), found.last_mut()) {
            match name {
                "description" => block.description = value.trim_matches('"').to_owned(),
                // What is in it, the README's reader finds in the file.
                "type" => block.kind = value.replace("(object({", "(object)"),
                "default" => block.default = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    if let Some(block) = found.iter().find(|block| block.description.is_empty()) {
        bail!("{kind} {} has no description", block.name);
    }
    Ok(found)
}

/// `name = value` with an indent of two.
fn argument(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("  ")?.split_once('=')?;
    (!name.starts_with(' ')).then(|| (name.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &str = "# Words\n\nvariable \"name\" {\n  description = \"Begins \\\"names\\\" | tags.\"\n  type        = string\n  default     = \"floe\"\n\n  validation {\n    condition     = a == b\n    description = 1\n  }\n}\nvariable \"machines\" {\n  description = \"Where.\"\n  type = map(object({\n    host = string\n    port = optional(number, 22)\n  }))\n}\n";

    #[test]
    fn variables_and_outputs_become_rows() {
        let text = tables(VARIABLES, "output \"url\" {\n  description = \"Where.\"\n  value = 1\n}\n").unwrap();
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(
            rows,
            [
                "| `name` | `string` | `\"floe\"` | Begins \"names\" \\| tags. |",
                "| `machines` | `map(object)` | needed | Where. |",
                "| `url` | Where. |"
            ]
        );
    }

    #[test]
    fn what_is_not_described_or_has_no_place_is_refused() {
        assert!(tables("variable \"a\" {\n  type = string\n}\n", "").unwrap_err().to_string().contains("variable a"));
        assert!(fill("no marks", "x").is_err());
        assert_eq!(fill(&format!("a\n{BEGIN}\nold\n{END}\nb\n"), "new\n").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
    }
}
