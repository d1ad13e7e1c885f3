//! E5: time to an acknowledgement at 1,000 records a second, against a responder that writes nothing and the disk's own fdatasync.

use super::Bench;
use crate::candidate;
use crate::load::{self, Load};
use crate::{raw, wire};
use hdrhistogram::Histogram;

const RATE: u64 = 1_000;
const TOPIC: &str = "paced";
/// A batch of one 1,000-byte record and its WAL header, about.
const RAW_LEN: usize = 1_150;

pub(crate) fn round(bench: &mut Bench) -> anyhow::Result<()> {
    let records = bench.sized(10_000, 4_000);
    let load = Load { topic: TOPIC, partitions: 1, records, codec: "none", settings: &[] };
    for candidate in bench.programs.candidates() {
        let data = bench.fresh(candidate.name())?;
        let broker = candidate::start(candidate, &bench.programs, &data)?;
        load::create_topic(&broker.bootstrap(), TOPIC, 1, &[])?;
        // What is compiled or allocated on first use is not measured.
        load::paced(&broker.bootstrap(), &Load { records: records / 2, ..load }, RATE)?;
        let times = load::paced(&broker.bootstrap(), &load, RATE)?;
        add(bench, candidate.name(), &times);
        broker.process.terminate()?;
        std::fs::remove_dir_all(data)?;
    }
    let responder = wire::start_responder(TOPIC, 1)?;
    let times = load::paced(&responder.to_string(), &load, RATE)?;
    add(bench, "responder", &times);
    bench.fresh("raw")?;
    let times = raw::paced_syncs(&bench.folder, RAW_LEN, records, RATE)?;
    add(bench, "raw fdatasync", &times);
    Ok(())
}

fn add(bench: &mut Bench, name: &str, times: &Histogram<u64>) {
    bench.add("E5", &format!("{name} p50"), "ms", times.value_at_quantile(0.50) as f64 / 1e3);
    bench.add("E5", &format!("{name} p99"), "ms", times.value_at_quantile(0.99) as f64 / 1e3);
}
