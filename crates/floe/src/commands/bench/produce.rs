//! One producer of a load: a batch to each of its partitions in turn, the next when the last is acknowledged or due.

use super::figures::Figures;
use super::{Load, millis};
use crate::exit::Failure;
use crate::kafka::{Kafka, check};
use bytes::Bytes;
use floe_protocol::message;
use floe_protocol::messages::{
    ProduceRequest,
    produce_request::{PartitionProduceData, TopicProduceData},
};
use floe_records::BatchBuilder;
use std::sync::Arc;
use std::time::Duration;

/// Random bytes that values are cut from, beyond the length of one.
const NOISE: usize = 64 << 10;
/// A broker that refuses is given so long before it is asked again.
const REFUSED: Duration = Duration::from_millis(100);

pub(super) struct Producer {
    load: Arc<Load>,
    kafka: Kafka,
    /// All of the topic, and which is next.
    partitions: Vec<i32>,
    next: usize,
    /// Time between two batches, if the rate is given.
    interval: Option<Duration>,
    noise: Vec<u8>,
    figures: Figures,
}

impl Producer {
    pub(super) fn new(load: Arc<Load>, kafka: Kafka, index: u32) -> Result<Self, Failure> {
        let all: Vec<i32> = load.topic.partitions.keys().copied().collect();
        if all.is_empty() {
            return Err(Failure::error(format!("topic {} has no partitions", load.topic.name)));
        }
        // Each begins elsewhere, so that all partitions are written to at once.
        let next = usize::try_from(index).expect("thousands") % all.len();
        let arguments = &load.arguments;
        let batches = |rate: u32| f64::from(rate) / f64::from(arguments.batch_records) / f64::from(arguments.producers);
        let interval = arguments.rate.map(|rate| Duration::from_secs_f64(1.0 / batches(rate)));
        let len = NOISE + usize::try_from(arguments.record_bytes).expect("a million");
        let noise = (0..len.div_ceil(8)).flat_map(|_| load.env.random_u64().to_ne_bytes()).collect();
        Ok(Self { load, kafka, partitions: all, next, interval, noise, figures: Figures::default() })
    }

    pub(super) async fn run(mut self) -> Result<Figures, Failure> {
        let load = self.load.clone();
        let began = load.env.monotonic();
        let until = began + Duration::from(load.arguments.duration);
        // Batches are spread over the interval, not sent by all producers at once.
        let mut due = self.interval.map(|interval| began + interval.mul_f64(self.share()));
        while load.env.monotonic() < until {
            if let Some(at) = due {
                if at >= until {
                    break;
                }
                load.env.sleep(at.saturating_sub(load.env.monotonic())).await;
            }
            let sent = due.unwrap_or_else(|| load.env.monotonic());
            due = due.zip(self.interval).map(|(at, interval)| at + interval);
            let partition = self.partitions[self.next];
            self.next = (self.next + 1) % self.partitions.len();
            match self.send(partition).await? {
                Ok(()) => self.acknowledged(load.env.monotonic().saturating_sub(sent)),
                Err(refused) => {
                    self.figures.error(&refused);
                    load.env.sleep(REFUSED).await;
                }
            }
            self.figures.took = load.env.monotonic().saturating_sub(began);
        }
        Ok(self.figures)
    }

    /// Which part of an interval it begins behind, from 0 to below 1.
    fn share(&self) -> f64 {
        self.load.env.random_below(1_000) as f64 / 1_000.0
    }

    fn acknowledged(&mut self, took: Duration) {
        let (records, bytes) = (u64::from(self.load.arguments.batch_records), u64::from(self.load.arguments.record_bytes));
        self.figures.time(took, records);
        self.figures.records += records;
        self.figures.bytes += records * bytes;
        self.load.live.produced(records);
    }

    fn batch(&self) -> Result<Bytes, Failure> {
        let Load { env, arguments, .. } = &*self.load;
        let (now, len) = (env.now_ms(), usize::try_from(arguments.record_bytes).expect("a million"));
        let mut builder = BatchBuilder::new(arguments.codec);
        for _ in 0..arguments.batch_records {
            let at = usize::try_from(env.random_below(NOISE as u64)).expect("kilobytes");
            builder.append(now, None, Some(&self.noise[at..at + len])).map_err(|error| Failure::error(error.to_string()))?;
        }
        Ok(builder.build())
    }

    /// Outside, what ends the load; inside, what the broker says of this batch.
    async fn send(&mut self, partition: i32) -> Result<Result<(), Failure>, Failure> {
        let data = message!(PartitionProduceData { index: partition, records: Some(self.batch()?) });
        let load = self.load.clone();
        let address = load.topic.leader(partition)?;
        // Topics are named up to version 12 and told by id from then on.
        let make = |version| {
            let partition_data = vec![data];
            let topic = match version {
                ..=12 => message!(TopicProduceData { name: load.topic.name.as_str().into(), partition_data }),
                _ => message!(TopicProduceData { topic_id: load.topic.id, partition_data }),
            };
            message!(ProduceRequest { acks: load.arguments.acks, timeout_ms: millis(&load.arguments), topic_data: vec![topic] })
        };
        if load.arguments.acks == 0 {
            return self.kafka.tell_at::<ProduceRequest>(&address, make).await.map(Ok);
        }
        let answer = self.kafka.ask_at::<ProduceRequest>(&address, make).await?;
        let answer = answer.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let answer = answer.ok_or_else(|| Failure::error("the broker does not speak of the batch"))?;
        Ok(check(&format!("partition {partition}"), answer.error_code, answer.error_message.as_deref()))
    }
}
