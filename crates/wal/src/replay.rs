//! Reading all entries back after a crash, in LSN order, and telling where the WAL ends.
//!
//! ```text
//!  file .. | file (the last that was begun)
//!  entry entry entry | entry entry X ..........      X: the first bad entry
//!                                    ^ later entries here?
//! ```
//! X is the end (perhaps torn) unless something proves that it was durable: a later file that was begun (its header is written
//! only when all before it is synced), or a later entry whose mark lies above X ([`crate::scan`]). Then it is damage, and
//! nothing is guessed (R7, T67). Nothing on the disk is changed; replaying twice gives the same.
//!
//! What cannot be told: damage in the very last group, behind which nothing was written, looks like a torn end. Another copy
//! of the WAL, or the slots, may tell more (R5, R7).

use crate::{
    WalError,
    files::{FILE_HEADER, parse_name},
    scan,
};
use bytes::{Bytes, BytesMut};
use floe_env::{Disk, DiskFile};
use floe_formats::{
    ENTRY_HEADER_LEN, ENTRY_PREFIX_LEN, EntryHeader, FormatError, WAL_FILE_HEADER_LEN, WalFileHeader,
    wal_entry::{encode_entry_header, verify_payload},
};
use floe_types::{ErrorKind, Generation, Incarnation, Lsn};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use std::{collections::VecDeque, io, sync::Arc};

/// Bytes read at a time.
const CHUNK: u64 = 4 << 20;
/// Chunks whose reading is under way while one is looked through: a disk gives more to several readers.
const AHEAD: usize = 4;

/// One entry whose checksums hold.
#[derive(Debug, Clone)]
pub struct ReplayedEntry {
    pub header: EntryHeader,
    /// The batch: mostly a slice of up to 4 MiB that were read together.
    pub batch: Bytes,
}

impl ReplayedEntry {
    /// The entry as it lies in a file, in two parts.
    #[must_use]
    pub fn to_parts(&self) -> [Bytes; 2] {
        let mut header = BytesMut::with_capacity(ENTRY_HEADER_LEN);
        let prefix = self.batch.first_chunk().expect("an entry whose checksums hold has a whole batch");
        encode_entry_header(&mut header, &self.header, prefix);
        [header.freeze(), self.batch.clone()]
    }
}

/// What a replay found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    pub entries: u64,
    /// Where the first file starts: what lies below was trimmed.
    pub start: Lsn,
    /// Where the last good entry ends.
    pub end: Lsn,
    /// Behind the end lie traces of a group that was not finished.
    pub torn: bool,
}

/// A replay under way. Holds five chunks of 4 MiB, or the largest entry if that is more.
#[must_use = "nothing is read until it is asked"]
pub struct Replay {
    dir: String,
    places: Vec<Place>,
    /// Reads under way, in the order of the WAL: of which file, and what.
    reads: FuturesOrdered<BoxFuture<'static, (usize, Result<Bytes, WalError>)>>,
    /// The next chunk to begin: file and position.
    planned: (usize, u64),
    /// The file that is looked through.
    file: usize,
    /// What was read of it and not yet visited.
    unvisited: Parts,
    /// Where that begins; 0 at first, before the file's header was looked at.
    at: u64,
    /// What is told next: entries that came before it were given first.
    failed: Option<WalError>,
    replayed: Replayed,
    /// Up to here what was found is known to have been synced.
    proven: Lsn,
    done: bool,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("dir", &self.dir).field("file", &self.file).field("replayed", &self.replayed).finish_non_exhaustive()
    }
}

impl Replay {
    /// Begins to replay one generation's WAL.
    ///
    /// # Errors
    /// `Missing`; `Disk`.
    pub async fn open(disk: &Arc<dyn Disk>, dir: &str, incarnation: Incarnation, generation: Generation) -> Result<Self, WalError> {
        Self::open_from(disk, dir, (incarnation, generation), Lsn(0)).await
    }

    /// The same without the files that begin before `first`.
    pub(crate) async fn open_from(
        disk: &Arc<dyn Disk>,
        dir: &str,
        (incarnation, generation): (Incarnation, Generation),
        first: Lsn,
    ) -> Result<Self, WalError> {
        let mut places = Vec::new();
        for start in list(disk, dir).await?.into_iter().filter(|start| *start >= first) {
            places.push(Place::open(disk, dir, start, (incarnation, generation)).await?);
        }
        let start = places.first().map(|place| place.start).unwrap_or_default();
        Ok(Self {
            dir: dir.to_owned(),
            done: places.is_empty(),
            places,
            reads: FuturesOrdered::new(),
            planned: (0, 0),
            file: 0,
            unvisited: Parts::default(),
            at: 0,
            failed: None,
            replayed: Replayed { entries: 0, start, end: start, torn: false },
            proven: start,
        })
    }

    /// The next entries in LSN order, about a chunk of them; none behind the last. Not to be cancelled.
    ///
    /// # Errors
    /// `Damaged`: a bad entry lies where one is known to have been synced (T67); `Format`: a later version wrote this;
    /// `Disk`. Entries before the place of the error were given.
    pub async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, WalError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while !self.done && bytes < CHUNK {
            match self.step().await {
                Ok(Some(entry)) => {
                    bytes += entry.header.total_len();
                    entries.push(entry);
                }
                Ok(None) => {}
                Err(error) => (self.failed, self.done) = (Some(error), true),
            }
        }
        if entries.is_empty()
            && let Some(error) = self.failed.take()
        {
            return Err(error);
        }
        self.replayed.entries += entries.len() as u64;
        Ok((!entries.is_empty()).then_some(entries))
    }

    /// What was found until now; all of it once [`Self::next`] gave none.
    #[must_use]
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }

    /// Up to here what was found until now is known to have been synced: by an entry's mark, or by the beginning of the file that
    /// holds the last entry. What lies behind it may be in the page cache only.
    pub(crate) fn proven(&self) -> Lsn {
        self.proven.min(self.replayed.end)
    }

    /// The file that holds the last entry: not one that has a name already and nothing in it.
    pub(crate) fn last_file(&self) -> Option<&Place> {
        self.places.iter().rev().find(|place| place.start < self.replayed.end)
    }

    pub(crate) fn has_files(&self) -> bool {
        !self.places.is_empty()
    }

    /// The next entry, or a step over the end of a file.
    async fn step(&mut self) -> Result<Option<ReplayedEntry>, WalError> {
        let entry = self.entry().await?;
        if entry.is_none() {
            self.end_of_file().await?;
        }
        Ok(entry)
    }

    /// The next entry of this file; none at the first that is not good.
    async fn entry(&mut self) -> Result<Option<ReplayedEntry>, WalError> {
        if self.at == 0 && !self.begin_file().await? {
            return Ok(None);
        }
        if !self.have(ENTRY_PREFIX_LEN as u64).await? {
            return Ok(None);
        }
        let end = self.replayed.end;
        let header = match EntryHeader::parse(&self.unvisited.peek(ENTRY_PREFIX_LEN)) {
            Ok(header) if self.places[self.file].is_ours(&header, end) => header,
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(WalError::Format { at: end, error }),
            Ok(_) | Err(_) => return Ok(None),
        };
        let total = header.total_len();
        if !self.have(total).await? {
            return Ok(None);
        }
        let entry = self.unvisited.take(usize::try_from(total).expect("they are in memory"));
        let batch = entry.slice(ENTRY_HEADER_LEN..);
        if verify_payload(&batch).is_err() {
            return Ok(None);
        }
        self.at += total;
        self.replayed.end = header.end();
        self.proven = self.proven.max(header.synced).max(self.places[self.file].start);
        Ok(Some(ReplayedEntry { header, batch }))
    }

    /// Steps over a file's header and refuses what a later version wrote. One that is not there or bad decides nothing: entries
    /// prove themselves.
    async fn begin_file(&mut self) -> Result<bool, WalError> {
        let header = WAL_FILE_HEADER_LEN as u64;
        if self.have(header.min(self.places[self.file].file.len())).await? {
            let bytes = self.unvisited.peek(WAL_FILE_HEADER_LEN.min(self.unvisited.bytes));
            refuse_later_version(self.places[self.file].start, &WalFileHeader::parse(&bytes))?;
        }
        if !self.have(FILE_HEADER).await? {
            return Ok(false);
        }
        self.unvisited.take(usize::try_from(FILE_HEADER).expect("a small constant"));
        self.at = FILE_HEADER;
        Ok(true)
    }

    /// Goes on with the next file if it begins where this one ended; else tells a torn end from damage.
    async fn end_of_file(&mut self) -> Result<(), WalError> {
        let (end, later) = (self.replayed.end, &self.places[self.file + 1..]);
        if later.first().is_some_and(|next| next.start == end) {
            self.file += 1;
            (self.at, self.unvisited) = (0, Parts::default());
            self.planned = self.planned.max((self.file, 0));
            return Ok(());
        }
        self.done = true;
        self.reads = FuturesOrdered::new();
        self.replayed.torn = settle(&self.places[self.file], end, later).await?;
        Ok(())
    }

    /// Waits until this many unvisited bytes are in memory; false if the file does not have them.
    async fn have(&mut self, bytes: u64) -> Result<bool, WalError> {
        if bytes > self.places[self.file].file.len() - self.at {
            return Ok(false);
        }
        while (self.unvisited.bytes as u64) < bytes {
            self.read_ahead();
            match self.reads.next().await {
                Some((file, read)) if file == self.file => self.unvisited.push(read?),
                // Of a file that ended earlier.
                Some(_) => {}
                // Never taken for the end: what lies there may have been acknowledged.
                None => {
                    return Err(WalError::Invalid {
                        what: format!("{file} files of a WAL do not have the bytes that they should", file = self.file + 1),
                    });
                }
            }
        }
        Ok(true)
    }

    fn read_ahead(&mut self) {
        while self.reads.len() < AHEAD {
            let (file, at) = self.planned;
            let Some(place) = self.places.get(file) else { return };
            let len = CHUNK.min(place.file.len() - at);
            if len == 0 {
                self.planned = (file + 1, 0);
                continue;
            }
            self.planned = (file, at + len);
            let place = place.clone();
            self.reads.push_back(async move { (file, place.read(at, len).await) }.boxed());
        }
    }
}

/// Bytes that were read in pieces.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parts: VecDeque<Bytes>,
    pub(crate) bytes: usize,
}

impl Parts {
    pub(crate) fn push(&mut self, part: Bytes) {
        self.bytes += part.len();
        self.parts.push_back(part);
    }

    /// The first `len` bytes, copied if they lie in several parts; there must be as many.
    pub(crate) fn peek(&self, len: usize) -> Bytes {
        match self.parts.front() {
            Some(first) if first.len() >= len => first.slice(..len),
            _ => {
                let mut whole = BytesMut::with_capacity(len);
                for part in &self.parts {
                    whole.extend_from_slice(&part[..part.len().min(len - whole.len())]);
                }
                whole.freeze()
            }
        }
    }

    /// Takes them away.
    pub(crate) fn take(&mut self, len: usize) -> Bytes {
        let taken = self.peek(len);
        self.bytes -= len;
        let mut rest = len;
        while rest > 0 {
            let Some(first) = self.parts.front_mut() else { break };
            let step = rest.min(first.len());
            let _ = first.split_to(step);
            rest -= step;
            if first.is_empty() {
                self.parts.pop_front();
            }
        }
        taken
    }
}

/// The starts of the WAL's files, in order.
async fn list(disk: &Arc<dyn Disk>, dir: &str) -> Result<Vec<Lsn>, WalError> {
    match disk.list(dir).await {
        Ok(entries) => Ok(entries.iter().filter_map(|entry| parse_name(&entry.name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(WalError::Missing { dir: dir.to_string() }),
        Err(error) => Err(WalError::disk("list a WAL's folder")(error)),
    }
}

/// An open file and where it belongs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) start: Lsn,
    pub(crate) file: Arc<dyn DiskFile>,
    wal: (Incarnation, Generation),
}

impl Place {
    async fn open(disk: &Arc<dyn Disk>, dir: &str, start: Lsn, wal: (Incarnation, Generation)) -> Result<Self, WalError> {
        let path = format!("{dir}/{}", crate::files::file_name(start));
        let file = disk.open(&path).await.map_err(WalError::disk("open a WAL file"))?;
        Ok(Self { start, file, wal })
    }

    pub(crate) async fn read(&self, at: u64, len: u64) -> Result<Bytes, WalError> {
        let len = usize::try_from(len).map_err(|_| WalError::Invalid { what: format!("{len} bytes of a WAL file are too many") })?;
        self.file.read_at(at, len).await.map_err(WalError::disk("read a WAL file"))
    }

    /// Whether the header is this WAL's, for this very position.
    pub(crate) fn is_ours(&self, header: &EntryHeader, lsn: Lsn) -> bool {
        header.lsn == lsn && (header.incarnation, header.generation) == self.wal
    }

    async fn header(&self) -> Result<Result<WalFileHeader, FormatError>, WalError> {
        let len = self.file.len().min(WAL_FILE_HEADER_LEN as u64);
        Ok(WalFileHeader::parse(&self.read(0, len).await?))
    }

    /// Whether its first group was written, in part at least.
    async fn is_begun(&self) -> Result<bool, WalError> {
        let ours = WalFileHeader { incarnation: self.wal.0, generation: self.wal.1, start: self.start };
        let header = self.header().await?;
        refuse_later_version(self.start, &header)?;
        Ok(header == Ok(ours))
    }
}

fn refuse_later_version(at: Lsn, header: &Result<WalFileHeader, FormatError>) -> Result<(), WalError> {
    match header {
        Err(error) if error.kind() == ErrorKind::Invalid => Err(WalError::Format { at, error: error.clone() }),
        _ => Ok(()),
    }
}

/// Tells a torn end at `bad` from damage. Whether there are traces of something unfinished.
async fn settle(place: &Place, bad: Lsn, later: &[Place]) -> Result<bool, WalError> {
    let from = FILE_HEADER + (bad.0 - place.start.0);
    let traces = scan::look(place, from, bad).await?;
    if let Some(proof) = traces.proof {
        return Err(WalError::Damaged { at: bad, proof: format!("the entry at {proof} was written when it was durable") });
    }
    for later in later {
        if later.is_begun().await? || scan::look(later, FILE_HEADER, bad).await?.any {
            let proof = format!("the file at {} was begun when it was durable", later.start);
            return Err(WalError::Damaged { at: bad, proof });
        }
    }
    Ok(traces.any)
}

#[cfg(test)]
mod tests;
