//! The report: one table of rows with their verdicts, one of everything measured, the machine, and the hand-written notes.

mod cluster;

use crate::samples::{Row, Samples};
use std::fmt::Write;

/// What a row asks for, and how it is judged.
struct Asked {
    id: &'static str,
    what: &'static str,
    reach: &'static str,
    goal: &'static str,
    /// What was measured, in words; whether the reach is met, whether the goal is. None: a number is missing.
    judge: fn(&Row) -> Option<Judged>,
}

struct Judged {
    measured: String,
    reached: bool,
    goal: bool,
}

/// The codec that rows are judged by: librdkafka's default.
const CODEC: &str = "none";

fn judged(measured: String, reached: bool, goal: bool) -> Option<Judged> {
    Some(Judged { measured, reached, goal })
}

fn at_most(row: &Row, name: &str, unit: &str, reach: f64, goal: f64) -> Option<Judged> {
    let value = row.median(name)?;
    judged(format!("{} {unit}", number(value)), value <= reach, value <= goal)
}

/// Every start counts, in whatever round.
fn slowest(row: &Row, reach: f64, goal: f64) -> Option<Judged> {
    let series = row.series.iter().find(|series| series.name == "floe")?;
    let (_, most) = series.range();
    judged(format!("{} s at most, {} in the median", number(most), number(series.median())), most <= reach, most <= goal)
}

fn produce(row: &Row) -> Option<Judged> {
    let (floe, raw) = (row.median(&format!("floe {CODEC}"))?, row.median(&format!("raw {CODEC}"))?);
    let kafka = row.median(&format!("kafka {CODEC}"));
    let reach = kafka.map_or(0.8 * raw, |kafka| kafka.min(0.8 * raw));
    let to_kafka = kafka.map_or_else(|| "Kafka not here".to_owned(), |kafka| format!("{:.2}x Kafka", floe / kafka));
    let measured = format!("{} MB/s: {to_kafka}, {:.2}x raw", number(floe), floe / raw);
    judged(measured, floe >= reach, kafka.is_some_and(|kafka| floe >= 1.5 * kafka))
}

fn produce_cpu(row: &Row) -> Option<Judged> {
    let (floe, kafka) = (row.median(&format!("floe {CODEC}"))?, row.median(&format!("kafka {CODEC}"))?);
    judged(format!("{floe:.2} s/GB: {:.2}x Kafka", floe / kafka), floe <= 0.8 * kafka, floe <= 0.5 * kafka)
}

fn consume(row: &Row) -> Option<Judged> {
    let (floe, kafka) = (row.median("floe tail")?, row.median("kafka tail")?);
    let (cpu, kafka_cpu) = (row.median("floe tail: CPU")?, row.median("kafka tail: CPU")?);
    let measured = format!("{} MB/s: {:.2}x Kafka, CPU {:.2}x", number(floe), floe / kafka, cpu / kafka_cpu);
    judged(measured, floe >= kafka && cpu <= kafka_cpu, floe >= 1.5 * kafka)
}

fn latency(row: &Row) -> Option<Judged> {
    let (mut texts, mut reached, mut goal) = (Vec::new(), true, true);
    for quantile in ["p50", "p99"] {
        let of = |name: &str| row.median(&format!("{name} {quantile}"));
        let (floe, floor, sync) = (of("floe")?, of("responder")?, of("raw fdatasync")?);
        reached &= floe <= floor + 2.0 * sync;
        goal &= floe <= floor + sync;
        texts.push(format!("{quantile} {floe:.2} ms against {floor:.2} + 2 x {sync:.2}"));
    }
    judged(texts.join("; "), reached, goal)
}

fn object_latency(row: &Row) -> Option<Judged> {
    let (p50, p99) = (row.median("floe p50")?, row.median("floe p99")?);
    judged(format!("p50 {p50:.0} ms, p99 {p99:.0} ms"), p50 <= 200.0 && p99 <= 450.0, p50 <= 150.0 && p99 <= 400.0)
}

fn flushed(row: &Row) -> Option<Judged> {
    let (floe, raw, cpu) = (row.median("floe until all is in the store")?, row.median("raw PUT")?, row.median("floe: CPU")?);
    let measured = format!("{} MB/s: {:.2}x raw PUT, {cpu:.2} s/GB", number(floe), floe / raw);
    judged(measured, floe >= 0.7 * raw && cpu <= 3.0, floe >= 150.0)
}

fn one_producer(row: &Row) -> Option<Judged> {
    let rate = row.median("floe, librdkafka defaults")?;
    judged(format!("{rate:.0} records/s"), rate >= 5_000.0, rate >= 20_000.0)
}

/// Requests per second against Kafka's, and the CPU of each.
fn requests(row: &Row, reach: f64, cpu_us: Option<f64>) -> Option<Judged> {
    let (floe, kafka) = (row.median("floe")?, row.median("kafka")?);
    let (cpu, kafka_cpu) = (row.median("floe: CPU")?, row.median("kafka: CPU")?);
    let measured = format!("{floe:.0}/s: {:.1}x Kafka; CPU {cpu:.0} us, Kafka {kafka_cpu:.0}", floe / kafka);
    let reached = floe >= reach * kafka && cpu_us.is_none_or(|most| cpu <= most);
    judged(measured, reached, false)
}

fn rebalance(row: &Row) -> Option<Judged> {
    let (mut texts, mut reached) = (Vec::new(), true);
    for assignor in ["eager", "cooperative"] {
        let (floe, kafka) = (row.median(&format!("floe, {assignor}"))?, row.median(&format!("kafka, {assignor}"))?);
        reached &= floe <= kafka;
        texts.push(format!("{assignor} {} s: {:.2}x Kafka", number(floe), floe / kafka));
    }
    judged(texts.join("; "), reached, false)
}

fn many_members(row: &Row) -> Option<Judged> {
    let (floe, kafka, memory) = (row.median("floe")?, row.median("kafka")?, row.median("floe: memory")?);
    let measured = format!("{} s: {:.2}x Kafka; {memory:.0} MiB more", number(floe), floe / kafka);
    let reached = floe <= kafka && memory <= 64.0;
    judged(measured, reached, false)
}

fn topics(row: &Row) -> Option<Judged> {
    let ratio = |how: &str| Some((row.median(&format!("floe, {how}"))?, row.median(&format!("kafka, {how}"))?));
    let ((one, kafka_one), (all, kafka_all)) = (ratio("one after another")?, ratio("in one request")?);
    let measured = format!("{one:.0}/s: {:.1}x Kafka; {all:.0}/s: {:.1}x", one / kafka_one, all / kafka_all);
    let reached = one >= kafka_one && all >= 3.0 * kafka_all;
    judged(measured, reached, false)
}

fn crowd(row: &Row) -> Option<Judged> {
    let quiet = row.median("floe, quiet")?;
    let mut texts = vec![format!("quiet {} ms", number(quiet))];
    for how in ["idle and slow connections", "flood of metadata", "reconnects"] {
        let of = |who: &str| row.median(&format!("{who}, {how}"));
        let kafka =
            of("kafka").zip(row.median("kafka, quiet")).map(|(ms, quiet)| format!(" (Kafka {:.1}x)", ms / quiet)).unwrap_or_default();
        texts.push(format!("{how} {:.1}x{kafka}", of("floe")? / quiet));
    }
    texts.push(format!("{:.0} MiB more", row.median("floe: memory")?));
    judged(texts.join("; "), true, false)
}

/// One rate as a part of another.
fn part(row: &Row, name: &str, of: &str) -> Option<(String, f64)> {
    let (rate, limit) = (row.median(name)?, row.median(of)?);
    Some((format!("{} MB/s: {:.2}x {of}", number(rate), rate / limit), rate / limit))
}

fn replayed(row: &Row) -> Option<Judged> {
    let (measured, part) = of_the_same_bytes(row)?;
    judged(measured, part >= 0.7, part >= 0.9)
}

fn replayed_by_eight(row: &Row) -> Option<Judged> {
    let ((measured, part), cpu) = (of_the_same_bytes(row)?, row.median("floe: CPU")?);
    judged(format!("{measured}; {cpu:.2} s/GB"), part >= 0.7 && cpu <= 0.8, part >= 0.9 && cpu <= 0.5)
}

/// Against GETs that move as many bytes as the consumer gets: of packs that are not compressed where he gets batches as they are, of batches that the client
/// compressed where he gets those. The worst counts.
fn of_the_same_bytes(row: &Row) -> Option<(String, f64)> {
    let raw = row.median("raw GET, not compressed")?;
    let (plain, client) = (row.median("floe by plain Fetch")?, row.median("floe")?);
    let (compressed, of_it) = (row.median("floe by plain Fetch, lz4 by the client")?, row.median("raw GET, lz4 by the client")?);
    let parts = [plain / raw, client / raw, row.median("floe by plain Fetch, not compressed")? / raw, compressed / of_it];
    let measured = format!(
        "{} MB/s: {:.2}x raw GET; librdkafka {} MB/s: {:.2}x; lz4 by the client {} MB/s: {:.2}x",
        number(plain),
        plain / raw,
        number(client),
        client / raw,
        number(compressed),
        compressed / of_it
    );
    Some((measured, parts.into_iter().fold(f64::INFINITY, f64::min)))
}

fn cold_packs(row: &Row) -> Option<Judged> {
    let (measured, part) = part(row, "cold packs", "tail")?;
    judged(measured, part >= 0.7, part >= 1.0)
}

fn beside_replay(row: &Row) -> Option<Judged> {
    let rate = row.median("replayed meanwhile")?;
    let (mut texts, mut worst) = (Vec::new(), 0.0_f64);
    for what in ["ack", "end to end"] {
        let (alone, beside) = (row.median(&format!("{what} p99 alone"))?, row.median(&format!("{what} p99 beside 64 consumers"))?);
        worst = worst.max(beside / alone);
        texts.push(format!("{what} {} against {} ms alone", number(beside), number(alone)));
    }
    judged(format!("{}: {worst:.2}x, at {rate:.0} MB/s", texts.join(", ")), worst <= 1.3 && rate >= 50.0, worst <= 1.1 && rate >= 50.0)
}

fn cold(row: &Row) -> Option<Judged> {
    let (offset, time, get) = (row.median("by offset")?, row.median("by time")?, row.median("small GET")?);
    let most = offset.max(time) / get;
    judged(format!("offset {} ms, time {} ms: {most:.1}x a small GET", number(offset), number(time)), most <= 4.0, most <= 3.0)
}

fn compaction(row: &Row) -> Option<Judged> {
    let (rate, memory) = (row.median("floe")?, row.median("floe: memory")?);
    judged(format!("{} MB/s of a core, {memory:.0} MiB", number(rate)), rate >= 60.0 && memory <= 256.0, rate >= 120.0 && memory <= 256.0)
}

fn many_partitions(row: &Row) -> Option<Judged> {
    let (peak, settled) = (row.median("floe, peak")?, row.median("floe, settled")?);
    let most = peak.max(settled);
    judged(format!("{} MiB, {} settled", number(peak), number(settled)), most <= 300.0, most <= 150.0)
}

/// All rows, in the order of the report: E of the broker core, S of the Kafka surface, H of history, Z of sleep; C of the cluster.
pub(crate) fn rows() -> impl Iterator<Item = &'static str> {
    all_asked().map(|asked| asked.id)
}

fn all_asked() -> impl Iterator<Item = &'static Asked> {
    ASKED.iter().chain(cluster::ASKED)
}

const ASKED: &[Asked] = &[
    Asked { id: "E1", what: "produce, 8 partitions, acks=all", reach: "≥ min(1.0x Kafka, 0.8x raw)", goal: "1.5x Kafka", judge: produce },
    Asked { id: "E2", what: "broker CPU per GB of E1", reach: "≤ 0.8x Kafka", goal: "0.5x", judge: produce_cpu },
    Asked {
        id: "E3",
        what: "produce with flush to an S3 server on the same cores",
        reach: "≥ 0.7x raw PUT; ≤ 3 s/GB",
        goal: "150 MB/s",
        judge: flushed,
    },
    Asked { id: "E4", what: "consume the tail, 8 partitions", reach: "≥ 1.0x Kafka, CPU ≤ 1.0x", goal: "1.5x", judge: consume },
    Asked { id: "E5", what: "ack at 1,000/s", reach: "≤ responder + 2 fdatasyncs", goal: "+ 1", judge: latency },
    Asked { id: "E6", what: "`object` on the shaped store, 20 MB/s", reach: "≤ 200, 450 ms", goal: "150, 400 ms", judge: object_latency },
    Asked {
        id: "E7",
        what: "one producer, one partition, `object`, shaped store",
        reach: "≥ 5,000/s",
        goal: "20,000/s",
        judge: one_producer,
    },
    Asked {
        id: "E8",
        what: "start to first ack, empty log",
        reach: "≤ 0.12 s",
        goal: "0.05 s",
        judge: |row| at_most(row, "floe", "s", 0.12, 0.05),
    },
    Asked {
        id: "E9",
        what: "same with 1 GiB of history",
        reach: "≤ 0.2 s",
        goal: "0.1 s",
        judge: |row| at_most(row, "floe", "s", 0.2, 0.1),
    },
    Asked {
        id: "E10",
        what: "same with 256 MiB of WAL to replay",
        reach: "≤ 1.0 s",
        goal: "0.5 s",
        judge: |row| at_most(row, "floe", "s", 1.0, 0.5),
    },
    Asked { id: "E11", what: "memory: idle", reach: "≤ 30 MiB", goal: "15 MiB", judge: |row| at_most(row, "floe", "MiB", 30.0, 15.0) },
    Asked {
        id: "E12",
        what: "memory: during E1",
        reach: "≤ 250 MiB",
        goal: "150 MiB",
        judge: |row| at_most(row, "floe none", "MiB", 250.0, 150.0),
    },
    Asked {
        id: "E13",
        what: "store requests a minute, 10,000 idle partitions",
        reach: "0",
        goal: "0",
        judge: |row| at_most(row, "floe", "", 0.0, 0.0),
    },
    Asked {
        id: "S1",
        what: "100 members begin on 1,000 partitions: until all consume",
        reach: "≤ 1.0x Kafka",
        goal: "-",
        judge: rebalance,
    },
    Asked { id: "S2", what: "offset commits, 50 groups", reach: "≥ 3x Kafka", goal: "-", judge: |row| requests(row, 3.0, None) },
    Asked {
        id: "S3",
        what: "1,000 members join at once: until all are of one generation",
        reach: "≤ 1.0x Kafka; ≤ 64 MiB more",
        goal: "-",
        judge: many_members,
    },
    Asked { id: "S4", what: "Metadata of 10,000 partitions", reach: "≥ 3x Kafka", goal: "-", judge: |row| requests(row, 3.0, None) },
    Asked {
        id: "S5",
        what: "topics of 10 partitions created: 1,000 one after another; 900 in one request",
        reach: "≥ 1.0x, 3x Kafka",
        goal: "-",
        judge: topics,
    },
    Asked {
        id: "S6",
        what: "one record a request, 8 partitions",
        reach: "≥ 3x Kafka; ≤ 40 us",
        goal: "-",
        judge: |row| requests(row, 3.0, Some(40.0)),
    },
    Asked {
        id: "S7",
        what: "start with 1,000,000 committed offsets: until all groups are listed",
        reach: "≤ 1 s",
        goal: "-",
        judge: |row| at_most(row, "floe", "s", 1.0, 0.0),
    },
    Asked { id: "S8", what: "ack p99 at 500/s in a crowd of other connections", reach: "reported", goal: "-", judge: crowd },
    Asked { id: "H1", what: "replay of one partition, shaped store", reach: "≥ 0.7x raw GET", goal: "0.9x", judge: replayed },
    Asked {
        id: "H2",
        what: "replay of 8 partitions by 8 consumers, shaped store",
        reach: "≥ 0.7x raw GET; ≤ 0.8 s/GB",
        goal: "0.9x; 0.5 s/GB",
        judge: replayed_by_eight,
    },
    Asked { id: "H3", what: "cold packs from a directory", reach: "≥ 0.7x the tail from memory", goal: "1.0x", judge: cold_packs },
    Asked {
        id: "H4",
        what: "p99 of the tail beside 64 replaying consumers, shaped store",
        reach: "≤ 1.3x alone, at ≥ 50 MB/s",
        goal: "1.1x",
        judge: beside_replay,
    },
    Asked {
        id: "H5",
        what: "first record of a cold offset or time in 100,000 segments, shaped store",
        reach: "≤ 4 first-byte latencies",
        goal: "3",
        judge: cold,
    },
    Asked { id: "H6", what: "GETs per GB replayed", reach: "≤ 200", goal: "130", judge: |row| at_most(row, "floe", "", 200.0, 130.0) },
    Asked {
        id: "H7",
        what: "memory while 64 consumers replay",
        reach: "≤ 512 MiB",
        goal: "256 MiB",
        judge: |row| at_most(row, "floe", "MiB", 512.0, 256.0),
    },
    Asked {
        id: "H8",
        what: "10,000 partitions written once each: memory, at the peak and settled",
        reach: "≤ 300 MiB",
        goal: "150 MiB",
        judge: many_partitions,
    },
    Asked {
        id: "H9",
        what: "compaction of 10 M keys of 100 B: input per core, memory",
        reach: "≥ 60 MB/s; ≤ 256 MiB",
        goal: "120 MB/s",
        judge: compaction,
    },
    Asked {
        id: "Z1",
        what: "zero → first ack through the activator, SeaweedFS, the longest of 30",
        reach: "≤ 0.4 s",
        goal: "0.2 s",
        judge: |row| slowest(row, 0.4, 0.2),
    },
    Asked { id: "Z2", what: "the same on the shaped store", reach: "≤ 1.0 s", goal: "0.6 s", judge: |row| slowest(row, 1.0, 0.6) },
    Asked {
        id: "Z6",
        what: "memory of the activator",
        reach: "≤ 10 MiB",
        goal: "5 MiB",
        judge: |row| at_most(row, "activator", "MiB", 10.0, 5.0),
    },
];

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.0995 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

pub(crate) fn markdown(samples: &Samples, notes: &str) -> anyhow::Result<String> {
    let mut out = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench`; the notes at the end are kept by hand in `benches/notes.md`. Floe, the machine's own limits and\n\
         Apache Kafka 4.1.1 run in turn in the same run, with the same librdkafka client on the same cores. Medians; nothing here is an estimate.\n\n\
         ## Rows\n\n",
    );
    table(&mut out, ASKED, samples)?;
    out.push_str("\n## Rows of the cluster\n\nThree brokers; Apache Kafka with three KRaft nodes and three copies.\n\n");
    table(&mut out, cluster::ASKED, samples)?;
    out.push_str("\n## Everything measured\n\n| row | series | median | range | n | unit |\n|---|---|---|---|---|---|\n");
    let measured = |id: &str| samples.rows.get(id).filter(|row| !row.series.is_empty());
    for (asked, row) in all_asked().filter_map(|asked| Some((asked, measured(asked.id)?))) {
        for series in &row.series {
            let (low, high) = series.range();
            let (median, low, high) = (number(series.median()), number(low), number(high));
            writeln!(out, "| {} | {} | {median} | {low} - {high} | {} | {} |", asked.id, series.name, series.values.len(), series.unit)?;
        }
    }
    out.push_str("\n## Circumstances\n\n");
    out.push_str(&machine());
    for (asked, row) in all_asked().filter_map(|asked| Some((asked, measured(asked.id)?))) {
        writeln!(out, "- {}: {}", asked.id, row.circumstances)?;
    }
    out.push('\n');
    out.push_str(notes);
    Ok(out)
}

fn table(out: &mut String, rows: &[Asked], samples: &Samples) -> anyhow::Result<()> {
    out.push_str("| row | what | measured (median) | reach | goal | verdict |\n|---|---|---|---|---|---|\n");
    for asked in rows {
        let judged = samples.rows.get(asked.id).and_then(|row| (asked.judge)(row));
        let (measured, verdict) = match judged {
            None => ("-".to_owned(), "open"),
            Some(Judged { measured, reached: true, goal: true }) => (measured, "goal"),
            Some(Judged { measured, reached: true, .. }) => (measured, "reached"),
            Some(Judged { measured, .. }) => (measured, "**not reached**"),
        };
        writeln!(out, "| {} | {} | {measured} | {} | {} | {verdict} |", asked.id, asked.what, asked.reach, asked.goal)?;
    }
    Ok(())
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).map_or("?", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("?").trim().to_owned();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("- Machine: {cores} cores ({model}), {memory} memory, Linux {}\n", kernel.trim())
}
