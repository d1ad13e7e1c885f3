//! Who reads history from front to back, and how far ahead of each it is worth to read.
//!
//! A stream is a reader whose next offset lies where his last read ended; consumers are not known here by name. His window
//! is what may be held ahead of him: it grows fourfold while he has to wait, follows his pace and the store's when he does not,
//! and never passes his share of the budget, which all active streams have in equal parts.
//!
//! Pure: time and measurements come in, decisions go out.

use floe_types::{Offset, PartitionId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Streams that are remembered, in all and of one partition.
const MOST: usize = 4096;
const MOST_OF_PARTITION: usize = 64;
/// A stream that has read nothing for so long takes no share.
const ACTIVE: Duration = Duration::from_secs(5);
/// The first window.
const FIRST: u64 = 1 << 20;
/// Below this a window grows whether its reader waits or not: small requests cost as much as large ones.
const COMFORT: u64 = 16 << 20;
/// By how much a window grows for each read that had to wait: a window that is right is found within a few first-byte latencies, and what is fetched in vain for a
/// reader who goes away is a few times what he has read.
const GROWTH: u64 = 4;
/// Opened bytes of one request at most; half a window at most.
const QUANTUM: u64 = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    streams: BTreeMap<PartitionId, Vec<Stream>>,
    count: usize,
    next: u64,
    /// How many were active, and when they were counted.
    active: Option<(Duration, u64)>,
}

#[derive(Debug, Clone)]
struct Stream {
    id: u64,
    /// The last read began here ...
    from: Offset,
    /// ... and the next one begins here at the latest.
    reach: Offset,
    window: u64,
    /// What is fetched or under way ahead: up to this offset.
    planned_to: Offset,
    /// Its runs that the reader has not come to the end of, by their ends, with their bytes: what is held for him. His reads say less of that: they begin and end
    /// within blocks.
    planned: VecDeque<(Offset, u64)>,
    walking: bool,
    reads: u64,
    last: Duration,
    /// Bytes a second that the reader takes when he does not have to wait.
    pace: f64,
}

/// A read that belongs to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) partition: PartitionId,
    pub(super) stream: u64,
    pub(super) offset: Offset,
    began: Duration,
    /// Since this stream's last read began; none for its first.
    since_last: Option<Duration>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// The end of what was read.
    pub(super) reach: Offset,
    pub(super) bytes: u64,
    pub(super) waited: bool,
    /// How long one request ahead takes.
    pub(super) fetch_time: Duration,
}

/// What to fetch ahead now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) from: Offset,
    /// Bytes in all, and of one request.
    pub(super) bytes: u64,
    pub(super) quantum: u64,
}

impl Streams {
    /// A read begins: of a stream that has come to this offset, or of a new one.
    pub(super) fn begin(&self, partition: PartitionId, offset: Offset, now: Duration) -> Reading {
        let mut table = self.0.lock();
        let of_partition = table.streams.entry(partition).or_default();
        let found = of_partition.iter_mut().filter(|stream| stream.from <= offset && offset <= stream.reach).max_by_key(|s| s.reach);
        if let Some(stream) = found {
            let since_last = Some(now.saturating_sub(stream.last));
            (stream.last, stream.reads) = (now, stream.reads + 1);
            return Reading { partition, stream: stream.id, offset, began: now, since_last };
        }
        let id = table.begin(partition, offset, now);
        Reading { partition, stream: id, offset, began: now, since_last: None }
    }

    /// What to fetch ahead of a stream that is reading up to `behind`. Whoever gets a plan says [`Streams::walked`] in the end.
    pub(super) fn plan(&self, reading: &Reading, behind: Offset) -> Option<Plan> {
        self.0.lock().with(reading, |stream| {
            let room = stream.window.saturating_sub(stream.planned_bytes());
            let quantum = (stream.window / 2).min(QUANTUM);
            if stream.walking || stream.window == 0 || room < quantum {
                return None;
            }
            stream.walking = true;
            Some(Plan { from: stream.planned_to.max(behind), bytes: room, quantum })
        })?
    }

    /// So much more is under way, up to this offset.
    pub(super) fn planned(&self, reading: &Reading, to: Offset, bytes: u64) {
        self.0.lock().with(reading, |stream| {
            stream.planned_to = stream.planned_to.max(to);
            stream.planned.push_back((to, bytes));
        });
    }

    /// A plan was carried out, as far as it could be.
    pub(super) fn walked(&self, reading: &Reading) {
        self.0.lock().with(reading, |stream| stream.walking = false);
    }

    /// A read has ended.
    pub(super) fn finish(&self, reading: &Reading, done: Done, budget: u64) {
        let mut table = self.0.lock();
        // The last run of a plan may go beyond its window by some of its length.
        let share = (budget - (budget / 8).min(QUANTUM)) / table.active(reading.began).max(1);
        table.with(reading, |stream| stream.finish(reading, done, share));
    }
}

impl Stream {
    fn finish(&mut self, reading: &Reading, done: Done, share: u64) {
        self.from = reading.offset;
        self.reach = self.reach.max(done.reach);
        while self.planned.front().is_some_and(|(end, _)| *end <= self.reach) {
            self.planned.pop_front();
        }
        self.planned_to = self.planned_to.max(self.reach);
        if let Some(since) = reading.since_last.filter(|_| !done.waited) {
            let pace = done.bytes as f64 / since.as_secs_f64().max(0.001);
            self.pace = if self.pace == 0.0 { pace } else { 0.7 * self.pace + 0.3 * pace };
        }
        if self.reads > 0 {
            self.window = self.resized(done).min(share);
        }
    }

    fn planned_bytes(&self) -> u64 {
        self.planned.iter().map(|(_, bytes)| bytes).sum()
    }

    fn resized(&self, done: Done) -> u64 {
        if done.waited || self.window < COMFORT {
            return self.window.saturating_mul(GROWTH).max(FIRST).max(done.bytes.saturating_mul(2));
        }
        let needed = 2.0 * self.pace * done.fetch_time.as_secs_f64();
        let needed = if needed < u64::MAX as f64 { (needed as u64).saturating_add(done.bytes) } else { u64::MAX };
        // Larger at once, smaller by and by.
        if needed >= self.window { needed } else { self.window - (self.window - needed.max(COMFORT)) / 8 }
    }
}

impl Table {
    fn begin(&mut self, partition: PartitionId, offset: Offset, now: Duration) -> u64 {
        let id = self.next;
        self.next += 1;
        if self.count >= MOST {
            let oldest = self.streams.iter().filter_map(|(partition, all)| Some((all.iter().map(|s| s.last).min()?, *partition))).min();
            oldest.into_iter().for_each(|(_, partition)| self.forget_oldest_of(partition));
        }
        if self.streams.get(&partition).is_some_and(|all| all.len() >= MOST_OF_PARTITION) {
            self.forget_oldest_of(partition);
        }
        let stream = Stream {
            id,
            from: offset,
            reach: offset,
            window: 0,
            planned_to: offset,
            planned: VecDeque::new(),
            walking: false,
            reads: 0,
            last: now,
            pace: 0.0,
        };
        self.streams.entry(partition).or_default().push(stream);
        self.count += 1;
        id
    }

    fn forget_oldest_of(&mut self, partition: PartitionId) {
        let Some(all) = self.streams.get_mut(&partition) else { return };
        if let Some((at, _)) = all.iter().enumerate().min_by_key(|(_, stream)| stream.last) {
            all.swap_remove(at);
            self.count -= 1;
        }
        if all.is_empty() {
            self.streams.remove(&partition);
        }
    }

    fn with<T>(&mut self, reading: &Reading, change: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.streams.get_mut(&reading.partition)?.iter_mut().find(|stream| stream.id == reading.stream).map(change)
    }

    /// Streams that have read of late, counted ten times a second at most.
    fn active(&mut self, now: Duration) -> u64 {
        if let Some((at, count)) = self.active
            && now.saturating_sub(at) < Duration::from_millis(100)
        {
            return count;
        }
        let is_active = |stream: &&Stream| stream.reads > 0 && now.saturating_sub(stream.last) < ACTIVE;
        let count = self.streams.values().flatten().filter(is_active).count() as u64;
        self.active = Some((now, count));
        count
    }
}

#[cfg(test)]
mod tests;
