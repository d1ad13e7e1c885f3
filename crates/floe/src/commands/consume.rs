//! `floe consume`: prints the records of a topic; with a group, those behind what the group has committed.
//!
//! It never becomes a member: it reads and commits for a group that has none.

mod render;
mod start;

use super::topic::{LATEST, offsets};
use super::{Broker, group, topic};
use crate::exit::{Exit, Failure};
use crate::kafka::{Kafka, TopicInfo, check};
use crate::output;
use clap::Args;
use floe_env::Env;
use floe_protocol::message;
use floe_protocol::messages::{
    FetchRequest,
    fetch_request::{FetchPartition, FetchTopic},
    fetch_response::PartitionData,
};
use floe_records::{Batches, Record, records};
use render::{Format, Show, render};
pub(in crate::commands) use start::Start;
use std::collections::BTreeMap;
use std::io::Write;

/// Bytes of one answer, and of one partition in it.
const FETCH_BYTES: i32 = 16 << 20;
const PARTITION_BYTES: i32 = 4 << 20;
/// How long the broker may hold a fetch for want of records.
const WAIT_MS: i32 = 500;
/// Most bytes that one batch may have when decompressed.
const BATCH_LIMIT: usize = 256 << 20;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    topic: String,
    /// Where to start: beginning, end, offset:N, time:T (RFC 3339, or milliseconds since 1970), or ago:DURATION
    #[arg(long, short = 'f', value_name = "START", default_value = "beginning")]
    from: Start,
    /// Only these partitions, separated by commas
    #[arg(long, short, value_name = "N,...", value_delimiter = ',')]
    partitions: Vec<i32>,
    /// Go on where this group has committed, and commit what was printed; the group must have no members
    #[arg(long, short, value_name = "GROUP")]
    group: Option<String>,
    /// End after this many records
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End when all that is there now has been printed
    #[arg(long, short = 'e')]
    until_end: bool,
    /// What to print before the value, in this order: partition, offset, time, key, headers
    #[arg(long, short, value_name = "WHAT,...", value_delimiter = ',')]
    show: Vec<Show>,
    /// Print each record as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: Broker,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let env = Env::real();
    let mut kafka = Kafka::connect(&env, &arguments.broker).await?;
    let mut topic = kafka.topic(&arguments.topic, false).await?;
    if !arguments.partitions.is_empty() {
        for index in &arguments.partitions {
            topic.leader(*index)?;
        }
        topic.partitions.retain(|index, _| arguments.partitions.contains(index));
    }
    let mut positions = start::positions(&mut kafka, &topic, arguments.from, env.now_ms()).await?;
    if let Some(group) = &arguments.group {
        let committed = group::committed(&mut kafka, group).await?;
        for (index, position) in &mut positions {
            *position = committed.get(&(topic.name.clone(), *index)).copied().unwrap_or(*position);
        }
    }
    let ends = if arguments.until_end { Some(offsets(&mut kafka, &topic, LATEST).await?) } else { None };
    let format = if arguments.json { Format::Json } else { Format::Text(arguments.show.clone()) };
    let mut reader = Reader { topic, positions, ends, left: arguments.count, format };
    let mut committed = reader.positions.clone();
    while !reader.is_done() {
        reader.round(&mut kafka).await?;
        if let Some(group) = &arguments.group {
            committed = reader.commit(&mut kafka, group, committed).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Where each partition is.
struct Reader {
    topic: TopicInfo,
    positions: BTreeMap<i32, i64>,
    /// Where each partition ends, if it does.
    ends: Option<BTreeMap<i32, i64>>,
    left: Option<u64>,
    format: Format,
}

impl Reader {
    fn is_done(&self) -> bool {
        self.left == Some(0) || self.unfinished().next().is_none()
    }

    fn unfinished(&self) -> impl Iterator<Item = (i32, i64)> {
        let is_open = |index: i32, position: i64| self.ends.as_ref().is_none_or(|ends| ends.get(&index).is_some_and(|end| position < *end));
        self.positions.iter().map(|(index, position)| (*index, *position)).filter(move |(index, position)| is_open(*index, *position))
    }

    /// Commits what was printed since the positions before; gives back the positions now.
    async fn commit(&self, kafka: &mut Kafka, group: &str, before: BTreeMap<i32, i64>) -> Result<BTreeMap<i32, i64>, Failure> {
        let moved = self.positions.iter().filter(|(index, position)| before.get(index) != Some(position));
        let offsets: BTreeMap<_, _> = moved.map(|(index, position)| ((self.topic.name.clone(), *index), *position)).collect();
        if !offsets.is_empty() {
            group::commit(kafka, group, &offsets).await?;
        }
        Ok(self.positions.clone())
    }

    /// One fetch from each leader, and the printing of what came.
    async fn round(&mut self, kafka: &mut Kafka) -> Result<(), Failure> {
        let mut by_leader: BTreeMap<String, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, fetch_offset) in self.unfinished() {
            let asked = message!(FetchPartition {
                partition,
                current_leader_epoch: -1,
                fetch_offset,
                last_fetched_epoch: -1,
                log_start_offset: -1,
                partition_max_bytes: PARTITION_BYTES,
            });
            by_leader.entry(self.topic.leader(partition)?).or_default().push(asked);
        }
        for (address, partitions) in by_leader {
            let answer = kafka.ask_at(&address, |version| self.request(version, partitions)).await?;
            check("fetch", answer.error_code, None)?;
            for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
                self.take(partition)?;
            }
        }
        Ok(())
    }

    /// Topics are named up to version 12 and told by id from then on.
    fn request(&self, version: i16, partitions: Vec<FetchPartition>) -> FetchRequest {
        let topic = match version {
            ..=12 => message!(FetchTopic { topic: self.topic.name.as_str().into(), partitions }),
            _ => message!(FetchTopic { topic_id: self.topic.id, partitions }),
        };
        message!(FetchRequest { max_wait_ms: WAIT_MS, min_bytes: 1, max_bytes: FETCH_BYTES, session_epoch: -1, topics: vec![topic] })
    }

    fn take(&mut self, data: &PartitionData) -> Result<(), Failure> {
        let index = data.partition_index;
        check(&format!("partition {index}"), data.error_code, None)?;
        let damaged = |error: floe_records::BatchError| Failure::error(format!("partition {index}: {error}"));
        let mut out = Vec::new();
        for batch in Batches::new(data.records.clone().unwrap_or_default()) {
            let (header, bytes) = match batch {
                Ok(batch) => batch,
                // The last one may be cut: it comes whole with the next answer.
                Err(floe_records::BatchError::Truncated { .. }) => break,
                Err(error) => return Err(damaged(error)),
            };
            if !header.is_control() {
                floe_records::verify(&bytes).map_err(damaged)?;
                for record in records(&bytes, BATCH_LIMIT).map_err(damaged)? {
                    let record = record.map_err(damaged)?;
                    if self.left == Some(0) {
                        // What is not printed is not passed over either: a group goes on there.
                        let position = self.positions.entry(index).or_default();
                        *position = record.offset.max(*position);
                        return write(&out);
                    }
                    self.print(index, &record, &mut out);
                }
            }
            self.positions.insert(index, header.end_offset());
        }
        write(&out)
    }

    fn print(&mut self, index: i32, record: &Record, out: &mut Vec<u8>) {
        let wanted = self.positions.get(&index).is_none_or(|position| record.offset >= *position) && self.left != Some(0);
        if wanted {
            render(&self.format, &self.topic.name, index, record, out);
            self.left = self.left.map(|left| left - 1);
        }
    }
}

fn write(out: &[u8]) -> Result<(), Failure> {
    output::gone_is_fine(std::io::stdout().lock().write_all(out).and_then(|()| std::io::stdout().lock().flush()))
}
