//! Seals: this disk's word to accept nothing more of an incarnation, fsynced and kept for ever (R5, T64).
//!
//! A seal is a file of its own, outside every WAL's folder: it is given for incarnations that the disk never held anything of,
//! and outlives what it held. Nothing here removes one.

use crate::WalError;
use bytes::Bytes;
use floe_env::Disk;
use floe_formats::{Seal, Writer, encode};
use floe_types::{Incarnation, WriteId};
use std::{io::ErrorKind::NotFound, sync::Arc};

const DIR: &str = "seals";

fn path(incarnation: Incarnation) -> String {
    format!("{DIR}/{:016x}", incarnation.0)
}

/// Seals `incarnation` on this disk. When it returns, the word is durable. Sealing twice is fine, the first one stays - and is written once more:
/// whoever wrote it may have been killed before its name was durable, and a name that can be seen proves nothing.
///
/// # Errors
/// `Disk`: the seal may or may not stand.
pub async fn seal(disk: &Arc<dyn Disk>, incarnation: Incarnation, by: Incarnation) -> Result<(), WalError> {
    disk.create_dir_all(DIR).await.map_err(WalError::disk("make the folder of seals"))?;
    if let Some(first) = read(disk, incarnation).await? {
        return disk.write_durably(&path(incarnation), first).await.map_err(WalError::disk("write a seal again"));
    }
    // A local file, written once: its write id has nothing to tell apart.
    let writer = Writer { write_id: WriteId(0), incarnation: by, revision: 0 };
    let body = encode(&writer, &Seal { incarnation, by });
    disk.write_durably(&path(incarnation), body).await.map_err(WalError::disk("write a seal"))
}

/// Whether `incarnation` is sealed on this disk. A seal counts by being there: not even a damaged one is no seal.
///
/// # Errors
/// `Disk`: not known (T24).
pub async fn is_sealed(disk: &Arc<dyn Disk>, incarnation: Incarnation) -> Result<bool, WalError> {
    Ok(read(disk, incarnation).await?.is_some())
}

async fn read(disk: &Arc<dyn Disk>, incarnation: Incarnation) -> Result<Option<Bytes>, WalError> {
    match disk.read(&path(incarnation)).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(WalError::disk("look for a seal")(error)),
    }
}

#[cfg(test)]
mod tests;
