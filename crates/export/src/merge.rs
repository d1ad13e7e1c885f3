//! Small files made into large ones, beside the table and never in it: every plain glob over `*.parquet` stays what it is, and the *merged
//! table* is the files that one object names.
//!
//! ```text
//! _floe/<topic id>/list/<number>.json                      which files make the merged table: the newest list counts
//! _floe/<topic id>/merged/<folder>/<start>-<id>.pq         a merged file; id: made of the identities of what it was made of
//! ```
//! * A merged file holds the rows of some files of one folder that follow one another there, in their order. Its name follows from them, so
//!   that whoever merges the same has the same file: one that stands is taken, whoever made it. It does not end in `.parquet`: no glob of
//!   the table's files has it.
//! * A list names every file of the table as it was looked at: large ones as they are, small ones merged, what is left over as it is.
//!   Together they hold, once, every row of the offsets from each partition's beginning to where the files that were seen end. It is
//!   created only if absent, under the number behind the newest one: of two that merge at the same time one wins, and the other begins
//!   again from what that wrote. So each list has all that the one before had.
//! * Nothing that a list names is ever changed or deleted here. A merge that ends in the middle leaves files that no list names, which
//!   nobody reads, and which the next one takes if it merges the same.
//! * Columns are looked up after the files were: what a file has, stood in the target before it.

mod latest;
mod list;
mod rewrite;

use crate::ExportError;
use crate::begin::Begin;
use crate::file::FileOptions;
use crate::memory::Memory;
use crate::rows::Layout;
use crate::schemas::Schemas;
use crate::target::{Table, Target};
use floe_env::Env;
use floe_formats::Topic;
use floe_objstore::Created;
use floe_types::Offset;
use futures::stream::{self, StreamExt, TryStreamExt};
pub use latest::Latest;
pub(crate) use latest::LatestList;
use list::chunks;
pub(crate) use list::{Entry, List};
use std::collections::BTreeMap;

/// Times that another may be first before it is told as a failure.
const RACES: usize = 5;
/// Files whose first bytes are read at the same time.
const LOOKS_AT_ONCE: usize = 16;

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    /// The list that counts now, from the target's root; None: there is nothing to list.
    pub list: Option<String>,
    /// Files that it names.
    pub files: u64,
    /// Files merged now, files made of them, and bytes of those.
    pub sources: u64,
    pub merged: u64,
    pub bytes: u64,
    /// Files behind a hole, which belong to the table only when that is filled: another exporter's, seen while it writes.
    pub waiting: u64,
}

pub(crate) struct Merge<'a> {
    pub(crate) env: &'a Env,
    pub(crate) target: &'a Target,
    pub(crate) topic: &'a Topic,
    /// Where each partition's first file begins.
    pub(crate) begin: &'a Begin,
    pub(crate) memory: &'a Memory,
    pub(crate) file_bytes: u64,
    pub(crate) bloom: bool,
}

/// The files of the merged table as it would be now.
#[derive(Default)]
struct Found {
    files: Vec<Entry>,
    waiting: u64,
}

impl Merge<'_> {
    /// # Errors
    /// The target's; files that no export made; another merger that was always first.
    pub(crate) async fn run(&self) -> Result<Merged, ExportError> {
        for _ in 0..RACES {
            if let Some(merged) = self.round().await? {
                return Ok(merged);
            }
        }
        Err(ExportError::Overtaken(RACES))
    }

    /// None: another was first.
    async fn round(&self) -> Result<Option<Merged>, ExportError> {
        let topic = self.topic.id;
        let list = self.target.newest_list(topic).await?.unwrap_or_default();
        let found = self.look(&list).await?;
        let options = self.options().await?;
        let mut next = List::empty(list.number + 1);
        let mut told = Merged { waiting: found.waiting, ..Merged::default() };
        for chunk in chunks(found.files, options.file_bytes) {
            if let [one] = chunk.as_slice() {
                next.files.push(one.clone());
                continue;
            }
            let made = self.rewrite(&chunk, &options).await?;
            (told.sources, told.merged) = (told.sources + chunk.len() as u64, told.merged + 1);
            told.bytes += made.bytes;
            next.files.push(made);
        }
        told.files = next.files.len() as u64;
        let number = if next.files == list.files {
            list.number
        } else if self.target.create_list(topic, &next).await? == Created::Won {
            next.number
        } else {
            return Ok(None);
        };
        told.list = (number > 0).then(|| crate::target::list_key(topic, number));
        Ok(Some(told))
    }

    /// How files are made: with all columns that there are, and as large as there is memory for.
    async fn options(&self) -> Result<FileOptions, ExportError> {
        let (mode, drop_value) = (self.begin.mode, self.begin.drop_value);
        let decoded = Schemas::default().grow(self.target, self.topic.id, |_| Ok(false)).await?;
        let layout = Layout { mode, drop_value, decoded, readers: None, is_closed: true };
        let file_bytes = self.memory.merged_bytes(self.file_bytes, layout.columns());
        Ok(FileOptions { layout, file_bytes, bloom: self.bloom })
    }

    /// Those that are listed, and those that came since - as many as follow one another without a hole: what a listing sees while an
    /// exporter writes need not.
    async fn look(&self, list: &List) -> Result<Found, ExportError> {
        let mut all: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
        for entry in &list.files {
            all.entry(entry.partition).or_default().push(entry.clone());
        }
        let known: BTreeMap<i32, BTreeMap<Offset, Offset>> =
            all.iter().map(|(partition, entries)| (*partition, by_start(entries))).collect();
        let is_new = |table: &Table| {
            let before = known.get(&table.partition).and_then(|ranges| ranges.range(..=table.start).next_back());
            before.is_none_or(|(_, end)| *end <= table.start)
        };
        let tables = self.target.tables(self.topic.id).await?;
        let mut looks = Vec::new();
        for table in tables.into_iter().filter(is_new) {
            looks.push(async move {
                let (header, _) = self.target.header_at(&table.key, table.partition, table.start).await?;
                Ok::<_, ExportError>(Entry::of(table, header.end, header.write_id))
            });
        }
        let mut looks = stream::iter(looks).buffered(LOOKS_AT_ONCE);
        while let Some(entry) = looks.try_next().await? {
            all.entry(entry.partition).or_default().push(entry);
        }
        let mut found = Found::default();
        for (partition, entries) in all {
            let end = end_of(self.begin.start(partition), &by_start(&entries));
            let before = entries.len();
            let whole: Vec<Entry> = entries.into_iter().filter(|entry| entry.end() <= end).collect();
            found.waiting += (before - whole.len()) as u64;
            found.files.extend(whole);
        }
        Ok(found)
    }
}

fn by_start(entries: &[Entry]) -> BTreeMap<Offset, Offset> {
    entries.iter().flat_map(Entry::ranges).map(|range| (range.start, range.end)).collect()
}

/// Where ranges end that follow one another from `start` on.
fn end_of(start: Offset, by_start: &BTreeMap<Offset, Offset>) -> Offset {
    let mut end = start;
    while let Some(next) = by_start.get(&end).filter(|next| **next > end) {
        end = *next;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_hole_is_not_there_yet() {
        let ranges = BTreeMap::from([(5, 9), (9, 12), (13, 20)]);
        assert_eq!((end_of(5, &ranges), end_of(0, &ranges), end_of(13, &ranges)), (12, 0, 20));
    }
}
