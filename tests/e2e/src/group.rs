//! A group of librdkafka consumers: members on threads of their own that read and commit, and what all of them together have seen.

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Whoever asks for commits gets them within this.
const LIMIT: Duration = Duration::from_secs(60);
/// Every so many records of a partition, and whenever there is nothing more, a member commits.
const COMMIT_AT: i64 = 40;

/// Counts what a member is told of its partitions, and forgets what it has read and not committed when they are taken: whoever has them next
/// commits from there.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    told: Arc<AtomicUsize>,
    read: Arc<Mutex<BTreeMap<i32, i64>>>,
}

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(list) | Rebalance::Revoke(list) if list.count() > 0) {
            self.told.fetch_add(1, Ordering::Relaxed);
            self.read.lock().clear();
        }
    }
}

/// A member's client; `more` settings count over these.
///
/// # Errors
/// librdkafka refuses a setting.
pub fn consumer(bootstrap: &str, group: &str, more: &[(&str, &str)]) -> KafkaResult<BaseConsumer<Watch>> {
    watched(bootstrap, group, more, Watch::default())
}

fn watched(bootstrap: &str, group: &str, more: &[(&str, &str)], watch: Watch) -> KafkaResult<BaseConsumer<Watch>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group).set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "earliest").set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "500");
    config.set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "100").set("log_level", "3");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create_with_context(watch)
}

/// What all members together have seen and committed.
#[derive(Debug, Default)]
pub struct Seen {
    pub records: BTreeSet<(i32, i64)>,
    /// Offsets whose commit succeeded.
    pub committed: BTreeMap<i32, i64>,
}

/// A member on a thread of its own: reads, and commits now and then.
#[derive(Debug)]
pub struct Member {
    end: Arc<AtomicBool>,
    watch: Watch,
    thread: JoinHandle<()>,
}

impl Member {
    /// Joins `group`, for `topic`.
    ///
    /// # Errors
    /// librdkafka refuses a setting.
    pub fn start((bootstrap, group): (&str, &str), topic: &str, seen: &Arc<Mutex<Seen>>, more: &[(&str, &str)]) -> KafkaResult<Self> {
        let watch = Watch::default();
        let (consumer, topic, seen) = (watched(bootstrap, group, more, watch.clone())?, topic.to_owned(), seen.clone());
        let read = watch.read.clone();
        let end = Arc::new(AtomicBool::new(false));
        let ends = end.clone();
        consumer.subscribe(&[&topic])?;
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                // Errors of a broker that is gone come and go; what counts is what is read.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    read.lock().insert(message.partition(), message.offset() + 1);
                    seen.lock().records.insert((message.partition(), message.offset()));
                    if message.offset() % COMMIT_AT != 0 {
                        continue;
                    }
                }
                commit(&consumer, &topic, &read, &seen);
            }
        });
        Ok(Self { end, watch, thread })
    }

    /// How often partitions were given to it, or taken.
    pub fn rebalances(&self) -> usize {
        self.watch.told.load(Ordering::Relaxed)
    }

    pub fn stop(self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("a member's thread does not panic");
    }
}

fn commit(consumer: &BaseConsumer<Watch>, topic: &str, read: &Mutex<BTreeMap<i32, i64>>, seen: &Mutex<Seen>) {
    // Whatever the answer, who owns the partitions now commits what comes next.
    let read = std::mem::take(&mut *read.lock());
    if read.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::new();
    for (partition, offset) in &read {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("an offset from a record");
    }
    if consumer.commit(&list, CommitMode::Sync).is_ok() {
        let mut seen = seen.lock();
        for (partition, offset) in &read {
            let known = seen.committed.entry(*partition).or_default();
            *known = (*known).max(*offset);
        }
    }
}

/// What the group has committed, as somebody sees it who is no member.
///
/// # Errors
/// Nobody answers within a minute.
pub fn committed((bootstrap, group): (&str, &str), topic: &str, partitions: i32) -> KafkaResult<BTreeMap<i32, i64>> {
    let asks = consumer(bootstrap, group, &[])?;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let asked = Instant::now();
    let found = loop {
        // librdkafka leaves it to whoever asks to try again where the coordinator has changed just then.
        match asks.committed_offsets(list.clone(), LIMIT) {
            Err(error) if asked.elapsed() >= LIMIT => return Err(error),
            Err(_) => {}
            Ok(found) => break found,
        }
    };
    let offset = |offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    Ok(found.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect())
}
