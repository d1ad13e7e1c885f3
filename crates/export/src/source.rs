//! Where a partition's records are read: from the store alone, or by the broker that leads it. Either way no further than a successor
//! without that broker's disk would read them: what is in a table is never taken back.

use crate::ExportError;
use floe_log::stored::{StoredPartition, Stretch};
use floe_log::{Partition, ReadError, ReadRequest};
use floe_records::BatchHeader;
use floe_types::{Offset, PartitionId};
use std::sync::Arc;

/// Times that what is read may be deleted before any of it was got.
const MOVES: u32 = 16;

#[derive(Debug)]
pub(crate) enum Source {
    Stored(Box<StoredPartition>),
    Led(Arc<Partition>),
}

impl Source {
    pub(crate) fn id(&self) -> PartitionId {
        match self {
            Self::Stored(partition) => partition.id(),
            Self::Led(partition) => partition.id(),
        }
    }

    /// The first offset that may be read.
    pub(crate) fn log_start(&self) -> Offset {
        match self {
            Self::Stored(partition) => partition.log_start(),
            Self::Led(partition) => partition.offsets().log_start,
        }
    }

    /// The offset behind the last record that is in the store.
    pub(crate) fn end(&self) -> Offset {
        match self {
            Self::Stored(partition) => partition.end(),
            Self::Led(partition) => partition.stored_end(),
        }
    }

    /// Where records of this time or later begin; the end if there is none.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub(crate) async fn offset_for_time(&mut self, timestamp: i64) -> Result<Offset, ExportError> {
        match self {
            Self::Stored(partition) => Ok(partition.offset_for_time(timestamp).await?),
            Self::Led(partition) => {
                let (found, end) = (partition.offset_for_time(timestamp).await?, partition.stored_end());
                Ok(found.map_or(end, |(offset, _)| offset.min(end)))
            }
        }
    }

    /// Batches from `at` on, of about so many bytes. Batches behind [`Source::end`] may be among them.
    ///
    /// # Errors
    /// What is stored cannot be read; the partition is not led here any more.
    pub(crate) async fn read(&mut self, at: Offset, bytes: usize) -> Result<Stretch, ExportError> {
        match self {
            Self::Stored(partition) => Ok(partition.read(at, bytes).await?),
            Self::Led(partition) => read_led(partition, at, bytes).await,
        }
    }
}

async fn read_led(partition: &Partition, at: Offset, bytes: usize) -> Result<Stretch, ExportError> {
    let mut moves = 0;
    loop {
        let from = at.max(partition.offsets().log_start);
        match partition.read(ReadRequest::new(from, bytes)).await {
            Ok(found) => {
                // Nothing was read: nothing is known of what lies ahead, not even that it is not there.
                let end = found.batches.last().map(|batch| BatchHeader::parse(batch)).transpose();
                let end = end.map_err(|source| ExportError::Records { offset: from, source })?;
                let next = end.map_or(from, |header| header.end_offset());
                return Ok(Stretch { from, batches: found.batches, next });
            }
            Err(ReadError::OutOfRange { log_start, .. }) if log_start > from && moves < MOVES => moves += 1,
            Err(error) => return Err(error.into()),
        }
    }
}
