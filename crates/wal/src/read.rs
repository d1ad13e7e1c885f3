//! Reading one entry back from its file: for a reader whose memory no longer has it.

use crate::{Wal, WalError, append::MAX_BATCH_BYTES, files::FILE_HEADER};
use bytes::Bytes;
use floe_formats::{ENTRY_HEADER_LEN, wal_entry::decode_entry};
use floe_types::Lsn;

impl Wal {
    /// The batch of the entry that lies at `start..end` (as [`crate::Appended`] said), checksums verified.
    ///
    /// # Errors
    /// `Trimmed`: it is elsewhere, read it there. `NotDurable`. `Damaged`. `Invalid`: no entry lies there. `Disk`.
    pub async fn read(&self, start: Lsn, end: Lsn) -> Result<Bytes, WalError> {
        let shared = &self.shared;
        if end > shared.durable() {
            return Err(WalError::NotDurable { at: end, durable: shared.durable() });
        }
        self.check_not_trimmed(start)?;
        let longest = MAX_BATCH_BYTES + ENTRY_HEADER_LEN as u64;
        let len = end.0.checked_sub(start.0).filter(|len| *len <= longest).and_then(|len| usize::try_from(len).ok());
        let Some(len) = len else {
            return Err(WalError::Invalid { what: format!("no entry lies at {start}..{end}") });
        };
        let Some((file_start, file)) = shared.files.holding(start) else {
            self.check_not_trimmed(start)?;
            return Err(WalError::Invalid { what: format!("no file holds LSN {start}") });
        };
        let bytes = match file.read_at(FILE_HEADER + (start.0 - file_start.0), len).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.check_not_trimmed(start)?;
                return Err(WalError::disk("read a WAL entry")(error));
            }
        };
        let found = decode_entry(&bytes).map_err(|error| error.to_string()).and_then(|(header, batch)| {
            let options = &shared.options;
            let ours = header.lsn == start && (header.incarnation, header.generation) == (options.incarnation, options.generation);
            if ours && header.end() == end { Ok(batch.len()) } else { Err("another entry lies there".into()) }
        });
        match found {
            Ok(batch_len) => Ok(bytes.slice(ENTRY_HEADER_LEN..ENTRY_HEADER_LEN + batch_len)),
            Err(proof) => {
                // The file may have been recycled under the read: then this is no damage.
                self.check_not_trimmed(start)?;
                Err(WalError::Damaged { at: start, proof })
            }
        }
    }

    fn check_not_trimmed(&self, at: Lsn) -> Result<(), WalError> {
        let trimmed = self.trimmed();
        if at < trimmed { Err(WalError::Trimmed { at, trimmed }) } else { Ok(()) }
    }
}
