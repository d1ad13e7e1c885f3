//! What the disk itself can do: the limits that rows are held against.

use anyhow::Context;
use hdrhistogram::Histogram;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// One write and fdatasync of the sequential limit: about what a group of producers' batches comes to.
const CHUNK: usize = 4 << 20;
/// Files are written before and used again, as WAL files are; so much at most.
const SPAN: u64 = 256 << 20;

fn prepared(path: &Path, len: u64) -> anyhow::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).context("cannot make the raw file")?;
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        file.write_all_at(&zeros, at)?;
        at += zeros.len() as u64;
    }
    file.sync_all()?;
    Ok(file)
}

/// Seconds for writing so many bytes in chunks of 4 MiB, with an fdatasync after each, into a file that is there already.
pub(crate) fn sequential(folder: &Path, bytes: u64) -> anyhow::Result<f64> {
    let path = folder.join("raw-sequential");
    let file = prepared(&path, SPAN.min(bytes.max(CHUNK as u64)))?;
    let span = file.metadata()?.len() / CHUNK as u64 * CHUNK as u64;
    let chunk = vec![0x5a; CHUNK];
    let began = Instant::now();
    let mut written = 0;
    while written < bytes {
        file.write_all_at(&chunk, written % span)?;
        file.sync_data()?;
        written += CHUNK as u64;
    }
    let seconds = began.elapsed().as_secs_f64() * bytes as f64 / written as f64;
    std::fs::remove_file(path)?;
    Ok(seconds)
}

/// Times of one write and fdatasync of `len` bytes each at a fixed rate, in microseconds.
pub(crate) fn paced_syncs(folder: &Path, len: usize, count: u64, per_second: u64) -> anyhow::Result<Histogram<u64>> {
    let path = folder.join("raw-paced");
    let file = prepared(&path, 64 << 20)?;
    let bytes = vec![0x5a; len];
    let mut times = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    let began = Instant::now();
    for number in 0..count {
        let due = Duration::from_secs_f64(number as f64 / per_second as f64);
        if let Some(rest) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(rest);
        }
        let start = Instant::now();
        file.write_all_at(&bytes, number * len as u64 % (60 << 20))?;
        file.sync_data()?;
        times.saturating_record(u64::try_from(start.elapsed().as_micros())?);
    }
    std::fs::remove_file(path)?;
    Ok(times)
}
