//! The memory of an export: one budget. A part is for what is read ahead; of the rest every file takes a room before it is begun,
//! and gives it back when it has been created, so that as many partitions are at work as have room. What a room cannot allow for - a
//! batch that is large once decompressed, a value that becomes very many values - waits for its turn: one at a time, in all partitions
//! together.
//!
//! Who has a room waits for nothing but that turn, and who has the turn for nothing: nobody waits in a circle.

use tokio::sync::{Semaphore, SemaphorePermit};

const MIB: u64 = 1 << 20;
/// What rooms are counted in.
const UNIT: u64 = 64 << 10;
/// One file's work: what was read and is not in it yet, what is read behind that, one batch decompressed, rows before and after they are columns.
const WORK: u64 = 16 * MIB;
/// Values of its columns that no page was made of yet.
const OPEN_PAGES: u64 = 8 * MIB;
/// A column's encoder and its dictionary's table, empty.
pub(crate) const COLUMN: u64 = 96 << 10;
/// zstd's state for a column that has pages; see [`MANY_COLUMNS`].
const CONTEXT: u64 = 640 << 10;
/// A table of more columns has row groups so small that its columns have one page each, which is made when the state of the column
/// before is gone.
pub(crate) const MANY_COLUMNS: usize = 32;
/// A file is of so many bytes at least, whatever the budget is.
const LEAST_FILE: u64 = MIB;

/// Most bytes of a batch once decompressed, and of a value that is taken apart, that need no turn of their own.
pub(crate) const BATCH_AT_ONCE: usize = 8 << 20;
pub(crate) const VALUE_AT_ONCE: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Memory {
    rooms: Semaphore,
    all: u32,
    turn: Semaphore,
}

/// What one file may take, and for how many columns.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    /// Of its body, and of what is going to be in it.
    pub(crate) file_bytes: u64,
    pub(crate) columns: usize,
    _place: SemaphorePermit<'a>,
}

/// What making the newest versions of a partition may take.
#[derive(Debug)]
pub(crate) struct LatestRoom<'a> {
    pub(crate) file_bytes: u64,
    pub(crate) keys_bytes: u64,
    _place: SemaphorePermit<'a>,
}

impl Memory {
    pub(crate) fn new(budget: u64) -> Self {
        let all = units(budget.saturating_sub(reading(budget))).max(1);
        Self { rooms: Semaphore::new(all as usize), all, turn: Semaphore::new(1) }
    }

    /// Waits for a room for a file of so many bytes; where the whole budget has none, the file is smaller. Cancellation safe.
    pub(crate) async fn room(&self, file_bytes: u64, columns: usize) -> Room<'_> {
        let besides = besides(columns);
        let wanted = units(besides.saturating_add(file_bytes)).min(self.all);
        let place = self.rooms.acquire_many(wanted).await.expect("it is never closed");
        let file_bytes = (u64::from(wanted) * UNIT).saturating_sub(besides).clamp(LEAST_FILE.min(file_bytes), file_bytes);
        Room { file_bytes, columns, _place: place }
    }

    /// Bytes of a file that is made of others, of which one is held beside it that is half as large at most: as many as asked for, or as
    /// the whole budget has room for.
    pub(crate) fn merged_bytes(&self, file_bytes: u64, columns: usize) -> u64 {
        let most = (u64::from(self.all) * UNIT).saturating_sub(besides(columns)) / 3 * 2;
        most.clamp(LEAST_FILE.min(file_bytes), file_bytes)
    }

    /// A room for a file that is made of others, of which one of so many bytes is held beside it, and for keys; None: the whole budget has
    /// none. Waits for it; cancellation safe.
    pub(crate) async fn latest_room(&self, file_bytes: u64, largest: u64, columns: usize) -> Option<LatestRoom<'_>> {
        let (all, keys_bytes) = (u64::from(self.all) * UNIT, u64::from(self.all) * UNIT / 4);
        let left = all.checked_sub(besides(columns))?.checked_sub(keys_bytes)?.checked_sub(largest)?;
        // Whether it is full is seen when all of a source is in it.
        let file_bytes = file_bytes.min(left.checked_sub(largest)?).max(LEAST_FILE.min(file_bytes));
        let place = self.rooms.acquire_many(self.all).await.expect("it is never closed");
        Some(LatestRoom { file_bytes, keys_bytes, _place: place })
    }

    /// The turn of who needs more than a room. Cancellation safe.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.turn.acquire().await.expect("it is never closed")
    }
}

/// Bytes of the cache that reads go through. What is on its way to it takes one and a half times as much again: three quarters, as
/// stored and as opened.
pub(crate) fn cache_bytes(budget: u64) -> u64 {
    (budget / 16).clamp(2 * MIB, 48 * MIB)
}

fn reading(budget: u64) -> u64 {
    cache_bytes(budget) / 2 * 5
}

/// What a file takes besides its body.
fn besides(columns: usize) -> u64 {
    WORK + OPEN_PAGES + columns as u64 * COLUMN + columns.min(MANY_COLUMNS) as u64 * CONTEXT
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_default_has_room_for_two_files_of_the_default_and_no_third() {
        let memory = Memory::new(256 * MIB);
        let rooms: Vec<_> = (0..3).map(|_| memory.room(64 * MIB, 13).now_or_never()).collect();
        assert_eq!(
            rooms.iter().map(|room| room.as_ref().map(|room| room.file_bytes)).collect::<Vec<_>>(),
            [Some(64 * MIB), Some(64 * MIB), None]
        );
        drop(rooms);
        assert!(memory.room(64 * MIB, 13).now_or_never().is_some(), "rooms come back");
    }

    #[test]
    fn a_file_that_has_no_room_at_all_is_smaller_and_alone() {
        let memory = Memory::new(128 * MIB);
        let one = memory.room(1 << 30, 13).now_or_never().expect("nobody else is there");
        assert!(one.file_bytes > 64 * MIB && one.file_bytes < 128 * MIB, "{}", one.file_bytes);
        assert!(memory.room(MIB, 13).now_or_never().is_none());
    }

    #[test]
    fn wide_tables_take_more_and_something_is_always_left_for_the_file() {
        let memory = Memory::new(256 * MIB);
        let wide = memory.room(64 * MIB, 1013).now_or_never().expect("nobody else is there");
        assert_eq!(wide.file_bytes, (216 * MIB).saturating_sub(besides(1013)).min(64 * MIB));
        assert!(memory.room(64 * MIB, 1013).now_or_never().is_none());
        let tiny = Memory::new(MIB);
        assert_eq!(tiny.room(64 * MIB, 1013).now_or_never().expect("one at a time").file_bytes, MIB);
        assert_eq!(tiny.room(3_000, 13).now_or_never().expect("one at a time").file_bytes, 3_000);
    }

    #[test]
    fn turns_are_taken_one_by_one() {
        let memory = Memory::new(256 * MIB);
        let first = memory.turn().now_or_never().expect("nobody has it");
        assert!(memory.turn().now_or_never().is_none());
        drop(first);
        assert!(memory.turn().now_or_never().is_some());
    }
}
