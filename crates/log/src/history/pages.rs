//! Pages: the older part of a partition's manifest, in objects of their own, so that memory and what a publish writes do not
//! grow with the history. A manifest names its newest segments itself, and older ones by pages (`shape.rs` says which).
//!
//! In all that is safe or not, a page is as an own pack: it is there before a manifest that names it is created, it goes
//! only when a version that counts names it no more, or, of a lower epoch, when this owner's own version does not (R15, R20;
//! `tests/models/src/publishing`). A pack that only a page names is named. A page that is gone means an old view (R17).

mod shape;

pub(crate) use shape::{Draft, Dropped, Opened, shape};

use crate::shared::Shared;
use crate::{Damage, ReadError};
use floe_cache::Cache;
use floe_formats::{Manifest, ManifestPage, PageRef, SegmentRef, Ulid};
use floe_objstore::{Class, Store, StoreError};
use floe_types::{Offset, PartitionId};
use std::collections::VecDeque;
use std::sync::Arc;

/// Pages kept, in bytes of memory: some tens of the largest.
const PAGES_BUDGET: u64 = 16 << 20;

/// Pages that were read lately. They never change, so that a name is enough.
#[derive(Debug)]
pub(crate) struct Pages {
    kept: Cache<Ulid, Arc<ManifestPage>>,
}

impl Pages {
    /// `budget`: bytes of memory that everything read from history may take; pages take a part of it at most.
    pub(crate) fn new(budget: u64) -> Self {
        Self { kept: Cache::new(PAGES_BUDGET.min(budget), weight) }
    }

    /// Bytes of pages in memory.
    pub(crate) fn held(&self) -> u64 {
        self.kept.stats().bytes
    }

    /// Opens a page that a manifest of this partition names. `store`: of the class for which it is read.
    ///
    /// # Errors
    /// The store's; damage of exactly what the page places, `missing` where the page is gone.
    pub(crate) async fn open(&self, store: &Store, partition: PartitionId, page: &PageRef) -> Result<Arc<ManifestPage>, ReadError> {
        let fetch = fetch(store, partition, page);
        // As with footers: who starts, or merges, does not wait behind consumers for what they wait for.
        match store.class() {
            Class::Tail | Class::Replay => self.kept.get_or_fetch(&page.ulid, fetch).await,
            Class::Merging | Class::Recovery => self.kept.get_or_fetch_apart(&page.ulid, fetch).await,
        }
    }
}

async fn fetch(store: &Store, partition: PartitionId, page: &PageRef) -> Result<Arc<ManifestPage>, ReadError> {
    let key = page.key(partition);
    let damage = |what: String, missing| {
        let (start, end) = (page.base_offset, page.end_offset);
        ReadError::Damaged(Box::new(Damage { partition, start, end, key: key.clone(), what, missing }))
    };
    let bytes = match store.get(&key).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => return Err(damage("the page is missing".into(), true)),
        Err(error) => return Err(error.into()),
    };
    let (_, opened) = floe_formats::decode::<ManifestPage>(&bytes).map_err(|error| damage(error.to_string(), false))?;
    if opened.partition != partition || opened.to_ref() != *page {
        return Err(damage("this is another page than the manifest names".into(), false));
    }
    Ok(Arc::new(opened))
}

fn weight(page: &Arc<ManifestPage>) -> u64 {
    (size_of::<ManifestPage>() + page.segments.capacity() * size_of::<SegmentRef>()) as u64
}

/// The segments that a manifest places, one after the other, with one page in memory. For work that no reader waits for.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    shared: &'a Shared,
    manifest: Arc<Manifest>,
    /// Pages that have been opened, or passed over.
    opened: usize,
    inline_is_next: bool,
    next: VecDeque<SegmentRef>,
}

impl<'a> Walk<'a> {
    /// From the segment on that ends behind `from`.
    pub(crate) fn new(shared: &'a Shared, manifest: Arc<Manifest>, from: Offset) -> Self {
        let opened = manifest.pages.partition_point(|page| page.end_offset <= from);
        let mut walk = Self { shared, manifest, opened, inline_is_next: true, next: VecDeque::new() };
        if opened == walk.manifest.pages.len() {
            walk.take_inline();
            walk.next.retain(|segment| segment.end_offset > from);
        }
        walk
    }

    /// # Errors
    /// Those of [`Pages::open`]: a page that is gone is damage, though it may mean an old manifest only.
    pub(crate) async fn next(&mut self) -> Result<Option<SegmentRef>, ReadError> {
        while self.next.is_empty() {
            if let Some(page) = self.manifest.pages.get(self.opened) {
                let page = self.shared.pages.open(&self.shared.merging, self.manifest.partition, page).await?;
                self.opened += 1;
                self.next.extend(page.segments.iter().cloned());
            } else if self.inline_is_next {
                self.take_inline();
            } else {
                return Ok(None);
            }
        }
        Ok(self.next.pop_front())
    }

    /// Passes over the page that could not be opened; how the manifest names it.
    pub(crate) fn pass_over(&mut self) -> Option<PageRef> {
        let page = self.manifest.pages.get(self.opened).copied();
        self.opened += usize::from(page.is_some());
        page
    }

    fn take_inline(&mut self) {
        self.inline_is_next = false;
        self.next.extend(self.manifest.segments.iter().cloned());
    }
}
