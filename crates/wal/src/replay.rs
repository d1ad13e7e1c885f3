//! Reading all entries back after a crash, in LSN order, and telling where the WAL ends.
//!
//! ```text
//!  file .. | file (the last that was begun)
//!  entry entry entry | entry entry X ..........      X: the first bad entry
//!                                    ^ later entries here?
//! ```
//! X is the end (perhaps torn) unless something proves that it was durable: a later file that was begun (its header is written
//! only when all before it is synced), or a later entry whose mark lies above X ([`crate::scan`]). Then it is damage, and
//! nothing is guessed (R7, T67). Nothing on the disk is changed; replaying twice gives the same.
//!
//! What cannot be told: damage in the very last group, behind which nothing was written, looks like a torn end. Another copy
//! of the WAL, or the slots, may tell more (R5, R7).

use crate::{
    WalError,
    files::{FILE_HEADER, parse_name},
    scan,
};
use bytes::Bytes;
use floe_env::{Disk, DiskFile};
use floe_formats::{
    ENTRY_HEADER_LEN, ENTRY_PREFIX_LEN, EntryHeader, FormatError, WAL_FILE_HEADER_LEN, WalFileHeader, wal_entry::verify_payload,
};
use floe_types::{ErrorKind, Generation, Incarnation, Lsn};
use std::{io, sync::Arc};

/// Bytes read at a time, but for a larger entry.
const WINDOW: u64 = 4 << 20;

/// One entry whose checksums hold.
#[derive(Debug, Clone)]
pub struct ReplayedEntry {
    pub header: EntryHeader,
    /// The batch: a slice of up to 4 MiB that were read together.
    pub batch: Bytes,
}

/// What a replay found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    pub entries: u64,
    /// Where the first file starts: what lies below was trimmed.
    pub start: Lsn,
    /// Where the last good entry ends.
    pub end: Lsn,
    /// Behind the end lie traces of a group that was not finished.
    pub torn: bool,
}

/// Visits every entry in LSN order. Holds one window of 4 MiB, or one entry if that is larger.
///
/// # Errors
/// `Missing`; `Damaged`: a bad entry lies where one is known to have been synced (T67); `Format`: a later version wrote this;
/// `Disk`. Entries before the place of the error were visited.
pub async fn replay(
    disk: &Arc<dyn Disk>,
    dir: &str,
    incarnation: Incarnation,
    generation: Generation,
    mut visit: impl FnMut(ReplayedEntry),
) -> Result<Replayed, WalError> {
    let files = list(disk, dir).await?;
    let start = files.first().copied().unwrap_or_default();
    let mut replayed = Replayed { entries: 0, start, end: start, torn: false };
    for (n, file_start) in files.iter().copied().enumerate() {
        let later = &files[n + 1..];
        let place = Place::open(disk, dir, file_start, (incarnation, generation)).await?;
        place.check_version().await?;
        replayed.end = entries(&place, &mut |entry| {
            replayed.entries += 1;
            visit(entry);
        })
        .await?;
        if later.first() != Some(&replayed.end) {
            replayed.torn = settle(disk, dir, &place, replayed.end, later).await?;
            break;
        }
    }
    Ok(replayed)
}

/// The starts of the WAL's files, in order.
async fn list(disk: &Arc<dyn Disk>, dir: &str) -> Result<Vec<Lsn>, WalError> {
    match disk.list(dir).await {
        Ok(entries) => Ok(entries.iter().filter_map(|entry| parse_name(&entry.name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(WalError::Missing { dir: dir.to_string() }),
        Err(error) => Err(WalError::disk("list a WAL's folder")(error)),
    }
}

/// An open file and where it belongs.
pub(crate) struct Place<'a> {
    pub(crate) start: Lsn,
    pub(crate) file: Arc<dyn DiskFile>,
    wal: (Incarnation, Generation),
    dir: &'a str,
}

impl<'a> Place<'a> {
    async fn open(disk: &Arc<dyn Disk>, dir: &'a str, start: Lsn, wal: (Incarnation, Generation)) -> Result<Self, WalError> {
        let path = format!("{dir}/{}", crate::files::file_name(start));
        let file = disk.open(&path).await.map_err(WalError::disk("open a WAL file"))?;
        Ok(Self { start, file, wal, dir })
    }

    pub(crate) async fn read(&self, at: u64, len: u64) -> Result<Bytes, WalError> {
        let len = usize::try_from(len).map_err(|_| WalError::Invalid { what: format!("{}: {len} bytes are too many", self.dir) })?;
        self.file.read_at(at, len).await.map_err(WalError::disk("read a WAL file"))
    }

    /// Whether the header is this WAL's, for this very position.
    pub(crate) fn is_ours(&self, header: &EntryHeader, lsn: Lsn) -> bool {
        header.lsn == lsn && (header.incarnation, header.generation) == self.wal
    }

    async fn header(&self) -> Result<Result<WalFileHeader, FormatError>, WalError> {
        let len = self.file.len().min(WAL_FILE_HEADER_LEN as u64);
        Ok(WalFileHeader::parse(&self.read(0, len).await?))
    }

    /// Refuses what a later version wrote. A header that is not there or bad decides nothing: entries prove themselves.
    async fn check_version(&self) -> Result<(), WalError> {
        match self.header().await? {
            Err(error) if error.kind() == ErrorKind::Invalid => Err(WalError::Format { at: self.start, error }),
            _ => Ok(()),
        }
    }

    /// Whether its first group was written, in part at least.
    async fn is_begun(&self) -> Result<bool, WalError> {
        let ours = WalFileHeader { incarnation: self.wal.0, generation: self.wal.1, start: self.start };
        Ok(self.header().await? == Ok(ours))
    }
}

/// Visits the good entries of one file up to the first bad one, and gives the LSN behind the last.
async fn entries(place: &Place<'_>, visit: &mut impl FnMut(ReplayedEntry)) -> Result<Lsn, WalError> {
    let len = place.file.len();
    let (mut at, mut end) = (FILE_HEADER, place.start);
    // What was read and not yet visited: the bytes from `at` on.
    let mut window = Bytes::new();
    loop {
        if window.len() < ENTRY_PREFIX_LEN {
            if len < at + ENTRY_PREFIX_LEN as u64 {
                return Ok(end);
            }
            window = place.read(at, WINDOW.min(len - at)).await?;
        }
        let header = match EntryHeader::parse(&window) {
            Ok(header) if place.is_ours(&header, end) => header,
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(WalError::Format { at: end, error }),
            Ok(_) | Err(_) => return Ok(end),
        };
        let total = header.total_len();
        if total > len - at {
            return Ok(end);
        }
        if total > window.len() as u64 {
            window = place.read(at, WINDOW.max(total).min(len - at)).await?;
        }
        let entry = window.split_to(usize::try_from(total).expect("the window holds it"));
        let batch = entry.slice(ENTRY_HEADER_LEN..);
        if verify_payload(&batch).is_err() {
            return Ok(end);
        }
        visit(ReplayedEntry { header, batch });
        at += total;
        end = header.end();
    }
}

/// Tells a torn end at `bad` from damage. Whether there are traces of something unfinished.
async fn settle(disk: &Arc<dyn Disk>, dir: &str, place: &Place<'_>, bad: Lsn, later: &[Lsn]) -> Result<bool, WalError> {
    let from = FILE_HEADER + (bad.0 - place.start.0);
    let traces = scan::look(place, from, bad).await?;
    if let Some(proof) = traces.proof {
        return Err(WalError::Damaged { at: bad, proof: format!("the entry at {proof} was written when it was durable") });
    }
    for start in later {
        let later = Place::open(disk, dir, *start, place.wal).await?;
        later.check_version().await?;
        if later.is_begun().await? || scan::look(&later, FILE_HEADER, bad).await?.any {
            return Err(WalError::Damaged { at: bad, proof: format!("the file at {start} was begun when it was durable") });
        }
    }
    Ok(traces.any)
}

#[cfg(test)]
mod tests;
