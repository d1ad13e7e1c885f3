//! What a replica holds after a restart, made certain before anything of it counts again (R11).
//!
//! Replay tells where it ends. What marks prove is durable. The rest may lie in the page cache only - a killed process, or a sync that failed - and a sync
//! now would prove nothing: after a failed one the kernel calls the next a success (decision 1, `SealOnlyFsyncs`). It lies in the last file that has entries,
//! since a file is begun only when all before it is synced. So that file is written anew:
//!
//! | step | a crash behind it leaves |
//! |---|---|
//! | copy the file up to the end to `rewrite`, sync | the old file; `rewrite` is removed and made again |
//! | rename over the old one | the new file, with the same entries and marks: it may be written anew once more |
//! | remove files from the end on, and spares | the same entries: none of those files has one that counts |
//! | keep "acknowledged up to the end" | a replica that is found shorter from now on is damaged |
//!
//! The next entry begins a new file. Nothing is appended to an old one.

use crate::{
    Replay, WalError,
    files::{FILE_HEADER, file_name, is_no_space, parse_name},
    replay::Place,
    replica::State,
    wal::Held,
};
use bytes::Bytes;
use floe_env::{Disk, DiskFile, Mutant, mutated};
use floe_types::{Generation, Incarnation, Lsn};
use std::{io, sync::Arc};

/// Where the last file is written anew.
const REWRITE: &str = "rewrite";
/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;
const PAGE: u64 = 4096;

type WalName = (Incarnation, Generation);

/// What the replica holds, certain to be durable. `kept` is what is known of it.
///
/// # Errors
/// `Damaged`: it holds less than it should, and is no answer any more (R5). `Full`. `Failed`: the disk. `Disk`, `Format`.
pub(crate) async fn reopen(disk: &Arc<dyn Disk>, dir: &str, kept: &State) -> Result<Held, WalError> {
    disk.create_dir_all(dir).await.map_err(WalError::disk("make a replica's folder"))?;
    disk.remove(&format!("{dir}/{REWRITE}")).await.map_err(WalError::disk("remove what was not written to its end"))?;
    let wal = (kept.incarnation, kept.generation);
    let (replay, mut end) = replay_to_the_end(disk, dir, wal, Lsn(0)).await?;
    check(kept, &replay, end)?;
    if end < kept.trimmed {
        empty(disk, dir).await?;
        return Ok(Held { trimmed: kept.trimmed, end: kept.trimmed, files: Vec::new() });
    }
    if replay.proven() < end {
        let place = replay.last_file().expect("entries that nothing proves lie in a file").clone();
        end = write_anew(disk, dir, wal, (&place, end)).await?;
        check_acknowledged(kept, end)?;
    }
    let mut files = Vec::new();
    for entry in disk.list(dir).await.map_err(WalError::disk("list a replica's folder"))? {
        let path = format!("{dir}/{}", entry.name);
        match parse_name(&entry.name).filter(|start| *start < end) {
            Some(start) => files.push((start, disk.open(&path).await.map_err(WalError::disk("open a replica's file"))?)),
            None => disk.remove(&path).await.map_err(WalError::disk("remove a replica's empty file"))?,
        }
    }
    Ok(Held { trimmed: kept.trimmed, end, files })
}

/// Removes all files, oldest first.
pub(crate) async fn empty(disk: &Arc<dyn Disk>, dir: &str) -> Result<(), WalError> {
    for entry in disk.list(dir).await.map_err(WalError::disk("list a replica's folder"))? {
        disk.remove(&format!("{dir}/{}", entry.name)).await.map_err(WalError::disk("remove a replica's file"))?;
    }
    Ok(())
}

async fn replay_to_the_end(disk: &Arc<dyn Disk>, dir: &str, wal: WalName, first: Lsn) -> Result<(Replay, Lsn), WalError> {
    let mut replay = Replay::open_from(disk, dir, wal, first).await?;
    while replay.next().await?.is_some() {}
    let end = replay.replayed().end;
    Ok((replay, end))
}

/// Whether all is there that must be.
pub(crate) fn check(kept: &State, replay: &Replay, end: Lsn) -> Result<(), WalError> {
    let start = replay.replayed().start;
    if replay.has_files() && start > kept.trimmed {
        let proof = format!("its first file begins at {start}, and it was trimmed to {}", kept.trimmed);
        return Err(WalError::Damaged { at: kept.trimmed, proof });
    }
    check_acknowledged(kept, end)
}

fn check_acknowledged(kept: &State, end: Lsn) -> Result<(), WalError> {
    if end < kept.acknowledged && kept.acknowledged > kept.trimmed {
        let proof = format!("everything below {} was acknowledged here", kept.acknowledged);
        return Err(WalError::Damaged { at: end, proof });
    }
    Ok(())
}

/// Where the entries end that the new file holds: what only the page cache had may be gone when it is read again.
async fn write_anew(disk: &Arc<dyn Disk>, dir: &str, wal: WalName, (place, end): (&Place, Lsn)) -> Result<Lsn, WalError> {
    let (path, rewrite) = (format!("{dir}/{}", file_name(place.start)), format!("{dir}/{REWRITE}"));
    if mutated(Mutant::TailOnlySynced) {
        place.file.sync_data().await.map_err(failed)?;
        return Ok(end);
    }
    let len = FILE_HEADER + (end.0 - place.start.0);
    let file = match disk.create(&rewrite, len.next_multiple_of(PAGE)).await {
        Ok(file) => file,
        Err(error) if is_no_space(&error) => return Err(WalError::Full { what: "the disk has no space to write a replica's end anew" }),
        Err(error) => return Err(failed(error)),
    };
    copy(place, &file, len).await?;
    file.sync_data().await.map_err(failed)?;
    disk.rename(&rewrite, &path).await.map_err(failed)?;
    Ok(replay_to_the_end(disk, dir, wal, place.start).await?.1)
}

async fn copy(from: &Place, to: &Arc<dyn DiskFile>, len: u64) -> Result<(), WalError> {
    let mut at = 0;
    while at < len {
        let bytes: Bytes = from.read(at, CHUNK.min(len - at)).await?;
        let step = bytes.len() as u64;
        to.write_at(at, vec![bytes]).await.map_err(failed)?;
        at += step;
    }
    Ok(())
}

fn failed(error: io::Error) -> WalError {
    WalError::Failed { error: Arc::new(error) }
}
