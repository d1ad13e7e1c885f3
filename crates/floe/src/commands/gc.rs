//! `floe gc --dry-run`: what the broker is going to delete, and why. It deletes nothing itself: only the owner of a chain
//! may, by rules that need its view of it.

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::Args;
use floe_env::Env;
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_types::ByteSize;
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The store: file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    store: StoreUrl,
    /// Only say what would be deleted; required, since the broker does it by itself
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: StoreSettings,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    if !arguments.dry_run {
        let why = "the broker deletes what nobody needs by itself, while it runs; --dry-run shows what there is";
        return Err(Failure::new(Exit::Refused, why));
    }
    let (env, config) = (Env::real(), arguments.settings.load()?);
    let backend = crate::store::open(&env, &arguments.store, &config, false).await?;
    let store = Store::new(env, backend, StoreOptions::default());
    let survey = super::du::look(&store, &config.server.prices).await?;
    let bytes: u64 = survey.unneeded.iter().map(|object| object.bytes).sum();
    if arguments.json {
        output::json(&json!({ "store": arguments.store.to_string(), "unneeded": survey.unneeded, "bytes": bytes }))?;
        return Ok(Exit::Ok);
    }
    if !survey.unneeded.is_empty() {
        let rows = survey.unneeded.iter().map(|object| vec![object.key.clone(), ByteSize(object.bytes).to_string(), object.why.to_owned()]);
        output::print(&output::table(&["object", "bytes", "why"], rows))?;
    }
    output::print(&format!("{} objects, {}, are needed no more", survey.unneeded.len(), ByteSize(bytes)))?;
    Ok(Exit::Ok)
}
