//! The steps, in order. What is cheap comes first; everything that starts a broker after the build of it.

use crate::tree::root;
use anyhow::Context;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// With `--full` only.
    Full,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    /// Programs without which it is skipped; see `setup::why_not`.
    pub(super) needs: Vec<String>,
    pub(super) when: When,
    /// Computes for long, and is run beside those that follow it, most of which wait most of their time.
    pub(super) beside: bool,
}

struct Row {
    name: &'static str,
    command: &'static str,
    needs: &'static str,
    when: When,
    beside: bool,
}

const fn row(name: &'static str, command: &'static str, needs: &'static str) -> Row {
    Row { name, command, needs, when: When::Always, beside: false }
}

const fn full(name: &'static str, command: &'static str) -> Row {
    Row { name, command, needs: "", when: When::Full, beside: false }
}

const fn beside(row: Row) -> Row {
    Row { beside: true, ..row }
}

/// Words of commands and needs are separated by blanks.
const ROWS: &[Row] = &[
    row("format", "cargo fmt --all --check", "rustfmt"),
    row("tidy", "cargo run --locked --quiet --package xtask -- tidy --quiet", "git"),
    row("docs", "cargo run --locked --quiet --package xtask -- docs --check", ""),
    // Builds the broker, too, before the first test that starts it; alone it would be built a second time, with other features.
    // Without the hundred crates that Iceberg brings.
    row("tests", "cargo test --locked --workspace --exclude floe-iceberg --no-fail-fast", ""),
    beside(row("lints", "cargo clippy --locked --workspace --exclude floe-iceberg --all-targets -- -D warnings", "clippy")),
    full("iceberg: tests", "cargo test --locked --package floe-iceberg"),
    full("iceberg: lints", "cargo clippy --locked --package floe-iceberg --package floe --features iceberg --all-targets -- -D warnings"),
    beside(full("models, large bounds", "cargo run --locked --release --quiet --package floe-models -- --full")),
    full("simulation, 10,000 seeds", "cargo run --locked --quiet --package floe-testkit --bin simulate -- --seeds 10000"),
];

/// Folders of suites, each a folder with a `run.sh`, and what their steps are called.
const SUITES: [(&str, &str); 3] = [("tests/clients", "clients"), ("tests/tables", "tables"), ("tests/deploy", "deploy")];

/// The table, and behind it every suite: a `run.sh` in a folder of [`SUITES`], whose second line may say `# needs: node npm` and `# full`.
pub(super) fn all() -> anyhow::Result<Vec<Step>> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut steps: Vec<Step> = ROWS
        .iter()
        .map(|row| Step { name: row.name.into(), command: words(row.command), needs: words(row.needs), when: row.when, beside: row.beside })
        .collect();
    for (parent, kind) in SUITES {
        let mut folders: Vec<_> = match std::fs::read_dir(root().join(parent)) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect(),
            Err(_) => Vec::new(),
        };
        folders.sort_unstable();
        for folder in folders {
            let script = format!("{parent}/{folder}/run.sh");
            if root().join(&script).is_file() {
                let text = std::fs::read_to_string(root().join(&script)).with_context(|| format!("cannot read {script}"))?;
                steps.push(suite(format!("{kind}: {folder}"), &script, &text));
            }
        }
    }
    Ok(steps)
}

fn suite(name: String, script: &str, text: &str) -> Step {
    let head = || text.lines().take(5).filter_map(|line| line.strip_prefix('#')).map(str::trim);
    let needs = head().find_map(|line| line.strip_prefix("needs:")).unwrap_or_default();
    let when = if head().any(|line| line == "full") { When::Full } else { When::Always };
    let needs = needs.split_whitespace().map(str::to_owned).collect();
    Step { name, command: vec!["bash".into(), script.into()], needs, when, beside: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_of_clients_says_itself_what_it_needs() {
        let step = suite("clients: js".into(), "tests/clients/js/run.sh", "#!/usr/bin/env bash\n# needs: node npm\n# full\nset -e\n");
        assert_eq!((step.name.as_str(), step.needs.join(" ").as_str(), step.when), ("clients: js", "node npm", When::Full));
        let step = suite("clients: kcat".into(), "tests/clients/kcat/run.sh", "#!/usr/bin/env bash\nset -e\n");
        assert_eq!((step.needs.len(), step.when), (0, When::Always));
    }

    #[test]
    fn steps_have_names_of_their_own() {
        let mut names: Vec<String> = all().unwrap().into_iter().map(|step| step.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
