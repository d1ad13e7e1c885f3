//! `floe du`: what each topic takes in a store, and what that costs in a month.

use super::StoreSettings;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::Args;
use floe_env::Env;
use floe_log::survey::{Survey, TopicUse, survey};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_types::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

/// Bytes that prices are given for.
const GIB: f64 = (1_u64 << 30) as f64;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The store: file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    store: StoreUrl,
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
    let survey = look(&store).await?;
    let price = config.server.price_gib_month.0;
    if arguments.json {
        let mut value = serde_json::to_value(&survey).map_err(|error| Failure::error(error.to_string()))?;
        value["store"] = json!(arguments.store.to_string());
        value["month"] = json!(cost(survey.bytes, price));
        output::json(&value)?;
    } else {
        show(&survey, price)?;
    }
    Ok(Exit::Ok)
}

/// Looks the store through, with progress on stderr where that is a terminal.
pub(super) async fn look(store: &Store) -> Result<Survey, Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let survey = survey(store, |objects| bar.set_message(format!("{objects} objects"))).await;
    bar.finish_and_clear();
    survey.map_err(|error| Failure::error(error.to_string()))
}

fn cost(bytes: u64, price: f64) -> f64 {
    bytes as f64 / GIB * price
}

fn show(survey: &Survey, price: f64) -> Result<(), Failure> {
    let row =
        |name: String, objects: String, bytes: u64| vec![name, objects, ByteSize(bytes).to_string(), format!("{:.4}", cost(bytes, price))];
    let mut rows: Vec<_> = survey.topics.iter().map(|(id, topic)| (name(id, topic), topic)).collect();
    rows.sort_by_key(|(_, topic)| std::cmp::Reverse(topic.own_bytes + topic.shared_bytes));
    let topics = rows.into_iter().map(|(name, topic)| row(name, topic.objects.to_string(), topic.own_bytes + topic.shared_bytes));
    let other = row("(log and catalog)".into(), String::new(), survey.other_bytes);
    let all = row("all".into(), survey.objects.to_string(), survey.bytes);
    output::print(&output::table(&["topic", "own objects", "bytes", "a month"], topics.chain([other, all])))?;
    let unneeded: u64 = survey.unneeded.iter().map(|object| object.bytes).sum();
    output::print(&format!("{} of it is needed no more (floe gc --dry-run)", ByteSize(unneeded)))
}

fn name(id: &str, topic: &TopicUse) -> String {
    match &topic.name {
        Some(name) => name.clone(),
        None if topic.deleted => format!("{id} (deleted)"),
        None => format!("{id} (unknown)"),
    }
}
