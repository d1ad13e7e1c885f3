//! A store in a directory, which several processes of one machine may share.
//!
//! Objects are written by object_store's `LocalFileSystem` with fsync: a staging file `name#1` beside the object is
//! written and fsynced, hard-linked under the object's name - which fails if that exists, and is the create-only step -
//! and the folders are fsynced. Staging files are no objects: listings skip them, and remove those that a killed
//! process left an hour ago (were its writer still alive, its link would fail and it would write again).
//! Reading and listing are plain file I/O here, so that each failure is seen as the operating system tells it: "no such
//! file" counts as "not there" only while the directory is the one that was opened, not a mount point whose disk has gone.

use crate::{
    Backend, BackendError, ObjectInfo, Payload,
    backend::{check_key, folder},
};
use async_trait::async_trait;
use bytes::Bytes;
use floe_env::{Env, Mutant, TaskFailed, mutated_write};
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload, local::LocalFileSystem, path::Path as ObjectPath};
use std::{
    fs, io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[cfg(test)]
mod tests;

/// A staging file this old belongs to a writer that is gone.
const STALE: Duration = Duration::from_secs(3600);

/// A directory of objects.
#[derive(Debug)]
pub struct FileBackend {
    env: Env,
    writer: LocalFileSystem,
    root: Arc<Root>,
}

#[derive(Debug)]
struct Root {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Which bytes of a file.
enum Part {
    Range(Range<u64>),
    Start(u64),
    Tail(u64),
}

impl FileBackend {
    /// Opens the directory; with `create`, makes it and the folders above it where they are missing.
    ///
    /// # Errors
    /// It is missing, is no directory, or cannot be read.
    pub async fn open(env: &Env, path: &Path, create: bool) -> io::Result<Self> {
        let wanted = path.to_owned();
        let root = env.compute("open directory store", move || Root::open(&wanted, create)).await.map_err(io::Error::other)??;
        let writer = LocalFileSystem::new_with_prefix(&root.path).map_err(io::Error::other)?.with_fsync(true);
        Ok(Self { env: env.clone(), writer, root: Arc::new(root) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Root) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let root = Arc::clone(&self.root);
        self.env.compute(what, move || work(&root)).await.unwrap_or_else(|e: TaskFailed| Err(BackendError::Unknown(e.to_string())))
    }

    async fn read(&self, key: &str, part: Part) -> Result<(u64, Bytes), BackendError> {
        check_key(key)?;
        let key = key.to_owned();
        self.blocking("read object", move |root| root.read(&key, &part)).await
    }
}

#[async_trait]
impl Backend for FileBackend {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        check_key(key)?;
        let path = ObjectPath::parse(key).map_err(|e| BackendError::Refused(e.to_string()))?;
        let payload: PutPayload = body.chunks().iter().cloned().collect();
        let mode = if mutated_write(Mutant::PlainPut, key) { PutMode::Overwrite } else { PutMode::Create };
        match self.writer.put_opts(&path, payload, PutOptions { mode, ..PutOptions::default() }).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                // Its creator may have been killed between link and fsync, or its fsync may have failed: nobody may
                // build on an entry that a power failure can still take back.
                let key = key.to_owned();
                self.blocking("sync folder", move |root| root.sync_folder_of(&key)).await?;
                Err(BackendError::Exists)
            }
            Err(error) => Err(match io_kind(&error) {
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => BackendError::Refused(error.to_string()),
                _ => BackendError::Unknown(error.to_string()),
            }),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        Ok(self.read(key, Part::Start(u64::MAX)).await?.1)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        Ok(self.read(key, Part::Range(range)).await?.1)
    }

    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.read(key, Part::Start(len)).await
    }

    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        self.read(key, Part::Tail(len)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        let (folder, after, now_ms) = (folder(prefix), after.map(str::to_owned), self.env.now_ms());
        let listing = move |root: &Root| {
            let mut walk = Walk { root, after: after.as_deref(), limit, now_ms, found: Vec::new() };
            walk.folder(&folder)?;
            root.check(walk.found.is_empty())?;
            Ok(walk.found)
        };
        self.blocking("list objects", listing).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        let (folder, now_ms) = (folder(prefix), self.env.now_ms());
        let listing = move |root: &Root| {
            let mut names = Vec::new();
            for entry in root.entries(&folder)? {
                // A folder is there once an object is: one left over by a delete or a killed create is not.
                let mut walk = Walk { root, after: None, limit: 1, now_ms, found: Vec::new() };
                if let Some(name) = entry.strip_suffix('/') {
                    walk.folder(&format!("{folder}{entry}"))?;
                    names.extend((!walk.found.is_empty()).then(|| name.to_owned()));
                }
            }
            root.check(names.is_empty())?;
            names.sort_unstable();
            Ok(names)
        };
        self.blocking("list folders", listing).await
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        check_key(key)?;
        let key = key.to_owned();
        #[expect(clippy::disallowed_methods, reason = "this backend is the door to its directory")]
        let work = move |root: &Root| match fs::remove_file(root.path.join(&key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
            answer => root.check(answer.is_err()),
        };
        self.blocking("delete object", work).await
    }
}

impl Root {
    fn open(path: &Path, create: bool) -> io::Result<Self> {
        if create && !path.exists() {
            let there = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned();
            fs::create_dir_all(path)?;
            for made in path.ancestors().skip(1) {
                sync_folder(made)?;
                if made == there {
                    break;
                }
            }
        }
        let path = fs::canonicalize(path)?;
        let metadata = fs::metadata(&path)?;
        if !metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a directory", path.display())));
        }
        fs::read_dir(&path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), path })
    }

    /// "Not there" is an answer only of the directory that was opened (T24).
    fn check(&self, absent: bool) -> Result<(), BackendError> {
        if !absent || fs::metadata(&self.path).is_ok_and(|now| now.dev() == self.device && now.ino() == self.inode) {
            return Ok(());
        }
        Err(BackendError::Transient(format!("{} is gone, or another directory has taken its place", self.path.display())))
    }

    fn absent(&self) -> BackendError {
        self.check(true).err().unwrap_or(BackendError::NotFound)
    }

    #[expect(clippy::disallowed_methods, reason = "this backend is the door to its directory")]
    fn read(&self, key: &str, part: &Part) -> Result<(u64, Bytes), BackendError> {
        let file = match fs::File::open(self.path.join(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.absent()),
            Err(error) => return Err(failed(&error)),
        };
        let metadata = file.metadata().map_err(|e| failed(&e))?;
        if !metadata.is_file() {
            return Err(BackendError::Refused(format!("{key} is a folder")));
        }
        let size = metadata.len();
        let range = match part {
            Part::Range(range) if range.end > size => {
                return Err(BackendError::Corrupt(format!("asked for bytes {}..{} of an object of {size}", range.start, range.end)));
            }
            Part::Range(range) => range.clone(),
            Part::Start(len) => 0..size.min(*len),
            Part::Tail(len) => size.saturating_sub(*len)..size,
        };
        let len = usize::try_from(range.end - range.start).map_err(|_| BackendError::Refused("more than memory holds".into()))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| failed(&e))?;
        Ok((size, bytes.into()))
    }

    fn sync_folder_of(&self, key: &str) -> Result<(), BackendError> {
        let path = self.path.join(key);
        sync_folder(path.parent().unwrap_or(&self.path)).map_err(|e| failed(&e))
    }

    /// Names directly below a folder in the order of the keys they start: folders end with a slash. What is missing or an object has none.
    fn entries(&self, folder: &str) -> Result<Vec<String>, BackendError> {
        let listing = match fs::read_dir(self.path.join(folder)) {
            Ok(listing) => listing,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut names = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|e| failed(&e))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type().map_err(|e| failed(&e))?;
            let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            names.push(if is_folder { format!("{name}/") } else { name });
        }
        names.sort_unstable();
        Ok(names)
    }

    #[expect(clippy::disallowed_methods, reason = "this backend is the door to its directory")]
    fn remove_if_stale(&self, staging: &str, now_ms: i64) {
        let path = self.path.join(staging);
        let modified = fs::metadata(&path).map(|metadata| metadata.mtime().saturating_mul(1000));
        let stale = i64::try_from(STALE.as_millis()).expect("an hour");
        if modified.is_ok_and(|modified| now_ms.saturating_sub(modified) > stale) && fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), "removed a staging file that a writer left behind");
        }
    }
}

/// A listing under way: visits only folders that can hold what is wanted.
struct Walk<'a> {
    root: &'a Root,
    after: Option<&'a str>,
    limit: usize,
    now_ms: i64,
    found: Vec<ObjectInfo>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str) -> Result<(), BackendError> {
        for name in self.root.entries(folder)? {
            if self.found.len() >= self.limit {
                return Ok(());
            }
            let key = format!("{folder}{name}");
            if name.ends_with('/') {
                // All keys of a folder lie below `after` if the folder does and `after` is not within it.
                if self.after.is_none_or(|after| key.as_str() > after || after.starts_with(&key)) {
                    self.folder(&key)?;
                }
            } else if is_staging(&name) {
                self.root.remove_if_stale(&key, self.now_ms);
            } else if self.after.is_none_or(|after| key.as_str() > after) && check_key(&key).is_ok() {
                match fs::metadata(self.root.path.join(&key)) {
                    Ok(metadata) if metadata.is_file() => self.found.push(ObjectInfo { key, size: metadata.len() }),
                    Ok(_) => {}
                    // Deleted since the folder was read.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(&error)),
                }
            }
        }
        Ok(())
    }
}

/// `name#1`: `LocalFileSystem`'s staging files.
fn is_staging(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[expect(clippy::disallowed_methods, reason = "this backend is the door to its directory")]
fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// A failure that says nothing about the object.
fn failed(error: &io::Error) -> BackendError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            BackendError::Refused(error.to_string())
        }
        _ => BackendError::Unknown(error.to_string()),
    }
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = inner.source();
    }
    None
}
