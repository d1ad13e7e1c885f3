//! Rows E1-E4 of the cluster's list: what producers feel when one of three brokers is killed (C1, C2), drained (C3), or frozen (C4).

use super::Bench;
use crate::candidate::Candidate;
use crate::cluster::{BROKERS, Cluster, Store};
use crate::gap::{self, Gaps, Scene};
use crate::load;
use std::time::Duration;

const PARTITIONS: i32 = 12;

/// How a broker is hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Killed,
    Drained,
    Frozen,
}

impl How {
    /// The row of the partitions that it led, and that of the others.
    fn rows(self) -> &'static [&'static str] {
        match self {
            Self::Killed => &["C1", "C2"],
            Self::Drained => &["C3"],
            Self::Frozen => &["C4"],
        }
    }

    /// The client learns of a frozen broker only by its own time-outs, which are a minute by default.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Frozen => &[("socket.timeout.ms", "1000"), ("request.timeout.ms", "1000")],
            _ => &[],
        }
    }

    fn least(self) -> Duration {
        Duration::from_secs(if self == Self::Frozen { 8 } else { 5 })
    }
}

pub(crate) fn gaps(bench: &mut Bench) -> anyhow::Result<()> {
    for candidate in bench.programs.candidates() {
        let mut cluster = Cluster::start(bench, candidate, Store::Seaweed, &[])?;
        warm_up(bench, &cluster)?;
        let (killed, others) = if candidate == Candidate::Floe { (10, 3) } else { (3, 3) };
        let (mut number, quick) = (0, if candidate == Candidate::Floe { 3 } else { 1 });
        for (how, full) in [(How::Killed, killed), (How::Drained, others), (How::Frozen, others)] {
            let times = if bench.wants(how.rows()) { bench.sized(full, quick) } else { 0 };
            for _ in 0..times {
                number += 1;
                let gaps = hurt(&mut cluster, how, number)?;
                add(bench, candidate, how, gaps);
            }
        }
        cluster.end()?;
    }
    Ok(())
}

/// The first records are slow in every broker, and slower in a JVM.
fn warm_up(bench: &Bench, cluster: &Cluster) -> anyhow::Result<()> {
    cluster.create_topic("warm", PARTITIONS, &[])?;
    let load = load::Load { topic: "warm", partitions: PARTITIONS, records: bench.sized(200_000, 50_000), codec: "none", settings: &[] };
    load::produce(&cluster.bootstrap(), &load)?;
    load::delete_topic(&cluster.bootstrap(), "warm")
}

/// A topic of its own each time: its leaders are spread when it is made, and nothing of the last time moves meanwhile.
fn hurt(cluster: &mut Cluster, how: How, number: i32) -> anyhow::Result<Gaps> {
    let (topic, victim) = (format!("gap-{number}"), number % BROKERS + 1);
    cluster.create_topic(&topic, PARTITIONS, &[])?;
    let leaders = cluster.leaders(&topic)?;
    let bootstrap = cluster.bootstrap();
    let scene = Scene { topic: &topic, leaders: &leaders, victim, phase: phase(number), least: how.least(), settings: how.settings() };
    let node = cluster.node(victim)?;
    // Nothing here waits: records are sent on.
    let gaps = gap::measure(&bootstrap, &scene, || match how {
        How::Killed => node.process()?.cut_off(),
        How::Drained => node.process()?.ask_to_end(),
        How::Frozen => node.process()?.pause(),
    })?;
    if how == How::Drained {
        node.wait()?;
    }
    cluster.restart(victim)?;
    load::delete_topic(&bootstrap, &topic)?;
    Ok(gaps)
}

/// Spread evenly over a second, whatever the count is: by the golden ratio.
fn phase(number: i32) -> f64 {
    (f64::from(number) * 0.618_034).fract()
}

fn add(bench: &mut Bench, candidate: Candidate, how: How, gaps: Gaps) {
    let (name, rows) = (candidate.name(), how.rows());
    bench.add(rows[0], name, "s", gaps.led);
    match how {
        How::Killed => bench.add(rows[1], name, "s", gaps.others),
        _ => bench.add(rows[0], &format!("{name}: others' partitions"), "s", gaps.others),
    }
    bench.add(rows[0], &format!("{name}: before"), "s", gaps.before);
}
