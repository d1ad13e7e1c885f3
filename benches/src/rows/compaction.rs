//! H9: a compacted partition of ten million keys.

use super::Bench;
use crate::candidate;
use crate::load;
use crate::process::{MemoryPeak, Process};
use anyhow::{Context, bail};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::path::Path;
use std::time::{Duration, Instant};

const TOPIC: &str = "compacted";
/// Bytes of a key, and of key and value.
const KEY: usize = 8;
const RECORD: usize = 100;
const PATIENCE: Duration = Duration::from_secs(300);
/// Longer than any pause in the work: checks are ten seconds apart.
const QUIET: Duration = Duration::from_secs(13);

/// All keys once, and a tenth of them again; then the topic is made a compacted one. Input per CPU second from there until the broker rests,
/// settling of the rest included, and the memory meanwhile.
pub(crate) fn compaction(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let settings = ["floe.pack.compression=none".to_owned()];
    let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
    let bootstrap = broker.bootstrap();
    load::create_topic(&bootstrap, TOPIC, 1, &[])?;
    let keys = bench.sized(10_000_000, 1_000_000);
    let records = keys + keys / 10;
    produce(&bootstrap, keys, records)?;
    at_rest(&broker.process)?;
    let (stored, before, peak) = (size(&data)?, broker.process.usage()?.cpu_seconds, MemoryPeak::watch(&broker.process));
    compact(&bootstrap)?;
    let cpu = at_rest(&broker.process)? - before;
    let memory = peak.end() as f64 / f64::from(1 << 20);
    let left = size(&data)?;
    if left as f64 > stored as f64 * 0.97 {
        bail!("nothing was compacted: {stored} bytes before, {left} after");
    }
    bench.add("H9", "floe", "MB/s of a core", records as f64 * RECORD as f64 / 1e6 / cpu);
    bench.add("H9", "floe: memory", "MiB", memory);
    check(&bootstrap, keys, records)?;
    broker.process.terminate()?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}

fn produce(bootstrap: &str, keys: u64, records: u64) -> anyhow::Result<()> {
    let mut config: ClientConfig = load::config(bootstrap);
    let producer: BaseProducer = config.set("acks", "all").set("enable.idempotence", "true").create()?;
    let value = [b'v'; RECORD - KEY];
    for number in 0..records {
        let key = (number % keys).to_be_bytes();
        loop {
            match producer.send(BaseRecord::to(TOPIC).partition(0).key(&key[..]).payload(&value[..])) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        if number % 10_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).context("flush")
}

fn compact(bootstrap: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = load::config(bootstrap).create()?;
    let change =
        AlterConfig::new(ResourceSpecifier::Topic(TOPIC)).set("cleanup.policy", "compact").set("min.cleanable.dirty.ratio", "0.01");
    for answer in futures::executor::block_on(admin.alter_configs([&change], &AdminOptions::new()))? {
        answer.map_err(|(_, code)| anyhow::anyhow!("cannot alter the topic: {code}"))?;
    }
    Ok(())
}

/// Waits until the process uses no CPU; its CPU seconds by then.
pub(super) fn at_rest(process: &Process) -> anyhow::Result<f64> {
    let began = Instant::now();
    let (mut used, mut since) = (process.usage()?.cpu_seconds, Instant::now());
    while since.elapsed() < QUIET {
        if began.elapsed() > PATIENCE {
            bail!("the broker does not come to rest");
        }
        std::thread::sleep(Duration::from_millis(200));
        let now = process.usage()?.cpu_seconds;
        if now > used + 0.05 {
            (used, since) = (now, Instant::now());
        }
    }
    Ok(process.usage()?.cpu_seconds)
}

/// Bytes of all objects.
fn size(data: &Path) -> anyhow::Result<u64> {
    let mut folders = vec![data.join("floe").join("store")];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok(bytes)
}

/// The log still ends where it did, and begins where the first key was that nobody wrote again.
fn check(bootstrap: &str, keys: u64, records: u64) -> anyhow::Result<()> {
    use rdkafka::Message;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let consumer: BaseConsumer = load::config(bootstrap).set("group.id", "floe-benches").set("enable.auto.commit", "false").create()?;
    let (_, end) = consumer.fetch_watermarks(TOPIC, 0, Duration::from_secs(30))?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(TOPIC, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    let first = consumer.poll(Duration::from_secs(30)).context("no record is left")??.offset();
    let wanted = (i64::try_from(records)?, i64::try_from(records - keys)?);
    if (end, first) != wanted {
        bail!("the log ends at {end} and its first record is at {first}, not {wanted:?}");
    }
    Ok(())
}
