//! Every Rust file begins by saying what it is.

use super::Report;
use crate::tree::Tree;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.rust() {
        let says = text.lines().next().and_then(|line| line.strip_prefix("//!")).is_some_and(|rest| rest.trim().len() > 3);
        if !says {
            report.problem(path, 1, "begins with `//!` that says what the module is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        let files = [("good.rs", "//! What it is.\n"), ("bad.rs", "use std::io;\n"), ("hollow.rs", "//!\n//! late\n"), ("a.py", "x = 1\n")];
        let found = Report::of(check, &files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("bad.rs:1:") && found[1].starts_with("hollow.rs:1:"));
    }
}
