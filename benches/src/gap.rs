//! The longest time between two acknowledgements of a partition while a broker is hurt: one librdkafka client with idempotence, the same for every candidate.

use crate::load::config;
use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PER_SECOND: f64 = 200.0;
/// Before a broker is hurt.
const QUIET: Duration = Duration::from_secs(3);
/// All partitions have been acknowledged within so long, again and again, before it is over.
const GOES_ON: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);
/// What the row asks for, and no linger: records are counted, not batched.
const SETTINGS: [(&str, &str); 7] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("linger.ms", "0"),
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "200"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "200"),
];

/// The longest gaps, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaps {
    /// Of partitions that the hurt broker led.
    pub(crate) led: f64,
    pub(crate) others: f64,
    /// Of all of them before it was hurt.
    pub(crate) before: f64,
}

#[derive(Debug, Default)]
struct Acks {
    by_partition: Vec<Vec<Instant>>,
    count: u64,
    failure: Option<KafkaError>,
}

#[derive(Clone)]
struct Listener(Arc<Mutex<Acks>>);

impl ClientContext for Listener {}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let (now, mut acks) = (Instant::now(), self.0.lock());
        match result {
            Ok(message) => {
                let partition = usize::try_from(message.partition()).ok();
                if let Some(times) = partition.and_then(|partition| acks.by_partition.get_mut(partition)) {
                    times.push(now);
                }
                acks.count += 1;
            }
            Err((error, _)) => acks.failure = Some(error.clone()),
        }
    }
}

/// What is measured: `leaders` has the leader of every partition, `victim` is one of them.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) topic: &'a str,
    pub(crate) leaders: &'a [i32],
    pub(crate) victim: i32,
    /// How far into a second of the client's life it is hurt: librdkafka looks for leaders that are gone once a second.
    pub(crate) phase: f64,
    /// So long at least after it was hurt.
    pub(crate) least: Duration,
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// Sends on and on, hurts a broker in the meantime, and goes on until all partitions are acknowledged as before.
pub(crate) fn measure(bootstrap: &str, scene: &Scene<'_>, hurt: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Gaps> {
    ensure!(scene.leaders.contains(&scene.victim), "broker {} leads nothing: {:?}", scene.victim, scene.leaders);
    let acks = Arc::new(Mutex::new(Acks { by_partition: vec![Vec::new(); scene.leaders.len()], ..Acks::default() }));
    let mut config = config(bootstrap);
    for (key, value) in SETTINGS.iter().chain(scene.settings) {
        config.set(*key, *value);
    }
    let producer: ThreadedProducer<Listener> = config.set("log_level", "0").create_with_context(Listener(acks.clone()))?;
    producer.client().fetch_metadata(Some(scene.topic), Duration::from_secs(30))?;
    let (began, mut sent, mut hurt, mut hurt_at) = (Instant::now(), 0_u64, Some(hurt), None);
    loop {
        let due = Duration::from_secs_f64(sent as f64 / PER_SECOND);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let partition = sent as usize % scene.leaders.len();
        let record = BaseRecord::<(), [u8]>::to(scene.topic).partition(i32::try_from(partition)?).payload(&[b'v'; 100]);
        producer.send(record).map_err(|(error, _)| error).context("send")?;
        sent += 1;
        if began.elapsed() >= QUIET + Duration::from_secs_f64(scene.phase)
            && let Some(hurt) = hurt.take()
        {
            hurt_at = Some(Instant::now());
            hurt()?;
        }
        let Some(hurt_at) = hurt_at else { continue };
        if hurt_at.elapsed() > PATIENCE {
            bail!("no acknowledgements of partitions {:?} after {PATIENCE:?}", silent(&acks.lock()));
        }
        if hurt_at.elapsed() > scene.least && sent % 20 == 0 && goes_on(&acks.lock()) {
            break;
        }
    }
    producer.flush(PATIENCE)?;
    let (acks, hurt_at) = (acks.lock(), hurt_at.context("it was hurt")?);
    if let Some(error) = &acks.failure {
        bail!("a record was not acknowledged: {error}");
    }
    ensure!(acks.count == sent, "{} of {sent} records were acknowledged", acks.count);
    let of = |wanted: fn(bool) -> bool, after: bool| {
        let partitions = acks.by_partition.iter().zip(scene.leaders).filter(|(_, leader)| wanted(**leader == scene.victim));
        partitions.map(|(times, _)| longest(times, hurt_at, after)).fold(0.0, f64::max)
    };
    Ok(Gaps { led: of(|led| led, true), others: of(|led| !led, true), before: of(|_| true, false) })
}

fn longest(times: &[Instant], hurt_at: Instant, after: bool) -> f64 {
    let gaps = times.windows(2).filter(|pair| (pair[1] >= hurt_at) == after).map(|pair| (pair[1] - pair[0]).as_secs_f64());
    gaps.fold(0.0, f64::max)
}

/// Every partition was acknowledged just now, and at least so often in the last seconds as half of what was sent.
fn goes_on(acks: &Acks) -> bool {
    let lately = |times: &Vec<Instant>| times.iter().rev().take_while(|time| time.elapsed() < GOES_ON).count() as f64;
    let least = GOES_ON.as_secs_f64() * PER_SECOND / acks.by_partition.len() as f64 / 2.0;
    acks.by_partition.iter().all(|times| lately(times) >= least && times.last().is_some_and(|last| last.elapsed() < GOES_ON / 4))
}

fn silent(acks: &Acks) -> Vec<usize> {
    let is_silent = |times: &Vec<Instant>| times.last().is_none_or(|last| last.elapsed() > GOES_ON);
    acks.by_partition.iter().enumerate().filter(|(_, times)| is_silent(times)).map(|(partition, _)| partition).collect()
}
