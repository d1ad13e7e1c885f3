//! Where an export goes, and why no record is ever there twice and none between two files is missing.
//!
//! ```text
//! <topic id>/<partition>/<start>.parquet     a file; start: the offset behind the file before, in 20 digits
//! _floe/<topic id>/begin.json                where the export of each partition begins, and in which mode
//! _floe/<topic id>/schema/<number>.json      the decoded columns, version after version (`schemas.rs`)
//! ```
//! * A file covers a range of offsets, `start..end`, and says so in its first 64 bytes ([`FileHeader`]); its name is the start.
//! * The first file of a partition starts where `begin.json` says, each other where the one before ends. So whoever exports
//!   knows where the next file starts from what is there, and from nothing else.
//! * Everything is created only if absent. Of two exporters at the same start one wins; the other throws its file away, reads
//!   where the winner's ends, and goes on there. A zombie's late create meets a file, or is the next file.
//! * Therefore, by induction, the files of a partition tile the offsets from its beginning on, at every instant.
//!
//! Offsets within a file's range that have no row are told in its metadata: deleted by retention, or compacted away.

use crate::ExportError;
use crate::begin::Begin;
use crate::header::{FILE_HEADER_LEN, FileHeader};
use crate::schemas::SchemaVersion;
use bytes::Bytes;
use floe_env::Env;
use floe_objstore::{Created, Payload, Store, StoreError, prove_create_only};
use floe_types::{Offset, PartitionId, TopicId};

/// Names listed by one request.
const PAGE: usize = 1000;

/// A place for exports.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    env: Env,
    store: Store,
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
        Self { env, store }
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
        let body = Payload::from(Bytes::from(schema.encode(self.write_id())));
        Ok(self.store.create(&schema_key(topic, schema.number), &body).await?)
    }

    /// Where the last file of a partition ends; None if there is none.
    ///
    /// # Errors
    /// The store's; a table in that folder that no export made.
    pub(crate) async fn end(&self, partition: PartitionId) -> Result<Option<Offset>, ExportError> {
        let folder = folder(partition);
        let (mut after, mut last) = (None::<String>, None);
        loop {
            let page = self.store.list(&folder, after.as_deref(), PAGE).await?;
            for object in page.iter().filter(|object| object.key.ends_with(".parquet")) {
                let start = parse_key(partition, &object.key);
                let foreign = || ExportError::Foreign { key: object.key.clone(), why: "its name is no start of a file".into() };
                last = Some(start.ok_or_else(foreign)?);
            }
            match page.last() {
                Some(end) if page.len() == PAGE => after = Some(end.key.clone()),
                _ => break,
            }
        }
        match last {
            Some(start) => Ok(Some(self.header(partition, start).await?.end)),
            None => Ok(None),
        }
    }

    /// What the file that starts there says of itself.
    async fn header(&self, partition: PartitionId, start: Offset) -> Result<FileHeader, ExportError> {
        let key = key(partition, start);
        let (_, bytes) = self.store.get_start(&key, FILE_HEADER_LEN as u64).await?;
        let header = FileHeader::decode(&bytes).and_then(|header| {
            let is_its = header.partition == partition.index && header.start == start && header.end > start;
            if is_its { Ok(header) } else { Err("it is another file than its name says".to_owned()) }
        });
        header.map_err(|why| ExportError::Foreign { key, why })
    }

    /// Creates a file, whose body begins with `header`.
    ///
    /// # Errors
    /// The store's: the outcome may be unknown, and whoever comes next finds out.
    pub(crate) async fn place(&self, partition: PartitionId, header: &FileHeader, body: &Payload) -> Result<Placed, ExportError> {
        match self.store.create(&key(partition, header.start), body).await? {
            Created::Won => Ok(Placed::Ours),
            Created::Lost => Ok(Placed::Anothers { end: self.header(partition, header.start).await?.end }),
        }
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

fn folder(partition: PartitionId) -> String {
    format!("{}/{}", partition.topic, partition.index)
}

pub(crate) fn key(partition: PartitionId, start: Offset) -> String {
    format!("{}/{start:020}.parquet", folder(partition))
}

fn parse_key(partition: PartitionId, found: &str) -> Option<Offset> {
    let name = found.rsplit('/').next()?.strip_suffix(".parquet")?;
    let start = name.parse().ok()?;
    (key(partition, start) == found).then_some(start)
}

/// The first bytes of a body that is not a file yet: room for its header.
pub(crate) fn header_room() -> Bytes {
    Bytes::from_static(&[0; FILE_HEADER_LEN - 4])
}
