//! The bytes of one simulated file: what readers see, and what the medium holds where that differs.

use crate::Env;
use std::collections::BTreeMap;

pub(super) const PAGE: usize = 4_096;
const SECTOR: usize = 512;

type Page = Box<[u8; PAGE]>;

#[derive(Debug, Default)]
pub(super) struct Inode {
    len: u64,
    stored_len: u64,
    /// What readers see; a page that is not here is zero.
    pages: BTreeMap<u64, Page>,
    /// Pages whose stored bytes may differ from what readers see.
    unsynced: BTreeMap<u64, Unsynced>,
    /// Grows with every write.
    version: u64,
    pub(super) handles: u32,
}

#[derive(Debug)]
struct Unsynced {
    /// What the medium holds; `None` is zeroes.
    stored: Option<Page>,
    stored_version: u64,
    changed_version: u64,
    /// A failed sync has made the kernel take the page for clean: later syncs pass it over.
    forgotten: bool,
}

/// What a sync that has begun will store.
pub(super) struct SyncPoint {
    version: u64,
    len: u64,
    pages: Vec<(u64, Option<Page>)>,
}

/// What became of the unsynced pages of a file.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Fate {
    pub(super) kept: u64,
    pub(super) lost: u64,
    pub(super) torn: u64,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Makes the file longer with zeroes.
    pub(super) fn extend(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.version += 1;
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (number, within) = locate(at);
            let step = rest.len().min(PAGE - within);
            let before = self.pages.get(&number).cloned();
            let unsynced =
                self.unsynced.entry(number).or_insert(Unsynced { stored: before, stored_version: 0, changed_version: 0, forgotten: false });
            (unsynced.changed_version, unsynced.forgotten) = (self.version, false);
            let page = self.pages.entry(number).or_insert_with(zeroes);
            page[within..within + step].copy_from_slice(&rest[..step]);
            rest = &rest[step..];
            at += step as u64;
        }
        self.extend(at);
    }

    /// The caller has checked that the range lies within the file.
    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            let (number, within) = locate(offset + done as u64);
            let step = (len - done).min(PAGE - within);
            if let Some(page) = self.pages.get(&number) {
                bytes[done..done + step].copy_from_slice(&page[within..within + step]);
            }
            done += step;
        }
        bytes
    }

    pub(super) fn begin_sync(&self) -> SyncPoint {
        let dirty = self.unsynced.iter().filter(|(_, u)| !u.forgotten);
        let pages = dirty.map(|(number, _)| (*number, self.pages.get(number).cloned())).collect();
        SyncPoint { version: self.version, len: self.len, pages }
    }

    /// Stores what the file held when the sync began; what was written since stays unsynced.
    pub(super) fn end_sync(&mut self, point: SyncPoint) {
        self.stored_len = self.stored_len.max(point.len);
        for (number, page) in point.pages {
            let Some(unsynced) = self.unsynced.get_mut(&number) else { continue };
            if unsynced.changed_version <= point.version && !unsynced.forgotten {
                self.unsynced.remove(&number);
            } else if unsynced.stored_version < point.version {
                (unsynced.stored, unsynced.stored_version) = (page, point.version);
            }
        }
    }

    pub(super) fn fail_sync(&mut self, point: &SyncPoint) {
        for (number, _) in &point.pages {
            if let Some(unsynced) = self.unsynced.get_mut(number) {
                unsynced.forgotten |= unsynced.changed_version <= point.version;
            }
        }
    }

    /// Power loss. `keep` says for each page how likely it was stored already, in quarters.
    pub(super) fn crash(&mut self, env: &Env, keep_quarters: u64) -> Fate {
        let mut fate = Fate::default();
        for (number, unsynced) in std::mem::take(&mut self.unsynced) {
            let stored = unsynced.stored.unwrap_or_else(zeroes);
            let page = self.pages.entry(number).or_insert_with(zeroes);
            if env.random_below(4) < keep_quarters {
                fate.kept += 1;
            } else if env.random_below(4) == 0 {
                fate.torn += 1;
                for sector in (0..PAGE).step_by(SECTOR).filter(|_| env.random_below(2) == 0) {
                    page[sector..sector + SECTOR].copy_from_slice(&stored[sector..sector + SECTOR]);
                }
            } else {
                fate.lost += 1;
                *page = stored;
            }
        }
        if self.stored_len < self.len && env.random_below(4) >= keep_quarters {
            self.truncate(self.stored_len);
        }
        self.stored_len = self.len;
        fate
    }

    pub(super) fn flip_bit(&mut self, position: u64, bit: u8) {
        let (number, within) = locate(position);
        let mask = 1 << (bit % 8);
        self.pages.entry(number).or_insert_with(zeroes)[within] ^= mask;
        if let Some(unsynced) = self.unsynced.get_mut(&number) {
            unsynced.stored.get_or_insert_with(zeroes)[within] ^= mask;
        }
    }

    fn truncate(&mut self, len: u64) {
        let (number, within) = locate(len);
        self.pages.retain(|n, _| *n <= number);
        if let Some(page) = self.pages.get_mut(&number) {
            page[within..].fill(0);
        }
        self.len = len;
    }
}

fn locate(position: u64) -> (u64, usize) {
    (position / PAGE as u64, usize::try_from(position % PAGE as u64).expect("smaller than a page"))
}

fn zeroes() -> Page {
    Box::new([0; PAGE])
}

#[cfg(test)]
mod tests;
