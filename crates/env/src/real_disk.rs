//! [`RealDisk`]: files of the operating system, on tokio's blocking pool.

mod direct;

use crate::disk::{self, Disk, DiskFile, DiskLock, FileEntry, check_dir, check_path, named};
use async_trait::async_trait;
use bytes::Bytes;
use direct::{Aligned, Direct};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, FlockOperation};
use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Most parts that one vectored write takes (`IOV_MAX` on Linux).
const MOST_PARTS: usize = 1_024;
/// How much of a new file is zeroed at a time where that goes through the page cache.
const ZEROES: usize = 1 << 20;

/// A folder of the operating system. It need not exist before [`Disk::create_dir_all`].
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
    /// What files made by [`Disk::create`] are written from.
    buffer: Arc<Mutex<Aligned>>,
}

impl RealDisk {
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, buffer: Arc::default() }
    }

    fn place(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        path: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shown = self.place(path);
        blocking(work).await.map_err(|e| named(action, &shown.display().to_string(), &e))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(io::Error::other("the runtime is shutting down")),
    }
}

#[async_trait]
impl Disk for RealDisk {
    async fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        let (place, depth) = (self.place(dir), dir.split('/').filter(|part| !part.is_empty()).count());
        self.run("create folder", dir, move || create_dirs(&place, depth)).await
    }

    async fn list(&self, dir: &str) -> io::Result<Vec<FileEntry>> {
        check_dir(dir)?;
        let place = self.place(dir);
        self.run("list", dir, move || list(&place)).await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn read(&self, path: &str) -> io::Result<Bytes> {
        check_path(path)?;
        let place = self.place(path);
        self.run("read", path, move || std::fs::read(&place).map(Bytes::from)).await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn write_durably(&self, path: &str, body: Bytes) -> io::Result<()> {
        check_path(path)?;
        let (place, temporary) = (self.place(path), self.place(&disk::temporary(path)));
        self.run("write", path, move || {
            let mut file = File::create(&temporary)?;
            let written = file.write_all(&body).and_then(|()| file.sync_all());
            let renamed = written.and_then(|()| std::fs::rename(&temporary, &place));
            if let Err(error) = renamed {
                // Space is what is usually missing: give back what was taken of it.
                let _ = std::fs::remove_file(&temporary);
                return Err(error);
            }
            sync_parent(&place)
        })
        .await
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        let place = self.place(path);
        self.run("remove", path, move || remove(&place)).await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_path(from)?;
        check_path(to)?;
        let (source, target) = (self.place(from), self.place(to));
        let apart = disk::split(from).0 != disk::split(to).0;
        self.run("rename", from, move || {
            std::fs::rename(&source, &target)?;
            sync_parent(&target)?;
            if apart { sync_parent(&source) } else { Ok(()) }
        })
        .await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        check_path(path)?;
        let (place, buffer) = (self.place(path), Arc::clone(&self.buffer));
        self.run("create", path, move || {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&place)?;
            let direct = allocate(&file, len).and_then(|()| fill(&file, &place, len, &buffer));
            match direct.and_then(|direct| sync_parent(&place).map(|()| direct)) {
                Ok(direct) => Ok(RealFile::shared(file, place, len, direct)),
                Err(error) => {
                    // Space is what is usually missing: give back what was taken of it.
                    let _ = remove(&place);
                    Err(error)
                }
            }
        })
        .await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_path(path)?;
        let place = self.place(path);
        self.run("open", path, move || {
            let file = OpenOptions::new().read(true).write(true).open(&place)?;
            let len = file.metadata()?.len();
            Ok(RealFile::shared(file, place, len, None))
        })
        .await
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    async fn lock(&self, path: &str) -> io::Result<DiskLock> {
        check_path(path)?;
        let (place, name) = (self.place(path), path.to_string());
        self.run("lock", path, move || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&place)?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            Ok(DiskLock::new(&name, file))
        })
        .await
    }
}

/// Reads of so much are made past the page cache.
const LARGE_READ: usize = 1 << 20;

#[derive(Debug)]
struct RealFile {
    inner: Arc<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    direct: Option<Direct>,
    place: PathBuf,
    len: AtomicU64,
}

impl RealFile {
    fn shared(file: File, place: PathBuf, len: u64, direct: Option<Direct>) -> Arc<dyn DiskFile> {
        Arc::new(Self { inner: Arc::new(Opened { file, direct, place, len: AtomicU64::new(len) }) })
    }

    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Opened) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner).map_err(|e| named(action, &inner.place.display().to_string(), &e))).await
    }
}

#[async_trait]
impl DiskFile for RealFile {
    fn len(&self) -> u64 {
        self.inner.len.load(Ordering::Acquire)
    }

    async fn write_at(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        self.run("write", move |opened| opened.write(offset, &parts)).await
    }

    async fn write_and_sync(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        self.run("write and sync", move |opened| {
            opened.write(offset, &parts)?;
            opened.sync()
        })
        .await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.run("sync", Opened::sync).await
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.run("read", move |opened| opened.read(offset, len)).await
    }
}

impl Opened {
    fn write(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        let end = offset.saturating_add(parts.iter().map(|part| part.len() as u64).sum());
        match &self.direct {
            Some(direct) if end <= self.len.load(Ordering::Acquire) => direct.write(&self.file, offset, parts),
            _ => self.write_cached(offset, parts),
        }
    }

    fn write_cached(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        let mut at = offset;
        let mut rest: &[Bytes] = parts;
        let mut skip = 0; // bytes of rest[0] that are written
        loop {
            while rest.first().is_some_and(|part| part.len() == skip) {
                (rest, skip) = (&rest[1..], 0);
            }
            let Some(first) = rest.first() else { break };
            let mut slices = vec![IoSlice::new(&first[skip..])];
            slices.extend(rest[1..].iter().take(MOST_PARTS - 1).map(|part| IoSlice::new(part)));
            let mut written = match rustix::io::pwritev(&self.file, &slices, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            at += written as u64;
            while let Some(first) = rest.first() {
                let left = first.len() - skip;
                if written < left {
                    skip += written;
                    break;
                }
                written -= left;
                (rest, skip) = (&rest[1..], 0);
            }
        }
        self.len.fetch_max(at, Ordering::AcqRel);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // Never repeated after an error, not even an interruption: what it means for the pages is unknown.
        rustix::fs::fdatasync(&self.file).map_err(io::Error::from)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(len as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.len.load(Ordering::Acquire) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if len >= LARGE_READ
            && let Some(bytes) = direct::read(&self.file, offset, len)?
        {
            return Ok(bytes);
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// The last `depth` components lie within the disk.
fn create_dirs(place: &Path, depth: usize) -> io::Result<()> {
    let missing: Vec<&Path> = place.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.is_dir()).collect();
    for dir in missing.into_iter().rev() {
        match std::fs::create_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            Err(error) => return Err(error),
        }
        sync_parent(dir)?;
    }
    place.ancestors().take(depth).try_for_each(sync_parent)
}

fn list(place: &Path) -> io::Result<Vec<FileEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| io::Error::new(io::ErrorKind::InvalidData, format!("file name {} is not UTF-8", name.display())))?;
        if name.starts_with('.') {
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed since
            Err(error) => return Err(error),
        };
        let is_dir = metadata.is_dir();
        entries.push(FileEntry { name, len: if is_dir { 0 } else { metadata.len() }, is_dir });
    }
    entries.sort_unstable();
    Ok(entries)
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn remove(place: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(place) {
        Ok(metadata) if metadata.is_dir() => {
            for entry in std::fs::read_dir(place)? {
                let entry = entry?;
                // What a crash left of a durable write is the disk's own, and in nobody's way.
                if entry.file_name().to_str().is_some_and(|name| name.starts_with('.')) {
                    std::fs::remove_file(entry.path())?;
                }
            }
            std::fs::remove_dir(place)
        }
        Ok(_) => std::fs::remove_file(place),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => sync_parent(place),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn allocate(file: &File, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Zeroes and syncs a new file. Allocated extents are marked unwritten: the first write to one changes metadata, which a later fdatasync pays for.
fn fill(file: &File, place: &Path, len: u64, buffer: &Arc<Mutex<Aligned>>) -> io::Result<Option<Direct>> {
    let direct = Direct::zeroed(place, len, buffer)?;
    if direct.is_none() {
        let zeroes = vec![0; ZEROES];
        let mut at = 0;
        while at < len {
            let step = usize::try_from(len - at).unwrap_or(ZEROES).min(ZEROES);
            file.write_all_at(&zeroes[..step], at)?;
            at += step as u64;
        }
    }
    file.sync_all()?;
    Ok(direct)
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn sync_parent(place: &Path) -> io::Result<()> {
    let parent = match place.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests;
