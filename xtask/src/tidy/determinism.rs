//! A simulation replays from its seed: what the crates run must not draw on the system's randomness behind its back.
//!
//! Clippy forbids the calls; two things it cannot see are looked for here: std's hash collections, seeded per process, and
//! `select!` without `biased`, which picks a ready branch by a random number of the runtime's.

use super::{Report, is_test};
use crate::tree::Tree;

/// Makes the collections with a fixed hasher out of std's.
const DOOR: &str = "crates/env/src/hash.rs";

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.rust().filter(|(path, _)| path.starts_with("crates/") && !is_test(path) && *path != DOOR) {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(str::split_whitespace).collect();
        if names_std_hash_collections(&code) {
            report.problem(path, None, "std's HashMap and HashSet are seeded by the system: use floe_env::hash, or a BTreeMap");
        }
        if code.split("select!{").skip(1).any(|branches| !branches.starts_with("biased;")) {
            report.problem(path, None, "select! without `biased;` picks at random: say which branch comes first");
        }
    }
}

/// Whether the code, without its blanks, imports or names them, however the import is nested.
fn names_std_hash_collections(code: &str) -> bool {
    code.match_indices("collections::").any(|(at, module)| {
        let rest = &code[at + module.len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split(['}', ';']).next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        names.split(',').any(|name| matches!(name, "HashMap" | "HashSet"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        !Report::of(check, &[("crates/log/src/a.rs", text)]).is_empty()
    }

    #[test]
    fn randomly_seeded_maps_are_found_in_every_shape() {
        assert!(found("use std::collections::HashMap;"));
        assert!(found("use std::{\n    collections::{BTreeMap,\n        HashSet},\n    io,\n};"));
        assert!(found("let m: std::collections::HashMap<u8, u8> = Default::default();"));
        assert!(!found("use std::collections::{BTreeMap, hash_map::Entry};\nuse floe_env::hash::HashMap;"));
        assert!(!found("// std::collections::HashMap is not used"));
        assert!(Report::of(check, &[("crates/log/src/tests.rs", "use std::collections::HashMap;")]).is_empty());
        assert!(Report::of(check, &[("xtask/src/a.rs", "use std::collections::HashMap;")]).is_empty());
    }

    #[test]
    fn a_select_that_picks_at_random_is_found() {
        assert!(found("tokio::select! {\n    a = b() => {}\n}"));
        assert!(found("select! {\n    biased;\n    a = b() => {}\n}\nselect! { a = b() => {} }"));
        assert!(!found("tokio::select! {\n    // the stop comes first\n    biased;\n    a = b() => {}\n}"));
    }
}
