//! Where settings come from, in order: defaults, file, environment, command line. Unknown keys are refused with the nearest one.

use super::{Config, Refused, Setting, settings};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Values by source, as text. A later source counts over an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) file: Vec<(String, String)>,
    pub(crate) file_name: String,
    /// Names and values of the environment; others than `FLOE_...` are passed over.
    pub(crate) environment: Vec<(String, String)>,
    /// `-o` first, flags of their own after it.
    pub(crate) command_line: Vec<(String, String)>,
}

/// Puts the layers together, and checks the whole.
///
/// # Errors
/// The first setting that is refused, with its source and key.
pub(crate) fn load(layers: &Layers) -> Result<Config, Refused> {
    let mut config = Config::default();
    for (key, value) in &layers.file {
        apply(&mut config, &layers.file_name, key, value)?;
    }
    for (name, value) in &layers.environment {
        if let Some(key) = key_of_variable(name)? {
            apply(&mut config, &format!("environment variable {name}"), key, value)?;
        }
    }
    for (key, value) in &layers.command_line {
        apply(&mut config, "command line", key, value)?;
    }
    config.validate()?;
    Ok(config)
}

/// The `KEY=VALUE` of `-o`.
pub(crate) fn options(given: &[String]) -> Result<Vec<(String, String)>, Refused> {
    let split = |option: &String| match option.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(Refused(format!("command line: -o {option}: is not KEY=VALUE"))),
    };
    given.iter().map(split).collect()
}

fn apply(config: &mut Config, source: &str, key: &str, value: &str) -> Result<(), Refused> {
    let Some(setting) = settings().find(|setting| setting.key() == key) else {
        let near = nearest(key, settings().map(Setting::key)).map_or(String::new(), |near| format!("; did you mean {near}?"));
        return Err(Refused(format!("{source}: {key}: no such setting{near}")));
    };
    setting.set(config, value).map_err(|reason| Refused(format!("{source}: {key}: {reason}")))
}

/// Variables that are passed over: those that a cluster sets for a service called floe, and those of the project's own tests,
/// which brokers inherit.
const FOREIGN: [&str; 10] = [
    "FLOE_SERVICE_",
    "FLOE_PORT_",
    "FLOE_TEST_",
    "FLOE_BENCH_",
    "FLOE_SIM_",
    "FLOE_E2E_",
    "FLOE_FUZZ_",
    "FLOE_MUTANT_",
    "FLOE_WAL_SEEDS",
    "FLOE_SEED",
];
const FOREIGN_NAMES: [&str; 5] = ["FLOE_CONFIG", "FLOE_PORT", "FLOE_BOOTSTRAP", "FLOE_TOPIC", "FLOE_BLESS"];

/// The setting that a variable names. None for what is no setting: other programs' variables, and those passed over.
fn key_of_variable(name: &str) -> Result<Option<&'static str>, Refused> {
    if !name.starts_with("FLOE_") || FOREIGN_NAMES.contains(&name) {
        return Ok(None);
    }
    if let Some(setting) = settings().find(|setting| setting.variable() == name) {
        return Ok(Some(setting.key()));
    }
    if FOREIGN.iter().any(|prefix| name.starts_with(prefix)) {
        return Ok(None);
    }
    let names: Vec<String> = settings().map(Setting::variable).collect();
    let near = nearest(name, names.iter().map(String::as_str)).map_or(String::new(), |near| format!("; did you mean {near}?"));
    Err(Refused(format!("environment variable {name}: no such setting{near}")))
}

impl Layers {
    /// Reads the file, if one is named, and the environment.
    pub(crate) fn read(config: Option<&Path>) -> Result<Self, Refused> {
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLOE_")) {
            let name = name.to_string_lossy().into_owned();
            let value = value.into_string().map_err(|_| Refused(format!("environment variable {name}: is not UTF-8")))?;
            environment.push((name, value));
        }
        environment.sort();
        let mut layers = Self { environment, ..Self::default() };
        let named = layers.environment.iter().find(|(name, _)| name == "FLOE_CONFIG").map(|(_, value)| value.clone());
        if let Some(path) = config.map(Path::to_path_buf).or(named.map(Into::into)) {
            layers.file_name = path.display().to_string();
            let text = std::fs::read_to_string(&path).map_err(|error| Refused(format!("config file {}: {error}", path.display())))?;
            layers.file = parse_file(&text, &layers.file_name)?;
        }
        Ok(layers)
    }
}

/// A TOML file as keys and texts: tables and dotted keys are the same.
pub(super) fn parse_file(text: &str, name: &str) -> Result<Vec<(String, String)>, Refused> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| Refused(format!("{name}: {}", error.to_string().trim_end())))?;
    let mut values = BTreeMap::new();
    flatten(&table, "", name, &mut values)?;
    Ok(values.into_iter().collect())
}

fn flatten(table: &toml::Table, prefix: &str, name: &str, values: &mut BTreeMap<String, String>) -> Result<(), Refused> {
    use toml::Value;
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let text = match value {
            Value::Table(inner) => {
                flatten(inner, &key, name, values)?;
                continue;
            }
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            Value::Datetime(_) | Value::Array(_) => {
                return Err(Refused(format!("{name}: {key}: must be text, a number, true or false")));
            }
        };
        if values.insert(key.clone(), text).is_some() {
            return Err(Refused(format!("{name}: {key}: is set twice")));
        }
    }
    Ok(())
}

/// What `--dump-config` prints: every setting with its value and meaning, readable as a file.
pub(crate) fn dump(config: &Config) -> String {
    let mut out = String::new();
    for setting in settings() {
        let (key, doc) = (setting.key(), setting.doc());
        let line = match setting.get(config) {
            Some(value) if value.parse::<i64>().is_ok_and(|number| number.to_string() == value) || value == "true" || value == "false" => {
                format!("{key} = {value}")
            }
            Some(value) => format!("{key} = {}", toml::Value::String(value)),
            None if setting.is_secret() => format!("# {key}: not shown"),
            None => format!("# {key}: not set"),
        };
        writeln!(out, "# {doc}\n{line}\n").expect("writing to a string does not fail");
    }
    out
}

/// docs/settings.md: every setting with its name in the environment, default and meaning.
#[cfg(test)]
pub(super) fn markdown() -> String {
    let mut out = String::from(
        "# Settings\n\nWritten by `FLOE_BLESS=1 cargo test -p floe settings_are_documented` from the tables in `crates/floe/src/config/table.rs` and \
         `crates/broker/src/config.rs`; do not edit by hand. How they are given: [operations.md](operations.md). \
         Those that are `live` can be altered while the broker runs.\n\n\
         | key | environment | default | | meaning |\n|---|---|---|---|---|\n",
    );
    let defaults = Config::default();
    for setting in settings() {
        let default = setting.get(&defaults).map_or_else(String::new, |value| format!("`{value}`"));
        let live = if setting.is_dynamic() { "live" } else { "" };
        writeln!(out, "| `{}` | `{}` | {default} | {live} | {} |", setting.key(), setting.variable(), setting.doc())
            .expect("writing to a string does not fail");
    }
    out
}

/// The most similar name, if it is similar enough for a typing error.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.map(|name| (distance(wanted, name), name)).min().filter(|(distance, _)| *distance <= 3).map(|(_, name)| name)
}

/// Levenshtein's distance of two short names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
