//! An export, from its options to its report: looks at the store, decides where each partition begins and ends, and exports
//! partitions side by side. Writes only into the target; whoever does the same at the same time does no harm.

use crate::begin::Begin;
use crate::decode::{Field, Readers, Schema, add_all, at_top};
use crate::file::FileOptions;
use crate::memory::{Memory, cache_bytes};
use crate::merge::{Latest, Merge, Merged};
use crate::partition::{Done, PartitionExport};
use crate::registry::{Language, Registry, RegistryClient};
use crate::rows::Layout;
use crate::schemas::Schemas;
use crate::source::Source;
use crate::target::{Folders, Position, Target};
use crate::{ExportError, Mode};
use floe_env::Env;
use floe_formats::Topic;
use floe_log::stored::StoredLog;
use floe_log::{Engine, Partition, ReadError};
use floe_objstore::Store;
use floe_types::{Offset, PartitionId};
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Partitions looked at at the same time, before any is exported.
const LOOKS_AT_ONCE: usize = 16;

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Offset(Offset),
    /// The first record of this time or later, in unix milliseconds.
    Time(i64),
}

/// What is exported, and how. `Default` is everything, as bytes.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Only these partitions.
    pub partitions: Option<Vec<i32>>,
    /// Where a new export begins; one that has begun goes on where it is.
    pub from: Option<Place>,
    /// Nothing at or behind this place.
    pub until: Option<Place>,
    /// None: that of the export that has begun, or [`Mode::Raw`].
    pub mode: Option<Mode>,
    /// The schemas of values, in the mode's language: the only one, or each with the id that Confluent's wire format has before values.
    pub schemas: Vec<(Option<u32>, Vec<u8>)>,
    /// In mode protobuf: the full name of what values are, where their schema has several messages.
    pub message: Option<String>,
    /// Where schemas are asked for by the ids before values.
    pub registry: Option<Arc<dyn RegistryClient>>,
    /// Leave out `value` where all of it is in decoded columns; only where an export begins.
    pub drop_value: bool,
    /// Which folders files lie in; only where an export begins.
    pub folders: Option<Folders>,
    /// Bytes after which a file ends.
    pub file_bytes: u64,
    /// A bloom filter for keys in every file.
    pub bloom: bool,
    /// Partitions exported at the same time, as far as memory has room for them.
    pub parallel: usize,
    /// Bytes that all of it may hold: files being built, what is read ahead, what is decoded.
    pub memory_bytes: u64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            partitions: None,
            from: None,
            until: None,
            mode: None,
            schemas: Vec::new(),
            message: None,
            registry: None,
            drop_value: false,
            folders: None,
            file_bytes: 64 << 20,
            bloom: false,
            parallel: 2,
            memory_bytes: 256 << 20,
        }
    }
}

/// How far an export has come. Offsets without a record count, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub offsets: u64,
    pub all_offsets: u64,
    pub rows: u64,
    pub files: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// What an export did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub partitions: u64,
    /// Files that this run created, and rows and bytes in them.
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Files thrown away because another exporter had been first.
    pub lost: u64,
}

/// An export that can be run.
#[derive(Debug)]
pub struct Export {
    env: Env,
    log: Log,
    topic: Arc<Topic>,
    target: Target,
    options: ExportOptions,
    memory: Arc<Memory>,
    known: Mutex<Known>,
}

/// Where the topic's records are.
#[derive(Debug)]
enum Log {
    /// In a store, which nobody is asked about.
    Stored(StoredLog),
    /// With this broker, as far as it leads the topic.
    Led(Engine),
}

/// What runs before this one have found out. Others may have come further since: whoever begins there finds their files.
#[derive(Debug, Default)]
struct Known {
    /// The target holds to "only if absent".
    is_proven: bool,
    /// Where the files of partitions end.
    ends: BTreeMap<i32, Offset>,
}

/// What the partitions' exports have in common.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) target: Target,
    pub(crate) topic: String,
    pub(crate) schemas: Schemas,
    pub(crate) memory: Arc<Memory>,
    pub(crate) registry: Option<Registry>,
    progress: Mutex<Progress>,
    heard: Box<dyn Fn(Progress) + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("topic", &self.topic).field("progress", &*self.progress.lock()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let now = {
            let mut progress = self.progress.lock();
            change(&mut progress);
            *progress
        };
        (self.heard)(now);
    }
}

impl Export {
    /// Looks at the topic that has this name now; one that gets the name later is another.
    ///
    /// # Errors
    /// The store cannot be read; there is no such topic.
    pub async fn open(env: Env, store: &Store, topic: &str, target: Store, options: ExportOptions) -> Result<Self, ExportError> {
        let log = StoredLog::open(env.clone(), store, cache_bytes(options.memory_bytes)).await?;
        let topic = log.topic(topic).ok_or_else(|| ExportError::NoTopic(topic.to_owned()))?;
        let (target, memory) = (Target::new(env.clone(), target), Arc::new(Memory::new(options.memory_bytes)));
        Ok(Self { env, log: Log::Stored(log), topic, target, options, memory, known: Mutex::default() })
    }

    /// An export of what this broker leads of a topic, which may be run again and again. `memory`: shared with others.
    pub(crate) fn led(env: Env, (engine, topic): (Engine, Arc<Topic>), target: Store, options: ExportOptions, memory: Arc<Memory>) -> Self {
        let target = Target::new(env.clone(), target);
        Self { env, log: Log::Led(engine), topic, target, options, memory, known: Mutex::default() }
    }

    /// Whether more is in the store than was exported here. Asks nobody.
    pub(crate) fn is_behind(&self) -> bool {
        match &self.log {
            Log::Stored(_) => true,
            Log::Led(engine) => {
                let known = self.known.lock();
                led(engine, &self.topic).any(|partition| known.is_behind(&partition))
            }
        }
    }

    /// Of several brokers that export a topic one merges.
    pub(crate) fn merges_here(&self) -> bool {
        match &self.log {
            Log::Stored(_) => true,
            Log::Led(engine) => engine.partition(PartitionId { topic: self.topic.id, index: 0 }).is_some(),
        }
    }

    /// The folder of the target that the topic's files are in.
    #[must_use]
    pub fn folder(&self) -> String {
        self.topic.id.to_string()
    }

    /// Exports what is in the store now, telling how far it has come.
    ///
    /// # Errors
    /// Whatever ended it early: what was created until then stands, and the next run goes on behind it.
    pub async fn run(&self, heard: impl Fn(Progress) + Send + Sync + 'static) -> Result<Report, ExportError> {
        // Refused before anything is decided.
        if let Some(mode) = self.options.mode {
            self.readers(mode)?;
        }
        if let Some(registry) = self.registry() {
            registry.check().await.map_err(|why| ExportError::Registry(why.to_string()))?;
        }
        let begin = self.begin().await?;
        let layout = self.layout(&begin).await?;
        let options = FileOptions { layout, file_bytes: self.options.file_bytes, bloom: self.options.bloom };
        let shared = Arc::new(Shared {
            env: self.env.clone(),
            target: self.target.with_folders(begin.folders),
            topic: self.topic.name.clone(),
            schemas: Schemas::default(),
            memory: self.memory.clone(),
            registry: self.registry(),
            progress: Mutex::default(),
            heard: Box::new(heard),
        });
        let mut prepared = Vec::new();
        for index in self.partitions()? {
            prepared.push(self.prepare(index, &begin, options.clone(), &shared));
        }
        let exports: Vec<PartitionExport> = stream::iter(prepared).buffered(LOOKS_AT_ONCE).try_collect().await?;
        let all = exports.iter().map(|export| export.until.saturating_sub(export.position).max(0).unsigned_abs()).sum();
        shared.tell(|progress| progress.all_offsets = all);
        let mut report = Report { partitions: exports.len() as u64, ..Report::default() };
        let tasks = exports.into_iter().map(|export| self.env.spawn("export a partition", export.run()).join());
        let mut running = stream::iter(tasks).buffer_unordered(self.options.parallel.max(1));
        while let Some(ended) = running.next().await {
            let Done { files, rows, bytes, lost, index, end } = ended.map_err(|error| ExportError::Task(error.to_string()))??;
            (report.files, report.rows) = (report.files + files, report.rows + rows);
            (report.bytes, report.lost) = (report.bytes + bytes, report.lost + lost);
            self.known.lock().ends.insert(index, end);
        }
        Ok(report)
    }

    /// Merges the small files that there are, beside the table: see `merge.rs`. Nothing is exported.
    ///
    /// # Errors
    /// There is no table; the target's; another merger that was always first.
    pub async fn merge(&self) -> Result<Merged, ExportError> {
        let begin = self.begun().await?;
        self.merger(&begin).run().await
    }

    /// Makes a table of the newest version of each key, beside the table: see `merge/latest.rs`. Nothing is exported.
    ///
    /// # Errors
    /// There is no table; it leaves values out; the target's; more keys than there is memory for; another who was first.
    pub async fn latest(&self) -> Result<Latest, ExportError> {
        let begin = self.begun().await?;
        self.merger(&begin).latest().await
    }

    async fn begun(&self) -> Result<Begin, ExportError> {
        let begun = self.target.read_begin(self.topic.id).await?;
        let begun = begun.ok_or_else(|| ExportError::Refused("there is no export of this topic in this target".to_owned()))?;
        // Proves the target again: whoever merges need not be who exported.
        self.target.begin(self.topic.id, &begun).await
    }

    fn merger<'a>(&'a self, begin: &'a Begin) -> Merge<'a> {
        Merge {
            env: &self.env,
            target: &self.target,
            topic: &self.topic,
            begin,
            memory: &self.memory,
            file_bytes: self.options.file_bytes,
            bloom: self.options.bloom,
        }
    }

    /// The columns to begin with: those of schemas that are known. Others are looked for file by file.
    async fn layout(&self, begin: &Begin) -> Result<Layout, ExportError> {
        let (mode, drop_value) = (begin.mode, begin.drop_value);
        let mut layout = Layout { mode, drop_value, decoded: Arc::default(), readers: None, is_closed: false };
        let Some(readers) = self.readers(mode)? else { return Ok(layout) };
        let taken = at_top(begin.folders.taken());
        let fields = readers.fields(&taken).map_err(refused)?;
        let merge = |known: &mut Vec<Field>| add_all(known, &fields, &taken).map_err(refused);
        layout.decoded = Schemas::default().grow(&self.target, self.topic.id, merge).await?;
        layout.is_closed = !readers.is_open();
        // A schema of plain texts says which columns there are, and nothing about how they are read.
        layout.readers = (mode != Mode::Json || readers.is_prefixed()).then(|| Arc::new(readers));
        Ok(layout)
    }

    /// The schemas that were given, and whether others are asked for; None where none are needed.
    fn readers(&self, mode: Mode) -> Result<Option<Readers>, ExportError> {
        let (schemas, asks) = (&self.options.schemas, self.options.registry.is_some());
        let language = match mode {
            Mode::Raw | Mode::String => return Ok(None),
            Mode::Json if schemas.is_empty() && !asks => return Ok(None),
            Mode::Json => Language::Json,
            Mode::Avro => Language::Avro,
            Mode::Protobuf => Language::Protobuf,
        };
        let taken = at_top(self.options.folders.unwrap_or_default().taken());
        let parsed = schemas.iter().map(|(id, bytes)| {
            let of_which = id.map_or(String::new(), |id| format!("schema {id}: "));
            let schema = Schema::new(language, bytes, &[], (self.options.message.as_deref(), &taken));
            Ok((*id, schema.map_err(|why| refused(format!("{of_which}{why}")))?))
        });
        let readers = Readers::new(parsed.collect::<Result<_, ExportError>>()?, asks).map_err(refused)?;
        readers.fields(&taken).map_err(refused)?;
        Ok(Some(readers))
    }

    fn registry(&self) -> Option<Registry> {
        self.options.registry.clone().map(|client| Registry::new(self.env.clone(), client))
    }

    /// Whether texts have ids before them, as far as the options say.
    fn is_prefixed(&self, mode: Mode) -> bool {
        mode == Mode::Json && (self.options.registry.is_some() || self.options.schemas.iter().any(|(id, _)| id.is_some()))
    }

    fn partitions(&self) -> Result<Vec<i32>, ExportError> {
        if let Log::Led(engine) = &self.log {
            let known = self.known.lock();
            return Ok(led(engine, &self.topic)
                .filter(|partition| known.is_behind(partition))
                .map(|partition| partition.id().index)
                .collect());
        }
        let Some(wanted) = &self.options.partitions else { return Ok((0..self.topic.partitions).collect()) };
        let mut wanted = wanted.clone();
        wanted.sort_unstable();
        wanted.dedup();
        match wanted.iter().find(|index| !(0..self.topic.partitions).contains(*index)) {
            Some(index) => Err(ExportError::NoPartition { topic: self.topic.name.clone(), partition: *index }),
            None => Ok(wanted),
        }
    }

    async fn open_partition(&self, index: i32) -> Result<Source, ExportError> {
        let id = PartitionId { topic: self.topic.id, index };
        match &self.log {
            Log::Stored(log) => Ok(Source::Stored(Box::new(log.partition(id).await?))),
            Log::Led(engine) => Ok(Source::Led(engine.partition(id).ok_or(ReadError::NotOwner)?)),
        }
    }

    /// Where the export of every partition begins: as was decided, or as is decided now.
    async fn begin(&self) -> Result<Begin, ExportError> {
        let begun = self.target.read_begin(self.topic.id).await?;
        let is_proven = {
            let mut known = self.known.lock();
            if begun.is_none() {
                // Nothing is there any more of what was known.
                *known = Known::default();
            }
            known.is_proven
        };
        let begin = match begun {
            Some(begun) if is_proven => begun,
            Some(begun) => self.target.begin(self.topic.id, &begun).await?,
            None => self.target.begin(self.topic.id, &self.proposed().await?).await?,
        };
        self.known.lock().is_proven = true;
        self.check_agrees(&begin)?;
        Ok(begin)
    }

    /// A new export, as the options say.
    async fn proposed(&self) -> Result<Begin, ExportError> {
        let mode = self.options.mode.unwrap_or_default();
        let starts: BTreeMap<i32, Offset> = match &self.log {
            // A broker knows nothing of what others lead: all partitions begin at the beginning, and what is gone is told.
            Log::Led(_) => BTreeMap::new(),
            Log::Stored(_) => {
                let places = (0..self.topic.partitions).map(|index| self.start(index)).collect::<Vec<_>>();
                stream::iter(places).buffer_unordered(LOOKS_AT_ONCE).try_collect().await?
            }
        };
        let mut begin = Begin::new(self.topic.id, &self.topic.name, mode, starts);
        begin.drop_value = self.options.drop_value;
        begin.prefixed = self.is_prefixed(mode);
        begin.folders = self.options.folders.unwrap_or_default();
        Ok(begin)
    }

    /// Whether what has begun is what the options ask for.
    fn check_agrees(&self, begin: &Begin) -> Result<(), ExportError> {
        if let Some(folders) = self.options.folders.filter(|folders| *folders != begin.folders) {
            return Err(ExportError::Refused(format!(
                "this export has begun with folders {:?}, and goes on with them: {folders:?} needs another target",
                begin.folders
            )));
        }
        if begin.mode == Mode::Json && begin.prefixed != self.is_prefixed(begin.mode) {
            let (with, without) = if begin.prefixed { ("with", "it needs") } else { ("without", "it goes on without") };
            return Err(ExportError::Refused(format!(
                "this export has begun {with} ids before values, and {without} --registry, or --schema ID=FILE"
            )));
        }
        match self.options.mode {
            Some(mode) if mode != begin.mode => Err(ExportError::Refused(format!(
                "this export has begun in mode {:?}, and goes on in it: {mode:?} needs another target",
                begin.mode
            ))),
            _ => Ok(()),
        }
    }

    /// Where a new export of a partition begins.
    async fn start(&self, index: i32) -> Result<(i32, Offset), ExportError> {
        let mut partition = self.open_partition(index).await?;
        let start = match self.options.from {
            None => partition.log_start(),
            Some(place) => resolve(place, &mut partition).await?.max(partition.log_start()),
        };
        Ok((index, start))
    }

    async fn prepare(&self, index: i32, begin: &Begin, options: FileOptions, shared: &Arc<Shared>) -> Result<PartitionExport, ExportError> {
        let mut partition = self.open_partition(index).await?;
        let start = begin.start(index);
        let known = self.known.lock().ends.remove(&index);
        let found = match known {
            Some(offset) => Some(Position { offset, claim: None }),
            None => shared.target.end(partition.id()).await?,
        };
        let Position { offset: position, claim } = found.unwrap_or(Position { offset: start, claim: None });
        if let Some(place) = self.options.from {
            let (from, log_start) = (resolve(place, &mut partition).await?, partition.log_start());
            if from.max(log_start) < start || from > position.max(log_start) {
                return Err(ExportError::Refused(format!(
                    "partition {index}: the export in this target covers offsets {start} to {position}; it cannot begin at {from}, and \
                     would not be whole: take another target, or leave out --from to go on"
                )));
            }
        }
        let end = partition.end();
        let until = match self.options.until {
            None => end,
            Some(place) => resolve(place, &mut partition).await?.min(end),
        };
        let (shared, ahead) = (shared.clone(), VecDeque::new());
        Ok(PartitionExport { shared, partition, options, position, claim, until, ahead })
    }
}

impl Known {
    fn is_behind(&self, partition: &Partition) -> bool {
        partition.stored_end() > self.ends.get(&partition.id().index).copied().unwrap_or(0)
    }
}

/// The partitions of a topic that this broker leads.
pub(crate) fn led(engine: &Engine, topic: &Topic) -> impl Iterator<Item = Arc<Partition>> {
    (0..topic.partitions).filter_map(|index| engine.partition(PartitionId { topic: topic.id, index }))
}

fn refused(why: String) -> ExportError {
    ExportError::Refused(format!("--schema: {why}"))
}

async fn resolve(place: Place, partition: &mut Source) -> Result<Offset, ExportError> {
    match place {
        Place::Offset(offset) => Ok(offset.min(partition.end())),
        Place::Time(timestamp) => partition.offset_for_time(timestamp).await,
    }
}
