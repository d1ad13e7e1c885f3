//! The project is text. Only golden files may be anything else, and nothing is large.

use super::Report;
use crate::tree::Tree;

const MOST_BYTES: usize = 1 << 20;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, bytes) in tree.files() {
        let text = std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
        if !text && !path.split('/').any(|part| part == "goldens") {
            report.problem(path, None, "is not text; only files under goldens/ may be binary");
        }
        if bytes.len() > MOST_BYTES {
            report.problem(path, None, format!("is {} bytes long, the most is {MOST_BYTES}", bytes.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_large_files_are_found() {
        let tree = Tree::of(&[("ok.md", "naïve\n"), ("large.txt", &"x".repeat(MOST_BYTES + 1)), ("zero.txt", "a\0b")])
            .with_bytes("crates/formats/goldens/pack.bin", &[0, 0xff])
            .with_bytes("tool", &[0x7f, b'E', 0xff]);
        let mut report = Report::default();
        check(&tree, &mut report);
        let paths: Vec<&str> = report.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["large.txt", "tool", "zero.txt"]);
    }
}
