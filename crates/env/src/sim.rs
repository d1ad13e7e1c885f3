//! A simulated disk: in memory, seeded, and as unkind as a real one may be.
//!
//! [`SimDisk`] belongs to a simulated machine and outlives the processes that use it: clone it, hand clones to one process
//! after the other. It keeps apart what was written (the page cache) from what was synced:
//!
//! - [`SimDisk::process_died`] is kill -9: nothing written is lost, locks are given back, open files are dead.
//! - [`SimDisk::crash`] is power loss: synced bytes stay; of unsynced 4 KiB pages some survive, some do not, some are torn at
//!   512-byte sectors; unsynced folder entries may be lost too (a rename as a whole).
//! - A failed sync leaves its pages clean but not stored, as Linux does: the next sync succeeds and stores nothing of them.
//!
//! All choices and latencies come from the [`Env`] that the disk was made with, so that a run follows from its seed.
//! It does not model: file permissions, read-only remounts, or corruption that heals.

mod faults;
mod file;
mod inode;
mod state;
mod tree;

pub use faults::Latency;
pub use state::{CrashReport, SimDiskCounts};

use crate::{
    Env, Watched,
    disk::{self, Disk, DiskFile, DiskLock, FileEntry, check_dir, check_path, named},
};
use async_trait::async_trait;
use bytes::Bytes;
use faults::Hang;
use file::SimFile;
use parking_lot::{Mutex, MutexGuard};
use state::State;
use std::{fmt, io, sync::Arc, time::Duration};
use tree::Node;

/// The disk of one simulated machine; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Machine>);

struct Machine {
    env: Env,
    state: Mutex<State>,
    hang: Watched<Hang>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("counts", &self.counts()).finish()
    }
}

impl SimDisk {
    /// An empty disk without a limit. It draws from a stream of its own.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self(Arc::new(Machine { env: env.process(), state: Mutex::default(), hang: Watched::new(Hang::No) }))
    }

    /// Power loss. Every open file and lock is dead; calls under way fail.
    pub fn crash(&self) -> CrashReport {
        self.release_syncs();
        self.0.state.lock().crash(&self.0.env)
    }

    /// Kill -9 of the process that used the disk: what was written stays, synced or not.
    pub fn process_died(&self) {
        self.0.state.lock().end_life();
    }

    /// The next `count` syncs of files under `prefix` fail, of folders too. As with a real disk, what was to be stored stays
    /// readable until a crash.
    pub fn fail_syncs(&self, prefix: &str, count: u32) {
        self.0.state.lock().faults.syncs.set(prefix, count);
    }

    /// The next `count` writes to files under `prefix` fail, after having written a part of their bytes.
    pub fn fail_writes(&self, prefix: &str, count: u32) {
        self.0.state.lock().faults.writes.set(prefix, count);
    }

    /// The next `count` reads of files under `prefix` fail.
    pub fn fail_reads(&self, prefix: &str, count: u32) {
        self.0.state.lock().faults.reads.set(prefix, count);
    }

    /// Syncs do not return until [`SimDisk::release_syncs`] or a crash.
    pub fn hang_syncs(&self) {
        self.0.hang.set(Hang::Forever);
    }

    /// Syncs do not return for so long from now.
    pub fn hang_syncs_for(&self, duration: Duration) {
        self.0.hang.set(Hang::Until(self.0.env.monotonic() + duration));
    }

    /// Ends a hang: what was held up goes on.
    pub fn release_syncs(&self) {
        self.0.hang.set(Hang::No);
    }

    /// The most bytes that files may have together, or no limit. Beyond it, whatever would make a file longer is `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.state.lock().capacity = bytes;
    }

    pub fn set_latency(&self, latency: Latency) {
        self.0.state.lock().latency = latency;
    }

    /// Flips one stored bit.
    ///
    /// # Errors
    /// No such file, or `position` (a byte) lies behind its end.
    pub fn flip_bit(&self, path: &str, position: u64, bit: u8) -> io::Result<()> {
        self.0.state.lock().flip_bit(path, position, bit).map_err(|e| named("flip a bit of", path, &e))
    }

    /// Flips a bit somewhere in the files under `prefix`; tells which file and byte, or `None` where there is no byte.
    pub fn flip_random_bit(&self, prefix: &str) -> Option<(String, u64)> {
        let env = &self.0.env;
        let mut state = self.0.state.lock();
        let files: Vec<(String, u64)> = state.files_under(prefix).filter(|(_, len)| *len > 0).collect();
        let (path, len) = files.get(usize::try_from(env.random_below(files.len() as u64)).ok()?)?.clone();
        let position = env.random_below(len);
        let bit = u8::try_from(env.random_below(8)).ok()?;
        state.flip_bit(&path, position, bit).ok()?;
        Some((path, position))
    }

    /// What has happened so far, for coverage.
    #[must_use]
    pub fn counts(&self) -> SimDiskCounts {
        self.0.state.lock().counts.clone()
    }

    /// Bytes of all files, with those that are removed but still open.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.state.lock().used_bytes()
    }

    fn life(&self) -> u64 {
        self.0.state.lock().life
    }

    /// The state, if the process that began with `life` still runs.
    fn alive(&self, life: u64) -> io::Result<MutexGuard<'_, State>> {
        let state = self.0.state.lock();
        if state.life == life { Ok(state) } else { Err(io::Error::new(io::ErrorKind::BrokenPipe, "this process has crashed")) }
    }

    async fn pause(&self, most: impl FnOnce(&Latency) -> Duration) {
        let most = most(&self.0.state.lock().latency);
        match faults::draw(&self.0.env, most) {
            Duration::ZERO => tokio::task::yield_now().await,
            duration => self.0.env.sleep(duration).await,
        }
    }

    async fn wait_while_hung(&self) {
        loop {
            let now = self.0.hang.get();
            let wait = match now {
                Hang::No => return,
                Hang::Forever => Duration::MAX,
                Hang::Until(end) => end.saturating_sub(self.0.env.monotonic()),
            };
            if wait.is_zero() {
                return;
            }
            // Over, or something changed: both are looked at in the next round.
            let _ = self.0.env.timeout(wait, self.0.hang.wait_for(|hang| *hang != now)).await;
        }
    }

    async fn sync_dir(&self, life: u64, dir: &str) -> io::Result<()> {
        self.wait_while_hung().await;
        self.pause(|l| l.sync).await;
        self.alive(life)?.sync_dir(dir)
    }

    async fn change(&self, life: u64, path: &str, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        self.pause(|l| l.write).await;
        change(&mut *self.alive(life)?)?;
        self.sync_dir(life, disk::split(path).0).await
    }

    async fn try_write_durably(&self, life: u64, path: &str, body: Bytes) -> io::Result<()> {
        let temporary = disk::temporary(path);
        self.pause(|l| l.write).await;
        let file = {
            let mut state = self.alive(life)?;
            state.unlink(&temporary)?;
            let id = state.create(&temporary)?;
            SimFile::new(self.clone(), &mut state, id, &temporary)
        };
        let written = async {
            file.write(0, &[body]).await?;
            file.sync().await
        };
        if let Err(error) = written.await {
            self.alive(life)?.unlink(&temporary)?;
            return Err(error);
        }
        self.change(life, path, |state| state.rename(&temporary, path)).await
    }

    async fn try_create(&self, life: u64, path: &str, len: u64) -> io::Result<SimFile> {
        self.pause(|l| l.write).await;
        let file = {
            let mut state = self.alive(life)?;
            let id = state.create(path)?;
            SimFile::new(self.clone(), &mut state, id, path)
        };
        let filled = async {
            self.alive(life)?.zero_fill(file.id(), len)?;
            file.sync().await?;
            self.sync_dir(life, disk::split(path).0).await
        };
        if let Err(error) = filled.await {
            self.alive(life)?.unlink(path)?;
            return Err(error);
        }
        Ok(file)
    }
}

#[async_trait]
impl Disk for SimDisk {
    async fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        check_dir(dir)?;
        let life = self.life();
        let ends: Vec<usize> = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]).collect();
        for end in ends.into_iter().filter(|end| *end > 0) {
            let part = &dir[..end];
            let known = matches!(self.alive(life)?.node(part), Some(Node::Dir));
            let made = match known {
                true => self.sync_dir(life, disk::split(part).0).await,
                false => self.change(life, part, |state| state.make_dir(part)).await,
            };
            made.map_err(|e| named("create folder", part, &e))?;
        }
        Ok(())
    }

    async fn list(&self, dir: &str) -> io::Result<Vec<FileEntry>> {
        check_dir(dir)?;
        let life = self.life();
        self.pause(|l| l.read).await;
        self.alive(life)?.list(dir).map_err(|e| named("list", dir, &e))
    }

    async fn read(&self, path: &str) -> io::Result<Bytes> {
        check_path(path)?;
        let life = self.life();
        self.pause(|l| l.read).await;
        self.alive(life)?.read_file(path).map_err(|e| named("read", path, &e))
    }

    async fn write_durably(&self, path: &str, body: Bytes) -> io::Result<()> {
        check_path(path)?;
        self.try_write_durably(self.life(), path, body).await.map_err(|e| named("write", path, &e))
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        check_path(path)?;
        let life = self.life();
        if self.alive(life)?.node(path).is_none() {
            return Ok(());
        }
        self.change(life, path, |state| state.remove(path)).await.map_err(|e| named("remove", path, &e))
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_path(from)?;
        check_path(to)?;
        self.change(self.life(), to, |state| state.rename(from, to)).await.map_err(|e| named("rename", from, &e))
    }

    async fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn DiskFile>> {
        check_path(path)?;
        let file = self.try_create(self.life(), path, len).await.map_err(|e| named("create", path, &e))?;
        Ok(Arc::new(file))
    }

    async fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        check_path(path)?;
        let life = self.life();
        self.pause(|l| l.read).await;
        let mut state = self.alive(life)?;
        let id = state.file(path).map_err(|e| named("open", path, &e))?;
        Ok(Arc::new(SimFile::new(self.clone(), &mut state, id, path)))
    }

    async fn lock(&self, path: &str) -> io::Result<DiskLock> {
        check_path(path)?;
        let life = self.life();
        self.pause(|l| l.write).await;
        self.alive(life)?.lock(path).map_err(|e| named("lock", path, &e))?;
        Ok(DiskLock::new(path, Unlock { disk: self.clone(), life, path: path.to_string() }))
    }
}

/// Gives a lock back, unless its process is dead: then it was given back already, and may be another's by now.
struct Unlock {
    disk: SimDisk,
    life: u64,
    path: String,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        if let Ok(mut state) = self.disk.alive(self.life) {
            state.unlock(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
