//! Giving back what is stored elsewhere.
//!
//! Files go oldest first, each durably before the next: what a crash leaves is a WAL that starts later, never one with a gap.
//! A file that is trimmed either becomes a spare, to be filled again, or is removed. Entries below the mark that share a file
//! with later ones stay on the disk, and are replayed.

use crate::{Wal, WalError, files, seal, wal::Shared};
use floe_env::Disk;
use floe_formats::{WAL_FILE_HEADER_LEN, WalFileHeader};
use floe_types::Lsn;
use std::{
    io::ErrorKind::NotFound,
    sync::{Arc, atomic::Ordering},
};

impl Wal {
    /// Everything below `to` is needed no more: files that lie wholly below are recycled or removed. When the caller may say so
    /// (slots are certain, R11) is not known here. A lower mark than before is fine. After an error the mark may stand while
    /// files are left; the next call takes them.
    ///
    /// # Errors
    /// `NotDurable`: `to` is not a mark of this WAL. `Sealed`, `Invalid`: the files are not this handle's to touch any more.
    /// (T06: nothing is given back then.) `Disk`.
    pub async fn trim(&self, to: Lsn) -> Result<(), WalError> {
        let shared = &self.shared;
        let durable = shared.durable();
        if to > durable {
            return Err(WalError::NotDurable { at: to, durable });
        }
        let _one_at_a_time = shared.trimming.lock().await;
        if shared.files.oldest_below(to).is_some() && seal::is_sealed(&shared.disk, shared.options.incarnation).await? {
            return Err(WalError::Sealed { incarnation: shared.options.incarnation });
        }
        // Before the files change, so that a read which meets the change knows.
        shared.trimmed.fetch_max(to.0, Ordering::AcqRel);
        while let Some(start) = shared.files.oldest_below(to) {
            retire(shared, start).await?;
        }
        Ok(())
    }
}

async fn retire(shared: &Shared, start: Lsn) -> Result<(), WalError> {
    let path = shared.path(&files::file_name(start));
    check_ours(shared, &path, start).await?;
    let name = shared.files.new_spare_name();
    let spare = shared.path(&name);
    shared.disk.rename(&path, &spare).await.map_err(WalError::disk("retire a WAL file"))?;
    if !shared.files.retire(start, &name, &shared.options) {
        shared.disk.remove(&spare).await.map_err(WalError::disk("remove a trimmed WAL file"))?;
    }
    Ok(())
}

/// What has the file's name now is the file that this handle wrote.
async fn check_ours(shared: &Shared, path: &str, start: Lsn) -> Result<(), WalError> {
    let problem = "read the header of a WAL file";
    let file = shared.disk.open(path).await.map_err(WalError::disk(problem))?;
    let bytes = file.read_at(0, WAL_FILE_HEADER_LEN).await.map_err(WalError::disk(problem))?;
    let ours = WalFileHeader { incarnation: shared.options.incarnation, generation: shared.options.generation, start };
    match WalFileHeader::parse(&bytes) {
        Ok(found) if found != ours => Err(WalError::Invalid { what: format!("{path} is another WAL's: {found:?}") }),
        // Damaged or not: the entries below the mark are elsewhere, and nothing says that they are another's.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Deletes a generation's folder, oldest file first. To be called only when its chain is closed (R11).
///
/// # Errors
/// `Disk`: some of it is left; call it again. A folder that is not there is fine.
pub async fn remove_generation(disk: &Arc<dyn Disk>, dir: &str) -> Result<(), WalError> {
    let entries = match disk.list(dir).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == NotFound => return Ok(()),
        Err(error) => return Err(WalError::disk("list a WAL's folder")(error)),
    };
    for entry in entries {
        disk.remove(&format!("{dir}/{}", entry.name)).await.map_err(WalError::disk("remove a WAL file"))?;
    }
    disk.remove(dir).await.map_err(WalError::disk("remove a WAL's folder"))
}

#[cfg(test)]
mod tests;
