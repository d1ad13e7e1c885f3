//! [`Wal`]: the handle, its options, its beginning and its end.
//!
//! A WAL is written in one life: it is created empty, appended to, and closed or lost. Nothing reopens it for appending, unless it
//! is a replica of another broker's ([`crate::replica`]); what a crash left is read by [`crate::replay`].
//! It owns the marks `trimmed <= durable <= end`, and the one failure that ends it.

use crate::{
    WalError,
    append::Appender,
    commit::Uncommitted,
    files::{self, FILE_HEADER, Files},
    seal,
    tap::Tap,
    writer,
};
use floe_env::{Disk, DiskFile, Env, Task, Watched};
use floe_formats::ENTRY_HEADER_LEN;
use floe_types::{Generation, Incarnation, Lsn};
use parking_lot::Mutex;
use std::{
    fmt,
    io::ErrorKind::NotFound,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How a WAL is laid out and bounded.
#[derive(Debug, Clone)]
pub struct WalOptions {
    pub incarnation: Incarnation,
    pub generation: Generation,
    /// The folder of this generation alone, relative to the disk's root.
    pub dir: String,
    /// Bytes of a file once the WAL has grown; the first ones are smaller, so that a start waits for little.
    pub file_bytes: u64,
    /// Bytes between what is trimmed and the end, beyond which appends are refused. The disk may hold two files more, and spares
    /// of up to a quarter of it.
    pub budget: u64,
    /// Bytes accepted and not yet durable, beyond which appends are refused: what a slow disk may hold in memory. One entry is
    /// always accepted.
    pub pending_bytes: u64,
    /// Bytes of one allocation that small entries are copied into.
    pub chunk_bytes: usize,
    /// Bytes of one write and sync, but for a larger single entry.
    pub max_group_bytes: u64,
}

impl WalOptions {
    /// Files of 16 MiB, a budget of 1 GiB, 256 MiB pending, chunks of 1 MiB, groups of 4 MiB.
    #[must_use]
    pub fn new(incarnation: Incarnation, generation: Generation, dir: impl Into<String>) -> Self {
        Self {
            incarnation,
            generation,
            dir: dir.into(),
            file_bytes: 16 << 20,
            budget: 1 << 30,
            pending_bytes: 256 << 20,
            chunk_bytes: 1 << 20,
            max_group_bytes: 4 << 20,
        }
    }

    fn check(&self) -> Result<(), WalError> {
        let least = FILE_HEADER + ENTRY_HEADER_LEN as u64;
        let problem = if self.file_bytes <= least {
            "a WAL file must be larger than its header and an entry's"
        } else if self.budget == 0 || self.pending_bytes == 0 || self.chunk_bytes == 0 || self.max_group_bytes == 0 {
            "the WAL's budget, pending bytes, chunk and group must not be zero"
        } else {
            return Ok(());
        };
        Err(WalError::Invalid { what: problem.into() })
    }

    /// Trimmed files that are kept to be used again.
    pub(crate) fn most_spares(&self) -> usize {
        usize::try_from(self.budget / self.file_bytes / 4).unwrap_or(usize::MAX).clamp(1, 64)
    }
}

/// What the writer has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalStats {
    /// Writes and syncs.
    pub groups: u64,
    /// Bytes made durable, entry headers included.
    pub bytes: u64,
    /// Time spent in writes and syncs.
    pub busy_nanos: u64,
    /// Files that hold entries, or are about to.
    pub files: usize,
}

/// One generation's WAL, open for appending. Dropping it ends its tasks; what was not durable may or may not be on the disk.
pub struct Wal {
    pub(crate) shared: Arc<Shared>,
    _writer: Task<()>,
    _preparer: Task<()>,
}

/// What the handle and its two tasks share.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: WalOptions,
    pub(crate) appender: Mutex<Appender>,
    pub(crate) files: Files,
    /// Who copies the WAL to other disks while it is written here.
    pub(crate) tap: Option<Arc<dyn Tap>>,
    pub(crate) uncommitted: Uncommitted,
    /// Where this life began to write.
    pub(crate) began: Lsn,
    pub(crate) end: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) trimmed: AtomicU64,
    /// Like `durable`, but moved only when the sinks have been told.
    told: AtomicU64,
    /// Entries wait to be written, or the WAL was closed.
    pub(crate) work: Notify,
    /// `told` has moved, or the WAL has failed.
    progress: Notify,
    failure: OnceLock<WalError>,
    failed: Notify,
    /// Nothing is being written, nor will be.
    pub(crate) writer_over: Watched<bool>,
    /// Somebody waits for that, and not for what no file can be made for.
    pub(crate) settling: Watched<bool>,
    /// One trim at a time.
    pub(crate) trimming: tokio::sync::Mutex<()>,
    groups: AtomicU64,
    busy_nanos: AtomicU64,
    /// When the write under way began, in milliseconds of the monotonic clock and one more; 0: none is.
    writing_since: AtomicU64,
}

impl fmt::Debug for Wal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.shared;
        f.debug_struct("Wal")
            .field("incarnation", &s.options.incarnation)
            .field("generation", &s.options.generation)
            .field("trimmed", &self.trimmed())
            .field("durable", &self.durable())
            .field("end", &self.end())
            .field("failure", &s.failure.get())
            .finish_non_exhaustive()
    }
}

impl Wal {
    /// Begins an empty WAL in `options.dir` and starts its writer.
    ///
    /// # Errors
    /// `Sealed`; `Invalid` when something of a WAL is in the folder already, or the options contradict each other; `Disk`.
    pub async fn create(env: Env, disk: Arc<dyn Disk>, options: WalOptions) -> Result<Arc<Self>, WalError> {
        Self::create_with(env, disk, options, None).await
    }

    /// The same for a WAL that is copied to other disks while it is written: `tap` is told of each group, and sinks are told by
    /// [`Wal::commit`] only.
    ///
    /// # Errors
    /// As [`Wal::create`].
    pub async fn create_copied(env: Env, disk: Arc<dyn Disk>, options: WalOptions, tap: Arc<dyn Tap>) -> Result<Arc<Self>, WalError> {
        Self::create_with(env, disk, options, Some(tap)).await
    }

    async fn create_with(env: Env, disk: Arc<dyn Disk>, options: WalOptions, tap: Option<Arc<dyn Tap>>) -> Result<Arc<Self>, WalError> {
        options.check()?;
        if seal::is_sealed(&disk, options.incarnation).await? {
            return Err(WalError::Sealed { incarnation: options.incarnation });
        }
        begin_folder(&disk, &options.dir).await?;
        let shared = Shared { tap, ..Shared::new(env, disk, options, Held::default()) };
        Self::start(shared).await
    }

    /// Goes on behind what is held, in a new file. That there is no seal is the caller's to have seen.
    pub(crate) async fn resume(env: Env, disk: Arc<dyn Disk>, options: WalOptions, held: Held) -> Result<Arc<Self>, WalError> {
        options.check()?;
        Self::start(Shared::new(env, disk, options, held)).await
    }

    async fn start(shared: Shared) -> Result<Arc<Self>, WalError> {
        let shared = Arc::new(shared);
        files::first(&shared).await?;
        let writer = shared.env.spawn("wal writer", writer::run(Arc::clone(&shared)));
        let preparer = shared.env.spawn("wal files", files::prepare(Arc::clone(&shared)));
        Ok(Arc::new(Self { shared, _writer: writer, _preparer: preparer }))
    }

    /// Everything below is fsynced.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.shared.durable()
    }

    /// Where the next entry will start.
    #[must_use]
    pub fn end(&self) -> Lsn {
        Lsn(self.shared.end.load(Ordering::Acquire))
    }

    /// Everything below was given back by [`Wal::trim`].
    #[must_use]
    pub fn trimmed(&self) -> Lsn {
        self.shared.trimmed()
    }

    #[must_use]
    pub fn options(&self) -> &WalOptions {
        &self.shared.options
    }

    #[must_use]
    pub fn stats(&self) -> WalStats {
        let s = &self.shared;
        WalStats {
            groups: s.groups.load(Ordering::Relaxed),
            bytes: self.durable().0.saturating_sub(s.began.0),
            busy_nanos: s.busy_nanos.load(Ordering::Relaxed),
            files: s.files.count(),
        }
    }

    /// How long the disk has not been done with what it was given last; zero when nothing is asked of it. A disk that hangs
    /// shows here, and nowhere else: everybody waits (T69).
    #[must_use]
    pub fn stalled(&self) -> Duration {
        match self.shared.writing_since.load(Ordering::Relaxed).checked_sub(1) {
            Some(since) => self.shared.env.monotonic().saturating_sub(Duration::from_millis(since)),
            None => Duration::ZERO,
        }
    }

    /// Waits until everything below `upto` is durable and the sinks have been told. Cancellation safe.
    ///
    /// # Errors
    /// `Failed`: it will never be. `Invalid`: nothing was appended there.
    pub async fn wait_durable(&self, upto: Lsn) -> Result<(), WalError> {
        if upto > self.end() {
            return Err(WalError::Invalid { what: format!("nothing was appended below LSN {upto} yet") });
        }
        loop {
            let progress = self.shared.progress.notified();
            if self.shared.told.load(Ordering::Acquire) >= upto.0 {
                return Ok(());
            }
            if let Some(failure) = self.shared.failure.get() {
                return Err(failure.clone());
            }
            progress.await;
        }
    }

    /// Resolves when the WAL has failed for good, with the reason; never otherwise. Cancellation safe.
    pub async fn failed(&self) -> WalError {
        self.shared.failed().await
    }

    /// Accepts nothing more, waits until everything is durable and told, and gives the end. Reading and trimming go on.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn close(&self) -> Result<Lsn, WalError> {
        self.refuse_more(WalError::Closed);
        let end = self.end();
        self.wait_durable(end).await?;
        Ok(end)
    }

    /// Accepts nothing more, and waits until nothing is being written any more, nor will be: what was accepted is durable by then, or the WAL has failed.
    /// A failure alone does not say that: it may come from making files, while a group is still on its way to the disk and will be told.
    pub(crate) async fn settle(&self, why: WalError) {
        self.refuse_more(why);
        self.shared.settling.set(true);
        self.shared.writer_over.wait_for(|over| *over).await;
    }

    /// Accepts nothing more; what was accepted is still written.
    pub(crate) fn refuse_more(&self, why: WalError) {
        self.shared.appender.lock().end_with(why);
        self.shared.work.notify_one();
    }

    /// Why nothing will become durable any more, if so.
    #[must_use]
    pub fn failure(&self) -> Option<WalError> {
        self.shared.failure.get().cloned()
    }

    /// Waits until more than `lsn` is durable, and tells how much. Cancellation safe.
    ///
    /// # Errors
    /// `Failed`: it will never be.
    pub async fn durable_beyond(&self, lsn: Lsn) -> Result<Lsn, WalError> {
        loop {
            let progress = self.shared.progress.notified();
            let told = Lsn(self.shared.told.load(Ordering::Acquire));
            if told > lsn {
                return Ok(told);
            }
            if let Some(failure) = self.shared.failure.get() {
                return Err(failure.clone());
            }
            progress.await;
        }
    }
}

/// What of a WAL is on the disk already, durably: from `trimmed` to `end`.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) trimmed: Lsn,
    pub(crate) end: Lsn,
    /// Where each begins, in order.
    pub(crate) files: Vec<(Lsn, Arc<dyn DiskFile>)>,
}

/// Makes the folder; refuses one that anything is in.
async fn begin_folder(disk: &Arc<dyn Disk>, dir: &str) -> Result<(), WalError> {
    match disk.list(dir).await {
        Ok(entries) if entries.is_empty() => {}
        Ok(_) => return Err(WalError::Invalid { what: format!("{dir} is not empty: a WAL is begun once") }),
        Err(error) if error.kind() == NotFound => {}
        Err(error) => return Err(WalError::disk("list the WAL's folder")(error)),
    }
    disk.create_dir_all(dir).await.map_err(WalError::disk("make the WAL's folder"))
}

impl Shared {
    fn new(env: Env, disk: Arc<dyn Disk>, options: WalOptions, held: Held) -> Self {
        Self {
            env,
            disk,
            appender: Mutex::new(Appender::new(held.end)),
            files: Files::new(options.file_bytes, held.files),
            tap: None,
            uncommitted: Uncommitted::default(),
            options,
            began: held.end,
            end: AtomicU64::new(held.end.0),
            durable: AtomicU64::new(held.end.0),
            trimmed: AtomicU64::new(held.trimmed.0),
            told: AtomicU64::new(held.end.0),
            work: Notify::new(),
            progress: Notify::new(),
            failure: OnceLock::new(),
            failed: Notify::new(),
            writer_over: Watched::new(false),
            settling: Watched::new(false),
            trimming: tokio::sync::Mutex::new(()),
            groups: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
            writing_since: AtomicU64::new(0),
        }
    }

    /// The disk is given something to do, if only to make the file for it ready.
    pub(crate) fn begin_write(&self) {
        let now = u64::try_from(self.env.monotonic().as_millis()).unwrap_or(u64::MAX - 1);
        self.writing_since.store(now + 1, Ordering::Relaxed);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.options.dir)
    }

    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn trimmed(&self) -> Lsn {
        Lsn(self.trimmed.load(Ordering::Acquire))
    }

    /// The writer alone moves this mark, and never back (T05).
    pub(crate) fn advance_durable(&self, upto: Lsn, took: Duration) {
        let before = self.durable.swap(upto.0, Ordering::AcqRel);
        assert!(before <= upto.0, "durability went back from {before} to {upto}");
        self.writing_since.store(0, Ordering::Relaxed);
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.busy_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// As [`Wal::failed`].
    pub(crate) async fn failed(&self) -> WalError {
        loop {
            let failed = self.failed.notified();
            if let Some(failure) = self.failure.get() {
                return failure.clone();
            }
            failed.await;
        }
    }

    /// The sinks know of everything below `upto`.
    pub(crate) fn advance_told(&self, upto: Lsn) {
        self.told.store(upto.0, Ordering::Release);
        self.progress.notify_waiters();
    }

    /// Ends the WAL for ever and tells everybody (T11). The first reason counts.
    pub(crate) fn fail(&self, why: WalError) {
        let why = self.failure.get_or_init(|| why).clone();
        tracing::error!(incarnation = %self.options.incarnation, generation = %self.options.generation, %why, "WAL ends");
        self.appender.lock().abandon(why);
        self.uncommitted.abandon();
        self.failed.notify_waiters();
        self.progress.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
