//! The load: one librdkafka client, the same for every candidate.

use crate::values::{VALUE_LEN, Values};
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4").set("client.id", "floe-benches");
    config
}

/// Creates a topic with replication factor 1 and waits until every partition has a leader.
pub(crate) fn create_topic(bootstrap: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) -> anyhow::Result<()> {
    create_topic_with_copies(bootstrap, (name, partitions, 1), settings)
}

/// The same with another replication factor.
pub(crate) fn create_topic_with_copies(
    bootstrap: &str,
    (name, partitions, copies): (&str, i32, i32),
    settings: &[(&str, &str)],
) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(copies));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30))).operation_timeout(Some(Duration::from_secs(30)));
    for answer in futures::executor::block_on(admin.create_topics([&topic], &options))? {
        answer.map_err(|(name, code)| anyhow::anyhow!("cannot create {name}: {code}"))?;
    }
    let began = Instant::now();
    loop {
        let metadata = admin.inner().fetch_metadata(Some(name), Duration::from_secs(10))?;
        let ready = metadata.topics().first().is_some_and(|topic| {
            topic.error().is_none() && topic.partitions().len() == partitions as usize && topic.partitions().iter().all(|p| p.leader() >= 0)
        });
        if ready {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("{name} has no leaders");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn delete_topic(bootstrap: &str, name: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    for answer in futures::executor::block_on(admin.delete_topics(&[name], &AdminOptions::new()))? {
        answer.map_err(|(name, code)| anyhow::anyhow!("cannot delete {name}: {code}"))?;
    }
    Ok(())
}

/// Counts acknowledgements; records the time from send to report where the sender gave one.
#[derive(Debug)]
struct Reports {
    acked: AtomicU64,
    failed: AtomicU64,
    sent_bytes: AtomicU64,
    latencies: Option<Mutex<Histogram<u64>>>,
}

#[derive(Clone)]
struct Listener(Arc<Reports>);

impl ClientContext for Listener {
    fn stats(&self, statistics: Statistics) {
        self.0.sent_bytes.store(u64::try_from(statistics.tx_bytes).unwrap_or(0), Ordering::Relaxed);
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        match result {
            Ok(_) => self.0.acked.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.0.failed.fetch_add(1, Ordering::Relaxed),
        };
        if let Some(latencies) = &self.0.latencies {
            let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            latencies.lock().saturating_record(micros);
        }
    }
}

/// What a produce run was.
#[derive(Debug, Clone)]
pub(crate) struct Produced {
    pub(crate) seconds: f64,
    pub(crate) records: u64,
    /// Bytes of values.
    pub(crate) value_bytes: u64,
    /// Bytes that the client sent: requests with batches, compressed if the client compresses.
    pub(crate) sent_bytes: u64,
}

impl Produced {
    /// Of values, in 10^6 bytes.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.value_bytes as f64 / 1e6 / self.seconds
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partitions: i32,
    pub(crate) records: u64,
    /// `none` or `lz4`.
    pub(crate) codec: &'a str,
    /// Client settings beside the bootstrap server and `acks=all`.
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// As fast as it goes; the time runs from the first send to the last acknowledgement.
pub(crate) fn produce(bootstrap: &str, load: &Load<'_>) -> anyhow::Result<Produced> {
    let reports = Arc::new(Reports { acked: 0.into(), failed: 0.into(), sent_bytes: 0.into(), latencies: None });
    let mut config = config(bootstrap);
    config.set("acks", "all").set("compression.type", load.codec).set("statistics.interval.ms", "200");
    for (key, value) in load.settings {
        config.set(*key, *value);
    }
    let producer: ThreadedProducer<Listener> = config.create_with_context(Listener(reports.clone()))?;
    producer.client().fetch_metadata(Some(load.topic), Duration::from_secs(30))?;
    let mut values = Values::new(load.records);
    let began = Instant::now();
    for number in 0..load.records {
        let partition = i32::try_from(number % u64::from(load.partitions.unsigned_abs()))?;
        let value = values.next_value();
        loop {
            let record =
                BaseRecord::<(), [u8], Box<Instant>>::with_opaque_to(load.topic, Box::new(began)).partition(partition).payload(value);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => std::thread::sleep(Duration::from_millis(1)),
                Err((error, _)) => return Err(error).context("send"),
            }
        }
    }
    producer.flush(PATIENCE)?;
    wait_for_reports(&reports, load.records)?;
    let seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(300));
    Ok(Produced {
        seconds,
        records: load.records,
        value_bytes: load.records * VALUE_LEN as u64,
        sent_bytes: reports.sent_bytes.load(Ordering::Relaxed),
    })
}

fn wait_for_reports(reports: &Reports, records: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let (acked, failed) = (reports.acked.load(Ordering::Relaxed), reports.failed.load(Ordering::Relaxed));
        if failed > 0 {
            bail!("{failed} of {records} records were not acknowledged");
        }
        if acked == records {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("{acked} of {records} records were reported");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Sends at a fixed rate, whatever the answers do; the time of a record runs from its send to its delivery report, in microseconds.
pub(crate) fn paced(bootstrap: &str, load: &Load<'_>, per_second: u64) -> anyhow::Result<Histogram<u64>> {
    let histogram = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    let reports = Arc::new(Reports { acked: 0.into(), failed: 0.into(), sent_bytes: 0.into(), latencies: Some(Mutex::new(histogram)) });
    let mut config = config(bootstrap);
    config.set("acks", "all").set("compression.type", load.codec).set("linger.ms", "0");
    for (key, value) in load.settings {
        config.set(*key, *value);
    }
    let producer: ThreadedProducer<Listener> = config.create_with_context(Listener(reports.clone()))?;
    producer.client().fetch_metadata(Some(load.topic), Duration::from_secs(30))?;
    let mut values = Values::new(load.records);
    // The first second is not measured: connections, caches, code.
    let warm = per_second;
    let began = Instant::now();
    for number in 0..load.records + warm {
        let due = Duration::from_secs_f64(number as f64 / per_second as f64);
        if let Some(rest) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(rest);
        }
        if number == warm {
            reports.latencies.as_ref().expect("made above").lock().reset();
        }
        let partition = i32::try_from(number % u64::from(load.partitions.unsigned_abs()))?;
        let record = BaseRecord::<(), [u8], Box<Instant>>::with_opaque_to(load.topic, Box::new(Instant::now()))
            .partition(partition)
            .payload(values.next_value());
        producer.send(record).map_err(|(error, _)| error).context("send")?;
    }
    producer.flush(PATIENCE)?;
    wait_for_reports(&reports, load.records + warm)?;
    let latencies = reports.latencies.as_ref().expect("made above").lock().clone();
    Ok(latencies)
}

/// Reads `records` records from the given start of every partition. Gives the rate in 10^6 bytes of values per second.
pub(crate) fn consume(bootstrap: &str, topic: &str, partitions: i32, records: u64, start: Offset) -> anyhow::Result<f64> {
    let mut config = config(bootstrap);
    config.set("group.id", "floe-benches").set("enable.auto.commit", "false").set("queued.min.messages", "200000");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, start)?;
    }
    consumer.assign(&assignment)?;
    // Connections and the first answers are not measured.
    let warm = records / 5;
    let (mut began, mut seen, mut last) = (Instant::now(), 0, Instant::now());
    while seen < records {
        match consumer.poll(Duration::from_millis(200)) {
            None if last.elapsed() > PATIENCE => bail!("{seen} of {records} records were read"),
            None => {}
            // librdkafka looks for the group's coordinator although nothing is committed; a broker without groups says so.
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnsupportedVersion))) if last.elapsed() < PATIENCE => {}
            Some(message) => {
                let message = message.context("poll")?;
                if message.payload().is_none_or(|value| value.len() != VALUE_LEN) {
                    bail!("offset {} of partition {}: not what was sent", message.offset(), message.partition());
                }
                seen += 1;
                if seen == warm {
                    began = Instant::now();
                }
                if seen % 4096 == 0 {
                    last = Instant::now();
                }
            }
        }
    }
    Ok((records - warm) as f64 * VALUE_LEN as f64 / 1e6 / began.elapsed().as_secs_f64())
}
