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
        let mut file = FileBuilder::new(options, (id, &self.shared.topic), range, claim);
        loop {
            let stretch = match ahead.pop_front() {
                Some(stretch) => stretch,
                None => self.partition.read(file.next(), READ_BYTES).await?,
            };
            if stretch.next <= file.next() {
                // Nothing is left below the end that was known when this began: deleted meanwhile.
                break;
            }
            let (before, behind) = ((file.next(), file.rows()), stretch.next);
            let adding = add(&self.shared, file, stretch);
            let (rest, added);
            if ahead.is_empty() && behind < self.until {
                // What follows is read meanwhile. Where that fails, it is read again, and fails, in its turn.
                let (done, following) = future::join(adding, self.partition.read(behind, READ_BYTES)).await;
                ahead.extend(following.ok().filter(|following| following.next > behind));
                (file, rest, added) = done?;
            } else {
                (file, rest, added) = adding.await?;
            }
            let (next, rows) = (file.next(), file.rows());
            self.shared.tell(|progress| {
                progress.offsets += next.abs_diff(before.0);
                progress.rows += rows - before.1;
            });
            if added == Added::Full {
                if rest.next > next {
                    ahead.push_front(rest);
                }
                self.ahead = ahead;
                break;
            }
        }
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
        let (range, layout) = ((self.position, self.until), self.options.layout.clone());
        let _turn = self.shared.memory.turn().await;
        compute(&self.shared, move || look_through(ahead.make_contiguous(), range, &layout).map(|seen| (ahead, seen))).await
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

/// Adds a stretch, which is given back; what is large in it, and what follows that, in turn.
async fn add(shared: &Shared, mut file: FileBuilder, stretch: Stretch) -> Result<(FileBuilder, Stretch, Added), ExportError> {
    let work = move || file.add(&stretch, false).map(|added| (file, stretch, added));
    let (mut file, stretch, added) = compute(shared, work).await?;
    if added != Added::Large {
        return Ok((file, stretch, added));
    }
    let _turn = shared.memory.turn().await;
    compute(shared, move || file.add(&stretch, true).map(|added| (file, stretch, added))).await
}

/// Work that takes long, where it holds up no other task.
async fn compute<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    shared.env.compute("export", work).await.map_err(|error| ExportError::Task(error.to_string()))?
}
