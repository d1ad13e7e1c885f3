//! The newest version of each key as a table of its own, beside the one that has them all: what a compacted topic is once it is compacted.
//!
//! ```text
//! _floe/<topic id>/latest/<number>.json                         which files make it: the newest list counts
//! _floe/<topic id>/versions/<id>/<partition>-<number>.pq        its files; id: of whoever made them, at random
//! ```
//! * Of each partition it has, of each key, the row with the greatest offset below where the partition's files ended when this was made, if
//!   that row has a value; and every row without a key. Rows are as they are in the table.
//! * It is made anew each time, where there is anything new. Lists are numbered, and created only if absent: of two that make one at the
//!   same time one is first, and the files of the other are named by no list. Nothing that a list names is changed or deleted here.
//! * A file's rows are in order of their offsets.
//! * Keys of one partition have room in a part of the memory, or it is refused; nothing else grows with them.

use super::rewrite::widen;
use super::{Entry, Merge};
use crate::ExportError;
use crate::file::FileOptions;
use crate::header::FileHeader;
use crate::json;
use crate::memory::LatestRoom;
use crate::rows::schema;
use crate::writer::TableWriter;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use floe_env::hash::{HashMap, keyed_128};
use floe_objstore::{Created, Payload};
use floe_types::Offset;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u32 = 1;
/// Bytes of a key's place, its share of a table that is never full and of the one that it outgrew.
const KEY_COST: u64 = 96;

/// What came of making the newest versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Latest {
    /// The list that counts now, from the target's root; None: there is nothing to list.
    pub list: Option<String>,
    /// Files that it names, and rows and bytes in them.
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Whether they were made now.
    pub is_new: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatestList {
    /// First, so that it stands in the first 64 bytes: which write made this.
    write_id: String,
    version: u32,
    number: u64,
    /// By partition, up to where.
    ends: BTreeMap<i32, Offset>,
    files: Vec<LatestFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatestFile {
    /// Where it is, from the target's root.
    key: String,
    partition: i32,
    rows: u64,
    bytes: u64,
}

impl LatestList {
    fn encode(&self, write_id: u128) -> Bytes {
        let named = Self { write_id: json::named(write_id), version: VERSION, ..self.clone() };
        json::encode(&named)
    }

    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8], number: u64) -> Result<Self, String> {
        let list: Self = json::decode(bytes, VERSION)?;
        if list.number == number { Ok(list) } else { Err("it is another list than its name says".to_owned()) }
    }

    fn told(&self, key: impl Fn(u64) -> String, is_new: bool) -> Latest {
        let sum = |of: fn(&LatestFile) -> u64| self.files.iter().map(of).sum();
        let (rows, bytes) = (sum(|file| file.rows), sum(|file| file.bytes));
        Latest { list: (self.number > 0).then(|| key(self.number)), files: self.files.len() as u64, rows, bytes, is_new }
    }
}

/// Of each key, by its hash under a secret of this map, the greatest offset.
struct Newest {
    secret: u128,
    most: usize,
    offsets: HashMap<u128, Offset>,
}

impl Newest {
    /// # Errors
    /// There is no room for the key.
    fn see(&mut self, key: &[u8], offset: Offset) -> Result<(), ExportError> {
        let hash = keyed_128(self.secret, key);
        if let Some(newest) = self.offsets.get_mut(&hash) {
            *newest = offset.max(*newest);
        } else if self.offsets.len() < self.most {
            self.offsets.insert(hash, offset);
        } else {
            let why = format!("a partition has more than {} keys, for which there is no room in --memory", self.most);
            return Err(ExportError::Refused(why));
        }
        Ok(())
    }

    fn is_newest(&self, key: &[u8], offset: Offset) -> bool {
        self.offsets.get(&keyed_128(self.secret, key)) == Some(&offset)
    }
}

/// Keys and values of rows, wherever they stand: what is no text is in `_error`.
struct Pairs {
    offsets: ArrayRef,
    key: [ArrayRef; 2],
    value: Option<[ArrayRef; 2]>,
}

impl Pairs {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let error = batch.column_by_name("_error")?.as_struct_opt()?;
        let both = |name: &str| Some([batch.column_by_name(name)?.clone(), error.column_by_name(name)?.clone()]);
        Some(Self { offsets: batch.column_by_name("offset")?.clone(), key: both("key")?, value: both("value") })
    }

    fn offset(&self, at: usize) -> Offset {
        self.offsets.as_primitive::<Int64Type>().value(at)
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.key.iter().find(|column| column.is_valid(at)).map(|column| bytes(column, at))
    }

    fn has_value(&self, at: usize) -> bool {
        self.value.iter().flatten().any(|column| column.is_valid(at))
    }
}

fn bytes(column: &ArrayRef, at: usize) -> &[u8] {
    match column.as_binary_opt::<i32>() {
        Some(bytes) => bytes.value(at),
        None => column.as_string::<i32>().value(at).as_bytes(),
    }
}

/// A partition's newest versions, file after file.
struct Making {
    options: FileOptions,
    schema: SchemaRef,
    newest: Newest,
    open: Option<Open>,
}

struct Open {
    writer: TableWriter,
    start: Offset,
    end: Offset,
    rows: u64,
}

impl Merge<'_> {
    /// Makes the newest versions of what there is, unless they were made.
    ///
    /// # Errors
    /// The target's; keys, or files, that there is no room for; another who was first.
    pub(crate) async fn latest(&self) -> Result<Latest, ExportError> {
        if self.begin.drop_value {
            let why = "this export leaves values out (--drop-value): what was deleted looks like any other row, and nobody knows the newest versions";
            return Err(ExportError::Refused(why.to_owned()));
        }
        let topic = self.topic.id;
        let key = |number| crate::target::latest_key(topic, number);
        let found = self.look(&self.target.newest_list(topic).await?.unwrap_or_default()).await?;
        let before = self.target.newest_latest(topic).await?.unwrap_or_default();
        let mut partitions: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
        for entry in found.files {
            partitions.entry(entry.partition).or_default().push(entry);
        }
        let end = |entries: &Vec<Entry>| entries.iter().map(Entry::end).max().unwrap_or(0);
        let mut next = LatestList { number: before.number + 1, ..LatestList::default() };
        next.ends = partitions.iter().map(|(partition, entries)| (*partition, end(entries))).collect();
        if next.ends == before.ends {
            return Ok(before.told(key, false));
        }
        let id = self.target.write_id();
        for (partition, mut entries) in partitions {
            entries.sort_by_key(Entry::start);
            next.files.extend(self.latest_of(partition, &entries, id).await?);
        }
        match self.target.create_latest(topic, next.number, next.encode(self.target.write_id())).await? {
            Created::Won => Ok(next.told(key, true)),
            Created::Lost => Err(ExportError::Overtaken(1)),
        }
    }

    /// The files of one partition's.
    async fn latest_of(&self, partition: i32, sources: &[Entry], id: u128) -> Result<Vec<LatestFile>, ExportError> {
        let mut options = self.options().await?;
        let largest = sources.iter().map(|source| source.bytes).max().unwrap_or(0);
        let room = self.memory.latest_room(self.file_bytes, largest, options.layout.columns()).await;
        let Some(LatestRoom { file_bytes, keys_bytes, .. }) = room else {
            return Err(ExportError::Refused(format!("a file of {largest} bytes is to be read, for which there is no room in --memory")));
        };
        options.file_bytes = file_bytes;
        let most = usize::try_from(keys_bytes / KEY_COST).unwrap_or(usize::MAX);
        let mut newest = Newest { secret: self.env.random_u128(), most, offsets: HashMap::default() };
        for source in sources {
            let body = self.target.store().get(&source.key).await?;
            let key = source.key.clone();
            newest = self.compute(move || see_all(&mut newest, &key, body).map(|()| newest)).await?;
        }
        let schema = schema(&options.layout);
        let (mut making, mut made) = (Making { options, schema, newest, open: None }, Vec::new());
        for (at, source) in sources.iter().enumerate() {
            let (body, key) = (self.target.store().get(&source.key).await?, source.key.clone());
            making = self.compute(move || making.add(&key, body).map(|()| making)).await?;
            // Files of other folders lie in between: in one file rows go up.
            let next = sources.get(at + 1).map(Entry::start);
            if making.is_full() || making.open.as_ref().is_some_and(|open| next.is_none_or(|next| next < open.end)) {
                made.extend(self.place(&mut making, (partition, id, made.len())).await?);
            }
        }
        Ok(made)
    }

    /// Creates the file that is open.
    async fn place(&self, making: &mut Making, (partition, id, number): (i32, u128, usize)) -> Result<Option<LatestFile>, ExportError> {
        let Some(open) = making.open.take() else { return Ok(None) };
        let (rows, write_id) = (open.rows, self.target.write_id());
        let header = FileHeader { write_id, partition, start: open.start, end: open.end };
        let topic = (self.topic.id.to_string(), self.topic.name.clone());
        let body = self.compute(move || open.finish(&header, topic)).await?;
        let key = format!("{}/{id:032x}/{partition}-{number:08}.pq", crate::target::versions_folder(self.topic.id));
        match self.target.store().create(&key, &body).await? {
            Created::Won => Ok(Some(LatestFile { key, partition, rows, bytes: body.len() })),
            Created::Lost => Err(ExportError::Foreign { key, why: "its name was drawn at random".to_owned() }),
        }
    }
}

fn foreign(key: &str, why: &str) -> ExportError {
    ExportError::Foreign { key: key.to_owned(), why: why.to_owned() }
}

/// Looks at the keys of a file.
fn see_all(newest: &mut Newest, key: &str, body: Bytes) -> Result<(), ExportError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(body)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["offset", "key", "_error.key"]);
    let at_once = super::rewrite::rows_at_once(builder.metadata(), 0);
    for batch in builder.with_projection(mask).with_batch_size(at_once).build()? {
        let batch = batch?;
        let pairs = Pairs::of(&batch).ok_or_else(|| foreign(key, "it has no keys"))?;
        for at in 0..batch.num_rows() {
            if let Some(key) = pairs.key(at) {
                newest.see(key, pairs.offset(at))?;
            }
        }
    }
    Ok(())
}

impl Making {
    /// Adds those rows of a file that are the newest of their keys.
    fn add(&mut self, key: &str, body: Bytes) -> Result<(), ExportError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(body)?;
        let at_once = super::rewrite::rows_at_once(builder.metadata(), self.options.layout.columns());
        for batch in builder.with_batch_size(at_once).build()? {
            let batch = batch?;
            let pairs = Pairs::of(&batch).ok_or_else(|| foreign(key, "it has no keys"))?;
            let is_kept = |at: usize| match pairs.key(at) {
                Some(key) => pairs.has_value(at) && self.newest.is_newest(key, pairs.offset(at)),
                None => true,
            };
            let kept: Vec<usize> = (0..batch.num_rows()).filter(|at| is_kept(*at)).collect();
            let (Some(first), Some(last)) = (kept.first(), kept.last()) else { continue };
            let (start, end) = (pairs.offset(*first), pairs.offset(*last) + 1);
            let mut mask = vec![false; batch.num_rows()];
            kept.iter().for_each(|at| mask[*at] = true);
            let rows = filter_record_batch(&batch, &BooleanArray::from(mask))?;
            let bytes = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum::<Result<usize, _>>()?;
            let wide = widen(&rows, &self.schema).map_err(|error| foreign(key, &error.to_string()))?;
            let open = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(Open { writer: TableWriter::new(&self.options), start, end, rows: 0 }),
            };
            open.writer.write(&wide, bytes)?;
            (open.end, open.rows) = (end, open.rows + kept.len() as u64);
        }
        Ok(())
    }

    /// Looked at between two sources, each of which the memory has room for.
    fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.writer.bytes() as u64 >= self.options.file_bytes)
    }
}

impl Open {
    fn finish(mut self, header: &FileHeader, (id, name): (String, String)) -> Result<Payload, ExportError> {
        self.writer.say("format", "1".to_owned());
        self.writer.say("versions", "latest".to_owned());
        self.writer.say("topic", name);
        self.writer.say("topic_id", id);
        self.writer.say("partition", header.partition.to_string());
        self.writer.say("start", header.start.to_string());
        self.writer.say("end", header.end.to_string());
        self.writer.say("rows", self.rows.to_string());
        self.writer.finish(header)
    }
}
