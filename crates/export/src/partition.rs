//! One partition: file after file, from where the target ends to where the export ends.

use crate::ExportError;
use crate::claim::Claim;
use crate::committed::visible;
use crate::committed::{MAX_RAW, Visible};
use crate::day::Day;
use crate::decode::{Readers, Schema, at_top};
use crate::file::{Added, Built, FileBuilder, FileOptions};
use crate::memory::Room;
use crate::registry::{NoSchema, Registry};
use crate::run::Shared;
use crate::schemas::{Seen, look_through};
use crate::source::Source;
use crate::target::{Folders, Placed};
use bytes::Bytes;
use floe_log::stored::Stretch;
use floe_records::BatchHeader;
use floe_types::Offset;
use futures::future;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{SendError, TryRecvError};

/// Bytes that are read at a time, while those before are added.
const READ_BYTES: usize = 2 << 20;
/// Bytes that the columns of a file are inferred from.
const LOOK_BYTES: usize = 4 << 20;

/// What one partition's export did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Files created here, and rows and bytes in them.
    pub(crate) files: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Files thrown away because another exporter was first.
    pub(crate) lost: u64,
    /// Which partition, and where its files end.
    pub(crate) index: i32,
    pub(crate) end: Offset,
}

/// Asks for schemas. Once it does not answer, nobody waits for it a second time.
async fn ask(readers: &Readers, registry: &Registry, ids: &BTreeSet<u32>, taken: &[&str]) {
    let mut silent = None;
    for id in ids {
        let said = match &silent {
            Some(why) => Err(NoSchema::Silent(String::clone(why))),
            None => registry.schema(*id).await,
        };
        if let Err(NoSchema::Silent(why)) = &said {
            silent = Some(why.clone());
        }
        readers.learn(*id, said.map_err(|why| why.to_string()).and_then(|registered| Schema::of(&registered, taken)));
    }
}

/// What comes next.
#[derive(Debug)]
enum Next {
    File(Built),
    /// A file of more columns than there is room for.
    Wider,
    /// There is no record.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct PartitionExport {
    pub(crate) shared: Arc<Shared>,
    pub(crate) partition: Source,
    pub(crate) options: FileOptions,
    /// Where the next file starts.
    pub(crate) position: Offset,
    /// Of which day it is, if that was decided already.
    pub(crate) claim: Option<Claim>,
    pub(crate) until: Offset,
    /// What was read from there on, and is in no file yet.
    pub(crate) ahead: VecDeque<Stretch>,
}

impl PartitionExport {
    /// # Errors
    /// Whatever ends it early: the files that it has created stand.
    pub(crate) async fn run(mut self) -> Result<Done, ExportError> {
        let mut done = Done { index: self.partition.id().index, ..Done::default() };
        let shared = self.shared.clone();
        while self.position < self.until {
            // Given back when the file has been created.
            let room = shared.memory.room(self.options.file_bytes, self.options.layout.columns()).await;
            let built = match Box::pin(self.build(&room)).await? {
                Next::File(built) => built,
                Next::Wider => continue,
                Next::Nothing => break,
            };
            let (rows, bytes) = (built.rows, built.body.len());
            let id = self.partition.id();
            self.position = match self.shared.target.place(id, &built).await? {
                Placed::Ours => {
                    (done.files, done.rows, done.bytes) = (done.files + 1, done.rows + rows, done.bytes + bytes);
                    self.shared.tell(|progress| (progress.files, progress.bytes) = (progress.files + 1, progress.bytes + bytes));
                    built.header.end
                }
                Placed::Anothers { end } => {
                    self.ahead.clear();
                    done.lost += 1;
                    end
                }
            };
        }
        done.end = self.position;
        Ok(done)
    }

    /// The next file.
    async fn build(&mut self, room: &Room<'_>) -> Result<Next, ExportError> {
        let (id, range) = (self.partition.id(), (self.position, self.until));
        let mut ahead = self.read_ahead().await?;
        if self.options.layout.infers() {
            ahead = self.infer(ahead).await?;
            if self.options.layout.columns() > room.columns {
                self.ahead = ahead;
                return Ok(Next::Wider);
            }
        }
        let claim = match (self.shared.target.folders(), self.claim.take()) {
            (Folders::Plain | Folders::Partition, _) => None,
            (Folders::Date, Some(claim)) => Some(claim),
            (Folders::Date, None) => {
                let Some(proposed) = self.first_day(&mut ahead).await? else { return Ok(Next::Nothing) };
                Some(self.shared.target.claim(id, self.position, proposed).await?)
            }
        };
        let options = FileOptions { file_bytes: room.file_bytes, ..self.options.clone() };
        let file = FileBuilder::new(options, (id, &self.shared.topic), range, claim);
        let at = ahead.back().map_or(self.position, |last| last.next);
        let (into, found) = mpsc::channel(1);
        let reading = read_on(&mut self.partition, (at, self.until), into);
        let filling = Box::pin(fill(&self.shared, Filling { file, ahead, found }));
        let (unread, filled) = future::join(reading, filling).await;
        let file;
        (file, self.ahead) = filled?;
        self.ahead.extend(unread);
        if !file.is_something() {
            return Ok(Next::Nothing);
        }
        let write_id = self.shared.target.write_id();
        compute(&self.shared, move || file.finish(write_id)).await.map(Next::File)
    }

    /// Decides the columns of a file that begins with `ahead`, asking for schemas that it needs.
    async fn infer(&mut self, ahead: VecDeque<Stretch>) -> Result<VecDeque<Stretch>, ExportError> {
        let readers = self.options.layout.readers.clone();
        if let Some(readers) = &readers {
            readers.forget_failures();
        }
        let (mut ahead, mut seen) = self.look(ahead).await?;
        if let (Some(readers), Some(registry), false) = (&readers, &self.shared.registry, seen.unknown.is_empty()) {
            ask(readers, registry, &seen.unknown, &at_top(self.shared.target.folders().taken())).await;
            (ahead, seen) = self.look(ahead).await?;
        }
        let of_writers =
            readers.iter().flat_map(|readers| seen.writers.iter().filter_map(|writer| readers.fields_of(writer))).collect::<Vec<_>>();
        let (target, topic) = (&self.shared.target, self.partition.id().topic);
        let found = self.shared.schemas.for_file(target, topic, (&seen.sketch, &of_writers)).await?;
        (self.options.layout.decoded, self.options.layout.is_closed) = found;
        Ok(ahead)
    }

    async fn look(&self, mut ahead: VecDeque<Stretch>) -> Result<(VecDeque<Stretch>, Seen), ExportError> {
        let (range, layout) = ((self.position, self.until), Arc::new(self.options.layout.clone()));
        let mut turn = None;
        loop {
            let (layout, in_turn) = (layout.clone(), turn.is_some());
            let work = move || look_through(ahead.make_contiguous(), range, (&layout, in_turn)).map(|seen| (ahead, seen));
            let seen;
            (ahead, seen) = compute(&self.shared, work).await?;
            match seen {
                Some(seen) => return Ok((ahead, seen)),
                None => turn = Some(self.shared.memory.turn().await),
            }
        }
    }

    /// The day of the first record from here on, reading on until there is one; None if there is none.
    async fn first_day(&mut self, ahead: &mut VecDeque<Stretch>) -> Result<Option<Claim>, ExportError> {
        let (range, mut looked) = (self.position..self.until, 0);
        loop {
            for batch in ahead.iter().skip(looked).flat_map(|stretch| &stretch.batches) {
                let header = BatchHeader::parse(batch).map_err(|source| ExportError::Records { offset: self.position, source })?;
                if header.end_offset() <= range.start {
                    continue;
                }
                // One batch, of which the first record is enough.
                let _turn = self.shared.memory.turn().await;
                let Visible::Records(records) = visible(batch, &header, MAX_RAW)? else { continue };
                for record in records {
                    let record = record.map_err(|source| ExportError::Records { offset: header.base_offset, source })?;
                    if range.contains(&record.offset) {
                        return Ok(Some(Claim::new(Day::of(record.timestamp), record.offset)));
                    }
                }
            }
            looked = ahead.len();
            let at = ahead.back().map_or(self.position, |last| last.next);
            let stretch = self.partition.read(at, READ_BYTES).await?;
            if stretch.next <= at || at >= self.until {
                return Ok(None);
            }
            ahead.push_back(stretch);
        }
    }

    /// What a file begins with: one stretch, or as many as its columns are inferred from.
    async fn read_ahead(&mut self) -> Result<VecDeque<Stretch>, ExportError> {
        let (mut ahead, position) = (std::mem::take(&mut self.ahead), self.position);
        let mut at = ahead.back().map_or(position, |last| last.next);
        // Of what is begun already the rest may be little.
        let mut bytes =
            ahead.iter().filter(|stretch| stretch.from >= position).flat_map(|stretch| &stretch.batches).map(Bytes::len).sum::<usize>();
        if !ahead.is_empty() && (at >= self.until || bytes >= LOOK_BYTES || !self.options.layout.infers()) {
            return Ok(ahead);
        }
        loop {
            let stretch = self.partition.read(at, READ_BYTES).await?;
            let is_last = stretch.next <= at || stretch.next >= self.until;
            bytes += stretch.batches.iter().map(Bytes::len).sum::<usize>();
            at = stretch.next;
            ahead.push_back(stretch);
            if is_last || bytes >= LOOK_BYTES || !self.options.layout.infers() {
                return Ok(ahead);
            }
        }
    }
}

/// Reads on while what was read before is added, until nothing is left or nobody takes it: that is given back.
async fn read_on(
    partition: &mut Source,
    (mut at, until): (Offset, Offset),
    into: mpsc::Sender<Result<Stretch, ExportError>>,
) -> Option<Stretch> {
    while at < until {
        let stretch = partition.read(at, READ_BYTES).await;
        let next = stretch.as_ref().map_or(at, |stretch| stretch.next);
        let goes_on = next > at;
        if let Err(SendError(unread)) = into.send(stretch).await {
            return unread.ok().filter(|_| goes_on);
        }
        if !goes_on {
            break;
        }
        at = next;
    }
    None
}

/// A file that is being filled from what was read.
struct Filling {
    file: FileBuilder,
    ahead: VecDeque<Stretch>,
    found: mpsc::Receiver<Result<Stretch, ExportError>>,
}

/// Why no more is added to a file.
enum Filled {
    /// It is full, or nothing is left.
    Whole,
    /// Nothing more was read yet.
    Waits,
    /// What comes next takes more memory than one file has: it is to be added in its turn.
    Large,
}

impl Filling {
    /// Adds whatever was read, one stretch behind the other: a thread that is at work stays there. `in_turn`: one, however large it is.
    fn add(&mut self, shared: &Shared, in_turn: bool) -> Result<Filled, ExportError> {
        loop {
            let stretch = match self.ahead.pop_front().map_or_else(|| self.found.try_recv(), |stretch| Ok(Ok(stretch))) {
                Ok(found) => found?,
                Err(TryRecvError::Empty) => return Ok(Filled::Waits),
                Err(TryRecvError::Disconnected) => return Ok(Filled::Whole),
            };
            if stretch.next <= self.file.next() {
                // Nothing is left below the end that was known when this began: deleted meanwhile.
                return Ok(Filled::Whole);
            }
            let before = (self.file.next(), self.file.rows());
            let added = self.file.add(&stretch, in_turn)?;
            let (next, rows) = (self.file.next(), self.file.rows());
            shared.tell(|progress| {
                progress.offsets += next.abs_diff(before.0);
                progress.rows += rows - before.1;
            });
            if added != Added::All && stretch.next > next {
                self.ahead.push_front(stretch);
            }
            match added {
                Added::All if in_turn => return Ok(Filled::Waits),
                Added::All => {}
                Added::Full => return Ok(Filled::Whole),
                Added::Large => return Ok(Filled::Large),
            }
        }
    }

    /// The file, and what was read and is not in it.
    async fn end(mut self) -> (FileBuilder, VecDeque<Stretch>) {
        self.found.close();
        // Where reading failed, it is tried again, and fails, in the next file's turn.
        while let Some(Ok(stretch)) = self.found.recv().await {
            if self.ahead.back().map_or(self.file.next(), |last| last.next) < stretch.next {
                self.ahead.push_back(stretch);
            }
        }
        (self.file, self.ahead)
    }
}

/// Fills a file, until it is full or nothing is left.
async fn fill(shared: &Arc<Shared>, mut filling: Filling) -> Result<(FileBuilder, VecDeque<Stretch>), ExportError> {
    let mut turn = None;
    loop {
        let (of_work, in_turn) = (shared.clone(), turn.is_some());
        let work = move || filling.add(&of_work, in_turn).map(|filled| (filling, filled));
        let filled;
        (filling, filled) = compute(shared, work).await?;
        turn = match filled {
            Filled::Whole => return Ok(filling.end().await),
            Filled::Large => Some(shared.memory.turn().await),
            Filled::Waits => None,
        };
        if turn.is_none() && filling.ahead.is_empty() {
            let Some(found) = filling.found.recv().await else { return Ok(filling.end().await) };
            filling.ahead.push_back(found?);
        }
    }
}

/// Work that takes long, where it holds up no other task.
async fn compute<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    shared.env.compute("export", work).await.map_err(|error| ExportError::Task(error.to_string()))?
}
