//! Blocks on the local disk: what the store gave once is read from here the next time, also after a restart.
//!
//! Files are written front to back and never changed; when the budget is full the oldest file goes as a whole, with its
//! blocks. One task does all writing and removing: readers look a block up in memory and read it, and wait for nothing
//! else (T34). Offers beyond what the task keeps up with, or beyond its pace, are dropped: this is a cache.
//!
//! Whatever happens to the files - a crash, a flipped bit, another size, their deletion - costs requests to the store and
//! nothing else: every entry carries its key and checksums (`entry.rs`), and what does not verify is not there. A disk that
//! fails or hangs is left alone for a while.

mod entry;
mod writer;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use entry::Entry;
use floe_env::hash::HashMap;
use floe_env::{Disk, DiskFile, Env};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use writer::{Offer, Writer};

/// Bytes that wait to be written; more is not taken.
const QUEUE_BYTES: u64 = 16 << 20;
/// Blocks that wait to be written.
const QUEUE_LEN: usize = 1024;
/// A read that takes longer is given up, and the store is asked.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// How long a disk that failed is left alone.
const REST: Duration = Duration::from_secs(10);

/// Offers may be so far ahead of the pace.
const BURST: Duration = Duration::from_secs(1);

/// Where the cache is and what it may take.
#[derive(Debug, Clone)]
pub struct DiskCacheOptions {
    /// A folder of its own.
    pub dir: String,
    /// Bytes of all its files.
    pub budget: u64,
    /// Bytes written a second at most, so that whoever needs the disk for more than a cache is not held up.
    pub write_bytes_per_second: u64,
}

/// Counters since the start, and what is held now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskCacheStats {
    pub hits: u64,
    pub misses: u64,
    /// Blocks that were not written: too fast, too many, too large, or the disk did not take them.
    pub dropped: u64,
    /// Of all files.
    pub bytes: u64,
    pub entries: usize,
}

/// The cache. Clones are handles on the same one; its task ends with the process's tasks, or with the last handle.
#[derive(Clone)]
pub struct DiskCache {
    shared: Arc<Shared>,
    offers: mpsc::Sender<Offer>,
}

/// Where a block lies.
#[derive(Debug, Clone)]
struct Place {
    file: Arc<dyn DiskFile>,
    number: u64,
    position: u64,
    len: u32,
}

#[derive(Debug)]
struct Shared {
    env: Env,
    places: Mutex<HashMap<Arc<str>, Place>>,
    /// The disk is left alone until then, on the monotonic clock.
    rests_until: Mutex<Duration>,
    /// When what was taken so far is due at the pace.
    due: Mutex<Duration>,
    write_bytes_per_second: u64,
    queued: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskCache").field("stats", &self.stats()).finish()
    }
}

impl DiskCache {
    /// Starts the cache. What is in the folder is looked through in the background, and served as it is found.
    #[must_use]
    pub fn start(env: &Env, disk: Arc<dyn Disk>, options: DiskCacheOptions) -> Self {
        let (offers, receiver) = mpsc::channel(QUEUE_LEN);
        let shared = Arc::new(Shared {
            env: env.clone(),
            places: Mutex::default(),
            rests_until: Mutex::default(),
            due: Mutex::default(),
            write_bytes_per_second: options.write_bytes_per_second.max(1),
            queued: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        env.spawn("disk cache", Writer::new(shared.clone(), disk, options).run(receiver)).detach_to_group();
        Self { shared, offers }
    }

    /// Whether a block is here, as far as is known without looking at the disk.
    pub fn contains(&self, key: &str) -> bool {
        self.shared.places.lock().contains_key(key)
    }

    /// The block, if it is here and sound. Cancellation safe.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let found = self.read(key).await;
        if found.is_some() { &self.shared.hits } else { &self.shared.misses }.fetch_add(1, Relaxed);
        found
    }

    async fn read(&self, key: &str) -> Option<Bytes> {
        let place = self.shared.places.lock().get(key).cloned()?;
        if self.shared.rests() {
            return None;
        }
        let read = place.file.read_at(place.position, place.len as usize);
        let body = match self.shared.env.timeout(READ_PATIENCE, read).await {
            Ok(Ok(stored)) => Entry::open(key, &stored),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a block of the disk cache cannot be read");
                None
            }
            Err(elapsed) => {
                tracing::warn!(%elapsed, "the disk cache does not answer");
                self.shared.rest();
                return None;
            }
        };
        if body.is_none() {
            self.shared.forget(key, place.number);
        }
        body
    }

    /// Offers a block that was fetched. Never waits; the block may not be kept.
    pub fn offer(&self, key: &str, body: &Bytes) {
        let len = body.len() as u64;
        if self.contains(key) {
            return;
        }
        let room = self.shared.queued.fetch_add(len, Relaxed) + len <= QUEUE_BYTES && !self.shared.rests() && self.shared.in_pace(len);
        // Copied: what was fetched is a part of something larger, which must not live as long as the queue.
        if !room || self.offers.try_send(Offer { key: key.into(), body: Bytes::copy_from_slice(body) }).is_err() {
            self.shared.queued.fetch_sub(len, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> DiskCacheStats {
        let shared = &self.shared;
        DiskCacheStats {
            hits: shared.hits.load(Relaxed),
            misses: shared.misses.load(Relaxed),
            dropped: shared.dropped.load(Relaxed),
            bytes: shared.bytes.load(Relaxed),
            entries: shared.places.lock().len(),
        }
    }
}

impl Shared {
    fn rests(&self) -> bool {
        let until = *self.rests_until.lock();
        !until.is_zero() && self.env.monotonic() < until
    }

    fn rest(&self) {
        *self.rests_until.lock() = self.env.monotonic().saturating_add(REST);
    }

    fn in_pace(&self, len: u64) -> bool {
        let (now, mut due) = (self.env.monotonic(), self.due.lock());
        if *due > now.saturating_add(BURST) {
            return false;
        }
        let took = Duration::from_micros(len.saturating_mul(1_000_000) / self.write_bytes_per_second);
        *due = (*due).max(now).saturating_add(took);
        true
    }

    /// A block of that file is no longer here.
    fn forget(&self, key: &str, number: u64) {
        let mut places = self.places.lock();
        if places.get(key).is_some_and(|place| place.number == number) {
            places.remove(key);
        }
    }
}
