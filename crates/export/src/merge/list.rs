//! The list of files that make a merged table, and which of them are worth to be merged.

use crate::json;
use crate::target::{Table, merged_folder};
use bytes::Bytes;
use floe_types::{Offset, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

const VERSION: u32 = 1;
/// Most files that one is made of at a time.
const MOST_SOURCES: usize = 10_000;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// First, so that it stands in the first 64 bytes: which write made this.
    write_id: String,
    version: u32,
    pub(crate) number: u64,
    pub(crate) files: Vec<Entry>,
}

/// A file of the merged table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Where it is, from the target's root.
    pub(crate) key: String,
    pub(crate) partition: i32,
    /// The folder of what it was made of, within the topic's.
    folder: String,
    /// The offsets that it covers: more than one range where files of other folders lie in between.
    ranges: Vec<(Offset, Offset)>,
    pub(crate) bytes: u64,
    /// Files of the export that it is made of; 1: it is one of them.
    made_of: u64,
    /// What tells it from every other: for a file of an export the write id in its header, for a merged one what its name has.
    id: String,
}

impl List {
    pub(crate) fn empty(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    pub(crate) fn encode(&self, write_id: u128) -> Bytes {
        let named = Self { write_id: json::named(write_id), version: VERSION, ..self.clone() };
        json::encode(&named)
    }

    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8], number: u64) -> Result<Self, String> {
        let list: Self = json::decode(bytes, VERSION)?;
        if list.number == number { Ok(list) } else { Err("it is another list than its name says".to_owned()) }
    }
}

impl Entry {
    /// A file of an export, with what its header says.
    pub(crate) fn of(table: Table, end: Offset, write_id: u128) -> Self {
        let Table { key, partition, folder, start, bytes } = table;
        Self { key, partition, folder, ranges: vec![(start, end)], bytes, made_of: 1, id: format!("{write_id:032x}") }
    }

    /// What these become: where it is going to be. Of how many bytes, is not known yet.
    pub(crate) fn merged(topic: TopicId, sources: &[Self]) -> Option<Self> {
        let Self { partition, folder, .. } = sources.first()?.clone();
        let mut ranges: Vec<(Offset, Offset)> = Vec::new();
        for (start, end) in sources.iter().flat_map(|source| source.ranges.iter().copied()) {
            match ranges.last_mut() {
                Some((_, last)) if *last == start => *last = end,
                _ => ranges.push((start, end)),
            }
        }
        let id = mixed(sources.iter().map(|source| source.id.as_str()));
        let (start, _) = ranges.first()?;
        let key = format!("{}/{folder}/{start:020}-{id}.pq", merged_folder(topic));
        let made_of = sources.iter().map(|source| source.made_of).sum();
        Some(Self { key, partition, folder, ranges, bytes: 0, made_of, id })
    }

    pub(crate) fn start(&self) -> Offset {
        self.ranges.first().map_or(0, |(start, _)| *start)
    }

    pub(crate) fn end(&self) -> Offset {
        self.ranges.last().map_or(0, |(_, end)| *end)
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<Offset>> {
        self.ranges.iter().map(|(start, end)| *start..*end)
    }
}

/// One identity of several in their order (FNV-1a, 128 bits): those of files are random, so that it is as good as they are.
fn mixed<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in ids.flat_map(str::bytes) {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

/// Files of one folder that follow one another, to be one.
struct Chunk {
    entries: Vec<Entry>,
    bytes: u64,
    /// Something in it was merged before.
    is_old: bool,
}

impl Chunk {
    fn of(entry: Entry) -> Self {
        Self { bytes: entry.bytes, is_old: entry.made_of > 1, entries: vec![entry] }
    }

    /// Whether both are one file, and no large one is touched.
    fn fits(&self, other: &Self, file_bytes: u64) -> bool {
        let is_large = |chunk: &Self| chunk.entries.len() == 1 && chunk.bytes >= file_bytes / 2;
        let room = self.bytes + other.bytes <= file_bytes && self.entries.len() + other.entries.len() <= MOST_SOURCES;
        room && !is_large(self) && !is_large(other)
    }

    fn join(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.is_old |= other.is_old;
        self.entries.extend(other.entries);
    }
}

/// What is to be one file each: of every folder small files that follow one another, until they are a large one; others alone.
///
/// What was merged before and is still small is taken in again only by at least half as many bytes as it has: a row is written some
/// times in all, however often there is a merge, and what stays behind is a few files, each half as large as the one before.
pub(crate) fn chunks(all: Vec<Entry>, file_bytes: u64) -> Vec<Vec<Entry>> {
    let mut folders: BTreeMap<(i32, String), Vec<Entry>> = BTreeMap::new();
    for entry in all {
        folders.entry((entry.partition, entry.folder.clone())).or_default().push(entry);
    }
    folders.into_values().flat_map(|entries| of_folder(entries, file_bytes)).collect()
}

fn of_folder(mut entries: Vec<Entry>, file_bytes: u64) -> Vec<Vec<Entry>> {
    entries.sort_by_key(Entry::start);
    let mut fresh: Vec<Chunk> = Vec::new();
    for chunk in entries.into_iter().map(Chunk::of) {
        match fresh.last_mut() {
            Some(last) if !last.is_old && !chunk.is_old && last.fits(&chunk, file_bytes) => last.join(chunk),
            _ => fresh.push(chunk),
        }
    }
    let mut chunks: Vec<Chunk> = Vec::new();
    for mut chunk in fresh {
        while let Some(before) = chunks.pop() {
            if !before.fits(&chunk, file_bytes) || chunk.bytes < before.bytes / 2 {
                chunks.push(before);
                break;
            }
            let after = std::mem::replace(&mut chunk, before);
            chunk.join(after);
        }
        chunks.push(chunk);
    }
    chunks.into_iter().map(|chunk| chunk.entries).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(folder: &str, ranges: &[(Offset, Offset)], bytes: u64) -> Entry {
        let key = format!("k/{folder}/{}", ranges[0].0);
        Entry { id: key.clone(), key, partition: 0, folder: folder.into(), ranges: ranges.to_vec(), bytes, made_of: 1 }
    }

    fn starts(chunks: &[Vec<Entry>]) -> Vec<Vec<Offset>> {
        chunks.iter().map(|chunk| chunk.iter().map(Entry::start).collect()).collect()
    }

    #[test]
    fn the_first_version_stays_readable_byte_for_byte() {
        let list = List { number: 3, files: vec![entry("0", &[(0, 5), (7, 9)], 100)], ..List::default() };
        let golden = "{\"write_id\":\"00000000000000000000000000000007\",\"version\":1,\"number\":3,\"files\":[{\"key\":\"k/0/0\",\"partition\":0,\
                      \"folder\":\"0\",\"ranges\":[[0,5],[7,9]],\"bytes\":100,\"made_of\":1,\"id\":\"k/0/0\"}]}\n";
        assert_eq!(list.encode(7), golden);
        assert_eq!(List::decode(golden.as_bytes(), 3).unwrap().files, list.files);
        assert!(List::decode(golden.as_bytes(), 4).unwrap_err().contains("another list"));
        let newer = golden.replace("\"version\":1", "\"version\":2,\"more\":0");
        assert!(List::decode(newer.as_bytes(), 3).unwrap_err().contains("version 2"));
    }

    #[test]
    fn small_files_that_follow_one_another_become_one() {
        let all = vec![
            entry("0", &[(3, 5)], 10),
            entry("0", &[(0, 3)], 10),
            entry("0", &[(5, 9)], 60),
            entry("0", &[(9, 10)], 49),
            entry("0", &[(10, 11)], 49),
            entry("0", &[(11, 12)], 5),
            entry("1", &[(0, 1)], 1),
        ];
        assert_eq!(starts(&chunks(all, 100)), [vec![0, 3], vec![5], vec![9, 10], vec![11], vec![0]]);
    }

    #[test]
    fn what_was_merged_is_merged_again_only_with_much_that_is_new() {
        let old = |start, bytes| Entry { made_of: 9, ..entry("0", &[(start, start + 1)], bytes) };
        let new = |start, bytes| entry("0", &[(start, start + 1)], bytes);
        assert_eq!(starts(&chunks(vec![old(0, 40), new(1, 1), new(2, 1)], 100)), [vec![0], vec![1, 2]]);
        assert_eq!(starts(&chunks(vec![old(0, 40), new(1, 10), new(2, 10)], 100)), [vec![0, 1, 2]]);
        assert_eq!(starts(&chunks(vec![old(0, 40), old(1, 12), new(2, 5), new(3, 5)], 100)), [vec![0, 1, 2, 3]]);
        assert_eq!(starts(&chunks(vec![old(0, 60), old(1, 12), new(2, 5)], 100)), [vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn a_row_is_written_some_times_however_often_there_is_a_merge() {
        let (mut table, mut written) = (Vec::new(), 0);
        for round in 0..2000 {
            table.push(entry("0", &[(round, round + 1)], 1));
            let mut next = Vec::new();
            for chunk in chunks(table, 1000) {
                next.push(match chunk.as_slice() {
                    [one] => one.clone(),
                    many => {
                        let bytes: u64 = many.iter().map(|entry| entry.bytes).sum();
                        written += bytes;
                        Entry { bytes, ..Entry::merged(TopicId(1), many).unwrap() }
                    }
                });
            }
            table = next;
            let small = table.iter().filter(|entry| entry.bytes < 500).count();
            assert!(small <= 11, "{small} small files after {round} merges");
        }
        assert_eq!(table.iter().map(|entry| entry.bytes).sum::<u64>(), 2000);
        assert!(written < 2000 * 20, "{written} bytes were written for 2000");
    }

    #[test]
    fn a_merged_files_name_follows_from_what_it_is_made_of() {
        let sources = [entry("date=2026-11-30/0", &[(0, 2), (4, 5)], 1), entry("date=2026-11-30/0", &[(5, 6)], 1)];
        let topic = TopicId(9);
        let merged = Entry::merged(topic, &sources).unwrap();
        assert_eq!((merged.ranges.as_slice(), merged.start(), merged.end(), merged.made_of), (&[(0, 2), (4, 6)][..], 0, 6, 2));
        assert_eq!(merged, Entry::merged(topic, &sources).unwrap());
        assert_ne!(merged.key, Entry::merged(topic, &sources[..1]).unwrap().key);
        let folder = "_floe/00000000-0000-0000-0000-000000000009/merged/date=2026-11-30/0/";
        assert!(merged.key.starts_with(&format!("{folder}{:020}-", 0)) && merged.key.ends_with(".pq"), "{}", merged.key);
    }
}
