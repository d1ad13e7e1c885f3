//! A producer at a fixed rate and a consumer that follows it: the time of each record to its acknowledgement, and to the consumer.

use crate::load::config;
use crate::values::Values;
use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// The first seconds are not measured: connections, caches, code.
const WARM_SECONDS: u64 = 1;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partitions: i32,
    pub(crate) seconds: u64,
    pub(crate) per_second: u64,
}

/// In microseconds, from the send.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) acks: Histogram<u64>,
    pub(crate) arrivals: Histogram<u64>,
}

#[derive(Debug)]
struct Acks {
    times: Histogram<u64>,
    count: u64,
    failure: Option<KafkaError>,
}

#[derive(Clone)]
struct Listener(Arc<Mutex<Acks>>);

impl ClientContext for Listener {}

impl ProducerContext for Listener {
    /// None of the first second.
    type DeliveryOpaque = Box<Option<Instant>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        let took = sent.map(|sent| sent.elapsed());
        let mut acks = self.0.lock();
        acks.count += 1;
        if let Err((error, _)) = result {
            acks.failure = Some(error.clone());
        }
        if let Some(took) = took {
            acks.times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

pub(crate) fn run(bootstrap: &str, load: &Load<'_>) -> anyhow::Result<Times> {
    let (zero, records) = (Instant::now(), load.per_second * (load.seconds + WARM_SECONDS));
    let consumer = follower(bootstrap, load)?;
    let follower = std::thread::spawn(move || follow(&consumer, zero, records));
    let acks = Arc::new(Mutex::new(Acks { times: histogram()?, count: 0, failure: None }));
    let produced = produce(bootstrap, load, (zero, records), &acks);
    let arrivals = follower.join().unwrap_or_else(|_| bail!("the consumer panicked"))?;
    produced?;
    let acks = acks.lock();
    if let Some(error) = &acks.failure {
        bail!("a record was not acknowledged: {error}");
    }
    ensure!(acks.count == records, "{} of {records} records were reported", acks.count);
    Ok(Times { acks: acks.times.clone(), arrivals })
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Each value begins with the microseconds since `zero` at its send.
fn produce(bootstrap: &str, load: &Load<'_>, (zero, records): (Instant, u64), acks: &Arc<Mutex<Acks>>) -> anyhow::Result<()> {
    let mut config = config(bootstrap);
    config.set("acks", "all").set("linger.ms", "0");
    let producer: ThreadedProducer<Listener> = config.create_with_context(Listener(acks.clone()))?;
    producer.client().fetch_metadata(Some(load.topic), Duration::from_secs(30))?;
    let (mut values, began) = (Values::new(records), Instant::now());
    for number in 0..records {
        let due = Duration::from_secs_f64(number as f64 / load.per_second as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let mut value = values.next_value().to_vec();
        let now = Instant::now();
        let counts = number >= load.per_second * WARM_SECONDS;
        let stamp = if counts { u64::try_from((now - zero).as_micros())? } else { 0 };
        value.splice(..8, stamp.to_be_bytes());
        let partition = i32::try_from(number % u64::from(load.partitions.unsigned_abs()))?;
        let record =
            BaseRecord::<(), [u8], _>::with_opaque_to(load.topic, Box::new(counts.then_some(now))).partition(partition).payload(&value);
        producer.send(record).map_err(|(error, _)| error).context("send")?;
    }
    Ok(producer.flush(PATIENCE)?)
}

/// A consumer at the end of every partition.
fn follower(bootstrap: &str, load: &Load<'_>) -> anyhow::Result<BaseConsumer> {
    let mut config = config(bootstrap);
    config.set("group.id", "floe-benches").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..load.partitions {
        let end = end_of(&consumer, load.topic, partition)?;
        assignment.add_partition_offset(load.topic, partition, Offset::Offset(end))?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// librdkafka asks once; not every broker knows at once of a topic that another has just made.
fn end_of(consumer: &BaseConsumer, topic: &str, partition: i32) -> anyhow::Result<i64> {
    let began = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)) {
            Ok((_, end)) => return Ok(end),
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition)) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error).with_context(|| format!("the end of {topic}-{partition}")),
        }
    }
}

fn follow(consumer: &BaseConsumer, zero: Instant, records: u64) -> anyhow::Result<Histogram<u64>> {
    let (mut times, mut seen, mut last) = (histogram()?, 0, Instant::now());
    while seen < records {
        match consumer.poll(Duration::from_millis(200)) {
            None if last.elapsed() > PATIENCE => bail!("{seen} of {records} records arrived"),
            // librdkafka looks for the group's coordinator although nothing is committed.
            None | Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnsupportedVersion))) => {}
            Some(message) => {
                let message = message.context("poll")?;
                let stamp = message.payload().and_then(|value| value.first_chunk::<8>()).context("a strange record")?;
                let sent = u64::from_be_bytes(*stamp);
                if sent > 0 {
                    times.saturating_record(u64::try_from(zero.elapsed().as_micros())?.saturating_sub(sent));
                }
                (seen, last) = (seen + 1, Instant::now());
            }
        }
    }
    Ok(times)
}
