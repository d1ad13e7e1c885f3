//! Reading: the tail from memory, what memory let go from the WAL, everything older from packs. Only committed records
//! are seen, batches come out as they went in, and a batch is never cut.

use super::history::Place;
use super::{Closed, Partition, State};
use crate::ReadError;
use crate::wals::WalPlace;
use bytes::Bytes;
use floe_formats::{ManifestPage, PageRef, SegmentRef};
use floe_objstore::Store;
use floe_types::Offset;
use floe_wal::WalError;

/// Segments that a read of history looks ahead to: small ones, flushed every second, are many.
const SEGMENTS_AHEAD: usize = 64;

/// What a reader asks for.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    /// May lie inside a batch: that whole batch is returned first (T36).
    pub offset: Offset,
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes` (KIP-74).
    pub at_least_one: bool,
    /// With so many bytes at hand, and at least one batch, no other pack is waited for.
    pub min_bytes: usize,
}

impl ReadRequest {
    /// For at least one batch, and for all that fits.
    #[must_use]
    pub fn new(offset: Offset, max_bytes: usize) -> Self {
        Self { offset, max_bytes, at_least_one: true, min_bytes: usize::MAX }
    }
}

/// Whole batches in offset order.
#[derive(Debug, Clone, Default)]
pub struct ReadResult {
    pub batches: Vec<Bytes>,
    pub bytes: usize,
    pub committed: Offset,
    pub log_start: Offset,
}

/// Where the next stretch of records lies.
enum Source {
    Nothing,
    Memory(Vec<Bytes>),
    Wal(WalPlace),
    /// The segment that holds it, and some that follow.
    Pack(Vec<SegmentRef>),
    /// In a segment that a page names.
    Page(PageRef),
    /// In a pack that only a manifest names which nobody has read yet, perhaps the newest.
    Unread,
}

/// Times that what is read may move, to another pack or out of the WAL, before any of it was got.
const MOVES: u32 = 8;

impl Partition {
    /// Reads committed batches from `offset` on, as many as fit.
    ///
    /// # Errors
    /// An offset outside `log_start..=committed`, a partition that has ended, a store that does not answer, or stored
    /// bytes that are damaged.
    pub async fn read(&self, request: ReadRequest) -> Result<ReadResult, ReadError> {
        self.read_by(&self.shared.replay, request).await
    }

    /// The same for what has to be known before anything is served, such as the state of groups: it does not stand in line
    /// with consumers.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub async fn read_at_start(&self, request: ReadRequest) -> Result<ReadResult, ReadError> {
        self.read_by(&self.shared.recovery, request).await
    }

    async fn read_by(&self, store: &Store, request: ReadRequest) -> Result<ReadResult, ReadError> {
        let mut result = ReadResult::default();
        let mut offset = request.offset;
        let (mut moves, mut opened) = (0, None);
        let is_enough = |result: &ReadResult| !result.batches.is_empty() && result.bytes >= request.min_bytes;
        loop {
            let room = request.max_bytes.saturating_sub(result.bytes);
            let force = request.at_least_one && result.batches.is_empty();
            if room == 0 && !force {
                // The offsets are wanted even where nothing fits.
                self.source(offset, &mut result, (0, false), None)?;
                return Ok(result);
            }
            let batches = match self.source(offset, &mut result, (room, force), opened.as_deref()) {
                Ok(Source::Nothing) => return Ok(result),
                Ok(Source::Memory(batches)) => batches,
                Ok(Source::Wal(place)) => match self.read_wal(place).await {
                    Ok(batch) => vec![batch],
                    // Flushed while it was read: the pack that holds it was known before the WAL let go of it.
                    Err(ReadError::Wal(WalError::Trimmed { .. })) if moves < MOVES => {
                        moves += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                Ok(Source::Pack(segments)) if is_enough(&result) && !self.shared.packs.is_here(self.id, &segments, offset) => {
                    return Ok(result);
                }
                Ok(Source::Page(_) | Source::Unread) if is_enough(&result) => return Ok(result),
                Ok(Source::Pack(segments)) => match self.shared.packs.read(store, (self.id, &segments), offset, room).await {
                    // Compaction has left nothing of the segment from here on.
                    Ok(batches) if batches.is_empty() => {
                        offset = segments.first().map_or(offset, |segment| segment.end_offset);
                        continue;
                    }
                    Ok(batches) => batches,
                    // Given first; whoever goes on meets the error.
                    Err(_) if !result.batches.is_empty() => return Ok(result),
                    // What was looked up may be an old view (R17): damage only if the newest still names that pack.
                    Err(ReadError::Damaged(damage))
                        if damage.missing && moves < MOVES && self.has_moved(store, offset, &segments).await? =>
                    {
                        moves += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
                Ok(Source::Page(page)) => match self.open_page(store, &page).await {
                    Ok(found) if found.is_some() || moves < MOVES => {
                        moves += u32::from(found.is_none());
                        opened = found;
                        continue;
                    }
                    _ if !result.batches.is_empty() => return Ok(result),
                    Ok(_) => return Err(ReadError::Broken(format!("where offset {offset} lies changes faster than it can be read"))),
                    Err(error) => return Err(error),
                },
                Ok(Source::Unread) => {
                    self.learn_history(store).await?;
                    continue;
                }
                Err(e) if result.batches.is_empty() => return Err(e),
                // Something was read before the partition moved on: give that.
                Err(_) => return Ok(result),
            };
            let Some(next) = take(&mut result, batches, room, force, offset, request.max_bytes)? else { return Ok(result) };
            (offset, moves) = (next, 0);
        }
    }

    fn source(
        &self,
        offset: Offset,
        result: &mut ReadResult,
        (room, force): (usize, bool),
        opened: Option<&ManifestPage>,
    ) -> Result<Source, ReadError> {
        let state = self.state.lock();
        state.check_readable()?;
        (result.committed, result.log_start) = (state.committed, state.line.log_start);
        if offset < state.line.log_start || offset > state.committed {
            return Err(ReadError::OutOfRange { offset, log_start: state.line.log_start, committed: state.committed });
        }
        if offset == state.committed {
            return Ok(Source::Nothing);
        }
        if state.tail.start().is_some_and(|start| start <= offset) {
            return Ok(state.read_tail(offset, (room, force), opened));
        }
        match state.placed_from(offset, SEGMENTS_AHEAD, opened) {
            Place::Segments(segments) => Ok(Source::Pack(segments)),
            Place::Page(page) => Ok(Source::Page(page)),
            Place::Nowhere if !state.history_is_newest => Ok(Source::Unread),
            Place::Nowhere => Err(ReadError::Broken(format!("no segment holds offset {offset}"))),
        }
    }

    async fn read_wal(&self, WalPlace { generation, start, end }: WalPlace) -> Result<Bytes, ReadError> {
        match self.shared.wals.get(generation) {
            Some(own) => Ok(own.wal.read(start, end).await?),
            // All of that generation is in slots.
            None => Err(ReadError::Wal(WalError::Trimmed { at: start, trimmed: end })),
        }
    }
}

impl State {
    pub(super) fn check_readable(&self) -> Result<(), ReadError> {
        match &self.closed {
            None => Ok(()),
            Some(Closed::Ended(ended)) => Err(ReadError::Ended(ended.clone())),
            Some(Closed::Deleted | Closed::Left) => Err(ReadError::NotOwner),
            Some(Closed::Broken(why)) => Err(ReadError::Broken(why.clone())),
        }
    }

    fn read_tail(&self, offset: Offset, (room, force): (usize, bool), opened: Option<&ManifestPage>) -> Source {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for batch in self.tail.at_or_after(offset).take_while(|batch| batch.end_offset <= self.committed) {
            let Some(stored) = &batch.bytes else {
                if !batches.is_empty() {
                    break;
                }
                return match (self.placed_from(batch.base_offset, 1, opened), batch.wal) {
                    (Place::Segments(segments), _) => Source::Pack(segments),
                    (_, Some(place)) => Source::Wal(place),
                    (Place::Page(page), None) => Source::Page(page),
                    (Place::Nowhere, None) => Source::Nothing,
                };
            };
            if bytes + stored.len() > room && !(force && batches.is_empty()) {
                break;
            }
            bytes += stored.len();
            batches.push(stored.clone());
        }
        if batches.is_empty() { Source::Nothing } else { Source::Memory(batches) }
    }
}

/// Moves what fits into the result. The next offset, or None when the result is full.
fn take(
    result: &mut ReadResult,
    batches: Vec<Bytes>,
    room: usize,
    force: bool,
    offset: Offset,
    max_bytes: usize,
) -> Result<Option<Offset>, ReadError> {
    let (mut next, mut room) = (offset, room);
    let before = result.batches.len();
    for batch in batches {
        let header = floe_records::BatchHeader::parse(&batch)?;
        let first = force && result.batches.is_empty();
        if batch.len() > room && !first {
            return Ok(None);
        }
        if header.end_offset() > result.committed {
            return Ok(None);
        }
        next = header.end_offset();
        room = room.saturating_sub(batch.len());
        result.bytes += batch.len();
        result.batches.push(batch);
    }
    let advanced = result.batches.len() > before && next > offset;
    Ok((advanced && result.bytes < max_bytes).then_some(next))
}
