//! H8: ten thousand partitions, each of which has been written to once.

use super::Bench;
use crate::candidate;
use crate::process::MemoryPeak;
use crate::requests::{self, Connection};
use crate::wire;
use anyhow::bail;
use std::time::Duration;

const TOPICS: u64 = 10;
const PARTITIONS: i32 = 1_000;
/// Requests under way at once.
const WINDOW: usize = 64;
/// Longer than it takes until everything is flushed and settled by age.
const SETTLED_AFTER: Duration = Duration::from_secs(25);

/// Memory at its peak, from the start of the broker on, and when everything has been flushed and settled and nobody asks for anything.
pub(crate) fn partitions(bench: &mut Bench) -> anyhow::Result<()> {
    let data = bench.fresh("floe")?;
    let broker = candidate::start_floe(&bench.programs, &data, &["floe.settle.age.ms=5s".to_owned()])?;
    let peak = MemoryPeak::watch(&broker.process);
    let mut connection = Connection::open(broker.address)?;
    for number in 0..bench.sized(TOPICS, 2) {
        let topic = format!("topic-{number}");
        requests::all_created(&connection.call(&requests::create_topics(std::slice::from_ref(&topic), PARTITIONS)?)?)?;
        let (mut sent, mut received) = (0, 0);
        while received < PARTITIONS {
            while sent < PARTITIONS && usize::try_from(sent - received)? < WINDOW {
                connection.send(&wire::produce_request(&topic, sent)?)?;
                sent += 1;
            }
            match wire::produce_error(&connection.receive()?)? {
                0 => received += 1,
                code => bail!("a record was refused: Kafka error {code}"),
            }
        }
    }
    std::thread::sleep(SETTLED_AFTER);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    bench.add("H8", "floe, settled", "MiB", mebibytes(broker.process.resident()?));
    bench.add("H8", "floe, peak", "MiB", mebibytes(peak.end()));
    broker.process.terminate()?;
    std::fs::remove_dir_all(data)?;
    Ok(())
}
