//! Crates depend downwards only (docs/ARCHITECTURE.md, "Crates"), none is empty, none is a drawer for odds and ends, and no
//! release can hold a simulation or a deliberate fault. Dev-dependencies are free.

use super::Report;
use crate::tree::Tree;
use toml::{Table, Value};

/// What each crate may use of the others, by folder name.
const LAYERS: [(&str, &[&str]); 18] = [
    ("types", &[]),
    ("env", &["types"]),
    ("records", &["types"]),
    ("protocol", &["types"]),
    ("formats", &["types", "records"]),
    ("objstore", &["types", "env"]),
    ("wal", &["types", "env", "formats"]),
    ("cache", &["types", "env"]),
    ("metadata", &["types", "env", "formats", "objstore"]),
    ("log", &["types", "env", "records", "formats", "objstore", "wal", "cache", "metadata"]),
    ("replication", &["types", "env", "wal", "metadata", "log"]),
    ("coordinator", &["types", "env", "records"]),
    ("groups", &["types", "env", "records", "formats", "log", "coordinator"]),
    ("export", &["types", "env", "records", "formats", "objstore", "log"]),
    ("iceberg", &["types", "env", "objstore", "export"]),
    ("broker", &ALL_BELOW_BROKER),
    ("floe", &ALL_BELOW_FLOE),
    ("testkit", &ALL_BELOW_FLOE),
];
const ALL_BELOW_BROKER: [&str; 13] = [
    "types",
    "env",
    "records",
    "protocol",
    "formats",
    "objstore",
    "wal",
    "cache",
    "metadata",
    "log",
    "replication",
    "coordinator",
    "groups",
];
const ALL_BELOW_FLOE: [&str; 16] = [
    "types",
    "env",
    "records",
    "protocol",
    "formats",
    "objstore",
    "wal",
    "cache",
    "metadata",
    "log",
    "replication",
    "coordinator",
    "groups",
    "export",
    "iceberg",
    "broker",
];
/// What takes long to compile, and which folders may. Of them `crates/iceberg` is in no default build.
const HEAVY: ([&str; 3], &[&str]) = (["arrow", "parquet", "iceberg"], &["crates/export", "crates/iceberg"]);
/// Features of this workspace's crates that only tests may switch on.
const TEST_FEATURES: [&str; 2] = ["sim", "mutants"];
/// Lines of code below which a crate is a promise rather than a crate.
const FEWEST_LINES: usize = 5;

pub(super) fn check(tree: &Tree, report: &mut Report) {
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let folder = path.strip_suffix("/Cargo.toml").unwrap_or_default();
        match text.parse::<Table>() {
            Err(error) => report.problem(path, None, format!("does not parse: {}", error.message())),
            Ok(manifest) if manifest.contains_key("package") => check_package(tree, report, path, folder, &manifest),
            Ok(_) => {}
        }
    }
}

fn check_package(tree: &Tree, report: &mut Report, path: &str, folder: &str, manifest: &Table) {
    let name = manifest["package"].get("name").and_then(Value::as_str).unwrap_or_default();
    if ["utils", "util", "common", "misc", "helpers"].iter().any(|word| name.split(['-', '_']).any(|part| part == *word)) {
        report.problem(path, None, format!("{name}: a crate's name says what it is for; a helper lives with its first user"));
    }
    if code_lines(tree, folder) < FEWEST_LINES {
        report.problem(path, None, format!("{name} is empty"));
    }
    let (heavy, their_places) = HEAVY;
    let is_heavy = |name: &str| heavy.iter().any(|heavy| name == *heavy || name.starts_with(&format!("{heavy}-")));
    for (dependency, _) in dependencies(manifest).filter(|(dependency, _)| !their_places.contains(&folder) && is_heavy(dependency)) {
        report.problem(path, None, format!("{name} may not use {dependency}: only {} compile it", their_places.join(" and ")));
    }
    if let Some(own) = folder.strip_prefix("crates/") {
        check_crate(report, path, own, name, manifest);
    }
}

fn check_crate(report: &mut Report, path: &str, own: &str, name: &str, manifest: &Table) {
    if name != format!("floe-{own}") && name != own {
        report.problem(path, None, format!("{name} lies in crates/{own}: the package is called floe-<folder>"));
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == own) else {
        report.problem(path, None, format!("crates/{own} has no place among the layers: give it one in xtask/src/tidy/layers.rs"));
        return;
    };
    for (dependency, value) in dependencies(manifest) {
        let Some(used) = dependency.strip_prefix("floe-").or((dependency == "floe").then_some("floe")) else { continue };
        if !allowed.contains(&used) {
            report.problem(path, None, format!("{own} may not use {used}: it may use {}", list(allowed)));
        }
        let features = value.get("features").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for feature in features.filter(|feature| own != "testkit" && TEST_FEATURES.contains(feature)) {
            report.problem(path, None, format!("{own} switches on {used}'s feature {feature}: only dev-dependencies and testkit may"));
        }
    }
    let defaults = manifest.get("features").and_then(|f| f.get("default")).and_then(Value::as_array).into_iter().flatten();
    for feature in defaults.filter_map(Value::as_str).filter(|feature| TEST_FEATURES.contains(feature)) {
        report.problem(path, None, format!("feature {feature} must not be a default"));
    }
}

/// Normal and build dependencies, those of single targets too.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|t| t.values()).filter_map(Value::as_table);
    let tables = std::iter::once(manifest).chain(targets).flat_map(|t| ["dependencies", "build-dependencies"].map(|key| t.get(key)));
    tables.flatten().filter_map(Value::as_table).flatten().map(|(name, value)| {
        let renamed = value.get("package").and_then(Value::as_str);
        (renamed.unwrap_or(name), value)
    })
}

/// Lines of Rust in the package that are neither blank nor comments.
fn code_lines(tree: &Tree, folder: &str) -> usize {
    let prefix = format!("{folder}/");
    let own = tree.rust().filter(|(path, _)| path.starts_with(&prefix));
    own.flat_map(|(_, text)| text.lines()).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn list(allowed: &[&str]) -> String {
    if allowed.is_empty() { "none of the others".into() } else { allowed.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "//! Code.\nfn a() {\n    b();\n    c();\n    d();\n}\n";

    fn findings(folder: &str, manifest: &str) -> Vec<String> {
        let (path, source) = (format!("{folder}/Cargo.toml"), format!("{folder}/src/lib.rs"));
        Report::of(check, &[(&path, manifest), (&source, CODE)])
    }

    #[test]
    fn arrows_point_downwards() {
        let wal = |dependencies: &str| findings("crates/wal", &format!("[package]\nname = \"floe-wal\"\n{dependencies}"));
        assert_eq!(wal("[dependencies]\nfloe-env.workspace = true\nfloe-formats.workspace = true\nbytes = \"1\"\n"), [""; 0]);
        assert_eq!(wal("[dev-dependencies]\nfloe-testkit.workspace = true\n"), [""; 0]);
        let up = "crates/wal/Cargo.toml: wal may not use log: it may use types, env, formats";
        assert_eq!(wal("[dependencies]\nfloe-log.workspace = true\n"), [up]);
        assert_eq!(wal("[dependencies]\ninnocent = { package = \"floe-log\", path = \"../log\" }\n"), [up]);
        assert_eq!(wal("[build-dependencies]\nfloe-log = \"1\"\n"), [up]);
        assert_eq!(wal("[target.'cfg(unix)'.dependencies]\nfloe-log = \"1\"\n"), [up]);
        assert_eq!(findings("crates/broker", "[package]\nname = \"floe-broker\"\n[dependencies]\nfloe-export.workspace = true\n").len(), 1);
        assert_eq!(findings("tests/e2e", "[package]\nname = \"floe-e2e\"\n[dependencies]\nfloe-testkit.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn only_exports_compile_arrow() {
        let uses = |folder: &str, name: &str, dependency: &str| {
            findings(folder, &format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependency} = \"60\"\n"))
        };
        assert_eq!(uses("crates/export", "floe-export", "arrow-array"), [""; 0]);
        let refused = ["crates/log/Cargo.toml: floe-log may not use parquet: only crates/export and crates/iceberg compile it"];
        assert_eq!(uses("crates/log", "floe-log", "parquet"), refused);
        assert_eq!(uses("xtask", "xtask", "arrow-schema").len(), 1);
        assert_eq!(uses("xtask", "xtask", "arrowhead"), [""; 0]);
    }

    #[test]
    fn tables_allow_no_circle() {
        let depth = |name: &str| LAYERS.iter().position(|(layer, _)| *layer == name).unwrap();
        for (layer, allowed) in LAYERS {
            assert!(allowed.iter().all(|used| depth(used) < depth(layer)), "{layer}");
        }
    }

    #[test]
    fn test_features_stay_out_of_what_is_released() {
        let sim = "[dependencies]\nfloe-env = { workspace = true, features = [\"sim\"] }\n";
        assert_eq!(findings("crates/log", &format!("[package]\nname = \"floe-log\"\n{sim}")).len(), 1);
        assert_eq!(findings("crates/testkit", &format!("[package]\nname = \"floe-testkit\"\n{sim}")), [""; 0]);
        assert_eq!(findings("crates/log", "[package]\nname = \"floe-log\"\n[features]\ndefault = [\"mutants\"]\n").len(), 1);
    }

    #[test]
    fn empty_unknown_and_badly_named_crates_are_found() {
        let empty =
            [("crates/env/Cargo.toml", "[package]\nname = \"floe-env\"\n"), ("crates/env/src/lib.rs", "//! Floe: env.\n\n// soon\n")];
        assert_eq!(Report::of(check, &empty), ["crates/env/Cargo.toml: floe-env is empty"]);
        assert!(findings("crates/common", "[package]\nname = \"floe-common\"\n")[0].contains("says what it is for"));
        assert!(findings("crates/new", "[package]\nname = \"floe-new\"\n")[0].contains("no place among the layers"));
        assert!(findings("crates/wal", "[package]\nname = \"floe-wall\"\n")[0].contains("floe-<folder>"));
        assert!(findings("crates/wal", "[package\n")[0].contains("does not parse"));
        assert_eq!(findings(".", "[workspace]\nmembers = []\n"), [""; 0]);
    }
}
