//! `floe produce`: every line of stdin or of a file is a record.

mod lines;
mod partitioner;

use super::Broker;
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, TopicInfo, check};
use crate::output;
use bytes::Bytes;
use clap::Args;
use floe_env::Env;
use floe_protocol::messages::{
    ProduceRequest,
    produce_request::{PartitionProduceData, TopicProduceData},
};
use floe_protocol::{ErrorCode, message};
use floe_records::{BatchBuilder, Codec, Header, Record};
use lines::Lines;
use partitioner::Partitioner;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Records of one round, over all partitions.
const ROUND: usize = 1_000;
/// Uncompressed bytes of one batch, below the broker's usual limit of one MiB.
const BATCH_BYTES: usize = 900_000;
/// Between two attempts at what a broker has refused without having appended it.
const PAUSE: Duration = Duration::from_millis(100);
/// Refusals that only say where the leader is not, or not yet.
const ELSEWHERE: [ErrorCode; 4] =
    [ErrorCode::UnknownTopicOrPartition, ErrorCode::UnknownTopicId, ErrorCode::LeaderNotAvailable, ErrorCode::NotLeaderOrFollower];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    topic: String,
    /// Read records from a file instead of stdin
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value; without it records have no key
    #[arg(long, short = 'k', value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header of every record; may be repeated
    #[arg(long, short = 'H', value_name = "KEY=VALUE")]
    header: Vec<String>,
    /// All records to this partition [default: by key as Kafka's clients do, else in turn]
    #[arg(long, short, value_name = "N")]
    partition: Option<i32>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, short, value_name = "CODEC", default_value = "none", value_parser = codec)]
    codec: Codec,
    /// all, 1 or 0
    #[arg(long, short, value_name = "ACKS", default_value = "all", value_parser = acks)]
    acks: i16,
    #[command(flatten)]
    broker: Broker,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| "not one of none, gzip, snappy, lz4, zstd".to_owned())
}

pub(super) fn acks(text: &str) -> Result<i16, String> {
    match text {
        "all" | "-1" => Ok(-1),
        "1" => Ok(1),
        "0" => Ok(0),
        _ => Err("not one of all, 1, 0".to_owned()),
    }
}

/// What was acknowledged so far.
#[derive(Default)]
struct Sent {
    records: u64,
    /// By partition, the offset behind the last record; unknown with acks=0.
    ends: BTreeMap<i32, i64>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    let headers = headers(&arguments.header)?;
    let mut lines = Some(Lines::open(arguments.file.as_deref())?);
    let mut kafka = Kafka::connect(&env, &arguments.broker).await?;
    let topic = kafka.topic(&arguments.topic, true).await?;
    let mut partitioner = Partitioner::new(topic.partitions.keys().copied().collect(), arguments.partition)?;
    let mut producer = Producer { env: &env, topic, arguments: &arguments, headers: &headers };
    let mut sent = Sent::default();
    loop {
        // Reading may wait for a person at a keyboard, so it is done where waiting holds up nothing.
        let mut reading = lines.take().expect("it is put back below, before the next round");
        let (back, read) = env
            .compute("read-lines", move || {
                let read = reading.next_round(ROUND, BATCH_BYTES);
                (reading, read)
            })
            .await
            .map_err(|error| Failure::error(error.to_string()))?;
        lines = Some(back);
        let round = read?;
        if round.is_empty() {
            break;
        }
        let mut batches: BTreeMap<i32, Vec<(Option<Bytes>, Bytes)>> = BTreeMap::new();
        for line in round {
            let (key, value) = split(line, arguments.key_separator.as_deref())?;
            batches.entry(partitioner.of(key.as_deref())).or_default().push((key, value));
        }
        partitioner.end_of_round();
        let outcome = producer.send(&mut kafka, batches, &mut sent).await;
        outcome.map_err(|failure| Failure::new(failure.exit, format!("after {} acknowledged records: {failure}", sent.records)))?;
    }
    report(&arguments, &sent)
}

fn report(arguments: &Arguments, sent: &Sent) -> Result<Exit, Failure> {
    if arguments.json {
        output::json(&json!({ "topic": arguments.topic, "records": sent.records, "ends": sent.ends }))?;
    } else {
        let ends: Vec<String> = sent.ends.iter().map(|(partition, end)| format!("{partition} ends at {end}")).collect();
        let ends = if ends.is_empty() { String::new() } else { format!("; partition {}", ends.join(", ")) };
        output::print(&format!("{} records to {}{ends}", sent.records, arguments.topic))?;
    }
    Ok(Exit::Ok)
}

fn headers(given: &[String]) -> Result<Vec<Header>, Failure> {
    let own = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let split = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((own(key), Some(own(value)))),
        None => Err(Failure::new(Exit::Refused, format!("--header {text}: is not KEY=VALUE"))),
    };
    given.iter().map(split).collect()
}

fn split(line: Vec<u8>, separator: Option<&str>) -> Result<(Option<Bytes>, Bytes), Failure> {
    let line = Bytes::from(line);
    let Some(separator) = separator.map(str::as_bytes).filter(|separator| !separator.is_empty()) else { return Ok((None, line)) };
    match line.windows(separator.len()).position(|window| window == separator) {
        Some(at) => Ok((Some(line.slice(..at)), line.slice(at + separator.len()..))),
        None => Err(Failure::new(Exit::Refused, format!("no key separator in the line {:?}", String::from_utf8_lossy(&line)))),
    }
}

/// What all rounds have in common.
struct Producer<'a> {
    env: &'a Env,
    topic: TopicInfo,
    arguments: &'a Arguments,
    headers: &'a [Header],
}

/// A batch, with its number of records.
#[derive(Clone)]
struct Batch {
    records: Bytes,
    count: u32,
}

/// What a broker has refused, by partition: its code and its words.
type Refused = BTreeMap<i32, (i16, Option<String>)>;

impl Producer<'_> {
    /// Sends a round; what others lead by now, or not yet, is sent again until the time limit of a request is over.
    async fn send(
        &mut self,
        kafka: &mut Kafka,
        batches: BTreeMap<i32, Vec<(Option<Bytes>, Bytes)>>,
        sent: &mut Sent,
    ) -> Result<(), Failure> {
        let mut waiting = BTreeMap::new();
        for (index, records) in batches {
            let count = u32::try_from(records.len()).expect("a round is a thousand records");
            let records = batch(self.arguments.codec, self.env.now_ms(), self.headers, records)?;
            waiting.insert(index, Batch { records, count });
        }
        let give_up = self.env.monotonic() + Duration::from(self.arguments.broker.timeout);
        loop {
            let refused = self.attempt(kafka, &waiting, sent).await?;
            let may_wait = self.env.monotonic() < give_up;
            for (index, (code, message)) in &refused {
                if !may_wait || !ELSEWHERE.iter().any(|elsewhere| elsewhere.code() == *code) {
                    check(&format!("partition {index}"), *code, message.as_deref())?;
                }
            }
            if refused.is_empty() {
                return Ok(());
            }
            waiting.retain(|index, _| refused.contains_key(index));
            self.env.sleep(PAUSE).await;
            self.topic = kafka.topic(&self.arguments.topic, false).await?;
        }
    }

    /// One request to each leader that has a partition among these.
    async fn attempt(&self, kafka: &mut Kafka, batches: &BTreeMap<i32, Batch>, sent: &mut Sent) -> Result<Refused, Failure> {
        let mut refused = Refused::new();
        let mut by_leader: BTreeMap<String, BTreeMap<i32, &Batch>> = BTreeMap::new();
        for (index, batch) in batches {
            match self.topic.leader(*index) {
                Ok(leader) => drop(by_leader.entry(leader).or_default().insert(*index, batch)),
                Err(failure) => drop(refused.insert(*index, (ErrorCode::LeaderNotAvailable.code(), Some(failure.to_string())))),
            }
        }
        for (address, share) in by_leader {
            let data =
                |(index, batch): (&i32, &&Batch)| message!(PartitionProduceData { index: *index, records: Some(batch.records.clone()) });
            let make = |version| self.request(version, share.iter().map(data).collect());
            if self.arguments.acks == 0 {
                kafka.tell_at::<ProduceRequest>(&address, make).await?;
                sent.records += share.values().map(|batch| u64::from(batch.count)).sum::<u64>();
                continue;
            }
            let answer = kafka.ask_at::<ProduceRequest>(&address, make).await?;
            for partition in answer.responses.iter().flat_map(|topic| &topic.partition_responses) {
                if partition.error_code != 0 {
                    let message = partition.error_message.as_ref().map(ToString::to_string);
                    refused.insert(partition.index, (partition.error_code, message));
                    continue;
                }
                let count = share.get(&partition.index).map_or(0, |batch| batch.count);
                sent.ends.insert(partition.index, partition.base_offset + i64::from(count));
                sent.records += u64::from(count);
            }
        }
        Ok(refused)
    }

    /// Topics are named up to version 12 and told by id from then on.
    fn request(&self, version: i16, partition_data: Vec<PartitionProduceData>) -> ProduceRequest {
        let data = match version {
            ..=12 => message!(TopicProduceData { name: self.topic.name.as_str().into(), partition_data }),
            _ => message!(TopicProduceData { topic_id: self.topic.id, partition_data }),
        };
        let timeout_ms = i32::try_from(self.arguments.broker.timeout.0).unwrap_or(i32::MAX);
        message!(ProduceRequest { acks: self.arguments.acks, timeout_ms, topic_data: vec![data] })
    }
}

fn batch(codec: Codec, now_ms: i64, headers: &[Header], records: Vec<(Option<Bytes>, Bytes)>) -> Result<Bytes, Failure> {
    let mut builder = BatchBuilder::new(codec);
    for (key, value) in records {
        let record = Record { offset: builder.next_offset(), timestamp: now_ms, key, value: Some(value), headers: headers.to_vec() };
        builder.push(&record).map_err(|error| Failure::error(error.to_string()))?;
    }
    Ok(builder.build())
}
