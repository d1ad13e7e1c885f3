//! Appending: an entry gets its LSN, its place in a file and its place in memory under one short lock, and nothing waits.
//!
//! ```text
//!  durable           end              groups: [written now] [next] [filling]    the writer takes them from the left
//!     |--------|-------|------...     files:  a group lies in one file; an entry that does not fit begins the next
//!      a group   a group
//! ```
//! * The batch is copied once, behind its header, with offset and epoch stamped; what is written to the file and what the
//!   tail serves are the same memory.
//! * An entry carries where its group starts as "known synced": the writer writes no group before the last one is durable.
//! * What waits is bounded by `pending_bytes`, what is not trimmed by `budget`; beyond, `Full` is the answer, at once.
//!
//! It does not check batches (the caller has: their CRC is what proves the entry later), and it knows no disk.

use crate::{
    ReplayedEntry, Wal, WalError, WalOptions,
    files::{self, FILE_HEADER, Request},
    room::Room,
    wal::Shared,
};
use bytes::{Bytes, BytesMut};
use floe_env::{Mutant, hash::HashSet, mutated};
use floe_formats::{
    ENTRY_HEADER_LEN, EntryHeader, WalFileHeader,
    wal_entry::{append_entry, encode_entry_header},
};
use floe_types::{LeaderEpoch, Lsn, Offset, PartitionId};
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::Ordering},
};

/// Longest batch: what a Kafka length field can say, and little enough to be read back into memory.
pub const MAX_BATCH_BYTES: u64 = 256 << 20;

/// Told when entries have become durable; one per partition.
pub trait Durable: Send + Sync {
    /// Everything below `upto` is fsynced: here, or, of a WAL that is copied ([`crate::Tap`]), on as many disks as must have it.
    /// Called once for each sink that has entries in the group, with LSNs that never go down; must be quick and must not block.
    fn durable(&self, upto: Lsn);
}

/// What is to be appended.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub partition: PartitionId,
    pub epoch: LeaderEpoch,
    /// First offset of the epoch in this partition.
    pub epoch_start: Offset,
    pub base_offset: Offset,
    /// One whole v2 batch that was verified; base offset and leader epoch are overwritten in the copy.
    pub batch: &'a [u8],
}

/// Where an entry went. It is not durable yet.
#[derive(Debug, Clone)]
pub struct Appended {
    pub start: Lsn,
    /// Where the next entry starts.
    pub end: Lsn,
    /// The batch with offset and epoch stamped: a slice of the memory that is being written.
    pub batch: Bytes,
}

impl Wal {
    /// Appends an entry; `sink` is told when it is durable. Never waits.
    ///
    /// # Errors
    /// `Full`: nothing was appended, try again later. `TooLarge`, `Invalid`. `Failed`, `Closed`: for ever.
    pub fn append(&self, entry: &Entry<'_>, sink: &Arc<dyn Durable>) -> Result<Appended, WalError> {
        let shared = &self.shared;
        let bytes = entry.batch.len() as u64 + ENTRY_HEADER_LEN as u64;
        let limit = (MAX_BATCH_BYTES + ENTRY_HEADER_LEN as u64).min(shared.options.budget);
        if bytes > limit {
            return Err(WalError::TooLarge { bytes, limit });
        }
        let mut appender = shared.appender.lock();
        appender.check_room(bytes, &shared.options, shared.durable(), shared.trimmed())?;
        let place = appender.place(bytes, &shared.options);
        let copied = appender.copy(entry, &place, &shared.options)?;
        if let Some(request) = place.new_file {
            shared.files.request(request)?;
        }
        let batch = copied.slice(ENTRY_HEADER_LEN..);
        let (start, end) = appender.push(&place, [copied, Bytes::new()], Some(sink), &shared.options);
        shared.end.store(end.0, Ordering::Release);
        drop(appender);
        shared.work.notify_one();
        Ok(Appended { start, end, batch })
    }
}

impl Shared {
    /// Appends an entry of another broker's WAL as it is, but for its mark: that speaks of this disk from now on, on which groups
    /// are others than on the owner's. Nothing is copied but the header; nobody is told. Never waits.
    ///
    /// # Errors
    /// `Unexpected`: it does not lie at the end of what is here, or is of another WAL. `Full`: nothing was appended. `Failed`, `Sealed`, `Closed`: for ever.
    pub(crate) fn append_copy(&self, entry: &ReplayedEntry, room: &Room) -> Result<(), WalError> {
        let (found, options) = (&entry.header, &self.options);
        let mut appender = self.appender.lock();
        if found.lsn != appender.end || (found.incarnation, found.generation) != (options.incarnation, options.generation) {
            return Err(WalError::Unexpected { at: found.lsn, expected: appender.end });
        }
        let bytes = found.total_len();
        appender.check_room(bytes, options, self.durable(), self.trimmed())?;
        let place = appender.place(bytes, options);
        let synced = if mutated(Mutant::ReplicaKeepsMarks) { found.synced } else { place.synced(appender.end) };
        let header = appender.copy_header(&EntryHeader { synced, ..*found }, &entry.batch, options)?;
        room.take(bytes)?;
        if let Some(request) = place.new_file
            && let Err(error) = self.files.request(request)
        {
            room.give_back(bytes);
            return Err(error);
        }
        let (_, end) = appender.push(&place, [header, entry.batch.clone()], None, options);
        self.end.store(end.0, Ordering::Release);
        drop(appender);
        self.work.notify_one();
        Ok(())
    }
}

/// Who is told, each once; and their addresses, which are only asked, never walked.
#[derive(Default)]
struct Sinks {
    list: Vec<Arc<dyn Durable>>,
    known: HashSet<usize>,
}

/// Entries that are written and synced together. All lie in one file.
pub(crate) struct Group {
    /// Where its file starts.
    pub(crate) file: Lsn,
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
    /// The entries' bytes, one behind the other; before them the file's header, when the group begins a file.
    pub(crate) parts: Vec<Bytes>,
    sinks: Sinks,
}

impl Group {
    /// Those with entries in the group, in the order of their first ones.
    pub(crate) fn sinks(&self) -> &[Arc<dyn Durable>] {
        &self.sinks.list
    }

    /// The bytes of its entries alone, one behind the other.
    pub(crate) fn entries(&self) -> &[Bytes] {
        let header = usize::from(self.start == self.file);
        self.parts.get(header..).unwrap_or_default()
    }

    pub(crate) fn take_sinks(&mut self) -> Vec<Arc<dyn Durable>> {
        std::mem::take(&mut self.sinks.list)
    }

    fn add_sink(&mut self, sink: &Arc<dyn Durable>) {
        if self.sinks.known.insert(Arc::as_ptr(sink).cast::<()>() as usize) {
            self.sinks.list.push(Arc::clone(sink));
        }
    }
}

/// Where an entry is about to go.
struct Place {
    new_file: Option<Request>,
    /// Start of the group that it joins; `None`: it begins one.
    filling: Option<Lsn>,
}

impl Place {
    /// What is durable before the entry's group is written: all before the group.
    fn synced(&self, end: Lsn) -> Lsn {
        self.filling.unwrap_or(end)
    }
}

/// Where the next entry goes. Behind the WAL's append lock.
pub(crate) struct Appender {
    end: Lsn,
    /// Where the current file starts, and how many bytes of entries it has room for; 0 before the first.
    file: Lsn,
    room: u64,
    /// Files of planned length so far.
    files: u32,
    chunk: BytesMut,
    /// The last one fills.
    groups: VecDeque<Group>,
    /// Emptied buffers of a written group.
    spare: Option<Sinks>,
    /// Nothing more is accepted, and why.
    ended: Option<WalError>,
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("end", &self.end).field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

impl Appender {
    /// Goes on at `start`, in a file that begins there.
    pub(crate) fn new(start: Lsn) -> Self {
        Self { end: start, file: start, room: 0, files: 0, chunk: BytesMut::new(), groups: VecDeque::new(), spare: None, ended: None }
    }

    fn check_room(&self, bytes: u64, options: &WalOptions, durable: Lsn, trimmed: Lsn) -> Result<(), WalError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        if self.end.0 + bytes - trimmed.0 > options.budget {
            return Err(WalError::Full { what: "its budget is used up by what is not flushed" });
        }
        if self.end > durable && self.end.0 + bytes - durable.0 > options.pending_bytes {
            return Err(WalError::Full { what: "the disk does not keep up" });
        }
        Ok(())
    }

    /// Where an entry of so many bytes goes: into the current file or a new one, the filling group or a new one. Changes nothing.
    fn place(&self, bytes: u64, options: &WalOptions) -> Place {
        if self.end.0 - self.file.0 + bytes <= self.room {
            let filling = self
                .groups
                .back()
                .filter(|group| group.file == self.file && group.end.0 - group.start.0 + bytes <= options.max_group_bytes);
            return Place { new_file: None, filling: filling.map(|group| group.start) };
        }
        let planned = files::planned_bytes(self.files, options.file_bytes);
        let regular = bytes + FILE_HEADER <= planned;
        let length = if regular { planned } else { files::bytes_for(bytes) };
        let next_bytes = files::planned_bytes(self.files.saturating_add(u32::from(regular)), options.file_bytes);
        Place { new_file: Some(Request { start: self.end, bytes: length, regular, next_bytes }), filling: None }
    }

    /// The entry's bytes. A large entry has memory of its own, so that a chunk's rest is not wasted for it.
    fn copy(&mut self, entry: &Entry<'_>, place: &Place, options: &WalOptions) -> Result<Bytes, WalError> {
        let header = EntryHeader {
            lsn: self.end,
            incarnation: options.incarnation,
            generation: options.generation,
            synced: place.synced(self.end),
            partition: entry.partition,
            epoch: entry.epoch,
            epoch_start: entry.epoch_start,
            base_offset: entry.base_offset,
            payload_len: u32::try_from(entry.batch.len()).expect("append refuses what is longer than MAX_BATCH_BYTES"),
        };
        let bytes = ENTRY_HEADER_LEN + entry.batch.len();
        let large = bytes > options.chunk_bytes / 4;
        let mut own = if large { BytesMut::with_capacity(bytes) } else { BytesMut::new() };
        if !large && self.chunk.capacity() < bytes {
            self.chunk = BytesMut::with_capacity(options.chunk_bytes);
        }
        let into = if large { &mut own } else { &mut self.chunk };
        append_entry(into, &header, entry.batch).map_err(|error| WalError::Invalid { what: error.to_string() })?;
        let copied = into.split().freeze();
        debug_assert_eq!(EntryHeader::parse(&copied), Ok(header), "the caller has verified the batch");
        Ok(copied)
    }

    /// The header of an entry whose batch lies in memory of its own.
    fn copy_header(&mut self, header: &EntryHeader, batch: &[u8], options: &WalOptions) -> Result<Bytes, WalError> {
        let Some(prefix) = batch.first_chunk().filter(|_| batch.len() == header.payload_len as usize) else {
            return Err(WalError::Invalid { what: "the batch is not as long as its entry says".into() });
        };
        if self.chunk.capacity() < ENTRY_HEADER_LEN {
            self.chunk = BytesMut::with_capacity(options.chunk_bytes.max(ENTRY_HEADER_LEN));
        }
        encode_entry_header(&mut self.chunk, header, prefix);
        Ok(self.chunk.split().freeze())
    }

    /// Where the entry's bytes, whole or in two parts, lie now.
    fn push(&mut self, place: &Place, entry: [Bytes; 2], sink: Option<&Arc<dyn Durable>>, options: &WalOptions) -> (Lsn, Lsn) {
        let start = self.end;
        let end = Lsn(start.0 + entry.iter().map(|part| part.len() as u64).sum::<u64>());
        if let Some(request) = place.new_file {
            self.file = start;
            self.room = request.bytes - FILE_HEADER;
            self.files = self.files.saturating_add(u32::from(request.regular));
        }
        if place.filling.is_none() {
            let group = self.new_group(options);
            self.groups.push_back(group);
        }
        let group = self.groups.back_mut().expect("place has found one, or it was just pushed");
        group.parts.extend(entry.into_iter().filter(|part| !part.is_empty()));
        group.end = end;
        if let Some(sink) = sink {
            group.add_sink(sink);
        }
        self.end = end;
        (start, end)
    }

    fn new_group(&mut self, options: &WalOptions) -> Group {
        let sinks = self.spare.take().unwrap_or_default();
        let mut group = Group { file: self.file, start: self.end, end: self.end, parts: Vec::new(), sinks };
        if group.start == group.file {
            let header = WalFileHeader { incarnation: options.incarnation, generation: options.generation, start: self.file };
            group.parts.push(Bytes::copy_from_slice(&header.to_bytes()));
        }
        group
    }

    /// The oldest group; nothing is added to it any more.
    pub(crate) fn take_group(&mut self) -> Option<Group> {
        self.groups.pop_front()
    }

    /// Takes a written group's buffers back.
    pub(crate) fn give_back(&mut self, group: Group) {
        let mut sinks = group.sinks;
        sinks.list.clear();
        sinks.known.clear();
        self.spare = Some(sinks);
    }

    /// Accepts nothing more; what was accepted is still written.
    pub(crate) fn end_with(&mut self, why: WalError) {
        self.ended.get_or_insert(why);
    }

    /// Accepts nothing more, and lets go of what was accepted.
    pub(crate) fn abandon(&mut self, why: WalError) {
        self.ended = Some(why);
        self.groups.clear();
        self.chunk = BytesMut::new();
    }

    /// Nothing is left to write, and nothing will come.
    pub(crate) fn is_drained(&self) -> bool {
        self.ended.is_some() && self.groups.is_empty()
    }
}
