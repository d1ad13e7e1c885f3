//! What a topic's settings say of its export (`floe.export` and the like), and where this broker may put exports. Whoever may alter
//! topics chooses among those places and no others. Is not: the export.

use crate::EngineOptions;
use floe_objstore::StoreUrl;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// `parquet`: brokers export the topic; `none`, the default: they do not.
pub const EXPORT: &str = "floe.export";
/// Where to: within one of [`EngineOptions::export_targets`]; empty, the default: the first of them.
pub const EXPORT_TARGET: &str = "floe.export.target";
pub const EXPORT_FRESHNESS: &str = "floe.export.freshness.ms";
pub const EXPORT_FILE_BYTES: &str = "floe.export.file.bytes";
pub const EXPORT_LAYOUT: &str = "floe.export.layout";
pub const EXPORT_MODE: &str = "floe.export.mode";
pub const EXPORT_MERGE: &str = "floe.export.merge";

/// Time between two looks at what is new.
const FRESHNESS: Duration = Duration::from_secs(10);
const LEAST_FRESHNESS: Duration = Duration::from_millis(100);
const FILE_BYTES: u64 = 64 << 20;
/// Smaller files cost more requests than they are worth; larger ones are held in memory and sent in one request.
const FILE_SIZES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);

pub const LAYOUTS: [&str; 3] = ["plain", "partition", "date"];
pub const MODES: [&str; 5] = ["raw", "string", "json", "avro", "protobuf"];

/// How a topic is to be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSettings {
    pub target: StoreUrl,
    pub freshness: Duration,
    pub file_bytes: u64,
    /// One of [`LAYOUTS`].
    pub layout: String,
    /// One of [`MODES`].
    pub mode: String,
    /// Small files become large ones, beside the table.
    pub merges: bool,
}

impl ExportSettings {
    /// None: it is not to be exported. A stored value that this version cannot read counts as not set, but for the target: nothing is
    /// put where nobody has asked for it.
    ///
    /// # Errors
    /// This broker may not put anything there.
    pub fn of(configs: &BTreeMap<String, String>, targets: &[StoreUrl]) -> Option<Result<Self, String>> {
        if configs.get(EXPORT).map(|value| value.trim()) != Some("parquet") {
            return None;
        }
        let word = |name: &str, words: &[&str]| {
            let given = configs.get(name).map(|value| value.trim());
            words.iter().find(|word| given == Some(**word)).or(words.first()).map_or(String::new(), |word| (*word).to_owned())
        };
        let target = configs.get(EXPORT_TARGET).map_or("", String::as_str);
        Some(target_of(target, targets).map(|target| Self {
            target,
            freshness: number(configs, EXPORT_FRESHNESS).map_or(FRESHNESS, Duration::from_millis).max(LEAST_FRESHNESS),
            file_bytes: number(configs, EXPORT_FILE_BYTES).filter(|bytes| FILE_SIZES.contains(bytes)).unwrap_or(FILE_BYTES),
            layout: word(EXPORT_LAYOUT, &LAYOUTS),
            mode: word(EXPORT_MODE, &MODES),
            merges: configs.get(EXPORT_MERGE).map(|value| value.trim()) == Some("true"),
        }))
    }
}

fn number<T: FromStr>(configs: &BTreeMap<String, String>, name: &str) -> Option<T> {
    configs.get(name)?.trim().parse().ok()
}

/// Where a topic goes that names this target.
fn target_of(text: &str, targets: &[StoreUrl]) -> Result<StoreUrl, String> {
    let Some(first) = targets.first() else {
        return Err("this broker exports nowhere: its setting floe.export.targets names no place".to_owned());
    };
    if text.trim().is_empty() {
        return Ok(first.clone());
    }
    let target: StoreUrl = text.trim().parse().map_err(|error: floe_objstore::InvalidUrl| error.to_string())?;
    if targets.iter().any(|allowed| target.is_within(allowed)) {
        return Ok(target);
    }
    let allowed = targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(format!("{target} is in none of the places of this broker's setting floe.export.targets: {allowed}"))
}

/// Whether this broker can do what a topic's setting asks for.
///
/// # Errors
/// Why not, for people.
pub fn check_export_setting(name: &str, value: &str, options: &EngineOptions) -> Result<(), String> {
    match (name, value.trim()) {
        (EXPORT, "parquet") => target_of("", &options.export_targets).map(|_| ()).map_err(|why| format!("{name}=parquet: {why}")),
        (EXPORT_TARGET, target) if !target.is_empty() => {
            target_of(target, &options.export_targets).map(|_| ()).map_err(|why| format!("{name}: {why}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(all: &[&str]) -> Vec<StoreUrl> {
        all.iter().map(|url| url.parse().unwrap()).collect()
    }

    fn of(settings: &[(&str, &str)], targets: &[&str]) -> Option<Result<ExportSettings, String>> {
        let configs = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ExportSettings::of(&configs, &urls(targets))
    }

    #[test]
    fn a_topic_that_does_not_ask_is_not_exported_and_one_that_does_has_defaults() {
        assert_eq!(of(&[(EXPORT_TARGET, "s3://lake/a")], &["s3://lake"]), None);
        assert_eq!(of(&[(EXPORT, "none")], &["s3://lake"]), None);
        let settings = of(&[(EXPORT, "parquet")], &["s3://lake/floe", "file:///tables"]).unwrap().unwrap();
        let target = "s3://lake/floe".parse().unwrap();
        let (layout, mode) = ("plain".to_owned(), "raw".to_owned());
        assert_eq!(settings, ExportSettings { target, freshness: FRESHNESS, file_bytes: FILE_BYTES, layout, mode, merges: false });
        let all =
            [(EXPORT_LAYOUT, "date"), (EXPORT_MODE, "json"), (EXPORT_MERGE, "true"), (EXPORT_FRESHNESS, "1"), (EXPORT_FILE_BYTES, "7")];
        let odd = of(&[&[(EXPORT, "parquet")], &all[..]].concat(), &["s3://lake"]).unwrap().unwrap();
        assert_eq!((odd.layout.as_str(), odd.mode.as_str(), odd.merges), ("date", "json", true));
        assert_eq!((odd.freshness, odd.file_bytes), (LEAST_FRESHNESS, FILE_BYTES));
    }

    #[test]
    fn nothing_is_put_where_the_broker_may_not() {
        let targets = ["file:///tables", "s3://lake/floe"];
        for (target, is_allowed) in [
            ("file:///tables", true),
            ("file:///tables/a/b", true),
            ("file:///tables/a/../../etc", false),
            ("file:///tables/%2e%2e/etc", false),
            ("file:///tablesque", false),
            ("file:///", false),
            ("s3://lake/floe/a", true),
            ("s3://lake/floes", false),
            ("s3://lake", false),
            ("s3://other/floe", false),
            ("memory://", false),
            ("tables", false),
        ] {
            assert_eq!(of(&[(EXPORT, "parquet"), (EXPORT_TARGET, target)], &targets).unwrap().is_ok(), is_allowed, "{target}");
            let options = EngineOptions { export_targets: urls(&targets), ..EngineOptions::default() };
            assert_eq!(check_export_setting(EXPORT_TARGET, target, &options).is_ok(), is_allowed, "{target}");
        }
        let nowhere = of(&[(EXPORT, "parquet")], &[]).unwrap().unwrap_err();
        assert!(nowhere.contains("floe.export.targets"), "{nowhere}");
        assert_eq!(check_export_setting(EXPORT, "none", &EngineOptions::default()), Ok(()));
        assert!(check_export_setting(EXPORT, "parquet", &EngineOptions::default()).is_err());
    }
}
