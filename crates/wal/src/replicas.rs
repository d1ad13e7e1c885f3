//! All of other brokers' WALs that lie on this disk, and its word on any of them: attach, trim, seal, read, remove.
//!
//! | on the disk | what |
//! |---|---|
//! | `replicas/<incarnation>-<generation>/` | the files, as any WAL's |
//! | `replicas/<incarnation>-<generation>.state` | how far it was trimmed, and what it must hold; it is there before the folder |
//! | `wal/<incarnation>-<generation>/` | the own WALs of brokers that lived on this disk: they are sealed and read here, too |
//! | `seals/<incarnation>` | never removed |
//!
//! * What changes the disk runs in a task of its own: a caller who is cancelled - its connection broke - leaves nothing half under way that would land
//!   late. One at a time for each incarnation.
//! * `budget` bounds the bytes of all replicas together, apart from the own WAL's; `most` their number.
//! * Sealed is for ever: the word is fsynced before it is given, given also for what was never here, and outlives what was.
//!
//! When a replica may be trimmed, forgotten or removed is not known here (R11): the owner says the first two, whoever closed the incarnation the third.

mod read;
mod remove;

pub use read::SealedReplica;

use crate::{
    Attachment, Wal, WalError, WalOptions, reopen,
    replica::{Keeper, Replica, State, state_of, write_state},
    room::Room,
    seal,
    tap::Tap,
    wal::Held,
};
use floe_env::{Disk, Env, Mutant, mutated};
use floe_types::{DiskId, Generation, Incarnation, Lsn};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    future::Future,
    io::ErrorKind::NotFound,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::{OwnedMutexGuard, oneshot};

const DIR: &str = "replicas";
const OWN: &str = "wal";
/// How long a seal waits for a mark to be kept that only makes later damage easier to tell: a full disk may never keep it.
const MARK_PATIENCE: Duration = Duration::from_secs(1);

type Name = (Incarnation, Generation);

/// How replicas are laid out and bounded.
#[derive(Debug, Clone)]
pub struct ReplicasOptions {
    /// Bytes of entries of all replicas together, beyond which entries are refused. Each may take two files more, and spares.
    pub budget: u64,
    /// Most replicas that are open.
    pub most: usize,
    /// Bytes of a file once a replica has grown.
    pub file_bytes: u64,
    /// Bytes of one replica that were accepted and are not durable yet, beyond which entries are refused.
    pub pending_bytes: u64,
    /// Bytes of one write and sync, but for a larger single entry.
    pub max_group_bytes: u64,
}

impl Default for ReplicasOptions {
    /// A budget of 4 GiB, 256 replicas, files of 16 MiB, 64 MiB pending, groups of 4 MiB.
    fn default() -> Self {
        Self { budget: 4 << 30, most: 256, file_bytes: 16 << 20, pending_bytes: 64 << 20, max_group_bytes: 4 << 20 }
    }
}

/// What a disk that has sealed an incarnation says of one of its generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldWal {
    pub generation: Generation,
    /// What lies below was given back.
    pub trimmed: Lsn,
    /// It holds this much, or is no answer; reading tells (R5).
    pub acknowledged: Lsn,
}

/// The foreign replicas of one disk.
#[derive(Debug, Clone)]
pub struct Replicas {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    disk: Arc<dyn Disk>,
    disk_id: DiskId,
    options: ReplicasOptions,
    room: Arc<Room>,
    known: Mutex<BTreeMap<Name, Known>>,
    /// WALs that this process itself writes.
    own: Mutex<Vec<Weak<Wal>>>,
    turns: Mutex<BTreeMap<Incarnation, Arc<tokio::sync::Mutex<()>>>>,
}

/// A replica that is on the disk.
#[derive(Debug, Clone)]
enum Known {
    Open(Arc<Replica>),
    /// Not to be opened again by this process (T11); with so many bytes.
    Failed(WalError, u64),
    /// Found at the start, with so many bytes.
    Closed(u64),
}

impl Known {
    /// Bytes that count against the budget.
    fn counted(&self) -> u64 {
        match self {
            Self::Open(replica) => replica.bytes(),
            Self::Failed(_, bytes) | Self::Closed(bytes) => *bytes,
        }
    }
}

impl Replicas {
    /// Looks at what is there. `disk_id` names the disk in every answer (R2).
    ///
    /// # Errors
    /// `Disk`.
    pub async fn open(env: Env, disk: Arc<dyn Disk>, disk_id: DiskId, options: ReplicasOptions) -> Result<Self, WalError> {
        disk.create_dir_all(DIR).await.map_err(WalError::disk("make the folder of replicas"))?;
        let room = Arc::new(Room::new(options.budget));
        let inner = Inner { env, disk, disk_id, options, room, known: Mutex::default(), own: Mutex::default(), turns: Mutex::default() };
        for name in inner.names().await? {
            let bytes = inner.file_bytes(name).await?;
            inner.room.count(bytes);
            inner.known.lock().insert(name, Known::Closed(bytes));
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    #[must_use]
    pub fn disk_id(&self) -> DiskId {
        self.inner.disk_id
    }

    /// Bytes of entries of all replicas; of those that were not attached since the start, bytes of files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.inner.room.used()
    }

    /// The replicas on this disk, whether open or not.
    #[must_use]
    pub fn list(&self) -> Vec<(Incarnation, Generation)> {
        self.inner.known.lock().keys().copied().collect()
    }

    /// Begins a WAL that this process itself writes, in its turn: a seal of its incarnation either refuses it, or ends it before it is given (R10).
    ///
    /// # Errors
    /// As [`Wal::create`].
    pub async fn create_own(&self, options: WalOptions, tap: Option<Arc<dyn Tap>>) -> Result<Arc<Wal>, WalError> {
        self.in_turn("own wal", options.incarnation, async move |inner| inner.create_own(options, tap).await).await
    }

    /// The replica of a generation, ready to go on at [`Attachment::end`]; the owner has trimmed its WAL up to `trimmed`, and what the disk holds
    /// below is not wanted. A replica that ends before that begins anew there. Who was attached before is not any more.
    ///
    /// # Errors
    /// `Sealed`, `Damaged`, `Failed`: this disk is no replica of it any more. `Full`. `Disk`: not known, try again.
    pub async fn attach(&self, incarnation: Incarnation, generation: Generation, trimmed: Lsn) -> Result<Attachment, WalError> {
        let name = (incarnation, generation);
        self.in_turn("replica attach", incarnation, async move |inner| Ok(inner.opened(name, Some(trimmed)).await?.attach())).await
    }

    /// Gives back what lies below `to`, on the owner's word that it is certain elsewhere; of what is not durable here, nothing.
    ///
    /// # Errors
    /// `Missing`. `Sealed`: nothing is given back any more. `Failed`, `Disk`.
    pub async fn trim(&self, incarnation: Incarnation, generation: Generation, to: Lsn) -> Result<(), WalError> {
        let name = (incarnation, generation);
        self.in_turn("replica trim", incarnation, async move |inner| inner.opened(name, None).await?.trim(to).await).await
    }

    /// Deletes the replica of one generation, on its owner's word that all of it is certain elsewhere. One that was never here is fine.
    ///
    /// # Errors
    /// `Sealed`: it stays until the incarnation is closed. `Disk`: something is left, which is no answer any more; call it again.
    pub async fn forget(&self, incarnation: Incarnation, generation: Generation) -> Result<(), WalError> {
        let name = (incarnation, generation);
        self.in_turn("replica forgotten", incarnation, async move |inner| inner.forget(name).await).await
    }

    /// This disk's word to accept nothing more of an incarnation, for ever. When it returns the word is durable, nothing is being written, and what the
    /// disk holds can be read. Sealing twice is fine.
    ///
    /// # Errors
    /// `Disk`, `Failed`: the seal may or may not stand.
    pub async fn seal(&self, incarnation: Incarnation, by: Incarnation) -> Result<Vec<HeldWal>, WalError> {
        self.in_turn("replica seal", incarnation, async move |inner| inner.seal(incarnation, by).await).await
    }

    /// What a sealed disk holds of a generation, to be read from front to back.
    ///
    /// # Errors
    /// `Missing`: it never held it. `Invalid`: it is not sealed. `Disk`. `Damaged`, here or while reading: it is no answer (R5).
    pub async fn read_sealed(&self, incarnation: Incarnation, generation: Generation) -> Result<SealedReplica, WalError> {
        self.inner.read_sealed((incarnation, generation)).await
    }

    /// Deletes every replica of a **closed** incarnation. Seals stay.
    ///
    /// # Errors
    /// `Disk`: something is left, call it again.
    pub async fn remove(&self, incarnation: Incarnation) -> Result<(), WalError> {
        self.in_turn("replica removal", incarnation, async move |inner| inner.remove(incarnation).await).await
    }

    /// Runs the work in a task, alone among those of its incarnation. Only the wait before it can be cancelled.
    async fn in_turn<T, F>(&self, task: &'static str, incarnation: Incarnation, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, WalError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WalError>> + Send + 'static,
    {
        let turn = self.inner.turn(incarnation).await;
        let (done, result) = oneshot::channel();
        let work = work(Arc::clone(&self.inner));
        let run = async move {
            let result = work.await;
            drop(turn);
            // Nobody may be waiting any more.
            let _ = done.send(result);
        };
        self.inner.env.spawn(task, run).detach_to_group();
        result.await.unwrap_or(Err(WalError::Closed))
    }
}

impl Inner {
    async fn create_own(&self, options: WalOptions, tap: Option<Arc<dyn Tap>>) -> Result<Arc<Wal>, WalError> {
        let (env, disk) = (self.env.clone(), Arc::clone(&self.disk));
        let wal = match tap {
            Some(tap) => Wal::create_copied(env, disk, options, tap).await?,
            None => Wal::create(env, disk, options).await?,
        };
        let mut own = self.own.lock();
        own.retain(|wal| wal.strong_count() > 0);
        own.push(Arc::downgrade(&wal));
        Ok(wal)
    }

    async fn turn(&self, incarnation: Incarnation) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(incarnation).or_default())
        };
        turn.lock_owned().await
    }

    /// The open replica, opened if need be. `begin`: the owner attaches, and has trimmed so far; a replica that was never here begins.
    async fn opened(&self, name: Name, begin: Option<Lsn>) -> Result<Arc<Replica>, WalError> {
        let incarnation = name.0;
        if seal::is_sealed(&self.disk, incarnation).await? {
            return Err(WalError::Sealed { incarnation });
        }
        let known = self.known.lock().get(&name).cloned();
        match known {
            Some(Known::Failed(error, _)) => return Err(error),
            Some(Known::Open(replica)) => match replica.wal.failure() {
                Some(error) => return Err(error),
                None if begin.is_some_and(|trimmed| trimmed > replica.wal.end()) => self.close(name, &replica).await?,
                None => return Ok(replica),
            },
            Some(Known::Closed(_)) => {}
            None if begin.is_none() => return Err(WalError::Missing { dir: dir(name) }),
            None if self.known.lock().len() >= self.options.most => {
                return Err(WalError::Full { what: "this disk has as many replicas as it may" });
            }
            None => {}
        }
        let opened = self.open_on_disk(name, begin).await;
        match &opened {
            Ok(replica) => drop(self.known.lock().insert(name, Known::Open(Arc::clone(replica)))),
            Err(error @ WalError::Failed { .. }) => {
                let mut known = self.known.lock();
                let bytes = known.get(&name).map_or(0, Known::counted);
                known.insert(name, Known::Failed(error.clone(), bytes));
            }
            Err(_) => {}
        }
        opened
    }

    /// Waits until nothing is written any more; what counted for it counts as closed.
    async fn close(&self, name: Name, replica: &Arc<Replica>) -> Result<(), WalError> {
        replica.end().await;
        let (failure, bytes) = (replica.wal.failure(), replica.bytes());
        let known = failure.clone().map_or(Known::Closed(bytes), |error| Known::Failed(error, bytes));
        self.known.lock().insert(name, known);
        failure.map_or(Ok(()), Err)
    }

    async fn open_on_disk(&self, name: Name, begin: Option<Lsn>) -> Result<Arc<Replica>, WalError> {
        let (dir, path) = (dir(name), state_path(name));
        let keep =
            async |state: &State| write_state(&self.disk, &path, state).await.map_err(WalError::disk("keep what a replica must hold"));
        let mut state = match state_of(&self.disk, &path).await? {
            Some(state) => state,
            // Kept before the folder is made: one without the other is no replica that never was.
            None if self.disk.list(&dir).await.is_ok() => {
                return Err(WalError::Damaged { at: Lsn(0), proof: format!("{path} is missing") });
            }
            None => {
                let start = begin.unwrap_or_default();
                State { incarnation: name.0, generation: name.1, trimmed: start, acknowledged: start }
            }
        };
        // Also what was there: whoever wrote it may have been killed before it was durable, and files go on its word.
        keep(&state).await?;
        let mut held = reopen::reopen(&self.disk, &dir, &state).await?;
        if let Some(trimmed) = begin.filter(|trimmed| *trimmed > held.end) {
            // All that it holds lies below what the owner still has, and is certain elsewhere: it goes on there.
            state = State { trimmed, acknowledged: trimmed, ..state };
            keep(&state).await?;
            reopen::empty(&self.disk, &dir).await?;
            held = Held { trimmed, end: trimmed, files: Vec::new() };
        } else {
            state.acknowledged = if mutated(Mutant::AcknowledgedForgotten) { state.acknowledged } else { held.end };
            keep(&state).await?;
        }
        self.start(name, state, held).await
    }

    async fn start(&self, name: Name, state: State, held: Held) -> Result<Arc<Replica>, WalError> {
        let options = WalOptions {
            file_bytes: self.options.file_bytes,
            budget: self.options.budget,
            pending_bytes: self.options.pending_bytes,
            max_group_bytes: self.options.max_group_bytes,
            ..WalOptions::new(name.0, name.1, dir(name))
        };
        let bytes = held.end.0 - held.trimmed.0;
        let wal = Wal::resume(self.env.clone(), Arc::clone(&self.disk), options, held).await?;
        let keeper = Keeper::start(&self.env, &self.disk, state_path(name), state, &wal);
        if let Some(Known::Closed(counted)) = self.known.lock().get(&name) {
            self.room.give_back(*counted);
        }
        self.room.count(bytes);
        Ok(Arc::new(Replica::new(wal, keeper, Arc::clone(&self.room))))
    }

    async fn seal(&self, incarnation: Incarnation, by: Incarnation) -> Result<Vec<HeldWal>, WalError> {
        let sealed = || WalError::Sealed { incarnation };
        let (open, own) = (self.open_of(incarnation), self.own_of(incarnation));
        // From here on nothing more is accepted, whatever becomes of the seal: who asks for one has reason to.
        open.iter().map(|(_, replica)| &replica.wal).chain(&own).for_each(|wal| wal.refuse_more(sealed()));
        if mutated(Mutant::SealNotSynced) {
            self.env
                .spawn("late seal", {
                    let disk = Arc::clone(&self.disk);
                    async move { drop(seal::seal(&disk, incarnation, by).await) }
                })
                .detach_to_group();
        } else {
            seal::seal(&self.disk, incarnation, by).await?;
        }
        // What was accepted before is written to its end or never: reading must not race with it.
        for wal in &own {
            settled(wal, sealed()).await;
        }
        for (_, replica) in &open {
            settled(&replica.wal, sealed()).await;
            // Failed, or not in time: what it must hold stays as it was kept, and reading tells.
            let _ = self.env.timeout(MARK_PATIENCE, replica.remember()).await;
        }
        self.held(incarnation).await
    }

    /// What is on the disk of a sealed incarnation, by what is kept of it.
    async fn held(&self, incarnation: Incarnation) -> Result<Vec<HeldWal>, WalError> {
        let mut held = Vec::new();
        for name in self.names().await?.into_iter().filter(|name| name.0 == incarnation) {
            let state = state_of(&self.disk, &state_path(name)).await;
            let (trimmed, acknowledged) = match state {
                Ok(Some(state)) => (state.trimmed, state.acknowledged),
                Ok(None) | Err(WalError::Damaged { .. }) => (Lsn(0), Lsn(0)),
                Err(error) => return Err(error),
            };
            held.push(HeldWal { generation: name.1, trimmed, acknowledged });
        }
        for name in names_in(&self.disk, OWN).await?.into_iter().filter(|name| name.0 == incarnation) {
            held.push(HeldWal { generation: name.1, trimmed: Lsn(0), acknowledged: Lsn(0) });
        }
        Ok(held)
    }

    fn open_of(&self, incarnation: Incarnation) -> Vec<(Name, Arc<Replica>)> {
        let known = self.known.lock();
        let open = known.iter().filter(|(name, _)| name.0 == incarnation).filter_map(|(name, known)| match known {
            Known::Open(replica) => Some((*name, Arc::clone(replica))),
            Known::Failed(..) | Known::Closed(_) => None,
        });
        open.collect()
    }

    fn own_of(&self, incarnation: Incarnation) -> Vec<Arc<Wal>> {
        let own = self.own.lock();
        own.iter().filter_map(Weak::upgrade).filter(|wal| wal.options().incarnation == incarnation).collect()
    }

    /// All of which a state or a folder is there.
    async fn names(&self) -> Result<Vec<Name>, WalError> {
        names_in(&self.disk, DIR).await
    }

    async fn file_bytes(&self, name: Name) -> Result<u64, WalError> {
        match self.disk.list(&dir(name)).await {
            Ok(entries) => Ok(entries.iter().map(|entry| entry.len).sum()),
            Err(error) if error.kind() == NotFound => Ok(0),
            Err(error) => Err(WalError::disk("list a replica's folder")(error)),
        }
    }
}

/// Accepts nothing more, and waits until what was accepted is durable or never will be.
async fn settled(wal: &Wal, why: WalError) {
    wal.settle(why).await;
    if let Some(error) = wal.failure() {
        tracing::warn!(%error, "a WAL that is sealed had failed");
    }
}

fn stem((incarnation, generation): Name) -> String {
    format!("{:016x}-{:08x}", incarnation.0, generation.0)
}

fn dir(name: Name) -> String {
    format!("{DIR}/{}", stem(name))
}

fn state_path(name: Name) -> String {
    format!("{DIR}/{}.state", stem(name))
}

/// The folder of a WAL that the broker on this disk itself writes.
#[must_use]
pub fn own_dir(incarnation: Incarnation, generation: Generation) -> String {
    format!("{OWN}/{}", stem((incarnation, generation)))
}

fn parse_stem(text: &str) -> Option<Name> {
    let (incarnation, generation) = text.split_once('-')?;
    let name = (Incarnation(u64::from_str_radix(incarnation, 16).ok()?), Generation(u32::from_str_radix(generation, 16).ok()?));
    (stem(name) == text).then_some(name)
}

/// The WALs in a folder, each once.
async fn names_in(disk: &Arc<dyn Disk>, dir: &str) -> Result<Vec<Name>, WalError> {
    let entries = match disk.list(dir).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
        Err(error) => return Err(WalError::disk("list a folder of WALs")(error)),
    };
    let mut names: Vec<Name> =
        entries.iter().filter_map(|entry| parse_stem(entry.name.strip_suffix(".state").unwrap_or(&entry.name))).collect();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests;
