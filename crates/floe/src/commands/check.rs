//! `floe store check`: is a store safe for Floe, and if not, why not.

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::{Args, Subcommand};
use floe_env::Env;
use floe_objstore::{CheckRow, StoreUrl, check};
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask a store whether it is safe for Floe: some 600 requests in a folder of their own, emptied at the end
    Check {
        /// The store: file:///path or s3://bucket/prefix
        #[arg(value_name = "URL")]
        store: StoreUrl,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: StoreSettings,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Action::Check { store, json: as_json, settings } = arguments.action;
    let (env, config) = (Env::real(), settings.load()?);
    let backend = crate::store::open(&env, &store, &config, true).await?;
    let report = check(&env, &backend).await;
    if as_json {
        let row = |row: &CheckRow| json!({ "name": row.name, "ok": row.ok, "detail": row.detail, "why": row.why });
        let rows: Vec<_> = report.rows.iter().map(row).collect();
        output::json(&json!({ "store": store.to_string(), "safe": report.ok(), "rows": rows }))?;
    } else {
        let rows = report.rows.iter().map(|row| {
            let word = if row.ok { "yes" } else { "NO" };
            vec![row.name.to_owned(), word.to_owned(), row.detail.clone(), row.why.to_owned()]
        });
        output::print(&output::table(&["question", "ok", "seen", "what rests on it"], rows))?;
        output::print(&if report.ok() { format!("{store} is safe for Floe") } else { format!("{store} is NOT SAFE for Floe") })?;
    }
    Ok(if report.ok() { Exit::Ok } else { Exit::NotClean })
}
