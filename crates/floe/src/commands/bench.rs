//! `floe bench`: loads a broker with producers and consumers, and says how fast it was and how long records took.
//!
//! With `--rate`, a batch is due at a fixed time and its latency counts from then, whether or not the broker was ready to
//! take it (no coordinated omission). Without it, each producer sends its next batch when the last one is acknowledged.
//! Is not: a comparison of brokers, which needs quiet machines and peers under the same load; that is in `benches`.

mod consume;
mod figures;
mod produce;

use super::Broker;
use crate::commands::produce::{acks, codec};
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, TopicInfo, check};
use crate::output;
use clap::Args;
use consume::Consumer;
use figures::{Figures, Live};
use floe_env::{Env, Task, Watched};
use floe_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, create_topics_request::CreatableTopic, delete_topics_request::DeleteTopicState,
};
use floe_protocol::{ErrorCode, message};
use floe_records::Codec;
use floe_types::Millis;
use produce::Producer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long consumers may take for what is left when producers are done.
const CATCH_UP: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Topic to use; one that is not there is created, and deleted at the end
    #[arg(long, short, default_value = "floe-bench")]
    topic: String,
    /// Partitions of a topic that is created
    #[arg(long, short, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Producers, each with a connection and one batch on its way
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(..=1_000))]
    producers: u32,
    /// Consumers, which read what the producers write
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=1_000))]
    consumers: u32,
    /// Bytes of a record's value; random, so that they do not compress
    #[arg(long, value_name = "BYTES", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    record_bytes: u32,
    /// Records of one batch
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_records: u32,
    /// Records a second, of all producers together [default: as many as the broker takes]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How long to produce
    #[arg(long, short, value_name = "TIME", default_value = "10s")]
    duration: Millis,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, short, value_name = "CODEC", default_value = "none", value_parser = codec)]
    codec: Codec,
    /// all, 1 or 0
    #[arg(long, short, value_name = "ACKS", default_value = "all", value_parser = acks)]
    acks: i16,
    /// Leave a topic that was created where it is
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    broker: Broker,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Producers and consumers have this in common.
#[derive(Debug)]
struct Load {
    env: Env,
    arguments: Arguments,
    topic: TopicInfo,
    live: Live,
    /// Where each partition ends, once producers are done.
    ends: Watched<Option<Arc<BTreeMap<i32, i64>>>>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    let mut kafka = Kafka::connect(&env, &arguments.broker).await?;
    let is_new = create(&mut kafka, &arguments).await?;
    let topic = kafka.topic(&arguments.topic, false).await?;
    let load = Arc::new(Load { env, arguments, topic, live: Live::default(), ends: Watched::new(None) });
    let measured = Box::pin(measure(&mut kafka, &load)).await;
    if is_new && !load.arguments.keep {
        delete(&mut kafka, &load.topic).await?;
    }
    measured
}

async fn measure(kafka: &mut Kafka, load: &Arc<Load>) -> Result<Exit, Failure> {
    let Arguments { producers, consumers, ref broker, .. } = load.arguments;
    let mut readers = Vec::new();
    for index in 0..consumers {
        let kafka = Kafka::connect(&load.env, broker).await?;
        // Positions are known before the first record is sent.
        let consumer = Consumer::new(load.clone(), kafka, index).await?;
        readers.push(load.env.spawn("bench-consumer", consumer.run()));
    }
    let mut writers = Vec::new();
    for index in 0..producers {
        let producer = Producer::new(load.clone(), Kafka::connect(&load.env, broker).await?, index)?;
        writers.push(load.env.spawn("bench-producer", producer.run()));
    }
    let shown = load.clone();
    let display = load.env.spawn("bench-display", async move { shown.live.show(&shown.env).await });
    let produced = gather(writers).await?;
    let ends = super::topic::offsets(kafka, &load.topic, super::topic::LATEST).await?;
    load.ends.set(Some(Arc::new(ends)));
    let caught_up = load.env.timeout(CATCH_UP, gather(readers)).await;
    display.abort();
    let consumed = caught_up.map_err(|_| Failure::error(format!("consumers were not done {CATCH_UP:?} after the producers")))??;
    report(load, &produced, &consumed)
}

/// What all tasks of a kind measured together.
async fn gather(tasks: Vec<Task<Result<Figures, Failure>>>) -> Result<Figures, Failure> {
    let mut all = Figures::default();
    for task in tasks {
        all.add(&task.join().await.map_err(|error| Failure::error(error.to_string()))??);
    }
    Ok(all)
}

fn report(load: &Load, produced: &Figures, consumed: &Figures) -> Result<Exit, Failure> {
    if load.arguments.json {
        output::json(&serde_json::json!({
            "topic": load.topic.name, "produced": produced.to_json(), "consumed": consumed.to_json(),
        }))?;
    } else {
        let mut rows = vec![produced.row("produced")];
        if load.arguments.consumers > 0 {
            rows.push(consumed.row("consumed"));
        }
        output::print(&output::table(Figures::HEADINGS, rows))?;
    }
    match &produced.first_error {
        Some(error) => Err(Failure::error(format!("{} batches were refused, the first: {error}", produced.errors))),
        None => Ok(Exit::Ok),
    }
}

/// Whether there was no such topic before.
async fn create(kafka: &mut Kafka, arguments: &Arguments) -> Result<bool, Failure> {
    let name = arguments.topic.as_str();
    let topic = message!(CreatableTopic { name: name.into(), num_partitions: arguments.partitions, replication_factor: -1_i16 });
    let request = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: millis(arguments) });
    let answer = kafka.ask(|_| request).await?;
    let answer = answer.topics.first().ok_or_else(|| Failure::error(format!("topic {name}: the broker does not speak of it")))?;
    if answer.error_code == ErrorCode::TopicAlreadyExists.code() {
        return Ok(false);
    }
    check(&format!("topic {name}"), answer.error_code, answer.error_message.as_deref())?;
    Ok(true)
}

async fn delete(kafka: &mut Kafka, topic: &TopicInfo) -> Result<(), Failure> {
    let name = topic.name.as_str();
    let make = |version| match version {
        ..=5 => message!(DeleteTopicsRequest { topic_names: vec![name.into()], timeout_ms: 30_000 }),
        _ => message!(DeleteTopicsRequest { topics: vec![message!(DeleteTopicState { name: Some(name.into()) })], timeout_ms: 30_000 }),
    };
    for answer in kafka.ask(make).await?.responses {
        check(&format!("topic {name}"), answer.error_code, answer.error_message.as_deref())?;
    }
    Ok(())
}

fn millis(arguments: &Arguments) -> i32 {
    i32::try_from(arguments.broker.timeout.0).unwrap_or(i32::MAX)
}
