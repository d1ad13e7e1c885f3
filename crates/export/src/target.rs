//! Where an export goes, and why no record is ever there twice and none between two files is missing.
//!
//! ```text
//! <topic id>/<partition>/<start>.parquet     a file; start: the offset behind the file before, in 20 digits; other [`Folders`] are
//!                                            partition=<partition>/ and date=<day>/<partition>/
//! _floe/<topic id>/day/<partition>/<start>.json   of which day that file is, where there are folders of days (`claim.rs`)
//! _floe/<topic id>/begin.json                where the export of each partition begins, and in which mode
//! _floe/<topic id>/schema/<number>.json      the decoded columns, version after version (`schemas.rs`)
//! _floe/<topic id>/merged/, _floe/<topic id>/list/    small files merged, beside the table (`merge.rs`)
//! _floe/<topic id>/versions/, _floe/<topic id>/latest/    the newest version of each key, beside it as well (`merge/latest.rs`)
//! ```
//! * A file covers a range of offsets, `start..end`, and says so in its first 64 bytes ([`FileHeader`]); its name is the start.
//! * The first file of a partition starts where `begin.json` says, each other where the one before ends. So whoever exports
//!   knows where the next file starts from what is there, and from nothing else.
//! * Where a name has a day in it, an object of its own decides the day before the file is created: at one start there is one
//!   name, whatever its exporters see.
//! * Everything is created only if absent. Of two exporters at the same start one wins; the other throws its file away, reads
//!   where the winner's ends, and goes on there. A zombie's late create meets a file, or is the next file.
//! * Therefore, by induction, the files of a partition tile the offsets from its beginning on, at every instant.
//!
//! Offsets within a file's range that have no row are told in its metadata: deleted by retention, or compacted away.

use crate::ExportError;
use crate::begin::Begin;
use crate::claim::Claim;
use crate::day::Day;
use crate::file::Built;
use crate::header::{FILE_HEADER_LEN, FileHeader};
use crate::merge::{LatestList, List};
use crate::schemas::SchemaVersion;
use bytes::Bytes;
use floe_env::Env;
use floe_objstore::{Created, Payload, Store, StoreError, prove_create_only};
use floe_types::{Offset, PartitionId, TopicId};
use serde::{Deserialize, Serialize};

/// Names listed by one request.
const PAGE: usize = 1000;

/// Which folders files lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folders {
    /// `<partition>/`
    #[default]
    Plain,
    /// `partition=<partition>/`
    Partition,
    /// `date=<day>/<partition>/`: the day of the records' timestamps, in UTC.
    Date,
}

impl Folders {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

impl Folders {
    /// Names that engines take from folders.
    pub(crate) fn taken(self) -> &'static [&'static str] {
        if self == Self::Date { &["date"] } else { &[] }
    }
}

/// A place for exports.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    env: Env,
    store: Store,
    folders: Folders,
}

/// Where a partition's next file begins, and of which day it is, if that is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: Offset,
    pub(crate) claim: Option<Claim>,
}

/// A file of a topic's table, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) key: String,
    pub(crate) partition: i32,
    /// Within the topic's.
    pub(crate) folder: String,
    pub(crate) start: Offset,
    pub(crate) bytes: u64,
}

impl Table {
    fn parse(root: &str, key: &str, bytes: u64) -> Option<Self> {
        let (folder, name) = key.strip_prefix(root)?.strip_prefix('/')?.rsplit_once('/')?;
        let start = name.strip_suffix(".parquet")?.parse().ok()?;
        let last = folder.rsplit('/').next()?;
        let partition = last.strip_prefix("partition=").unwrap_or(last).parse().ok()?;
        Some(Self { key: key.to_owned(), partition, folder: folder.to_owned(), start, bytes })
    }
}

/// How creating a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    Ours,
    /// Another exporter was first: its file ends here.
    Anothers {
        end: Offset,
    },
}

impl Target {
    pub(crate) fn new(env: Env, store: Store) -> Self {
        Self { env, store, folders: Folders::Plain }
    }

    /// The same place with these folders.
    pub(crate) fn with_folders(&self, folders: Folders) -> Self {
        Self { folders, ..self.clone() }
    }

    pub(crate) fn folders(&self) -> Folders {
        self.folders
    }

    /// A name for one write: two files of two exporters never begin with the same bytes.
    pub(crate) fn write_id(&self) -> u128 {
        self.env.random_u128()
    }

    /// What was decided where this topic's export began, or decides it.
    ///
    /// # Errors
    /// The store's; a target that overwrites; something else at that key.
    pub(crate) async fn begin(&self, topic: TopicId, proposed: &Begin) -> Result<Begin, ExportError> {
        let key = begin_key(topic);
        let body = |begin: &Begin| Payload::from(begin.encode(self.write_id()));
        let begun = match self.read_begin(topic).await? {
            Some(begun) => begun,
            None => match self.store.create(&key, &body(proposed)).await? {
                Created::Won => proposed.clone(),
                Created::Lost => self.read_begin(topic).await?.ok_or_else(|| StoreError::NotFound { key: key.clone() })?,
            },
        };
        // Everything rests on that a second create loses. Where it wins, what stands there says the same.
        prove_create_only(&self.store, &key, &body(&begun)).await?;
        Ok(begun)
    }

    pub(crate) async fn read_begin(&self, topic: TopicId) -> Result<Option<Begin>, ExportError> {
        let key = begin_key(topic);
        match self.store.get(&key).await {
            Ok(bytes) => Begin::decode(&bytes, topic).map(Some).map_err(|why| ExportError::Foreign { key, why }),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest version of a topic's decoded columns.
    pub(crate) async fn newest_schema(&self, topic: TopicId) -> Result<Option<SchemaVersion>, ExportError> {
        let (mut after, mut last) = (None::<String>, None);
        loop {
            let page = self.store.list(&schemas_folder(topic), after.as_deref(), PAGE).await?;
            last = page.last().map(|object| object.key.clone()).or(last);
            if page.len() < PAGE {
                break;
            }
            after.clone_from(&last);
        }
        let Some(key) = last else { return Ok(None) };
        let bytes = self.store.get(&key).await?;
        let schema = SchemaVersion::decode(&bytes).and_then(|schema| {
            if schema_key(topic, schema.number) == key { Ok(schema) } else { Err("it is another version than its name says".to_owned()) }
        });
        schema.map(Some).map_err(|why| ExportError::Foreign { key, why })
    }

    pub(crate) async fn create_schema(&self, topic: TopicId, schema: &SchemaVersion) -> Result<Created, ExportError> {
        let body = Payload::from(schema.encode(self.write_id()));
        Ok(self.store.create(&schema_key(topic, schema.number), &body).await?)
    }

    /// Where the last file of a partition ends, and so the next begins; None if there is none.
    ///
    /// # Errors
    /// The store's; a table in that folder that no export made.
    pub(crate) async fn end(&self, partition: PartitionId) -> Result<Option<Position>, ExportError> {
        let (folder, suffix) = match self.folders {
            Folders::Date => (claims_folder(partition), ".json"),
            Folders::Plain | Folders::Partition => (self.folder(partition, None), ".parquet"),
        };
        let Some(start) = self.last_start(&folder, suffix).await? else { return Ok(None) };
        if self.folders != Folders::Date {
            let end = self.header(partition, start, None).await?.end;
            return Ok(Some(Position { offset: end, claim: None }));
        }
        let claim = self.read_claim(partition, start).await?;
        match self.header(partition, start, Some(claim.day)).await {
            Ok(header) => Ok(Some(Position { offset: header.end, claim: None })),
            // Whoever decided its day has not created it yet, or never will.
            Err(ExportError::Target(StoreError::NotFound { .. })) => Ok(Some(Position { offset: start, claim: Some(claim) })),
            Err(error) => Err(error),
        }
    }

    /// The last of a folder's names, each of which is a start.
    async fn last_start(&self, folder: &str, suffix: &str) -> Result<Option<Offset>, ExportError> {
        let (mut after, mut last) = (None::<String>, None);
        loop {
            let page = self.store.list(folder, after.as_deref(), PAGE).await?;
            for object in page.iter().filter(|object| object.key.ends_with(suffix)) {
                let start = parse_start(folder, &object.key, suffix);
                let foreign = || ExportError::Foreign { key: object.key.clone(), why: "its name is no start of a file".into() };
                last = Some(start.ok_or_else(foreign)?);
            }
            match page.last() {
                Some(end) if page.len() == PAGE => after = Some(end.key.clone()),
                _ => return Ok(last),
            }
        }
    }

    /// Decides the day of the file that begins there, or finds out how it was decided.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn claim(&self, partition: PartitionId, start: Offset, proposed: Claim) -> Result<Claim, ExportError> {
        let body = Payload::from(proposed.encode(self.write_id()));
        match self.store.create(&claim_key(partition, start), &body).await? {
            Created::Won => Ok(proposed),
            Created::Lost => self.read_claim(partition, start).await,
        }
    }

    async fn read_claim(&self, partition: PartitionId, start: Offset) -> Result<Claim, ExportError> {
        let key = claim_key(partition, start);
        let bytes = self.store.get(&key).await?;
        Claim::decode(&bytes, start).map_err(|why| ExportError::Foreign { key, why })
    }

    /// Every file of a topic's table.
    ///
    /// # Errors
    /// The store's; a table in that folder that no export made.
    pub(crate) async fn tables(&self, topic: TopicId) -> Result<Vec<Table>, ExportError> {
        let (root, mut after, mut all) = (topic.to_string(), None::<String>, Vec::new());
        loop {
            let page = self.store.list(&root, after.as_deref(), PAGE).await?;
            for object in page.iter().filter(|object| object.key.ends_with(".parquet")) {
                let foreign = || ExportError::Foreign { key: object.key.clone(), why: "its name is none of a file of an export".into() };
                all.push(Table::parse(&root, &object.key, object.size).ok_or_else(foreign)?);
            }
            match page.last() {
                Some(end) if page.len() == PAGE => after = Some(end.key.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// What a file says of itself, and its bytes.
    ///
    /// # Errors
    /// The store's; it is another one.
    pub(crate) async fn header_at(&self, key: &str, partition: i32, start: Offset) -> Result<(FileHeader, u64), ExportError> {
        let (size, bytes) = self.store.get_start(key, FILE_HEADER_LEN as u64).await?;
        let header = FileHeader::decode(&bytes).and_then(|header| {
            let is_its = header.partition == partition && header.start == start && header.end > start;
            if is_its { Ok((header, size)) } else { Err("it is another file than its name says".to_owned()) }
        });
        header.map_err(|why| ExportError::Foreign { key: key.to_owned(), why })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The newest list of the files that make the merged table.
    ///
    /// # Errors
    /// The store's; a list of another program.
    pub(crate) async fn newest_list(&self, topic: TopicId) -> Result<Option<List>, ExportError> {
        let folder = lists_folder(topic);
        let Some(number) = self.last_start(&folder, ".json").await? else { return Ok(None) };
        let key = list_key(topic, number.unsigned_abs());
        let list = List::decode(&self.store.get(&key).await?, number.unsigned_abs());
        list.map(Some).map_err(|why| ExportError::Foreign { key, why })
    }

    /// The newest list of the files that have the newest version of each key.
    ///
    /// # Errors
    /// The store's; a list of another program.
    pub(crate) async fn newest_latest(&self, topic: TopicId) -> Result<Option<LatestList>, ExportError> {
        let Some(number) = self.last_start(&latest_folder(topic), ".json").await? else { return Ok(None) };
        let key = latest_key(topic, number.unsigned_abs());
        let list = LatestList::decode(&self.store.get(&key).await?, number.unsigned_abs());
        list.map(Some).map_err(|why| ExportError::Foreign { key, why })
    }

    pub(crate) async fn create_latest(&self, topic: TopicId, number: u64, body: Bytes) -> Result<Created, ExportError> {
        Ok(self.store.create(&latest_key(topic, number), &Payload::from(body)).await?)
    }

    pub(crate) async fn create_list(&self, topic: TopicId, list: &List) -> Result<Created, ExportError> {
        let body = Payload::from(list.encode(self.write_id()));
        Ok(self.store.create(&list_key(topic, list.number), &body).await?)
    }

    /// What the file that starts there says of itself.
    async fn header(&self, partition: PartitionId, start: Offset, day: Option<Day>) -> Result<FileHeader, ExportError> {
        Ok(self.header_at(&self.key(partition, start, day), partition.index, start).await?.0)
    }

    /// Creates a file, whose body begins with its header.
    ///
    /// # Errors
    /// The store's: the outcome may be unknown, and whoever comes next finds out.
    pub(crate) async fn place(&self, partition: PartitionId, built: &Built) -> Result<Placed, ExportError> {
        let (start, day) = (built.header.start, built.day);
        match self.store.create(&self.key(partition, start, day), &built.body).await? {
            Created::Won => Ok(Placed::Ours),
            Created::Lost => Ok(Placed::Anothers { end: self.header(partition, start, day).await?.end }),
        }
    }

    fn folder(&self, PartitionId { topic, index }: PartitionId, day: Option<Day>) -> String {
        match (self.folders, day) {
            (Folders::Partition, _) => format!("{topic}/partition={index}"),
            (Folders::Date, Some(day)) => format!("{topic}/{}/{index}", day.folder()),
            (Folders::Plain, _) | (Folders::Date, None) => format!("{topic}/{index}"),
        }
    }

    fn key(&self, partition: PartitionId, start: Offset, day: Option<Day>) -> String {
        format!("{}/{start:020}.parquet", self.folder(partition, day))
    }
}

fn begin_key(topic: TopicId) -> String {
    format!("_floe/{topic}/begin.json")
}

fn schemas_folder(topic: TopicId) -> String {
    format!("_floe/{topic}/schema")
}

fn schema_key(topic: TopicId, number: u64) -> String {
    format!("{}/{number:08}.json", schemas_folder(topic))
}

fn lists_folder(topic: TopicId) -> String {
    format!("_floe/{topic}/list")
}

pub(crate) fn merged_folder(topic: TopicId) -> String {
    format!("_floe/{topic}/merged")
}

pub(crate) fn list_key(topic: TopicId, number: u64) -> String {
    format!("{}/{number:020}.json", lists_folder(topic))
}

fn latest_folder(topic: TopicId) -> String {
    format!("_floe/{topic}/latest")
}

pub(crate) fn latest_key(topic: TopicId, number: u64) -> String {
    format!("{}/{number:020}.json", latest_folder(topic))
}

pub(crate) fn versions_folder(topic: TopicId) -> String {
    format!("_floe/{topic}/versions")
}

fn claims_folder(PartitionId { topic, index }: PartitionId) -> String {
    format!("_floe/{topic}/day/{index}")
}

pub(crate) fn claim_key(partition: PartitionId, start: Offset) -> String {
    format!("{}/{start:020}.json", claims_folder(partition))
}

fn parse_start(folder: &str, found: &str, suffix: &str) -> Option<Offset> {
    let name = found.rsplit('/').next()?.strip_suffix(suffix)?;
    let start: Offset = name.parse().ok()?;
    (format!("{folder}/{start:020}{suffix}") == found).then_some(start)
}

/// The first bytes of a body that is not a file yet: room for its header.
pub(crate) fn header_room() -> Bytes {
    Bytes::from_static(&[0; FILE_HEADER_LEN - 4])
}
