//! The rows of the cluster: C1 is E1 of the cluster's list, and so on.

use super::{Asked, Judged, at_most, judged, number};
use crate::samples::Row;

/// The longest of all times that a broker was hurt, in whatever round.
fn gap(row: &Row, reach: f64, goal: f64) -> Option<Judged> {
    let series = row.series.iter().find(|series| series.name == "floe")?;
    let (_, most) = series.range();
    let kafka = row.median("kafka").map(|kafka| format!("; Kafka {} in the median", number(kafka))).unwrap_or_default();
    let measured = format!("{} s at most of {}, {} in the median{kafka}", number(most), series.values.len(), number(series.median()));
    judged(measured, most <= reach, most <= goal)
}

fn produce(row: &Row) -> Option<Judged> {
    let (floe, kafka) = (row.median("floe")?, row.median("kafka")?);
    judged(format!("{} MB/s: {:.2}x Kafka", number(floe), floe / kafka), floe >= 1.5 * kafka, floe >= 2.5 * kafka)
}

fn produce_cpu(row: &Row) -> Option<Judged> {
    let (floe, kafka) = (row.median("floe")?, row.median("kafka")?);
    judged(format!("{} s/GB: {:.2}x Kafka", number(floe), floe / kafka), floe <= 0.4 * kafka, floe <= 0.25 * kafka)
}

/// Milliseconds that are reached, of an acknowledgement: p50 and p99.
fn reach_of_acks(row: &Row) -> Option<(f64, f64)> {
    Some((1.5 + row.median("raw fdatasync p50")?, 5.0 + 3.0 * row.median("raw fdatasync beside it p99")?))
}

fn acks(row: &Row) -> Option<Judged> {
    let (p50, p99, (reach_p50, reach_p99)) = (row.median("floe p50")?, row.median("floe p99")?, reach_of_acks(row)?);
    let measured = format!("p50 {p50:.2} ms against {reach_p50:.2}; p99 {p99:.2} ms against {reach_p99:.2}");
    judged(measured, p50 <= reach_p50 && p99 <= reach_p99, p50 <= reach_p50 - 0.5 && p99 <= reach_p99 - 3.0)
}

fn end_to_end(row: &Row) -> Option<Judged> {
    let (p99, (_, reach)) = (row.median("floe end to end p99")?, reach_of_acks(row)?);
    judged(format!("p99 {p99:.2} ms against {:.2}", reach + 2.0), p99 <= reach + 2.0, false)
}

fn failover(row: &Row) -> Option<Judged> {
    let (led, requests) = (row.median("floe: all led")?, row.median("floe: requests to store and etcd")?);
    let measured = format!("{} s, {requests:.0} requests", number(led));
    judged(measured, led <= 3.0 && requests <= 200.0, led <= 1.5 && requests <= 200.0)
}

fn opened(row: &Row) -> Option<Judged> {
    let (seconds, requests) = (row.median("floe")?, row.median("floe: requests for each partition")?);
    judged(format!("{requests:.2} requests for each, {} s", number(seconds)), seconds <= 3.0 && requests <= 2.0, false)
}

fn object(row: &Row) -> Option<Judged> {
    let (p50, p99) = (row.median("floe p50")?, row.median("floe p99")?);
    judged(format!("p50 {p50:.0} ms, p99 {p99:.0} ms"), p50 <= 200.0 && p99 <= 450.0, false)
}

fn puts(row: &Row) -> Option<Judged> {
    let (replicated, object) = (row.median("floe, replicated")?, row.median("floe, object")?);
    judged(format!("`replicated` {replicated:.0}, `object` {object:.0}"), replicated <= 150.0 && object <= 1_000.0, false)
}

fn cost(row: &Row) -> Option<Judged> {
    let (replicated, object) = (row.median("floe, replicated")?, row.median("floe, object")?);
    judged(format!("`replicated` ${replicated:.4}, `object` ${object:.4}"), true, false)
}

fn metadata(row: &Row) -> Option<Judged> {
    let (bytes, keys) = (row.median("etcd: bytes of keys and values")?, row.median("etcd: keys")?);
    let (idle, calls) =
        (row.median("etcd: writes in an idle minute")?, row.median("etcd: requests while records are produced and fetched")?);
    let failover = row.median("etcd: writes of a failover")?;
    let measured = format!(
        "{:.0} KiB in {keys:.0} keys; {idle:.0} writes in an idle minute, {failover:.0} in a failover; {calls:.0} requests of produce and fetch",
        bytes / 1024.0
    );
    judged(measured, calls <= 0.0, false)
}

pub(super) const ASKED: &[Asked] = &[
    Asked {
        id: "C1",
        what: "kill -9 of one of three brokers, 200 records/s over 12 partitions: longest gap between acks on its partitions",
        reach: "≤ 1.5 s",
        goal: "0.5 s",
        judge: |row| gap(row, 1.5, 0.5),
    },
    Asked {
        id: "C2", what: "the same on the other brokers' partitions", reach: "≤ 0.5 s", goal: "0.1 s", judge: |row| gap(row, 0.5, 0.1)
    },
    Asked {
        id: "C3",
        what: "SIGTERM of a broker: gap on its partitions",
        reach: "≤ 0.3 s",
        goal: "0.1 s",
        judge: |row| gap(row, 0.3, 0.1),
    },
    Asked { id: "C4", what: "a broker frozen: gap on its partitions", reach: "≤ 4 s", goal: "2 s", judge: |row| gap(row, 4.0, 2.0) },
    Asked {
        id: "C5",
        what: "broker with 5,000 partitions killed: until all are led again; requests to store and etcd",
        reach: "≤ 3 s; ≤ 200",
        goal: "1.5 s",
        judge: failover,
    },
    Asked {
        id: "C6",
        what: "1,000 partitions of 10,000 segments opened, shaped store",
        reach: "≤ 2 requests each, ≤ 3 s",
        goal: "-",
        judge: opened,
    },
    Asked { id: "C7", what: "produce, 8 partitions, acks=all, three brokers", reach: "≥ 1.5x Kafka", goal: "2.5x", judge: produce },
    Asked { id: "C8", what: "CPU of all brokers per GB of C7", reach: "≤ 0.4x Kafka", goal: "0.25x", judge: produce_cpu },
    Asked {
        id: "C9",
        what: "ack at 500/s over 8 partitions, three brokers",
        reach: "p50 ≤ 1.5 ms + fdatasync, p99 ≤ 5 ms + 3 fdatasyncs",
        goal: "1.0, 2 ms",
        judge: acks,
    },
    Asked { id: "C10", what: "end to end at 500/s", reach: "p99 ≤ C9 + 2 ms", goal: "-", judge: end_to_end },
    Asked {
        id: "C11",
        what: "memory of three brokers during C7",
        reach: "≤ 300 MiB",
        goal: "150 MiB",
        judge: |row| at_most(row, "floe", "MiB", 300.0, 150.0),
    },
    Asked { id: "C12", what: "`object` on the shaped store, three brokers, 20 MB/s", reach: "≤ 200, 450 ms", goal: "-", judge: object },
    Asked { id: "C13", what: "PUTs per GB at 20 MB/s", reach: "`replicated` ≤ 150, `object` ≤ 1,000", goal: "-", judge: puts },
    Asked { id: "C14", what: "cost per GB, list prices, cross-zone bytes included", reach: "reported", goal: "-", judge: cost },
    Asked { id: "C15", what: "etcd at 10,000 partitions", reach: "produce and fetch: no request", goal: "-", judge: metadata },
];
