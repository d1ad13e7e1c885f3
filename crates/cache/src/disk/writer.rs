//! The one task that writes, removes and, at the start, finds again.

use super::entry::{Entry, HEADER_LEN, LONGEST_KEY};
use super::{DiskCacheOptions, Place, Shared};
use bytes::Bytes;
use floe_env::{Disk, DiskFile};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::mpsc;

/// The budget is used in about so many files: what goes at once when it is full.
const FILES: u64 = 16;
const LARGEST_FILE: u64 = 64 << 20;

/// A block to be kept.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) key: Arc<str>,
    pub(super) body: Bytes,
}

/// A file of the cache, and the blocks in it.
#[derive(Debug)]
struct Written {
    number: u64,
    len: u64,
    file: Arc<dyn DiskFile>,
    keys: Vec<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    options: DiskCacheOptions,
    /// Oldest first.
    files: VecDeque<Written>,
    /// Whether the newest file takes more: one found at the start does not, nor does one that failed.
    open: bool,
    next: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, disk: Arc<dyn Disk>, options: DiskCacheOptions) -> Self {
        Self { shared, disk, options, files: VecDeque::new(), open: false, next: 0 }
    }

    pub(super) async fn run(mut self, mut offers: mpsc::Receiver<Offer>) {
        if let Err(error) = self.find().await {
            tracing::warn!(%error, "the disk cache cannot be read; it begins empty");
        }
        while let Some(offer) = offers.recv().await {
            let len = offer.body.len() as u64;
            let kept = self.keep(offer).await;
            self.shared.queued.fetch_sub(len, Relaxed);
            match kept {
                Ok(true) => {}
                Ok(false) => drop(self.shared.dropped.fetch_add(1, Relaxed)),
                Err(error) => {
                    tracing::warn!(%error, "the disk cache takes nothing for a while");
                    self.shared.dropped.fetch_add(1, Relaxed);
                    self.open = false;
                    self.shared.rest();
                }
            }
        }
    }

    fn file_bytes(&self) -> u64 {
        (self.options.budget / FILES).min(LARGEST_FILE)
    }

    fn path(&self, number: u64) -> String {
        format!("{}/{number:016x}", self.options.dir)
    }

    /// Takes in what an earlier process left, the newest first and as much as the budget allows; removes the rest.
    async fn find(&mut self) -> io::Result<()> {
        let listed = match self.disk.list(&self.options.dir).await {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let named = |name: &str| if name.len() == 16 { u64::from_str_radix(name, 16).ok() } else { None };
        let mut numbers: Vec<(u64, u64)> = listed.iter().filter_map(|entry| Some((named(&entry.name)?, entry.len))).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        self.next = numbers.first().map_or(0, |(newest, _)| newest.saturating_add(1));
        let mut total = 0;
        for (number, len) in numbers {
            total += len;
            if total > self.options.budget || len == 0 {
                self.disk.remove(&self.path(number)).await?;
                continue;
            }
            let file = self.disk.open(&self.path(number)).await?;
            let keys = self.look_through(&file, number).await;
            self.shared.bytes.fetch_add(len, Relaxed);
            self.files.push_front(Written { number, len, file, keys });
        }
        Ok(())
    }

    /// The entries of a file up to the first that is not whole. Bodies are not read: who asks for one checks it.
    async fn look_through(&self, file: &Arc<dyn DiskFile>, number: u64) -> Vec<Arc<str>> {
        let (mut keys, mut position, end) = (Vec::new(), 0_u64, file.len());
        while position < end {
            let len = usize::try_from(end - position).unwrap_or(usize::MAX).min(HEADER_LEN + LONGEST_KEY);
            let Ok(bytes) = file.read_at(position, len).await else { break };
            let Some(entry) = Entry::decode(&bytes) else { break };
            let (len, key): (u64, Arc<str>) = (entry.len(), entry.key.as_str().into());
            if position.saturating_add(len) > end {
                break;
            }
            self.place(&key, file, number, position, len);
            keys.push(key);
            position += len;
        }
        keys
    }

    fn place(&self, key: &Arc<str>, file: &Arc<dyn DiskFile>, number: u64, position: u64, len: u64) {
        let Ok(len) = u32::try_from(len) else { return };
        let place = Place { file: file.clone(), number, position, len };
        // At the start newer files come first; a block that is in two is taken from the newer one.
        self.shared.places.lock().entry(key.clone()).or_insert(place);
    }

    /// Writes a block. False if it does not fit.
    async fn keep(&mut self, offer: Offer) -> io::Result<bool> {
        let Some(entry) = Entry::new(&offer.key, &offer.body) else { return Ok(false) };
        let len = entry.len();
        if len > self.file_bytes() || self.shared.rests() || self.shared.places.lock().contains_key(&offer.key) {
            return Ok(false);
        }
        if !self.open || self.files.back().is_none_or(|file| file.len + len > self.file_bytes()) {
            self.begin_file().await?;
        }
        let Some(current) = self.files.back_mut() else { return Ok(false) };
        let position = current.len;
        current.file.write_at(position, vec![entry.encode(), offer.body]).await?;
        current.len += len;
        current.keys.push(offer.key.clone());
        let (file, number) = (current.file.clone(), current.number);
        self.shared.bytes.fetch_add(len, Relaxed);
        self.place(&offer.key, &file, number, position, len);
        Ok(true)
    }

    /// Makes room for one more file, and begins it.
    async fn begin_file(&mut self) -> io::Result<()> {
        self.open = false;
        let room = self.options.budget.saturating_sub(self.file_bytes());
        while self.shared.bytes.load(Relaxed) > room {
            let Some(oldest) = self.files.pop_front() else { break };
            for key in &oldest.keys {
                self.shared.forget(key, oldest.number);
            }
            self.shared.bytes.fetch_sub(oldest.len, Relaxed);
            self.disk.remove(&self.path(oldest.number)).await?;
        }
        let number = self.next;
        self.next += 1;
        let path = self.path(number);
        let file = match self.disk.create(&path, 0).await {
            // The folder is not there yet, or was deleted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_dir_all(&self.options.dir).await?;
                self.disk.create(&path, 0).await?
            }
            created => created?,
        };
        self.files.push_back(Written { number, len: 0, file, keys: Vec::new() });
        self.open = true;
        Ok(())
    }
}
