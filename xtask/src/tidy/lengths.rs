//! Files of production code: 300 lines are usual, 500 a reason to split, 800 never. Inline tests at the end do not count.

use super::{Report, is_test};
use crate::tree::Tree;

const SPLIT: usize = 500;
const NEVER: usize = 800;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.rust().filter(|(path, _)| !is_test(path)) {
        match production_lines(text) {
            lines if lines > NEVER => report.problem(path, None, format!("{lines} lines of production code, the most is {NEVER}")),
            lines if lines > SPLIT => report.warning(path, format!("{lines} lines of production code: a reason to split it")),
            _ => {}
        }
    }
}

/// Lines before the inline test module, if there is one.
fn production_lines(text: &str) -> usize {
    let mut previous = "";
    for (number, line) in text.lines().enumerate() {
        if previous.starts_with("#[cfg(") && previous.contains("test") && line.starts_with("mod tests {") {
            return number - 1;
        }
        previous = line;
    }
    text.lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_production_lines_count() {
        let long = "//! x\n".repeat(801);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "//! x\n".repeat(800), "x\n".repeat(500));
        let files = [
            ("crates/a/src/long.rs", long.as_str()),
            ("crates/a/src/long/tests.rs", &long),
            ("crates/a/tests/all.rs", &long),
            ("tests/e2e/src/lib.rs", &long),
            ("crates/a/src/tested.rs", &tested),
            ("notes.md", &long),
        ];
        assert_eq!(Report::of(check, &files), ["crates/a/src/long.rs: 801 lines of production code, the most is 800"]);
    }

    #[test]
    fn a_long_file_is_a_warning_before_it_is_a_problem() {
        let mut report = Report::default();
        check(&Tree::of(&[("a.rs", &"\n".repeat(501)), ("b.rs", &"\n".repeat(500))]), &mut report);
        assert!(report.problems.is_empty());
        assert_eq!(report.warnings.len(), 1);
    }
}
