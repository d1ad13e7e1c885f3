//! Words that have no place in the project. They are written in two halves here, so that this file may hold them.
//!
//! Unfinished work, skipped tests and unbounded queues are looked for in code; paths of one machine, and claims about who or
//! what wrote the text, everywhere.

use super::Report;
use crate::tree::Tree;

struct Word {
    halves: [&'static str; 2],
    why: &'static str,
    /// Looked for in every text, not only in code.
    everywhere: bool,
}

const fn code(halves: [&'static str; 2], why: &'static str) -> Word {
    Word { halves, why, everywhere: false }
}

const fn everywhere(halves: [&'static str; 2], why: &'static str) -> Word {
    Word { halves, why, everywhere: true }
}

const UNFINISHED: &str = "finish it, or file an issue";
const MACHINE: &str = "a path of one machine";
const AUTHOR: &str = "texts do not name their tools";

/// Matched at word boundaries; without regard to case where the word is written in lower case here.
const WORDS: [Word; 26] = [
    code(["TO", "DO"], UNFINISHED),
    code(["to", "do!"], UNFINISHED),
    code(["FIX", "ME"], UNFINISHED),
    code(["XX", "X"], UNFINISHED),
    code(["unimple", "mented!"], UNFINISHED),
    code(["#[ign", "ore"], "a test runs, or it goes"),
    code(["unbounded_", "channel"], "nothing is unbounded"),
    code(["mpsc::unbou", "nded"], "nothing is unbounded"),
    everywhere(["/ro", "ot/"], MACHINE),
    everywhere(["/ho", "me/"], MACHINE),
    everywhere(["/Us", "ers/"], MACHINE),
    everywhere(["cla", "ude"], AUTHOR),
    everywhere(["anth", "ropic"], AUTHOR),
    everywhere(["open", "ai"], AUTHOR),
    everywhere(["chat", "gpt"], AUTHOR),
    everywhere(["gp", "t-4"], AUTHOR),
    everywhere(["gp", "t-5"], AUTHOR),
    everywhere(["gem", "ini"], AUTHOR),
    everywhere(["copi", "lot"], AUTHOR),
    everywhere(["LL", "M"], AUTHOR),
    everywhere(["language ", "model"], AUTHOR),
    everywhere(["ai ", "assistant"], AUTHOR),
    everywhere(["ai-gen", "erated"], AUTHOR),
    everywhere(["generated ", "by ai"], AUTHOR),
    everywhere(["written ", "by ai"], AUTHOR),
    everywhere(["co-auth", "ored-by"], AUTHOR),
];

/// The lock file holds names that are others' choice; clippy's list names what it forbids.
const EXEMPT: [&str; 2] = ["Cargo.lock", "clippy.toml"];
const CODE: [&str; 12] = [".rs", ".py", ".sh", ".js", ".mjs", ".ts", ".go", ".java", ".toml", ".tf", ".hcl", "/run"];

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| !EXEMPT.contains(path)) {
        let is_code = CODE.iter().any(|end| path.ends_with(end));
        for (number, line) in text.lines().enumerate() {
            for word in WORDS.iter().filter(|word| is_code || word.everywhere) {
                let banned = word.halves.concat();
                if holds(line, &banned) {
                    report.problem(path, number + 1, format!("{banned:?}: {}", word.why));
                }
            }
        }
    }
}

/// Whether the word stands in the line, not as a part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let any_case = !word.contains(|c: char| c.is_ascii_uppercase());
    let line = if any_case { line.to_ascii_lowercase() } else { line.to_string() };
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let (starts, ends) = (is_part(word.chars().next()), is_part(word.chars().next_back()));
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !(starts && is_part(before) || ends && is_part(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_this_file_holds_none() {
        for word in &WORDS {
            let text = format!("//! x\n// so: {} here\n", word.halves.concat());
            assert!(!Report::of(check, &[("crates/a/src/lib.rs", &text)]).is_empty(), "{:?}", word.halves);
            assert_eq!(Report::of(check, &[("README.md", &text)]).is_empty(), !word.everywhere, "{:?}", word.halves);
        }
        assert_eq!(Report::of(check, &[("xtask/src/tidy/words.rs", include_str!("words.rs"))]), [""; 0]);
    }

    #[test]
    fn words_are_whole_and_findings_name_the_line() {
        let word = ["FIX", "ME"].concat();
        assert_eq!(
            Report::of(check, &[("a.rs", &format!("//! {word}S and A{word}\n// {word}: later\n"))]),
            [format!("a.rs:2: {word:?}: {UNFINISHED}")]
        );
        assert!(holds(&["Written ", "by AI."].concat(), &["written ", "by ai"].concat()));
        assert!(!holds(&["written ", "by aiming well"].concat(), &["written ", "by ai"].concat()));
        assert!(holds("see /ABC/x", "/abc/") && holds("x=/abc/y", "/abc/") && !holds("/abcd/", "/abc/"));
    }
}
