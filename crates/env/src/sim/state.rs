//! All of a simulated disk behind its lock: names, bytes, locks, limits. Nothing here waits.

use super::{
    faults::{Faults, Latency},
    inode::Inode,
    tree::{Node, Tree},
};
use crate::{
    Env,
    disk::{self, BLOCK, FileEntry},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// What has happened on a [`super::SimDisk`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SimDiskCounts {
    pub reads: u64,
    pub writes: u64,
    pub syncs: u64,
    pub failed_reads: u64,
    pub failed_writes: u64,
    pub failed_syncs: u64,
    pub refused_as_full: u64,
    pub flipped_bits: u64,
    pub crashes: u64,
    pub pages_lost: u64,
    pub pages_torn: u64,
    pub entries_lost: u64,
}

/// What one crash did to what was not synced.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CrashReport {
    pub pages_kept: u64,
    pub pages_lost: u64,
    pub pages_torn: u64,
    pub entries_lost: u64,
}

#[derive(Default)]
pub(super) struct State {
    tree: Tree,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    locks: BTreeSet<String>,
    /// Grows when the process that uses the disk dies; handles of an earlier life are dead.
    pub(super) life: u64,
    pub(super) capacity: Option<u64>,
    pub(super) latency: Latency,
    pub(super) faults: Faults,
    pub(super) counts: SimDiskCounts,
}

impl State {
    pub(super) fn node(&self, path: &str) -> Option<Node> {
        self.tree.get(path)
    }

    pub(super) fn file(&self, path: &str) -> io::Result<u64> {
        match self.tree.get(path) {
            Some(Node::File(id)) => Ok(id),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// An inode that a handle or a name keeps.
    pub(super) fn inode(&mut self, id: u64) -> &mut Inode {
        self.inodes.get_mut(&id).expect("an inode stays while a handle or a name leads to it")
    }

    fn check_parent(&self, path: &str) -> io::Result<()> {
        match self.tree.get(disk::split(path).0) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn make_dir(&mut self, path: &str) -> io::Result<()> {
        self.check_parent(path)?;
        match self.tree.get(path) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                self.tree.put(path, Node::Dir);
                Ok(())
            }
        }
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<u64> {
        self.check_parent(path)?;
        if self.tree.get(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        self.tree.put(path, Node::File(id));
        Ok(id)
    }

    pub(super) fn unlink(&mut self, path: &str) -> io::Result<()> {
        self.tree.remove(path);
        self.collect();
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        if self.tree.get(path) == Some(Node::Dir) {
            let inside: Vec<String> = self.tree.below(path).map(|(name, _)| name.to_string()).collect();
            if inside.iter().any(|name| !name.starts_with('.')) {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            inside.iter().for_each(|name| self.tree.remove(&format!("{path}/{name}")));
        }
        self.unlink(path)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.file(from)?;
        self.check_parent(to)?;
        if self.tree.get(to) == Some(Node::Dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.tree.rename(from, to);
        self.collect();
        Ok(())
    }

    pub(super) fn list(&self, dir: &str) -> io::Result<Vec<FileEntry>> {
        match self.tree.get(dir) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let here = self.tree.below(dir).filter(|(name, _)| !name.contains('/') && !name.starts_with('.'));
        Ok(here
            .map(|(name, node)| match node {
                Node::Dir => FileEntry { name: name.to_string(), len: 0, is_dir: true },
                Node::File(id) => FileEntry { name: name.to_string(), len: self.inodes.get(&id).map_or(0, Inode::len), is_dir: false },
            })
            .collect())
    }

    /// Paths and lengths of the files whose path begins with `prefix`.
    pub(super) fn files_under(&self, prefix: &str) -> impl Iterator<Item = (String, u64)> {
        let matching = self.tree.below("").filter(move |(path, _)| path.starts_with(prefix));
        matching.filter_map(|(path, node)| match node {
            Node::Dir => None,
            Node::File(id) => Some((path.to_string(), self.inodes.get(&id)?.len())),
        })
    }

    pub(super) fn read_file(&mut self, path: &str) -> io::Result<Bytes> {
        let id = self.file(path)?;
        let len = usize::try_from(self.inode(id).len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.read(id, path, 0, len)
    }

    pub(super) fn read(&mut self, id: u64, path: &str, offset: u64, len: usize) -> io::Result<Bytes> {
        self.counts.reads += 1;
        if self.faults.reads.strikes(path) {
            self.counts.failed_reads += 1;
            return Err(broken());
        }
        let inode = self.inode(id);
        match offset.checked_add(len as u64) {
            Some(end) if end <= inode.len() => Ok(inode.read(offset, len).into()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    pub(super) fn write(&mut self, env: &Env, id: u64, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.counts.writes += 1;
        let struck = self.faults.writes.strikes(path);
        let room = self.room(id);
        let fits = usize::try_from(room.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let written = if struck { usize::try_from(env.random_below(fits as u64)).unwrap_or(0) } else { fits };
        self.inode(id).write(offset, &bytes[..written]);
        if struck {
            self.counts.failed_writes += 1;
            return Err(broken());
        }
        if fits < bytes.len() {
            return Err(self.full());
        }
        // As the contract allows: nobody may rely on what lies there.
        let end = offset + written as u64;
        let rest = if bytes.is_empty() { 0 } else { end.next_multiple_of(BLOCK as u64).min(self.inode(id).len()).saturating_sub(end) };
        self.inode(id).write(end, &vec![0; usize::try_from(rest).unwrap_or(0)]);
        Ok(())
    }

    /// Makes a new file `len` zeroes long.
    pub(super) fn zero_fill(&mut self, id: u64, len: u64) -> io::Result<()> {
        if len > self.room(id) {
            return Err(self.full());
        }
        self.inode(id).extend(len);
        Ok(())
    }

    /// How long this file may become.
    fn room(&mut self, id: u64) -> u64 {
        let len = self.inode(id).len();
        self.capacity.map_or(u64::MAX, |capacity| len + capacity.saturating_sub(self.used_bytes()))
    }

    fn full(&mut self) -> io::Error {
        self.counts.refused_as_full += 1;
        io::ErrorKind::StorageFull.into()
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let counted = self.inodes.iter().filter(|(id, inode)| inode.handles > 0 || self.tree.names_live(**id));
        counted.map(|(_, inode)| inode.len()).sum()
    }

    /// Whether the sync of this file or folder fails. Counts it.
    pub(super) fn sync_fails(&mut self, path: &str) -> bool {
        self.counts.syncs += 1;
        let fails = self.faults.syncs.strikes(path);
        self.counts.failed_syncs += u64::from(fails);
        fails
    }

    pub(super) fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        if self.sync_fails(dir) {
            return Err(broken());
        }
        self.tree.sync(dir);
        self.collect();
        Ok(())
    }

    pub(super) fn lock(&mut self, path: &str) -> io::Result<()> {
        if self.tree.get(path).is_none() {
            self.create(path)?;
        }
        if self.locks.insert(path.to_string()) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    pub(super) fn unlock(&mut self, path: &str) {
        self.locks.remove(path);
    }

    pub(super) fn flip_bit(&mut self, path: &str, position: u64, bit: u8) -> io::Result<()> {
        let id = self.file(path)?;
        if position >= self.inode(id).len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.inode(id).flip_bit(position, bit);
        self.counts.flipped_bits += 1;
        Ok(())
    }

    /// Every handle and lock is dead from here on.
    pub(super) fn end_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.inodes.values_mut().for_each(|inode| inode.handles = 0);
        self.collect();
    }

    pub(super) fn crash(&mut self, env: &Env) -> CrashReport {
        self.end_life();
        // From "nothing unsynced was stored" to "all of it was": each crash has its own mood.
        let keep_quarters = env.random_below(5);
        let mut report = CrashReport { entries_lost: self.tree.crash(env, keep_quarters), ..CrashReport::default() };
        self.collect();
        for inode in self.inodes.values_mut() {
            let fate = inode.crash(env, keep_quarters);
            report.pages_kept += fate.kept;
            report.pages_lost += fate.lost;
            report.pages_torn += fate.torn;
        }
        self.counts.crashes += 1;
        self.counts.pages_lost += report.pages_lost;
        self.counts.pages_torn += report.pages_torn;
        self.counts.entries_lost += report.entries_lost;
        report
    }

    /// Gives back the space of inodes that nothing leads to.
    pub(super) fn collect(&mut self) {
        let tree = &self.tree;
        self.inodes.retain(|id, inode| inode.handles > 0 || tree.names_inode(*id));
    }
}

/// EIO.
pub(super) fn broken() -> io::Error {
    io::Error::other("injected input/output error")
}
