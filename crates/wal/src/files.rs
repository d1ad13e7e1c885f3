//! The files of a WAL: their names, and the task that has the next one ready before it is needed.
//!
//! ```text
//!  0000000000000000.wal   0000000000003fc0.wal   ...   spare-0000000000000007
//!  |header|entries..|pad| |header|entries..            zeroes, or entries of a trimmed file
//! ```
//! * A file is named by the LSN of its first entry, in 16 hex digits. An entry lies in one file: one that does not fit into the
//!   rest begins the next, and the rest stays what it was. **LSNs do not count headers and rests**: where an entry ends the next
//!   one starts, and byte `p` of a file that starts at `s` has LSN `s + p - header`. So the name of the next file tells where a
//!   file's entries end, and whatever a recycled file still holds has another LSN than its place (T67).
//! * Where files begin is decided by the appender; here they are made, named, handed to the writer, and taken back from trim.
//! * A spare is made as soon as the one before is used. The first files are small and grow fourfold, so that a start waits
//!   for little. A file for an entry larger than that is made when it is asked for.
//! * No space is no failure: appends that need a new file are refused, and the task tries again until there is some.

use crate::{WalError, WalOptions, wal::Shared};
use floe_env::DiskFile;
use floe_formats::WAL_FILE_HEADER_LEN;
use floe_types::Lsn;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    ops::Bound,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

pub(crate) const FILE_HEADER: u64 = WAL_FILE_HEADER_LEN as u64;
/// Bytes of the first file.
const FIRST_FILE_BYTES: u64 = 256 << 10;
/// How long to wait before space is asked for again.
const NO_SPACE_PAUSE: Duration = Duration::from_millis(200);
/// Files are a whole number of these.
const PAGE: u64 = 4096;

/// The name of the file whose first entry is at `start`.
pub(crate) fn file_name(start: Lsn) -> String {
    format!("{:016x}.wal", start.0)
}

/// The start LSN that a file's name tells; `None` for anything else, spares among them.
pub(crate) fn parse_name(name: &str) -> Option<Lsn> {
    let start = Lsn(u64::from_str_radix(name.strip_suffix(".wal")?, 16).ok()?);
    (file_name(start) == name).then_some(start)
}

/// Bytes of the `n`th file, header included.
pub(crate) fn planned_bytes(n: u32, file_bytes: u64) -> u64 {
    FIRST_FILE_BYTES.checked_shl(2 * n).filter(|bytes| *bytes >> (2 * n) == FIRST_FILE_BYTES).unwrap_or(u64::MAX).min(file_bytes)
}

/// Bytes of a file that holds one entry of `entry` bytes.
pub(crate) fn bytes_for(entry: u64) -> u64 {
    (entry + FILE_HEADER).next_multiple_of(PAGE)
}

/// A file that is to be made ready.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) start: Lsn,
    /// Least length, header included.
    pub(crate) bytes: u64,
    /// Of planned length, not made for one large entry.
    pub(crate) regular: bool,
    /// Length of the spare that is to be made next.
    pub(crate) next_bytes: u64,
}

#[derive(Debug)]
struct Spare {
    name: String,
    file: Arc<dyn DiskFile>,
}

#[derive(Debug)]
pub(crate) struct Files {
    state: Mutex<State>,
    /// A request, or a spare that was given back: the preparer has work.
    asked: Notify,
    /// A file was made ready.
    ready: Notify,
}

#[derive(Debug)]
struct State {
    /// By start; `None` until the file is ready. A file ends where the next one starts.
    files: BTreeMap<Lsn, Option<Arc<dyn DiskFile>>>,
    /// Files in `files` that are not ready, in LSN order.
    requests: VecDeque<Request>,
    spares: VecDeque<Spare>,
    next_spare: u64,
    next_bytes: u64,
    /// The last attempt to make a file found no space.
    no_space: bool,
}

impl Files {
    /// `held`: files of an earlier life, which are read and trimmed, and not written any more.
    pub(crate) fn new(file_bytes: u64, held: Vec<(Lsn, Arc<dyn DiskFile>)>) -> Self {
        let state = State {
            files: held.into_iter().map(|(start, file)| (start, Some(file))).collect(),
            requests: VecDeque::new(),
            spares: VecDeque::new(),
            next_spare: 0,
            next_bytes: planned_bytes(0, file_bytes),
            no_space: false,
        };
        Self { state: Mutex::new(state), asked: Notify::new(), ready: Notify::new() }
    }

    /// Asks for a file, to be waited for by the writer. Never waits.
    ///
    /// # Errors
    /// `Full`: the disk has no space, and no spare is left.
    pub(crate) fn request(&self, request: Request) -> Result<(), WalError> {
        let mut state = self.state.lock();
        if state.no_space && state.spares.len() <= state.requests.len() {
            return Err(WalError::Full { what: "the disk has no space for another file" });
        }
        state.files.insert(request.start, None);
        state.requests.push_back(request);
        drop(state);
        self.asked.notify_one();
        Ok(())
    }

    /// The file that starts at `start`, once it is ready.
    pub(crate) async fn wait_ready(&self, start: Lsn) -> Arc<dyn DiskFile> {
        loop {
            if let Some(Some(file)) = self.state.lock().files.get(&start) {
                return Arc::clone(file);
            }
            self.ready.notified().await;
        }
    }

    /// The file that holds `at`, and where it starts.
    pub(crate) fn holding(&self, at: Lsn) -> Option<(Lsn, Arc<dyn DiskFile>)> {
        let state = self.state.lock();
        let (start, file) = state.files.range(..=at).next_back()?;
        Some((*start, Arc::clone(file.as_ref()?)))
    }

    /// Where the file that starts at `start` ends, if another one follows it.
    pub(crate) fn end_of(&self, start: Lsn) -> Option<Lsn> {
        self.state.lock().files.range((Bound::Excluded(start), Bound::Unbounded)).next().map(|(next, _)| *next)
    }

    /// The oldest file, when it ends at or below `to`: the next one starts there.
    pub(crate) fn oldest_below(&self, to: Lsn) -> Option<Lsn> {
        let state = self.state.lock();
        let mut starts = state.files.keys();
        let (start, end) = (starts.next()?, starts.next()?);
        (*end <= to).then_some(*start)
    }

    /// A name for a file that is to become a spare.
    pub(crate) fn new_spare_name(&self) -> String {
        self.state.lock().spare_name()
    }

    /// Takes a trimmed file out, now that it has a spare's name. Whether it is kept as one; else the caller removes it.
    pub(crate) fn retire(&self, start: Lsn, name: &str, options: &WalOptions) -> bool {
        let mut state = self.state.lock();
        let file = state.files.remove(&start).flatten();
        let kept = file.filter(|file| file.len() == options.file_bytes && state.spares.len() < options.most_spares());
        let Some(file) = kept else { return false };
        state.add_spare(Spare { name: name.to_string(), file });
        drop(state);
        self.asked.notify_one();
        true
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().files.len()
    }

    /// Whether that is news.
    fn set_no_space(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().no_space, true)
    }

    fn next_step(&self) -> Step {
        let mut state = self.state.lock();
        let Some(request) = state.requests.front().copied() else {
            return if state.spares.is_empty() { Step::Make { name: state.spare_name(), bytes: state.next_bytes } } else { Step::Wait };
        };
        match state.spares.iter().position(|spare| spare.file.len() >= request.bytes) {
            Some(n) => Step::Use { request, spare: state.spares.remove(n).expect("its position was just found") },
            None => {
                // The first file is made under its final name, which is to be another's now.
                state.spares.retain(|spare| spare.name != file_name(request.start));
                Step::Make { name: state.spare_name(), bytes: request.bytes }
            }
        }
    }

    fn publish(&self, request: Request, file: Arc<dyn DiskFile>) {
        let mut state = self.state.lock();
        state.requests.pop_front();
        state.files.insert(request.start, Some(file));
        state.next_bytes = request.next_bytes;
        drop(state);
        self.ready.notify_one();
    }
}

impl State {
    fn add_spare(&mut self, spare: Spare) {
        self.spares.push_back(spare);
        self.no_space = false;
    }

    fn spare_name(&mut self) -> String {
        let name = format!("spare-{:016x}", self.next_spare);
        self.next_spare += 1;
        name
    }
}

enum Step {
    Wait,
    Make { name: String, bytes: u64 },
    Use { request: Request, spare: Spare },
}

/// Makes the first file, so that a disk without space is found out before anything is appended.
pub(crate) async fn first(shared: &Shared) -> Result<(), WalError> {
    let (name, bytes) = (file_name(shared.began), planned_bytes(0, shared.options.file_bytes));
    let file = shared.disk.create(&shared.path(&name), bytes).await.map_err(WalError::disk("create the first WAL file"))?;
    shared.files.state.lock().add_spare(Spare { name, file });
    Ok(())
}

/// The preparer: serves requests, keeps one spare ahead. Ends only with an error, which ends the WAL.
pub(crate) async fn prepare(shared: Arc<Shared>) {
    loop {
        let done = match shared.files.next_step() {
            Step::Wait => {
                shared.files.asked.notified().await;
                Ok(())
            }
            Step::Make { name, bytes } => make(&shared, name, bytes).await,
            Step::Use { request, spare } => name_it(&shared, request, spare).await,
        };
        if let Err(error) = done {
            shared.fail(WalError::Failed { error: Arc::new(error) });
            return;
        }
    }
}

async fn name_it(shared: &Shared, request: Request, spare: Spare) -> io::Result<()> {
    let name = file_name(request.start);
    if spare.name != name {
        shared.disk.rename(&shared.path(&spare.name), &shared.path(&name)).await?;
    }
    shared.files.publish(request, spare.file);
    Ok(())
}

async fn make(shared: &Shared, name: String, bytes: u64) -> io::Result<()> {
    let path = shared.path(&name);
    match shared.disk.create(&path, bytes).await {
        Ok(file) => {
            shared.files.state.lock().add_spare(Spare { name, file });
            Ok(())
        }
        Err(error) if is_no_space(&error) => {
            if shared.files.set_no_space() {
                tracing::warn!(%error, bytes, "no space for another WAL file: appends are refused until there is some");
            }
            shared.disk.remove(&path).await?;
            // Trim may give a file back meanwhile, which is as good.
            let _ = shared.env.timeout(NO_SPACE_PAUSE, shared.files.asked.notified()).await;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
