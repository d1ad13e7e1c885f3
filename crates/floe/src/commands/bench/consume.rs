//! One consumer of a load: reads its share of the partitions from where they ended before, until where they end afterwards.
//!
//! How long a record took is the time from its time stamp to here: both are clocks of this machine, in milliseconds.

use super::Load;
use super::figures::Figures;
use crate::commands::topic::{LATEST, offsets};
use crate::exit::Failure;
use crate::kafka::{Kafka, check};
use bytes::Bytes;
use floe_protocol::message;
use floe_protocol::messages::{
    FetchRequest,
    fetch_request::{FetchPartition, FetchTopic},
};
use floe_records::{BatchError, Batches, records};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const FETCH_BYTES: i32 = 32 << 20;
const PARTITION_BYTES: i32 = 4 << 20;
/// How long the broker may hold a fetch for want of records; at the end of a load it is waited for.
const WAIT_MS: i32 = 200;
/// Most bytes that one batch may have when decompressed.
const BATCH_LIMIT: usize = 256 << 20;

pub(super) struct Consumer {
    load: Arc<Load>,
    kafka: Kafka,
    positions: BTreeMap<i32, i64>,
    figures: Figures,
}

impl Consumer {
    pub(super) async fn new(load: Arc<Load>, mut kafka: Kafka, index: u32) -> Result<Self, Failure> {
        let mut positions = offsets(&mut kafka, &load.topic, LATEST).await?;
        let consumers = load.arguments.consumers;
        positions.retain(|partition, _| u32::try_from(*partition).is_ok_and(|partition| partition % consumers == index));
        Ok(Self { load, kafka, positions, figures: Figures::default() })
    }

    pub(super) async fn run(mut self) -> Result<Figures, Failure> {
        let load = self.load.clone();
        let began = load.env.monotonic();
        while !self.is_done() {
            let before = self.figures.records;
            self.round().await?;
            if self.figures.records > before {
                self.figures.took = load.env.monotonic().saturating_sub(began);
                load.live.consumed(self.figures.records - before);
            }
        }
        Ok(self.figures)
    }

    fn is_done(&self) -> bool {
        let ends = self.load.ends.get();
        ends.is_some_and(|ends| self.positions.iter().all(|(partition, position)| ends.get(partition).is_none_or(|end| position >= end)))
    }

    /// One fetch from each leader.
    async fn round(&mut self) -> Result<(), Failure> {
        let load = self.load.clone();
        let mut by_leader: BTreeMap<String, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, fetch_offset) in &self.positions {
            let asked = message!(FetchPartition {
                partition: *partition,
                current_leader_epoch: -1,
                fetch_offset: *fetch_offset,
                last_fetched_epoch: -1,
                log_start_offset: -1,
                partition_max_bytes: PARTITION_BYTES,
            });
            by_leader.entry(load.topic.leader(*partition)?).or_default().push(asked);
        }
        for (address, partitions) in by_leader {
            let make = |version| {
                let topic = match version {
                    ..=12 => message!(FetchTopic { topic: load.topic.name.as_str().into(), partitions }),
                    _ => message!(FetchTopic { topic_id: load.topic.id, partitions }),
                };
                message!(FetchRequest {
                    max_wait_ms: WAIT_MS,
                    min_bytes: 1,
                    max_bytes: FETCH_BYTES,
                    session_epoch: -1,
                    topics: vec![topic]
                })
            };
            let answer = self.kafka.ask_at(&address, make).await?;
            check("fetch", answer.error_code, None)?;
            for data in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
                check(&format!("partition {}", data.partition_index), data.error_code, None)?;
                self.take(data.partition_index, data.records.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn take(&mut self, partition: i32, bytes: Bytes) -> Result<(), Failure> {
        let damaged = |error: BatchError| Failure::error(format!("partition {partition}: {error}"));
        let now = self.load.env.now_ms();
        for batch in Batches::new(bytes) {
            let (header, batch) = match batch {
                Ok(batch) => batch,
                // The last one may be cut: it comes whole with the next answer.
                Err(BatchError::Truncated { .. }) => break,
                Err(error) => return Err(damaged(error)),
            };
            floe_records::verify(&batch).map_err(damaged)?;
            for record in records(&batch, BATCH_LIMIT).map_err(damaged)? {
                let record = record.map_err(damaged)?;
                let took = u64::try_from(now - record.timestamp).unwrap_or(0);
                self.figures.time(Duration::from_millis(took), 1);
                self.figures.records += 1;
                self.figures.bytes += record.value.as_ref().map_or(0, |value| value.len() as u64);
            }
            self.positions.insert(partition, header.end_offset());
        }
        Ok(())
    }
}
