//! Producers and readers on librdkafka, whose acks and reads go into a [`History`].

use crate::history::{self, History, Partition, Read, Value};
use crate::wait;
use anyhow::{Context, ensure};
use futures::executor::block_on;
use parking_lot::{Condvar, Mutex};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, Statistics};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records of one producer that wait for their ack.
const IN_FLIGHT: u64 = 500;
/// A client that gets nowhere for so long has failed, however slow the machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A topic of a test.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub configs: Vec<(String, String)>,
}

impl Topic {
    pub fn new(name: &str, partitions: i32, durability: &str) -> Self {
        Self { name: name.to_owned(), partitions, configs: vec![("floe.durability".to_owned(), durability.to_owned())] }
    }
}

/// Creates topics by librdkafka's admin client.
///
/// # Errors
/// One was not created.
pub fn create_topics(bootstrap: &str, topics: &[Topic]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create()?;
    let wanted: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(1));
            topic.configs.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    for created in block_on(admin.create_topics(&wanted, &options))? {
        created.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
    }
    Ok(())
}

/// Gives a topic these configs, and no others.
///
/// # Errors
/// It did not get them.
pub fn alter_topic(bootstrap: &str, topic: &Topic) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(bootstrap).create()?;
    let config =
        topic.configs.iter().fold(AlterConfig::new(ResourceSpecifier::Topic(&topic.name)), |config, (key, value)| config.set(key, value));
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    for altered in block_on(admin.alter_configs(&[config], &options))? {
        altered.map_err(|(topic, error)| anyhow::anyhow!("{topic:?}: {error}"))?;
    }
    Ok(())
}

/// Clients that are back soon when their broker is.
const QUICK: [(&str, &str); 4] = [
    ("reconnect.backoff.ms", "10"),
    ("reconnect.backoff.max.ms", "100"),
    ("topic.metadata.refresh.fast.interval.ms", "50"),
    ("allow.auto.create.topics", "false"),
];

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("log_level", "3");
    for (key, value) in QUICK {
        config.set(key, value);
    }
    config
}

/// What a producer's callbacks leave.
#[derive(Debug, Default)]
struct Answers {
    acknowledged: Vec<(Value, i64)>,
    /// When each partition's last ack came.
    latest: BTreeMap<Partition, Instant>,
    failed: Vec<(Value, String)>,
    fatal: Option<String>,
}

#[derive(Debug, Default)]
struct Recorder {
    answers: Mutex<Answers>,
    answered: Condvar,
}

#[derive(Clone)]
struct Callbacks(Arc<Recorder>);

impl ClientContext for Callbacks {
    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.0.answers.lock().fatal.get_or_insert_with(|| format!("{error}: {reason}"));
        }
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = Box<Value>;

    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<Value>) {
        let mut answers = self.0.answers.lock();
        match result {
            Ok(message) => {
                answers.acknowledged.push((*value, message.offset()));
                answers.latest.insert((message.topic().to_owned(), message.partition()), Instant::now());
            }
            Err((error, _)) => answers.failed.push((*value, error.to_string())),
        }
        self.0.answered.notify_all();
    }
}

/// Idempotent producers with acks=all, each of which sends to every partition until it is told to end.
#[derive(Debug)]
pub struct Load {
    recorder: Arc<Recorder>,
    partitions: Vec<Partition>,
    end: Arc<AtomicBool>,
    give_up: Arc<AtomicBool>,
    /// Microseconds.
    pace: Arc<AtomicU64>,
    producers: Vec<JoinHandle<Vec<(Value, Partition)>>>,
}

impl Load {
    /// Starts as many producers as `numbers` names; a number is used once in a history. They are quick to retry.
    ///
    /// # Errors
    /// librdkafka refuses its settings.
    pub fn start(bootstrap: &str, topics: &[Topic], numbers: std::ops::Range<u16>) -> anyhow::Result<Self> {
        let quick = [("linger.ms", "1"), ("retry.backoff.ms", "10"), ("retry.backoff.max.ms", "100"), ("batch.num.messages", "50")];
        let patient = [("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "600000")];
        Self::with(bootstrap, topics, numbers, &[&QUICK[..], &quick, &patient].concat())
    }

    /// From now on each producer waits so long after it has sent to every partition.
    pub fn pace(&self, pause: Duration) {
        self.pace.store(pause.as_micros() as u64, Ordering::Relaxed);
    }

    /// The same with other settings than librdkafka's only where they are given.
    ///
    /// # Errors
    /// librdkafka refuses its settings.
    pub fn with(bootstrap: &str, topics: &[Topic], numbers: std::ops::Range<u16>, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (recorder, end) = (Arc::new(Recorder::default()), Arc::new(AtomicBool::new(false)));
        let give_up = Arc::new(AtomicBool::new(false));
        let pace = Arc::new(AtomicU64::new(0));
        let partitions: Vec<Partition> =
            topics.iter().flat_map(|topic| (0..topic.partitions).map(|index| (topic.name.clone(), index))).collect();
        let mut producers = Vec::new();
        for number in numbers {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", bootstrap).set("log_level", "3");
            for (key, value) in settings {
                config.set(*key, *value);
            }
            let producer: ThreadedProducer<Callbacks> = config.create_with_context(Callbacks(recorder.clone()))?;
            let told = Told { end: end.clone(), give_up: give_up.clone(), pace: pace.clone() };
            let partitions = partitions.clone();
            producers.push(std::thread::spawn(move || produce(&producer, number, &partitions, &told)));
        }
        Ok(Self { recorder, partitions, end, give_up, pace, producers })
    }

    /// Acks so far.
    pub fn acknowledged(&self) -> usize {
        self.recorder.answers.lock().acknowledged.len()
    }

    /// Partitions without an ack since then.
    pub fn without_acks(&self, since: Instant) -> Vec<Partition> {
        let answers = self.recorder.answers.lock();
        self.partitions.iter().filter(|partition| answers.latest.get(partition).is_none_or(|at| *at < since)).cloned().collect()
    }

    /// Waits for `more` acks. False: they did not come in time.
    pub fn wait(&self, more: usize, limit: Duration) -> bool {
        let mut answers = self.recorder.answers.lock();
        let (wanted, deadline) = (answers.acknowledged.len() + more, Instant::now() + limit);
        let late = self.recorder.answered.wait_while_until(&mut answers, |answers| answers.acknowledged.len() < wanted, deadline);
        !late.timed_out()
    }

    /// Ends it: what was sent is answered first. Everything goes into the history.
    ///
    /// # Errors
    /// A send failed, or a producer did.
    pub fn finish(self, history: &mut History) -> anyhow::Result<()> {
        self.end.store(true, Ordering::Relaxed);
        let answers = self.take(history);
        ensure!(answers.fatal.is_none(), "a producer failed: {}", answers.fatal.unwrap_or_default());
        ensure!(answers.failed.is_empty(), "{} sends failed, the first: {:?}", answers.failed.len(), answers.failed[0]);
        Ok(())
    }

    /// Ends it although there may be nobody to answer: what was not acknowledged is left open.
    pub fn abandon(self, history: &mut History) {
        self.give_up.store(true, Ordering::Relaxed);
        self.end.store(true, Ordering::Relaxed);
        self.take(history);
    }

    fn take(self, history: &mut History) -> Answers {
        for producer in self.producers {
            for (value, partition) in producer.join().expect("a producer's thread does not panic") {
                history.sent(value, partition);
            }
        }
        let answers = std::mem::take(&mut *self.recorder.answers.lock());
        for (value, offset) in &answers.acknowledged {
            history.acknowledged(*value, *offset);
        }
        answers
    }
}

/// What its owner tells a producer's thread.
struct Told {
    end: Arc<AtomicBool>,
    give_up: Arc<AtomicBool>,
    pace: Arc<AtomicU64>,
}

fn produce(producer: &ThreadedProducer<Callbacks>, number: u16, partitions: &[Partition], told: &Told) -> Vec<(Value, Partition)> {
    let (mut sent, end) = (Vec::new(), &told.end);
    while !end.load(Ordering::Relaxed) {
        let room = wait::until(LIMIT, || {
            (producer.in_flight_count().unsigned_abs() < IN_FLIGHT as u32 || end.load(Ordering::Relaxed)).then_some(())
        });
        if room.is_none() || end.load(Ordering::Relaxed) {
            break;
        }
        for partition in partitions {
            let value = history::value(number, sent.len() as u64);
            let body = body(value);
            let record = BaseRecord::<str, str, Box<Value>>::with_opaque_to(&partition.0, Box::new(value));
            // What librdkafka does not take was not sent.
            if producer.send(record.partition(partition.1).payload(&body)).is_ok() {
                sent.push((value, partition.clone()));
            }
        }
        let pause = told.pace.load(Ordering::Relaxed);
        if pause > 0 {
            std::thread::sleep(Duration::from_micros(pause));
        }
    }
    if told.give_up.load(Ordering::Relaxed) {
        producer.purge(PurgeConfig::default().queue().inflight());
    }
    // Purged or not: every callback comes before this returns, or the send stays open in the history.
    drop(producer.flush(Timeout::After(LIMIT)));
    sent
}

/// The value, and 80 to 400 bytes behind it that belong to it alone.
fn body(value: Value) -> String {
    let word = format!("{:016x}", value.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    format!("{value:016x} {}", word.repeat(5 + (value % 20) as usize))
}

fn parse(message: &BorrowedMessage<'_>) -> Option<Read> {
    let text = std::str::from_utf8(message.payload()?).ok()?;
    let value = Value::from_str_radix(text.get(..16)?, 16).ok()?;
    // Not one byte of it may differ.
    (text == body(value)).then(|| Read { partition: (message.topic().to_owned(), message.partition()), offset: message.offset(), value })
}

fn consumer(bootstrap: &str, topics: &[Topic]) -> anyhow::Result<BaseConsumer> {
    let mut config = client(bootstrap);
    config.set("group.id", "e2e").set("enable.auto.commit", "false").set("auto.offset.reset", "error").set("fetch.wait.max.ms", "50");
    config.set("isolation.level", "read_committed").set("fetch.error.backoff.ms", "20").set("check.crcs", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for index in 0..topic.partitions {
            list.add_partition_offset(&topic.name, index, Offset::Offset(0))?;
        }
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// What one poll gave: None if nothing, or one of the errors that a dead broker causes.
fn poll(consumer: &BaseConsumer) -> anyhow::Result<Option<Read>> {
    match consumer.poll(Duration::from_millis(50)) {
        Some(Ok(message)) => Ok(Some(parse(&message).with_context(|| format!("a strange record at offset {}", message.offset()))?)),
        Some(Err(KafkaError::MessageConsumption(code)))
            if matches!(code, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::BadMessage) =>
        {
            anyhow::bail!("a reader failed: {code}")
        }
        _ => Ok(None),
    }
}

/// A reader that follows the log while brokers come and go.
#[derive(Debug)]
pub struct Follower {
    end: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<Read>>>,
}

impl Follower {
    /// Starts it at the beginning of all partitions.
    ///
    /// # Errors
    /// librdkafka refuses its settings.
    pub fn start(bootstrap: &str, topics: &[Topic]) -> anyhow::Result<Self> {
        let consumer = consumer(bootstrap, topics)?;
        let end = Arc::new(AtomicBool::new(false));
        let told = end.clone();
        let thread = std::thread::spawn(move || {
            let mut reads = Vec::new();
            while !told.load(Ordering::Relaxed) {
                reads.extend(poll(&consumer)?);
            }
            Ok(reads)
        });
        Ok(Self { end, thread })
    }

    /// Ends it; what it got goes into the history. Gives back how many.
    ///
    /// # Errors
    /// It was told of a reset, or got a record that nobody wrote.
    pub fn finish(self, history: &mut History) -> anyhow::Result<usize> {
        self.end.store(true, Ordering::Relaxed);
        let reads = self.thread.join().expect("a reader's thread does not panic")?;
        let count = reads.len();
        history.read(reads);
        Ok(count)
    }
}

/// Reads every partition from its start to its end, by assignment; these are the history's final reads.
///
/// # Errors
/// It does not come to the end in time, or a log does not begin at 0.
pub fn read_everything(bootstrap: &str, topics: &[Topic], history: &mut History) -> anyhow::Result<usize> {
    let consumer = consumer(bootstrap, topics)?;
    let mut ends = BTreeMap::new();
    for topic in topics {
        for index in 0..topic.partitions {
            // librdkafka does not ask again where a connection breaks just then.
            let asked = Instant::now();
            let (start, end) = loop {
                match consumer.fetch_watermarks(&topic.name, index, Duration::from_secs(30)) {
                    Ok(found) => break found,
                    Err(error) => ensure!(asked.elapsed() < LIMIT, "{} {index}: {error}", topic.name),
                }
            };
            ensure!(start == 0, "{} {index} begins at {start}", topic.name);
            ends.insert((topic.name.clone(), index), end);
        }
    }
    ends.retain(|_, end| *end > 0);
    let (mut reads, mut last) = (Vec::new(), Instant::now());
    while !ends.is_empty() {
        match poll(&consumer)? {
            Some(read) => {
                if ends.get(&read.partition).is_some_and(|end| read.offset + 1 >= *end) {
                    ends.remove(&read.partition);
                }
                reads.push(read);
                last = Instant::now();
            }
            None => ensure!(last.elapsed() < LIMIT, "nothing more is read, before these ends: {ends:?}"),
        }
    }
    let count = reads.len();
    history.read_at_last(reads);
    Ok(count)
}
