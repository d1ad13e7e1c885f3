//! An open file of a simulated disk.

use super::{
    SimDisk,
    state::{State, broken},
};
use crate::disk::{DiskFile, named};
use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, io};

/// Dead once its process is: every call fails then.
pub(super) struct SimFile {
    disk: SimDisk,
    life: u64,
    id: u64,
    path: String,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).field("life", &self.life).finish()
    }
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, state: &mut State, id: u64, path: &str) -> Self {
        state.inode(id).handles += 1;
        Self { disk, life: state.life, id, path: path.to_string() }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) async fn write(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        self.disk.pause(|l| l.write).await;
        self.disk.alive(self.life)?.write(&self.disk.0.env, self.id, &self.path, offset, &parts.concat())
    }

    pub(super) async fn sync(&self) -> io::Result<()> {
        let point = self.disk.alive(self.life)?.inode(self.id).begin_sync();
        self.disk.wait_while_hung().await;
        self.disk.pause(|l| l.sync).await;
        let mut state = self.disk.alive(self.life)?;
        if state.sync_fails(&self.path) {
            state.inode(self.id).fail_sync(&point);
            return Err(broken());
        }
        state.inode(self.id).end_sync(point);
        Ok(())
    }

    async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.disk.pause(|l| l.read).await;
        self.disk.alive(self.life)?.read(self.id, &self.path, offset, len)
    }
}

#[async_trait]
impl DiskFile for SimFile {
    fn len(&self) -> u64 {
        self.disk.alive(self.life).map_or(0, |mut state| state.inode(self.id).len())
    }

    async fn write_at(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        self.write(offset, &parts).await.map_err(|e| named("write", &self.path, &e))
    }

    async fn write_and_sync(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        self.write_at(offset, parts).await?;
        self.sync_data().await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.sync().await.map_err(|e| named("sync", &self.path, &e))
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.read(offset, len).await.map_err(|e| named("read", &self.path, &e))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(mut state) = self.disk.alive(self.life) {
            state.inode(self.id).handles -= 1;
            state.collect();
        }
    }
}
