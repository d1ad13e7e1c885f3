//! How fast the WAL is, as ratios to raw `pwrite` + `fdatasync` of the same sizes on the same disk in the same run.
//!
//! `cargo run --release -p floe-wal --example append_speed [DIR] [MIB]`: DIR is where to write (a temporary folder by default),
//! MIB how much for each size (512 by default). Five rounds, in turn; medians are printed.
#![expect(clippy::print_stdout, reason = "a program with a report")]

use bytes::Bytes;
use floe_env::{Disk, Env, RealDisk};
use floe_records::{BatchBuilder, Codec};
use floe_types::{Generation, Incarnation, Lsn, PartitionId, TopicId};
use floe_wal::{Durable, Entry, Replay, Wal, WalOptions, remove_generation};
use std::{
    error::Error,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

type Outcome<T> = Result<T, Box<dyn Error>>;

const MIB: u64 = 1 << 20;
const ROUNDS: usize = 5;
/// What producers have in flight together.
const IN_FLIGHT: u64 = 16 * MIB;
const FILE: u64 = 64 * MIB;
/// Raw writes go round in so much preallocated space; the WAL is trimmed so far behind.
const SPAN: u64 = 4 * FILE;
const SINGLE: usize = 1_000;

#[derive(Default)]
struct Mark {
    upto: AtomicU64,
    moved: Notify,
}

impl Durable for Mark {
    fn durable(&self, upto: Lsn) {
        self.upto.store(upto.0, Ordering::Release);
        self.moved.notify_one();
    }
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let temporary = tempfile::tempdir()?;
    let root = args.next().map_or_else(|| temporary.path().to_path_buf(), Into::into);
    let bytes = args.next().map_or(Ok(512), |n| n.parse::<u64>())? * MIB;
    let env = Env::real();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // On a worker, as in the broker.
        let bench = Bench { env: env.clone(), disk: Arc::new(RealDisk::new(root.clone())), root };
        env.spawn("bench", async move { bench.report(bytes).await.map_err(|error| error.to_string()) }).join().await??;
        Ok(())
    })
}

struct Bench {
    env: Env,
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

#[derive(Clone, Copy)]
struct Run {
    /// Bytes per second.
    speed: f64,
    group: u64,
    append_nanos: f64,
    /// Share of the time that the writer spent in writes and syncs.
    busy: f64,
}

impl Bench {
    async fn report(&self, bytes: u64) -> Outcome<()> {
        println!(
            "entry bytes | WAL MB/s | bytes per sync | raw MB/s, same sizes | WAL/raw | append ns | writer busy | WAL MB/s while files are made"
        );
        for size in [1_000, 16_000, 250_000, 1_000_000] {
            let bytes = if size < 10_000 { bytes / 2 } else { bytes };
            let (mut wal, mut raw, mut first) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let warm = self.throughput(size, bytes, true).await?;
                first.push(self.throughput(size, bytes, false).await?.speed);
                raw.push(self.raw_throughput(warm.group, bytes, round)?);
                wal.push(warm);
            }
            let group = median(wal.iter().map(|run| run.group as f64).collect());
            let (speed, raw) = (median(wal.iter().map(|run| run.speed).collect()), median(raw));
            println!(
                "{size:>11} | {:>8.0} | {group:>14.0} | {:>20.0} | {:>7.2} | {:>9.0} | {:>11.2} | {:>8.0}",
                speed / 1e6,
                raw / 1e6,
                speed / raw,
                median(wal.iter().map(|run| run.append_nanos).collect()),
                median(wal.iter().map(|run| run.busy).collect()),
                median(first) / 1e6
            );
        }
        println!("\n{SINGLE} entries of 1,000 bytes, one after the other, 1,000 a second: microseconds to durable");
        println!("            |    p50 |    p99");
        let wal = self.latencies().await?;
        let raw = self.raw_latencies()?;
        println!("WAL         | {:>6.0} | {:>6.0}", wal.0, wal.1);
        println!("raw         | {:>6.0} | {:>6.0}", raw.0, raw.1);
        println!("WAL/raw     | {:>6.2} | {:>6.2}", wal.0 / raw.0, wal.1 / raw.1);
        self.first_ack().await?;
        self.replays().await
    }

    async fn wal(&self, dir: &str) -> Outcome<Arc<Wal>> {
        remove_generation(&self.disk, dir).await?;
        let options = WalOptions { file_bytes: FILE, ..WalOptions::new(Incarnation(1), Generation(0), dir) };
        Ok(Wal::create(self.env.clone(), Arc::clone(&self.disk), options).await?)
    }

    /// Appends as much as [`IN_FLIGHT`] allows. `warm`: after a first pass, so that files are recycled and not made.
    async fn throughput(&self, size: usize, bytes: u64, warm: bool) -> Outcome<Run> {
        let wal = self.wal("speed").await?;
        if warm {
            self.append_all(&wal, size, 3 * SPAN).await?;
        }
        let before = wal.stats();
        let run = self.append_all(&wal, size, bytes).await?;
        let after = wal.stats();
        wal.close().await?;
        Ok(Run { group: (after.bytes - before.bytes) / (after.groups - before.groups), ..run })
    }

    async fn append_all(&self, wal: &Arc<Wal>, size: usize, bytes: u64) -> Outcome<Run> {
        let mark = Arc::new(Mark::default());
        let sink: Arc<dyn Durable> = Arc::clone(&mark) as _;
        let batch = batch(size);
        let start = wal.end().0;
        mark.upto.store(start, Ordering::Release);
        let mut appending = Duration::ZERO;
        let mut appends = 0_u32;
        let mut trimmed = wal.trimmed().0;
        let busy = wal.stats().busy_nanos;
        let began = self.env.monotonic();
        while wal.end().0 - start < bytes {
            let from = self.env.monotonic();
            while wal.end().0 - mark.upto.load(Ordering::Acquire) < IN_FLIGHT && wal.end().0 - start < bytes {
                wal.append(&entry(&batch, i64::from(appends)), &sink)?;
                appends += 1;
            }
            appending += self.env.monotonic() - from;
            mark.moved.notified().await;
            let to = wal.durable().0.saturating_sub(SPAN);
            if to > trimmed + FILE {
                // As flushing does it: beside.
                trimmed = to;
                let wal = Arc::clone(wal);
                self.env.spawn("trim", async move { wal.trim(Lsn(to)).await }).detach_to_group();
            }
        }
        wal.wait_durable(wal.end()).await?;
        let took = (self.env.monotonic() - began).as_secs_f64();
        let append_nanos = appending.as_nanos() as f64 / f64::from(appends);
        Ok(Run {
            speed: (wal.end().0 - start) as f64 / took,
            group: 0,
            append_nanos,
            busy: (wal.stats().busy_nanos - busy) as f64 / 1e9 / took,
        })
    }

    /// One thread, one buffer, preallocated and zeroed files, each group written and synced.
    fn raw_throughput(&self, group: u64, bytes: u64, round: usize) -> Outcome<f64> {
        let buffer = vec![u8::try_from(round)? | 0x40; usize::try_from(group)?];
        let file = zeroed(&self.root.join("raw"), SPAN)?;
        let began = self.env.monotonic();
        let (mut at, mut done) = (0, 0);
        while done < bytes {
            if at + group > SPAN {
                at = 0;
            }
            file.write_all_at(&buffer, at)?;
            file.sync_data()?;
            at += group;
            done += group;
        }
        Ok(done as f64 / (self.env.monotonic() - began).as_secs_f64())
    }

    async fn latencies(&self) -> Outcome<(f64, f64)> {
        let wal = self.wal("latency").await?;
        let mark = Arc::new(Mark::default());
        let sink: Arc<dyn Durable> = Arc::clone(&mark) as _;
        let batch = batch(SINGLE);
        let mut micros = Vec::new();
        let start = self.env.monotonic();
        for n in 0..SINGLE {
            self.env.sleep((start + Duration::from_millis(n as u64)).saturating_sub(self.env.monotonic())).await;
            let began = self.env.monotonic();
            wal.append(&entry(&batch, n as i64), &sink)?;
            mark.moved.notified().await;
            micros.push((self.env.monotonic() - began).as_nanos() as f64 / 1e3);
        }
        wal.close().await?;
        Ok(p50_p99(micros))
    }

    #[expect(clippy::disallowed_methods, reason = "the raw disk has a thread of its own")]
    fn raw_latencies(&self) -> Outcome<(f64, f64)> {
        let file = zeroed(&self.root.join("raw"), FILE)?;
        let buffer = batch(SINGLE);
        let mut micros = Vec::new();
        let start = self.env.monotonic();
        for n in 0..SINGLE {
            std::thread::sleep((start + Duration::from_millis(n as u64)).saturating_sub(self.env.monotonic()));
            let began = self.env.monotonic();
            file.write_all_at(&buffer, (n * buffer.len()) as u64)?;
            file.sync_data()?;
            micros.push((self.env.monotonic() - began).as_nanos() as f64 / 1e3);
        }
        Ok(p50_p99(micros))
    }

    async fn first_ack(&self) -> Outcome<()> {
        let mut millis = Vec::new();
        for _ in 0..21 {
            remove_generation(&self.disk, "start").await?;
            let began = self.env.monotonic();
            let wal = self.wal("start").await?;
            let created = self.env.monotonic();
            let sink: Arc<dyn Durable> = Arc::new(Mark::default());
            let end = wal.append(&entry(&batch(SINGLE), 0), &sink)?.end;
            wal.wait_durable(end).await?;
            millis.push(((created - began).as_secs_f64() * 1e3, (self.env.monotonic() - created).as_secs_f64() * 1e3));
        }
        let create = median(millis.iter().map(|(create, _)| *create).collect());
        let first = median(millis.iter().map(|(_, first)| *first).collect());
        println!("to begin a WAL: {create:.1} ms, then to the first durable entry: {first:.1} ms");
        Ok(remove_generation(&self.disk, "start").await?)
    }

    async fn replays(&self) -> Outcome<()> {
        for size in [1_000, 250_000] {
            let wal = self.wal("replay").await?;
            self.append_all(&wal, size, 256 * MIB).await?;
            drop(wal);
            let began = self.env.monotonic();
            let mut records = 0_u64;
            let mut replay = Replay::open(&self.disk, "replay", Incarnation(1), Generation(0)).await?;
            while let Some(entries) = replay.next().await? {
                records += entries.iter().map(|entry| entry.batch.len() as u64).sum::<u64>();
            }
            let took = (self.env.monotonic() - began).as_secs_f64();
            println!(
                "replay of 256 MiB in entries of {size}: {took:.3} s, {:.0} MB/s, {} entries",
                records as f64 / took / 1e6,
                replay.replayed().entries
            );
        }
        remove_generation(&self.disk, "replay").await?;
        Ok(())
    }
}

fn entry(batch: &Bytes, base_offset: i64) -> Entry<'_> {
    let partition = PartitionId { topic: TopicId(1), index: 0 };
    Entry { partition, epoch: 1, epoch_start: 0, base_offset, batch }
}

fn batch(bytes: usize) -> Bytes {
    let value: Vec<u8> = (0..bytes).map(|n| (n * 7 % 251) as u8).collect();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1, None, Some(&value)).expect("it fits into a batch");
    builder.build()
}

#[expect(clippy::disallowed_methods, reason = "raw is what the doors are measured against")]
fn zeroed(path: &Path, bytes: u64) -> Outcome<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeroes = vec![0; 1 << 20];
    for at in (0..bytes).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, at)?;
    }
    file.sync_all()?;
    Ok(file)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn p50_p99(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() * 99 / 100])
}
