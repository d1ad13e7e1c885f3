//! What an export has made, for whoever gives its files to a catalog.

use crate::ExportError;
use crate::begin::Begin;
use crate::target::Target;
use floe_env::Env;
use floe_objstore::Store;
use floe_types::{Offset, TopicId};
use std::collections::BTreeMap;

/// Most topics that are looked through for a name.
const MOST_TOPICS: usize = 10_000;

/// A file of a topic's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedFile {
    /// Below the export's place.
    pub key: String,
    pub partition: i32,
    /// The offsets that it stands for: from `start` to before `end`.
    pub start: Offset,
    pub end: Offset,
    pub bytes: u64,
}

/// The files of one topic in an export's place.
#[derive(Debug, Clone)]
pub struct Exported {
    target: Target,
    topic: TopicId,
    begin: Begin,
}

impl Exported {
    /// `topic`: the name under which it was exported, or its id.
    ///
    /// # Errors
    /// The store's; no such export, or several of that name: the topic was deleted and created again, and its id says which; more topics
    /// than are looked through.
    pub async fn find(env: Env, store: Store, topic: &str) -> Result<Self, ExportError> {
        let target = Target::new(env, store);
        let ids: Vec<TopicId> = match topic.parse() {
            Ok(id) => vec![id],
            Err(_) => {
                let folders = target.store().list_folders("_floe").await?;
                folders.iter().filter_map(|folder| folder.rsplit('/').next()?.parse().ok()).collect()
            }
        };
        if ids.len() > MOST_TOPICS {
            return Err(ExportError::Refused(format!("{} topics were exported here: name one by its id", ids.len())));
        }
        let mut found = Vec::new();
        for id in ids {
            match target.read_begin(id).await? {
                Some(begin) if begin.topic() == topic || id.to_string() == topic => found.push((id, begin)),
                _ => {}
            }
        }
        match found.as_slice() {
            [(id, begin)] => Ok(Self { target, topic: *id, begin: begin.clone() }),
            [] => Err(ExportError::Refused(format!("no topic {topic} was exported here"))),
            several => {
                let ids: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
                Err(ExportError::Refused(format!("topic {topic} was deleted and created again: name one by its id, {}", ids.join(" or "))))
            }
        }
    }

    #[must_use]
    pub fn topic(&self) -> TopicId {
        self.topic
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        self.target.store()
    }

    /// Files that begin at or behind an offset of their partition, at most `limit`, each partition's in order and without a gap between
    /// them; of partitions that are not named, from the first on.
    ///
    /// # Errors
    /// The store's; what is no file of an export; a file that is gone.
    pub async fn files(&self, from: &BTreeMap<i32, Offset>, limit: usize) -> Result<Vec<ExportedFile>, ExportError> {
        match self.listed(from, limit).await {
            // One that was made while the rest were being listed is there when they are listed again.
            Err(ExportError::Foreign { .. }) => self.listed(from, limit).await,
            listed => listed,
        }
    }

    async fn listed(&self, from: &BTreeMap<i32, Offset>, limit: usize) -> Result<Vec<ExportedFile>, ExportError> {
        let mut next = from.clone();
        let mut tables = self.target.tables(self.topic).await?;
        tables.retain(|table| from.get(&table.partition).is_none_or(|from| table.start >= *from));
        tables.sort_by_key(|table| (table.start, table.partition));
        tables.truncate(limit);
        let mut files = Vec::with_capacity(tables.len());
        for table in tables {
            let next = next.entry(table.partition).or_insert_with(|| self.begin.start(table.partition));
            if table.start != *next {
                let why = format!("the file of partition {} that begins at offset {next} is missing before it", table.partition);
                return Err(ExportError::Foreign { key: table.key, why });
            }
            let (header, bytes) = self.target.header_at(&table.key, table.partition, table.start).await?;
            *next = header.end;
            files.push(ExportedFile { key: table.key, partition: table.partition, start: header.start, end: header.end, bytes });
        }
        Ok(files)
    }
}
