//! Docs lead somewhere: relative links resolve, and so do paths of the project that are quoted as code.

use super::Report;
use crate::tree::Tree;

/// Top-level folders whose paths are looked up when a text quotes them.
const FOLDERS: [&str; 7] = ["crates/", "docs/", "tests/", "benches/", "xtask/", "deploy/", "terraform/"];

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".md")) {
        // A decision and a change log tell of their day; what they quoted may have moved since.
        let is_history = path.starts_with("docs/decisions/") || path == "CHANGELOG.md";
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            if fenced {
                continue;
            }
            for link in links(line) {
                if !resolve(path, link).is_some_and(|target| tree.has(&target)) {
                    report.problem(path, number + 1, format!("the link to {link} leads nowhere"));
                }
            }
            for quoted in quoted_paths(line).filter(|quoted| !is_history && !tree.has(quoted.trim_end_matches('/'))) {
                report.problem(path, number + 1, format!("`{quoted}` is not there"));
            }
        }
    }
    if !tree.has("README.md") {
        report.problem("README.md", None, "is missing");
    }
}

/// Targets of `[text](target)` that lie within the project, without their anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split_once(')').map(|(target, _)| target));
    targets
        .map(|target| target.split_whitespace().next().unwrap_or_default())
        .filter(|target| !target.contains(':') && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or_default())
}

/// `crates/log/src/lib.rs`, but not patterns, commands or placeholders.
fn quoted_paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|text| {
        FOLDERS.iter().any(|folder| text.starts_with(folder)) && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    })
}

/// The path that a link in `from` means, or `None` where it leaves the project.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => vec![],
        None => from.split('/').collect(),
    };
    parts.pop();
    for part in link.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let files = [
            (
                "README.md",
                "[a](docs/A.md) [b](docs/missing.md#x), [c](https://example.com) [d](#here)\n```\n[e](not-a-link)\n```\n[f](docs)",
            ),
            ("docs/A.md", "[up](../README.md#tour) [out](../../secret) [abs](/docs/A.md \"title\") [side](B.md)\n"),
        ];
        assert_eq!(
            Report::of(check, &files),
            [
                "README.md:1: the link to docs/missing.md leads nowhere",
                "docs/A.md:1: the link to ../../secret leads nowhere",
                "docs/A.md:1: the link to B.md leads nowhere",
            ]
        );
    }

    #[test]
    fn quoted_paths_exist_unless_the_text_is_history() {
        let text = "see `crates/log/src/lib.rs`, `crates/gone/`, `crates/*/src`, `docs/<name>.md` and `cargo test`\n";
        let files = [("README.md", text), ("CHANGELOG.md", text), ("docs/decisions/1.md", text), ("crates/log/src/lib.rs", "//! Log.\n")];
        assert_eq!(Report::of(check, &files), ["README.md:1: `crates/gone/` is not there"]);
    }
}
