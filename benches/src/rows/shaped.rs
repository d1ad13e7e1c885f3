//! `object` durability on the shaped store: E6 latency at 20 MB/s, E7 one producer on one partition.

use super::Bench;
use crate::candidate;
use crate::load::{self, Load};

const RATE: u64 = 20_000;

pub(crate) fn round(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let (store, url) = candidate::start_store(&bench.programs, true)?;
    let mut settings = candidate::store_settings(&url);
    settings.push("floe.durability=object".to_owned());
    let broker = candidate::start_floe(&bench.programs, &data, &settings)?;
    if bench.wants(&["E6"]) {
        load::create_topic(&broker.bootstrap(), "paced", 8, &[])?;
        let seconds = bench.sized(30, 10);
        // librdkafka's default linger: single records at this rate would measure the client.
        let load = Load { topic: "paced", partitions: 8, records: RATE * seconds, codec: "none", settings: &[("linger.ms", "5")] };
        let times = load::paced(&broker.bootstrap(), &load, RATE)?;
        bench.add("E6", "floe p50", "ms", times.value_at_quantile(0.50) as f64 / 1e3);
        bench.add("E6", "floe p99", "ms", times.value_at_quantile(0.99) as f64 / 1e3);
    }
    if bench.wants(&["E7"]) {
        load::create_topic(&broker.bootstrap(), "one", 1, &[])?;
        let load = Load { topic: "one", partitions: 1, records: bench.sized(400_000, 100_000), codec: "none", settings: &[] };
        let produced = load::produce(&broker.bootstrap(), &load)?;
        bench.add("E7", "floe, librdkafka defaults", "records/s", produced.records as f64 / produced.seconds);
    }
    broker.process.terminate()?;
    drop(store);
    std::fs::remove_dir_all(data)?;
    Ok(())
}
