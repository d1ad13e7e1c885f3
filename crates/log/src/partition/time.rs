//! Offsets by time (`ListOffsets`). The time index is the greatest timestamp of each segment and block: a look-up reads
//! one footer and one block when it is not answered from memory.

use super::Partition;
use crate::{ReadError, ReadRequest};
use bytes::Bytes;
use floe_formats::{ManifestPage, PageRef, SegmentRef};
use floe_types::Offset;

/// Most bytes that a batch may have uncompressed when its records are looked at.
const MAX_RAW: usize = 256 << 20;
/// What is read at a time where no block is known to hold the answer.
const ENOUGH: usize = 64 << 10;

/// Where a record may be.
enum Candidate {
    /// In this segment, at this offset or later.
    In(SegmentRef, Offset),
    /// In a segment that this page names.
    Page(PageRef),
    /// Not in the page that was opened, but perhaps from here on.
    Behind(Offset),
    At(Offset),
}

impl Partition {
    /// The first committed record whose timestamp is at or after `timestamp`: (offset, its timestamp).
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub async fn offset_for_time(&self, timestamp: i64) -> Result<Option<(Offset, i64)>, ReadError> {
        self.ensure_history().await?;
        let log_start = self.offsets().log_start;
        let Some((mut offset, mut enough)) = self.first_block_by_time(log_start, timestamp).await? else { return Ok(None) };
        loop {
            let batches = self.read_some(offset, enough).await?;
            enough = ENOUGH;
            if batches.is_empty() {
                return Ok(None);
            }
            for batch in &batches {
                let header = floe_records::BatchHeader::parse(batch)?;
                offset = header.end_offset();
                if header.max_timestamp >= timestamp
                    && let Some(found) = floe_records::first_offset_from(batch, log_start, timestamp, MAX_RAW)?
                {
                    return Ok(Some((found.offset, found.timestamp)));
                }
            }
        }
    }

    /// Where to look for a record of `timestamp` or later, and how many bytes of it: the footer of one segment tells its block.
    async fn first_block_by_time(&self, log_start: Offset, timestamp: i64) -> Result<Option<(Offset, usize)>, ReadError> {
        let (mut from, mut opened) = (log_start, None);
        loop {
            let (segment, at) = match self.candidate(from, opened.as_deref(), |max| max >= timestamp) {
                None => return Ok(None),
                Some(Candidate::At(offset)) => return Ok(Some((offset, ENOUGH))),
                Some(Candidate::Page(page)) => {
                    opened = self.open_page(&self.shared.replay, &page).await?;
                    continue;
                }
                Some(Candidate::Behind(offset)) => {
                    from = offset;
                    continue;
                }
                Some(Candidate::In(segment, at)) => (segment, at),
            };
            match self.shared.packs.offset_by_time(self.id, &segment, (at, timestamp)).await {
                Ok(Some(block)) => return Ok(Some(block)),
                // Only what lies below the log start was as late.
                Ok(None) => from = segment.end_offset,
                // It has moved to another pack: look through what is there instead.
                Err(ReadError::Damaged(damage)) if damage.missing => return Ok(Some((at, ENOUGH))),
                Err(error) => return Err(error),
            }
        }
    }

    /// The first committed record with the greatest timestamp: (offset, timestamp); None if there is no record.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub async fn offset_of_max_timestamp(&self) -> Result<Option<(Offset, i64)>, ReadError> {
        self.ensure_history().await?;
        let whole = self.max_timestamp().await?;
        // Of the segment that the log start cuts, only what is left counts.
        let cut = self.max_timestamp_of_cut_segment(whole).await?;
        match cut.max(whole).filter(|timestamp| *timestamp >= 0) {
            Some(timestamp) => self.offset_for_time(timestamp).await,
            None => Ok(None),
        }
    }

    /// The greatest timestamp of the records from the log start up to the end of its segment, if that can be greater
    /// than `known`.
    async fn max_timestamp_of_cut_segment(&self, known: Option<i64>) -> Result<Option<i64>, ReadError> {
        let log_start = self.offsets().log_start;
        let cut = self.locate(&self.shared.replay, log_start).await?.filter(|segment| segment.base_offset < log_start);
        let cut = cut.filter(|segment| known.is_none_or(|known| segment.max_timestamp > known)).map(|segment| segment.end_offset);
        let Some(end) = cut else { return Ok(None) };
        let (mut offset, mut greatest) = (log_start, None);
        while offset < end {
            let batches = self.read_some(offset, ENOUGH).await?;
            if batches.is_empty() {
                break;
            }
            for batch in &batches {
                let found = floe_records::max_timestamp_from(batch, log_start, MAX_RAW)?;
                greatest = greatest.max(found.map(|found| found.timestamp));
                offset = floe_records::BatchHeader::parse(batch)?.end_offset();
            }
        }
        Ok(greatest)
    }

    async fn read_some(&self, offset: Offset, max_bytes: usize) -> Result<Vec<Bytes>, ReadError> {
        match self.read(ReadRequest::new(offset, max_bytes)).await {
            Ok(result) => Ok(result.batches),
            Err(ReadError::OutOfRange { .. }) => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    /// The first segment or batch, from `from` on, whose greatest timestamp satisfies `wanted`.
    fn candidate(&self, from: Offset, opened: Option<&ManifestPage>, wanted: impl Fn(i64) -> bool) -> Option<Candidate> {
        let state = self.state.lock();
        let from = from.max(state.line.log_start);
        if let Some(page) = state.pages().find(|page| page.end_offset > from && wanted(page.max_timestamp)) {
            let Some(opened) = opened.filter(|opened| opened.ulid == page.ulid) else { return Some(Candidate::Page(*page)) };
            let segment = opened.segments.iter().find(|segment| segment.end_offset > from && wanted(segment.max_timestamp));
            return Some(
                segment.map_or(Candidate::Behind(page.end_offset), |segment| Candidate::In(segment.clone(), segment.base_offset.max(from))),
            );
        }
        if let Some(segment) = state.placed_behind_pages().find(|segment| segment.end_offset > from && wanted(segment.max_timestamp)) {
            return Some(Candidate::In(segment.clone(), segment.base_offset.max(from)));
        }
        let tail = state.tail.at_or_after(state.line.end.max(from));
        tail.take_while(|batch| batch.end_offset <= state.committed)
            .find(|batch| wanted(batch.max_timestamp))
            .map(|batch| Candidate::At(batch.base_offset))
    }

    /// The greatest timestamp of segments and batches that lie wholly above the log start.
    async fn max_timestamp(&self) -> Result<Option<i64>, ReadError> {
        let (whole, cut, log_start) = {
            let state = self.state.lock();
            let log_start = state.line.log_start;
            let pages = state.pages().filter(|page| page.base_offset >= log_start).map(|page| page.max_timestamp);
            let segments = state.placed_behind_pages().filter(|segment| segment.base_offset >= log_start);
            let tail = state.tail.at_or_after(state.line.end).take_while(|batch| batch.end_offset <= state.committed);
            let whole = pages.chain(segments.map(|segment| segment.max_timestamp)).chain(tail.map(|batch| batch.max_timestamp)).max();
            let cut = state.pages().find(|page| page.base_offset < log_start).copied();
            (whole, cut.filter(|cut| whole.is_none_or(|whole| cut.max_timestamp > whole)), log_start)
        };
        let opened = match cut {
            Some(cut) => self.open_page(&self.shared.replay, &cut).await?,
            None => None,
        };
        let of_cut = opened.iter().flat_map(|page| &page.segments).filter(|segment| segment.base_offset >= log_start);
        Ok(whole.max(of_cut.map(|segment| segment.max_timestamp).max()))
    }
}
