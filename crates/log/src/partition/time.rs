//! Offsets by time (`ListOffsets`). The time index is the greatest timestamp of each segment and block: a look-up reads
//! one footer and one block when it is not answered from memory.

use super::Partition;
use crate::{ReadError, ReadRequest};
use bytes::Bytes;
use floe_types::Offset;

/// Most bytes that a batch may have uncompressed when its records are looked at.
const MAX_RAW: usize = 256 << 20;
/// Enough for the batch that answers; blocks are not larger.
const ENOUGH: usize = 1 << 20;

impl Partition {
    /// The first committed record whose timestamp is at or after `timestamp`: (offset, its timestamp).
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub async fn offset_for_time(&self, timestamp: i64) -> Result<Option<(Offset, i64)>, ReadError> {
        self.ensure_history().await?;
        let log_start = self.offsets().log_start;
        let Some(mut offset) = self.candidate(|max| max >= timestamp) else { return Ok(None) };
        loop {
            let batches = self.read_some(offset).await?;
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

    /// The first committed record with the greatest timestamp: (offset, timestamp); None if there is no record.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub async fn offset_of_max_timestamp(&self) -> Result<Option<(Offset, i64)>, ReadError> {
        self.ensure_history().await?;
        let whole = self.max_timestamp();
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
        let cut = {
            let state = self.state.lock();
            let log_start = state.line.log_start;
            let cut = state.placed_at(log_start).filter(|segment| segment.base_offset < log_start);
            cut.filter(|segment| known.is_none_or(|known| segment.max_timestamp > known)).map(|segment| (log_start, segment.end_offset))
        };
        let Some((log_start, end)) = cut else { return Ok(None) };
        let (mut offset, mut greatest) = (log_start, None);
        while offset < end {
            let batches = self.read_some(offset).await?;
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

    async fn read_some(&self, offset: Offset) -> Result<Vec<Bytes>, ReadError> {
        match self.read(ReadRequest { offset, max_bytes: ENOUGH, at_least_one: true }).await {
            Ok(result) => Ok(result.batches),
            Err(ReadError::OutOfRange { .. }) => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    /// Where the first segment or batch begins whose greatest timestamp satisfies `wanted`.
    fn candidate(&self, wanted: impl Fn(i64) -> bool) -> Option<Offset> {
        let state = self.state.lock();
        let log_start = state.line.log_start;
        if let Some(segment) = state.placed().find(|segment| wanted(segment.max_timestamp)) {
            return Some(segment.base_offset.max(log_start));
        }
        let tail = state.tail.at_or_after(state.line.end.max(log_start));
        tail.take_while(|batch| batch.end_offset <= state.committed)
            .find(|batch| wanted(batch.max_timestamp))
            .map(|batch| batch.base_offset)
    }

    /// The greatest timestamp of segments and batches that lie wholly above the log start.
    fn max_timestamp(&self) -> Option<i64> {
        let state = self.state.lock();
        let segments = state.placed().filter(|segment| segment.base_offset >= state.line.log_start).map(|segment| segment.max_timestamp);
        let tail =
            state.tail.at_or_after(state.line.end).take_while(|batch| batch.end_offset <= state.committed).map(|batch| batch.max_timestamp);
        segments.chain(tail).max()
    }
}
