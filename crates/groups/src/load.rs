//! Reading a partition of `__consumer_offsets` from its log start to its end.

use floe_coordinator::records::GroupRecord;
use floe_coordinator::{GroupConfig, Shard};
use floe_env::{Mutant, mutated};
use floe_log::{AppendError, Partition, ReadError, ReadRequest};
use floe_records::{BatchError, BatchHeader, Record, records};
use floe_types::ErrorKind;

/// Most bytes that one batch may have when decompressed. Our own are not compressed.
const BATCH_LIMIT: usize = 256 << 20;

/// Why a partition could not be loaded. The next request tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
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
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Batch(error) => error.kind(),
            Self::Ended(error) => error.kind(),
        }
    }
}

/// The shard as the log tells it. A record that cannot be read is left out, loudly: one odd group must not take the others
/// with it.
pub(crate) async fn load(partition: &Partition, config: GroupConfig, read_bytes: usize) -> Result<Shard, LoadError> {
    let mut shard = Shard::new(config);
    let offsets = partition.offsets();
    // Nothing counts before it is committed, and nothing of this incarnation is written before this has ended.
    partition.committed(offsets.end).await?;
    let mut at = offsets.log_start;
    while at < offsets.end {
        let read = partition.read_at_start(ReadRequest::new(at, read_bytes)).await?;
        let before = at;
        for batch in read.batches {
            let header = BatchHeader::parse(&batch)?;
            if !header.is_control() {
                for record in records(&batch, BATCH_LIMIT)? {
                    let record = record?;
                    if mutated(Mutant::GenerationsForgotten) && is_of_members(&record) {
                        continue;
                    }
                    if let Err(error) = shard.replay(&record) {
                        tracing::error!(partition = %partition.id(), offset = record.offset, %error, "a record of the groups is left out");
                    }
                }
            }
            at = header.end_offset();
        }
        if mutated(Mutant::LoadedInPart) {
            break;
        }
        if at == before {
            // Retention took what was to be read next.
            at = partition.offsets().log_start.max(at + 1);
        }
    }
    Ok(shard)
}

/// For a deliberate fault.
fn is_of_members(record: &Record) -> bool {
    let read = record.key.as_ref().and_then(|key| GroupRecord::read(key, record.value.as_ref()).ok().flatten());
    matches!(read, Some(GroupRecord::Group { .. }))
}
