//! `floe du`: what each topic takes in a store, and what that costs by the settings' price table.

use super::StoreSettings;
use crate::config::Prices;
use crate::exit::{Exit, Failure};
use crate::output;
use clap::Args;
use floe_env::Env;
use floe_log::survey::{ByClass, Survey, TopicUse, survey};
use floe_objstore::{Store, StoreOptions, StoreUrl};
use floe_types::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

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

/// What something costs.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    /// To keep it for a month.
    month: f64,
    /// The requests that have put there what is there now.
    written: f64,
    /// To read all of it from the store once; None where nobody does.
    read_once: Option<f64>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let (env, config) = (Env::real(), arguments.settings.load()?);
    let backend = crate::store::open(&env, &arguments.store, &config, false).await?;
    let store = Store::new(env, backend, StoreOptions::default());
    let prices = &config.server.prices;
    let survey = look(&store, prices).await?;
    if arguments.json {
        let mut value = serde_json::to_value(&survey).map_err(|error| Failure::error(error.to_string()))?;
        value["store"] = json!(arguments.store.to_string());
        add(&mut value, of_all(&survey, prices));
        for (id, topic) in &survey.topics {
            add(&mut value["topics"][id], of_topic(topic, prices));
        }
        output::json(&value)?;
    } else {
        show(&survey, prices)?;
    }
    Ok(Exit::Ok)
}

/// Looks the store through, with progress on stderr where that is a terminal.
pub(super) async fn look(store: &Store, prices: &Prices) -> Result<Survey, Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let survey = survey(store, &|key| prices.class_of(key), |objects| bar.set_message(format!("{objects} objects"))).await;
    bar.finish_and_clear();
    survey.map_err(|error| Failure::error(error.to_string()))
}

fn of_storage(bytes: &ByClass, prices: &Prices) -> f64 {
    bytes.iter().map(|(class, bytes)| bytes as f64 / GIB * prices.of_class(class)).sum()
}

fn of_topic(topic: &TopicUse, prices: &Prices) -> Cost {
    Cost {
        month: of_storage(&topic.by_class, prices),
        written: (topic.objects as f64 + topic.shared_objects) / 1000.0 * prices.put_thousand.0,
        read_once: Some(topic.reads as f64 / 1000.0 * prices.get_thousand.0),
    }
}

fn of_all(survey: &Survey, prices: &Prices) -> Cost {
    Cost {
        month: of_storage(&survey.by_class, prices),
        written: survey.objects as f64 / 1000.0 * prices.put_thousand.0,
        read_once: Some(survey.topics.values().filter_map(|topic| of_topic(topic, prices).read_once).sum()),
    }
}

/// What is no topic's.
fn of_rest(survey: &Survey, prices: &Prices) -> Cost {
    let all = of_all(survey, prices);
    let rest = survey.topics.values().map(|topic| of_topic(topic, prices)).fold(all, |rest, topic| Cost {
        month: rest.month - topic.month,
        written: rest.written - topic.written,
        read_once: None,
    });
    Cost { month: rest.month.max(0.0), written: rest.written.max(0.0), read_once: None }
}

fn add(value: &mut Value, cost: Cost) {
    value["month"] = json!(cost.month);
    value["written"] = json!(cost.written);
    value["read_once"] = json!(cost.read_once);
}

fn show(survey: &Survey, prices: &Prices) -> Result<(), Failure> {
    let row = |name: String, objects: String, bytes: u64, cost: Cost| {
        let money = |amount: f64| format!("{amount:.4}");
        vec![
            name,
            objects,
            ByteSize(bytes).to_string(),
            money(cost.month),
            money(cost.written),
            cost.read_once.map(money).unwrap_or_default(),
        ]
    };
    let mut rows: Vec<_> = survey.topics.iter().map(|(id, topic)| (name(id, topic), topic)).collect();
    rows.sort_by_key(|(_, topic)| std::cmp::Reverse(topic.own_bytes + topic.shared_bytes));
    let topics = rows
        .into_iter()
        .map(|(name, topic)| row(name, topic.objects.to_string(), topic.own_bytes + topic.shared_bytes, of_topic(topic, prices)));
    let other = row("(log and catalog)".into(), String::new(), survey.other_bytes, of_rest(survey, prices));
    let all = row("all".into(), survey.objects.to_string(), survey.bytes, of_all(survey, prices));
    let columns = ["topic", "own objects", "bytes", "a month", "written", "read once"];
    output::print(&output::table(&columns, topics.chain([other, all])))?;
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
