//! Consumers of history: many librdkafka clients, each on one partition, from the beginning or from where it is told.

use crate::load::config;
use crate::requests::{self, Connection};
use crate::values::VALUE_LEN;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(120);

/// What one consumer reads.
#[derive(Debug, Clone)]
pub(crate) struct Portion {
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) start: Offset,
}

fn consumer(portion: &Portion, settings: &[(&str, &str)]) -> anyhow::Result<BaseConsumer> {
    let mut config = config(&portion.bootstrap);
    config.set("group.id", "floe-benches").set("enable.auto.commit", "false");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&portion.topic, portion.partition, portion.start)?;
    consumer.assign(&assignment)?;
    Ok(consumer)
}

/// The next message; None for now.
fn poll(consumer: &BaseConsumer) -> anyhow::Result<Option<BorrowedMessage<'_>>> {
    match consumer.poll(Duration::from_millis(200)) {
        None | Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnsupportedVersion))) => Ok(None),
        Some(message) => {
            let message = message.context("poll")?;
            if message.payload().is_none_or(|value| value.len() != VALUE_LEN) {
                bail!("offset {} of partition {}: not what was sent", message.offset(), message.partition());
            }
            Ok(Some(message))
        }
    }
}

/// Reads so many records of each portion, all at once, as fast as it goes. Seconds from the first client's start to the last record.
pub(crate) fn all(portions: Vec<Portion>, records: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let read = move |portion: Portion| -> anyhow::Result<()> {
        let consumer = consumer(&portion, &[("queued.min.messages", "200000")])?;
        let (mut seen, mut last) = (0, Instant::now());
        while seen < records {
            if poll(&consumer)?.is_some() {
                seen += 1;
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                bail!("{seen} of {records} records of partition {} were read", portion.partition);
            }
        }
        Ok(())
    };
    let threads: Vec<_> = portions.into_iter().map(|portion| std::thread::spawn(move || read(portion))).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a consumer panicked"))??;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// The same by plain Fetch requests of 8 MiB, one after the other, of clients that look at batch headers only: what the broker does, whatever a client makes of it.
pub(crate) fn all_plainly(address: SocketAddr, topic: &str, partitions: i32, records: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let read = move |topic: String, partition: i32| -> anyhow::Result<()> {
        let mut connection = Connection::open(address)?;
        let (mut seen, mut offset, mut buffer) = (0, 0, Vec::new());
        while seen < records {
            let answer = connection.call_into(&requests::fetch(&topic, partition, offset, 8 << 20)?, &mut buffer)?;
            let (more, end) = requests::fetched_batches(answer)?;
            seen += more;
            offset = end.context("no batch came")?;
        }
        Ok(())
    };
    let threads: Vec<_> = (0..partitions)
        .map(|partition| {
            let topic = topic.to_owned();
            std::thread::spawn(move || read(topic, partition))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Consumers that read on and on until they are stopped.
#[derive(Debug)]
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    records: Arc<AtomicU64>,
    began: Instant,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Crowd {
    /// Each begins again at the beginning when it has come to `end`, and takes so many records a second at most.
    pub(crate) fn start(portions: Vec<Portion>, end: i64, per_second: Option<u64>) -> Self {
        let (stop, records) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = |portion: Portion| {
            let (stop, records) = (stop.clone(), records.clone());
            std::thread::spawn(move || replay(&portion, end, per_second, &stop, &records))
        };
        let threads = portions.into_iter().map(start).collect();
        Self { stop, records, began: Instant::now(), threads }
    }

    /// Values in 10^6 bytes a second since the last call, or the start.
    pub(crate) fn rate(&mut self) -> f64 {
        let (records, seconds) = (self.records.swap(0, Ordering::Relaxed), self.began.elapsed().as_secs_f64());
        self.began = Instant::now();
        records as f64 * VALUE_LEN as f64 / 1e6 / seconds
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a consumer panicked"))??;
        }
        Ok(())
    }
}

fn replay(portion: &Portion, end: i64, per_second: Option<u64>, stop: &AtomicBool, records: &AtomicU64) -> anyhow::Result<()> {
    // A queue of the default size would hold more than is read in all.
    let consumer = consumer(portion, &[("queued.max.messages.kbytes", "2048"), ("queued.min.messages", "2000")])?;
    let (began, mut seen, mut last) = (Instant::now(), 0_u64, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let Some(message) = poll(&consumer)? else {
            if last.elapsed() > PATIENCE {
                bail!("nothing came of partition {}", portion.partition);
            }
            continue;
        };
        last = Instant::now();
        let offset = message.offset();
        drop(message);
        seen += 1;
        records.fetch_add(1, Ordering::Relaxed);
        if offset + 1 >= end {
            consumer.seek(&portion.topic, portion.partition, Offset::Beginning, Duration::from_secs(10))?;
        }
        if let Some(rate) = per_second.filter(|_| seen % 64 == 0) {
            let due = Duration::from_secs_f64(seen as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}

/// A consumer at the end of a partition: the time from a record's timestamp to its arrival, in microseconds. Timestamps are milliseconds.
#[derive(Debug)]
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Histogram<u64>>>,
}

impl Follower {
    pub(crate) fn start(portion: Portion) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let follow = move || {
            let consumer = consumer(&portion, &[("fetch.wait.max.ms", "100")])?;
            let mut times = Histogram::new_with_bounds(1, 60_000_000, 3)?;
            while !stopped.load(Ordering::Relaxed) {
                if let Some(message) = poll(&consumer)? {
                    let sent = message.timestamp().to_millis().context("no timestamp")?;
                    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
                    times.saturating_record(u64::try_from(now - sent).unwrap_or(0) * 1000);
                }
            }
            Ok(times)
        };
        Self { stop, thread: std::thread::spawn(follow) }
    }

    pub(crate) fn stop(self) -> anyhow::Result<Histogram<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the follower panicked"))?
    }
}
