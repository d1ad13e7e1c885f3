//! Reading back from the files: one entry, for a reader whose memory no longer has it; or a run of entries, to fill a copy up.

use crate::{Wal, WalError, append::MAX_BATCH_BYTES, files::FILE_HEADER};
use bytes::Bytes;
use floe_formats::{ENTRY_HEADER_LEN, ENTRY_PREFIX_LEN, EntryHeader, wal_entry::decode_entry};
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

    /// Whole entries from `start` on, checksums verified: as many as fit into `most` bytes, but at least one. None where nothing
    /// durable lies at `start`.
    ///
    /// # Errors
    /// `Trimmed`. `Invalid`: no entry starts there. `Damaged`. `Disk`.
    pub async fn read_run(&self, start: Lsn, most: u64) -> Result<Option<Bytes>, WalError> {
        let shared = &self.shared;
        self.check_not_trimmed(start)?;
        let durable = shared.durable();
        if start >= durable {
            return Ok(None);
        }
        let Some((file_start, file)) = shared.files.holding(start) else {
            self.check_not_trimmed(start)?;
            return Err(WalError::Invalid { what: format!("no file holds LSN {start}") });
        };
        let end = shared.files.end_of(file_start).map_or(durable, |end| end.min(durable));
        let mut wanted = most.min(end.0 - start.0);
        loop {
            let at = FILE_HEADER + (start.0 - file_start.0);
            let len = usize::try_from(wanted).map_err(|_| WalError::Invalid { what: format!("{wanted} bytes are too many") })?;
            let bytes = match file.read_at(at, len).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.check_not_trimmed(start)?;
                    return Err(WalError::disk("read WAL entries")(error));
                }
            };
            match self.whole_entries(start, &bytes) {
                Ok(whole) if whole > 0 => return Ok(Some(bytes.slice(..whole))),
                Ok(_) if wanted < end.0 - start.0 => wanted = self.first_len(start, &bytes).min(end.0 - start.0).max(wanted + 1),
                Ok(_) => return Err(WalError::Damaged { at: start, proof: "an entry reaches behind the end".into() }),
                Err(proof) => {
                    self.check_not_trimmed(start)?;
                    return Err(WalError::Damaged { at: start, proof });
                }
            }
        }
    }

    /// Length of the entry whose header `bytes` begin with; of the header where not even that is there.
    fn first_len(&self, start: Lsn, bytes: &[u8]) -> u64 {
        EntryHeader::parse(bytes).ok().filter(|header| header.lsn == start).map_or(ENTRY_PREFIX_LEN as u64, |header| header.total_len())
    }

    /// How many of the bytes are whole entries of this WAL.
    fn whole_entries(&self, start: Lsn, bytes: &[u8]) -> Result<usize, String> {
        let options = &self.shared.options;
        let (mut at, mut lsn) = (0, start);
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= ENTRY_PREFIX_LEN) {
            let header = EntryHeader::parse(rest).map_err(|error| error.to_string())?;
            if header.lsn != lsn || (header.incarnation, header.generation) != (options.incarnation, options.generation) {
                return Err("another entry lies there".into());
            }
            if header.total_len() > rest.len() as u64 {
                break;
            }
            let (_, batch) = decode_entry(rest).map_err(|error| error.to_string())?;
            at += ENTRY_HEADER_LEN + batch.len();
            lsn = header.end();
        }
        Ok(at)
    }

    fn check_not_trimmed(&self, at: Lsn) -> Result<(), WalError> {
        let trimmed = self.trimmed();
        if at < trimmed { Err(WalError::Trimmed { at, trimmed }) } else { Ok(()) }
    }
}
