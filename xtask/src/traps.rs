//! `cargo xtask traps`: which known trap is covered by which tests.
//!
//! docs/traps.md lists the traps in a table (`| T07 | what goes wrong |`). A test that covers one carries its number:
//! `fn t07_a_lost_answer_is_resolved_by_write_id()` in Rust, `def test_t07_...` in Python.

use crate::{tidy::Report, tree::Tree};
use anyhow::bail;
use std::collections::BTreeMap;

const TABLE: &str = "docs/traps.md";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print only traps that no test covers
    #[arg(long)]
    missing: bool,
    /// Print JSON: number, text, tests
    #[arg(long)]
    json: bool,
}

/// A test, and where it is.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Test {
    name: String,
    path: String,
    line: usize,
}

#[derive(Debug, serde::Serialize)]
struct Trap {
    number: u32,
    text: String,
    tests: Vec<Test>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tree = Tree::read()?;
    let Some(known) = known(&tree) else { bail!("{TABLE} is missing") };
    let traps = covered(known, tests(&tree));
    let shown: Vec<&Trap> = traps.iter().filter(|trap| !arguments.missing || trap.tests.is_empty()).collect();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    for trap in shown {
        println!("T{:02}  {}", trap.number, trap.text);
        trap.tests.iter().for_each(|test| println!("       {}  {}:{}", test.name, test.path, test.line));
    }
    println!("{}", summary(&traps));
    Ok(())
}

/// All traps, each with its tests.
fn covered(known: BTreeMap<u32, String>, mut tests: BTreeMap<u32, Vec<Test>>) -> Vec<Trap> {
    known.into_iter().map(|(number, text)| Trap { number, text, tests: tests.remove(&number).unwrap_or_default() }).collect()
}

/// Of all traps, whichever are shown.
fn summary(traps: &[Trap]) -> String {
    let with = traps.iter().filter(|trap| !trap.tests.is_empty()).count();
    format!("{with} of {} traps have a test", traps.len())
}

/// A test's number has to be that of a trap in the table.
pub(crate) fn check(tree: &Tree, report: &mut Report) {
    let (known, tests) = (known(tree).unwrap_or_default(), tests(tree));
    for (number, tests) in tests.iter().filter(|(number, _)| !known.contains_key(number)) {
        for test in tests {
            report.problem(&test.path, test.line, format!("{}: {TABLE} knows no T{number:02}", test.name));
        }
    }
}

/// Number and text of each row of the table.
fn known(tree: &Tree) -> Option<BTreeMap<u32, String>> {
    let rows = tree.text(TABLE)?.lines().filter_map(|line| {
        let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
        let number = cells.next()?.strip_prefix('T')?.parse().ok()?;
        Some((number, cells.next()?.to_string()))
    });
    Some(rows.collect())
}

fn tests(tree: &Tree) -> BTreeMap<u32, Vec<Test>> {
    let mut found: BTreeMap<u32, Vec<Test>> = BTreeMap::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs") || path.ends_with(".py")) {
        for (number, line) in text.lines().enumerate() {
            let (name, traps) = numbered(line);
            for trap in traps {
                found.entry(trap).or_default().push(Test { name: name.into(), path: path.into(), line: number + 1 });
            }
        }
    }
    found
}

/// The name of the function that the line declares, and the traps whose numbers it begins with: `t07_t24_...` covers two.
fn numbered(line: &str) -> (&str, Vec<u32>) {
    let mut rest = line.trim_start();
    for word in ["pub ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let declared = rest.strip_prefix("fn ").or_else(|| rest.strip_prefix("def ")).unwrap_or_default();
    let name = declared.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let number = |part: &str| part.strip_prefix('t').filter(|digits| digits.len() == 2)?.parse().ok();
    let mut words: Vec<&str> = name.strip_prefix("test_").unwrap_or(name).split('_').collect();
    words.pop(); // a number alone says nothing
    (name, words.into_iter().map_while(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_tests_are_found_in_rust_and_python() {
        assert_eq!(numbered("    fn t07_same_name() {"), ("t07_same_name", vec![7]));
        assert_eq!(numbered("async fn t70_x<T>() {"), ("t70_x", vec![70]));
        assert_eq!(numbered("fn t07_t24_both() {"), ("t07_t24_both", vec![7, 24]));
        assert_eq!(numbered("async def test_t12_pipelines(broker):"), ("test_t12_pipelines", vec![12]));
        for other in ["fn t7_x() {", "fn t107_x() {", "fn to_07_x() {", "fn as_t07_x() {", "// fn t07_x()", "t07_x();", "fn t07() {"] {
            assert!(numbered(other).1.is_empty(), "{other}");
        }
    }

    #[test]
    fn the_count_is_of_all_traps_whether_shown_or_not() {
        let table = "| T01 | Put back what failed. |\n| T02 | Publish late. |\n| T03 | Wait for the first. |\n";
        let tree = Tree::of(&[(TABLE, table), ("a.rs", "fn t01_a() {}\nfn t01_b() {}\nfn t03_c() {}\n")]);
        let traps = covered(known(&tree).unwrap(), tests(&tree));
        assert_eq!(traps.iter().map(|trap| trap.tests.len()).collect::<Vec<_>>(), [2, 0, 1]);
        assert_eq!(summary(&traps), "2 of 3 traps have a test");
    }

    #[test]
    fn a_test_whose_trap_is_not_listed_is_found() {
        let source = "//! x\nfn t01_a() {}\nfn t02_b() {}\n";
        let table = "| trap | what |\n|---|---|\n| T01 | Put back what failed. |\n";
        assert_eq!(Report::of(check, &[("a.rs", source), (TABLE, table)]), [format!("a.rs:3: t02_b: {TABLE} knows no T02")]);
        let tree = Tree::of(&[(TABLE, table)]);
        assert_eq!(known(&tree), Some(BTreeMap::from([(1, "Put back what failed.".to_string())])));
    }
}
