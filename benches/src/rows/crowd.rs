//! S8: what other clients feel of a crowd - a thousand connections that say nothing, two hundred that are slow, floods of
//! metadata requests, and clients that connect again and again.

use super::Bench;
use super::surface::of_each;
use crate::candidate::Broker;
use crate::load::{self, Load};
use crate::process::MemoryPeak;
use crate::requests::{self, Connection};
use anyhow::bail;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TOPIC: &str = "quiet";
const PARTITIONS: i32 = 8;
const PER_SECOND: u64 = 500;
const IDLE: usize = 1_000;
const SLOW: usize = 200;
/// A byte of each slow request.
const BYTE_EVERY: Duration = Duration::from_millis(50);

/// The p99 of acknowledgements at 500 a second, alone and in each crowd.
pub(crate) fn crowd(bench: &mut Bench) -> anyhow::Result<()> {
    of_each(bench, |bench, candidate, broker| {
        load::create_topic(&broker.bootstrap(), TOPIC, PARTITIONS, &[])?;
        let seconds = bench.sized(6, 2);
        let mut add = |how: &str, ms: f64| bench.add("S8", &format!("{}, {how}", candidate.name()), "ms", ms);
        add("quiet", p99(broker, seconds)?);
        let (before, peak) = (broker.process.resident()?, MemoryPeak::watch(&broker.process));
        let idle: Vec<TcpStream> = (0..IDLE).map(|_| TcpStream::connect(broker.address)).collect::<Result<_, _>>()?;
        add("idle and slow connections", beside(broker, seconds, slow)?);
        drop(idle);
        add("flood of metadata", beside(broker, seconds, flood)?);
        add("reconnects", beside(broker, seconds, storm)?);
        let more = peak.end().saturating_sub(before) as f64 / f64::from(1 << 20);
        bench.add("S8", &format!("{}: memory", candidate.name()), "MiB", more);
        Ok(())
    })
}

fn p99(broker: &Broker, seconds: u64) -> anyhow::Result<f64> {
    let load = Load { topic: TOPIC, partitions: PARTITIONS, records: seconds * PER_SECOND, codec: "none", settings: &[] };
    let latencies = load::paced(&broker.bootstrap(), &load, PER_SECOND)?;
    Ok(latencies.value_at_quantile(0.99) as f64 / 1e3)
}

/// The same while a crowd does what it does.
fn beside(broker: &Broker, seconds: u64, crowd: fn(SocketAddr, &AtomicBool) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| crowd(broker.address, &over));
        let measured = p99(broker, seconds);
        over.store(true, Ordering::Relaxed);
        crowd.join().unwrap_or_else(|_| bail!("the crowd panicked"))?;
        measured
    })
}

/// Requests that arrive a byte at a time.
fn slow(address: SocketAddr, over: &AtomicBool) -> anyhow::Result<()> {
    let request = requests::all_metadata()?;
    let mut streams: Vec<TcpStream> = (0..SLOW).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    // Nobody reads the few answers.
    for byte in request.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        for stream in &mut streams {
            stream.write_all(&[*byte])?;
        }
        std::thread::sleep(BYTE_EVERY);
    }
    Ok(())
}

/// One connection that asks for all metadata without a pause.
fn flood(address: SocketAddr, over: &AtomicBool) -> anyhow::Result<()> {
    let (mut connection, request) = (Connection::open(address)?, requests::all_metadata()?);
    while !over.load(Ordering::Relaxed) {
        connection.call(&request)?;
    }
    Ok(())
}

/// Clients that connect, ask once, and go.
fn storm(address: SocketAddr, over: &AtomicBool) -> anyhow::Result<()> {
    let request = requests::all_metadata()?;
    while !over.load(Ordering::Relaxed) {
        Connection::open(address)?.call(&request)?;
    }
    Ok(())
}
