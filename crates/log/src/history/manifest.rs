//! What is known of a partition's manifests: its list of own packs, as the newest version read, or counted, names them.

use crate::ReadError;
use floe_formats::{Manifest, PageRef, SegmentRef, keys};
use floe_objstore::{Store, StoreError};
use floe_types::{Offset, PartitionId};
use std::sync::Arc;

/// Times that the version which was listed may be pruned before it is read: somebody published each time.
const PRUNED: u32 = 16;

/// Reads the newest manifest; None if the partition has none.
///
/// # Errors
/// The store's, or a manifest that is damaged.
pub(crate) async fn read_newest(store: &Store, partition: PartitionId) -> Result<Option<Manifest>, ReadError> {
    let mut pruned = 0;
    loop {
        let listed = store.list(&keys::manifests_prefix(partition), None, 1).await?;
        let Some(object) = listed.first() else { return Ok(None) };
        let format = |source| ReadError::Format { what: object.key.clone(), source };
        match store.get(&object.key).await {
            Ok(bytes) => return Ok(Some(floe_formats::decode(&bytes).map_err(format)?.1)),
            // It was listed, and is gone: there is a newer one.
            Err(StoreError::NotFound { .. }) if pruned < PRUNED => pruned += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a version that an index names; None if it is gone, as a newer one counts.
///
/// # Errors
/// The store's, or a manifest that is damaged.
pub(crate) async fn read_version(store: &Store, partition: PartitionId, version: u64) -> Result<Option<Manifest>, ReadError> {
    let key = keys::manifest(partition, version);
    match store.get(&key).await {
        Ok(bytes) => Ok(Some(floe_formats::decode(&bytes).map_err(|source| ReadError::Format { what: key, source })?.1)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A partition's manifest as its owner knows it.
#[derive(Debug, Clone, Default)]
pub(crate) enum History {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// There was none when somebody looked.
    None,
    /// The newest that was read, or counted.
    Is(Arc<Manifest>),
}

impl History {
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        match self {
            Self::Is(manifest) => Some(manifest),
            Self::Unknown | Self::None => None,
        }
    }

    /// The version; 0 for none.
    pub(crate) fn version(&self) -> u64 {
        self.manifest().map_or(0, |manifest| manifest.version)
    }

    /// The segments that it names itself, in offset order: the newest.
    pub(crate) fn segments(&self) -> &[SegmentRef] {
        self.manifest().map_or(&[], |manifest| &manifest.segments)
    }

    /// The pages that name the older ones, in offset order.
    pub(crate) fn pages(&self) -> &[PageRef] {
        self.manifest().map_or(&[], |manifest| &manifest.pages)
    }

    /// Whether it names this very page.
    pub(crate) fn names(&self, page: &PageRef) -> bool {
        self.pages().iter().any(|named| named.ulid == page.ulid)
    }

    /// Where what it places ends; 0 if it places nothing.
    pub(crate) fn end(&self) -> Offset {
        self.manifest().and_then(|manifest| manifest.end_offset()).unwrap_or(0)
    }

    /// Whether all of a segment lies where the manifest counts (R17).
    pub(crate) fn places(&self, segment: &SegmentRef) -> bool {
        let Some(manifest) = self.manifest() else { return false };
        // What lies below the manifest's log start was left out when its first pack was made.
        let from = manifest.base_offset().unwrap_or(Offset::MAX);
        from <= segment.base_offset.max(manifest.log_start) && segment.end_offset <= self.end()
    }

    /// The page that holds `offset`, if a page does.
    pub(crate) fn page_at(&self, offset: Offset) -> Option<&PageRef> {
        self.manifest().and_then(|manifest| manifest.page_at(offset))
    }
}

/// Of segments in offset order, those from the one on that holds `offset`; none if none does.
pub(crate) fn from_offset(segments: &[SegmentRef], offset: Offset) -> &[SegmentRef] {
    let from = segments.partition_point(|segment| segment.end_offset <= offset);
    match segments.get(from..) {
        Some(rest) if rest.first().is_some_and(|first| first.base_offset <= offset) => rest,
        _ => &[],
    }
}
