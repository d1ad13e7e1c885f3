//! `floe verify`: reads a store and says whether anything contradicts anything; with `--deep` every record too.

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::Args;
use floe_env::Env;
use floe_log::verify::{Depth, Problem, Report, verify_at};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_types::ByteSize;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget};
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The store: file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    store: StoreUrl,
    /// Read every record, not only what describes them
    #[arg(long)]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: StoreSettings,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let (env, config) = (Env::real(), arguments.settings.load()?);
    let backend = crate::store::open(&env, &arguments.store, &config, false).await?;
    let store = Store::new(env, backend, StoreOptions::default());
    // Drawn on stderr, and only where that is a terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let depth = if arguments.deep { Depth::Records } else { Depth::Footers };
    let report = verify_at(&store, depth, |now| {
        let (bytes, all) = (HumanBytes(now.bytes), HumanBytes(now.all_bytes));
        bar.set_message(format!("{} of {} objects, {bytes} of {all}", now.objects, now.all_objects));
    })
    .await;
    bar.finish_and_clear();
    let report = report?;
    if arguments.json {
        let mut value = serde_json::to_value(&report).map_err(|error| Failure::error(error.to_string()))?;
        value["clean"] = report.is_clean().into();
        value["store"] = json!(arguments.store.to_string());
        output::json(&value)?;
    } else {
        show(&report)?;
    }
    Ok(if report.is_clean() { Exit::Ok } else { Exit::NotClean })
}

fn show(report: &Report) -> Result<(), Failure> {
    if !report.problems.is_empty() {
        let rows = report.problems.iter().map(|problem| vec![records(problem), problem.key.clone(), problem.what.clone()]);
        output::print(&output::table(&["records", "object", "problem"], rows))?;
    }
    if !report.orphans.is_empty() {
        output::print(&output::table(&["orphan (waste, not damage)"], report.orphans.iter().map(|key| vec![key.clone()])))?;
    }
    let word = if report.is_clean() { "clean" } else { "NOT CLEAN" };
    output::print(&format!(
        "{word}: {} objects, {}, {} partitions, {} records, {} problems, {} orphans",
        report.objects,
        ByteSize(report.bytes),
        report.partitions,
        report.records,
        report.problems.len(),
        report.orphans.len()
    ))
}

/// The records that cannot be read for it: topic, partition, offsets.
fn records(problem: &Problem) -> String {
    let Some((start, end)) = problem.offsets else { return String::new() };
    let topic = problem.topic.as_deref().unwrap_or("a deleted topic");
    format!("{topic}-{} {start}..{end}", problem.partition.unwrap_or(-1))
}
