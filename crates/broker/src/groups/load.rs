//! Reading a partition of `__consumer_offsets` from its log start to its end.

use floe_coordinator::{GroupConfig, Shard};
use floe_log::{AppendError, Partition, ReadError, ReadRequest};
use floe_records::{BatchError, BatchHeader, records};
use floe_types::ErrorKind;

/// Bytes read at once.
const READ_BYTES: usize = 4 << 20;

/// Most bytes that one batch may have when decompressed. Our own are not compressed.
const BATCH_LIMIT: usize = 256 << 20;

/// Why a partition could not be loaded. The next request tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Ended(#[from] AppendError),
}

impl LoadError {
    /// What it asks of the caller.
    #[expect(dead_code, reason = "every error says it; nobody here decides by it")]
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Batch(error) => error.kind(),
            Self::Ended(error) => error.kind(),
        }
    }
}

/// The shard as the log tells it. A record that cannot be read is left out, loudly: one odd group must not take the others
/// with it.
pub(super) async fn load(partition: &Partition, config: GroupConfig) -> Result<Shard, LoadError> {
    let mut shard = Shard::new(config);
    let offsets = partition.offsets();
    // Nothing counts before it is committed, and nothing of this incarnation is written before this has ended.
    partition.committed(offsets.end).await?;
    let mut at = offsets.log_start;
    while at < offsets.end {
        let read = partition.read_at_start(ReadRequest::new(at, READ_BYTES)).await?;
        let before = at;
        for batch in read.batches {
            let header = BatchHeader::parse(&batch)?;
            if !header.is_control() {
                for record in records(&batch, BATCH_LIMIT)? {
                    let record = record?;
                    if let Err(error) = shard.replay(&record) {
                        tracing::error!(partition = %partition.id(), offset = record.offset, %error, "a record of the groups is left out");
                    }
                }
            }
            at = header.end_offset();
        }
        if at == before {
            // Retention took what was to be read next.
            at = partition.offsets().log_start.max(at + 1);
        }
    }
    Ok(shard)
}
