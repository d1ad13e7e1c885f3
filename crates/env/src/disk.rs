//! The local disk as the broker sees it: a folder with durable manners.
//!
//! Paths are relative to the disk's root and separated by `/`; empty components, `.` and `..` are refused, and so are names
//! that begin with a dot, which belong to the disk itself. What "durably" means: the bytes were fsynced, and so was every
//! folder entry that is needed to find them. A failed sync is never to be retried: the kernel may have dropped the pages and
//! call the next one a success.
//!
//! Cancelling a call leaves it open whether, and when, it happens: it may still be under way.

use async_trait::async_trait;
use bytes::Bytes;
use std::{
    fmt::{self, Debug},
    io,
    sync::Arc,
};

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    pub name: String,
    /// Bytes; 0 for a folder.
    pub len: u64,
    pub is_dir: bool,
}

/// What a write may touch of a file beyond its own end: see [`DiskFile::write_at`].
pub const BLOCK: usize = 4_096;

/// A folder on a local disk. Errors are the operating system's, with the path in the message.
#[async_trait]
pub trait Disk: Debug + Send + Sync {
    /// Makes the folder and those above it, durably. Existing ones are fine, and made durable too: whoever made them may have been killed
    /// before they were.
    async fn create_dir_all(&self, dir: &str) -> io::Result<()>;

    /// What is in the folder, sorted by name; `""` is the root. A missing folder is `NotFound`.
    async fn list(&self, dir: &str) -> io::Result<Vec<FileEntry>>;

    /// The whole file.
    async fn read(&self, path: &str) -> io::Result<Bytes>;

    /// Makes the file hold exactly `body`, durably: after a crash at any moment it holds the old or the new bytes.
    async fn write_durably(&self, path: &str, body: Bytes) -> io::Result<()>;

    /// Removes a file or an empty folder, durably. A missing one is fine.
    async fn remove(&self, path: &str) -> io::Result<()>;

    /// Gives the file another name, durably; what had that name is replaced.
    async fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes a new file of `len` zero bytes, durably, with its blocks allocated and written, so that syncing writes within it
    /// changes no metadata. An existing one is `AlreadyExists`. After a crash within the call a shorter file may be there.
    async fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    async fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Takes a lock that only one process can hold; it ends with the returned value or with the process. Held elsewhere, or
    /// by this process already: `WouldBlock`.
    async fn lock(&self, path: &str) -> io::Result<DiskLock>;
}

/// An open file. Calls may run at the same time; writes that overlap each other have no defined order.
#[expect(clippy::len_without_is_empty, reason = "an empty file is nothing special")]
#[async_trait]
pub trait DiskFile: Debug + Send + Sync {
    /// Bytes from the start to the end of what was ever written.
    fn len(&self) -> u64;

    /// Writes the parts one behind the other at `offset`. Visible to readers afterwards, but not durable. Files are written front to
    /// back: bytes of the file behind the write, up to the next multiple of [`BLOCK`], may become zero.
    async fn write_at(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()>;

    /// [`DiskFile::write_at`], then [`DiskFile::sync_data`], in one hop.
    async fn write_and_sync(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()>;

    /// Makes every write that had returned before this call durable.
    async fn sync_data(&self) -> io::Result<()>;

    /// Exactly `len` bytes from `offset`; fewer there: `UnexpectedEof`, found before anything is allocated.
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

/// A held lock; dropping it gives it back.
pub struct DiskLock {
    path: String,
    _held: Box<dyn Send + Sync>,
}

impl DiskLock {
    pub(crate) fn new(path: &str, held: impl Send + Sync + 'static) -> Self {
        Self { path: path.to_string(), _held: Box::new(held) }
    }
}

impl Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DiskLock").field(&self.path).finish()
    }
}

/// Refuses what would leave the root or meet the disk's own files.
pub(crate) fn check_path(path: &str) -> io::Result<()> {
    if path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\0')) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{path:?} is not a path within a disk")))
}

/// `""` is the root, which is a folder but not a path.
pub(crate) fn check_dir(dir: &str) -> io::Result<()> {
    if dir.is_empty() { Ok(()) } else { check_path(dir) }
}

/// The folder that holds the entry, `""` for the root; and the entry's name in it.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Where [`Disk::write_durably`] writes before it renames; invisible to [`Disk::list`].
pub(crate) fn temporary(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((dir, name)) => format!("{dir}/.{name}.tmp"),
        None => format!(".{path}.tmp"),
    }
}

/// Names the operation and the path in the error.
pub(crate) fn named(action: &str, path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {action} {path}: {error}"))
}

#[cfg(test)]
mod tests;
