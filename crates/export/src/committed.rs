//! The one way from batches to records that belong in a table. What a transaction that was aborted has written, and the
//! markers of transactions, are no records of a table; today a broker refuses both (`broker/src/handlers/produce/prepare.rs`),
//! so that markers are left out here and a transaction's records are refused rather than guessed about.

use crate::ExportError;
use crate::memory::BATCH_AT_ONCE;
use bytes::Bytes;
use floe_records::{BatchError, BatchHeader, Records};

/// Most bytes that a batch may have uncompressed; the broker's own limit where it looks at records.
pub(crate) const MAX_RAW: usize = 256 << 20;

/// What a batch is to a table.
pub(crate) enum Visible {
    Records(Records),
    /// All its offsets are markers.
    Control,
}

/// None: it takes more memory than one file has, and has no turn.
///
/// # Errors
/// See [`visible`].
pub(crate) fn visible_at_once(batch: &Bytes, header: &BatchHeader, in_turn: bool) -> Result<Option<Visible>, ExportError> {
    match visible(batch, header, if in_turn { MAX_RAW } else { BATCH_AT_ONCE }) {
        Err(ExportError::Records { source: BatchError::TooLarge { .. }, .. }) if !in_turn => Ok(None),
        found => found.map(Some),
    }
}

/// `max_raw`: most bytes that it may have uncompressed.
///
/// # Errors
/// A batch that is broken, or part of a transaction, or too large.
pub(crate) fn visible(batch: &Bytes, header: &BatchHeader, max_raw: usize) -> Result<Visible, ExportError> {
    let offset = header.base_offset;
    if header.is_control() {
        return Ok(Visible::Control);
    }
    if header.is_transactional() {
        return Err(ExportError::Transaction { offset });
    }
    let records = floe_records::records(batch, max_raw).map_err(|source| ExportError::Records { offset, source })?;
    Ok(Visible::Records(records))
}
