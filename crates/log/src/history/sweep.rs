//! Deleting what nothing needs any more, by the rules (R18-R22): one task for this incarnation's own row, and what a
//! settled partition leaves behind.
//!
//! Own row: slots below the front of the newest index that stands, front first (R19). No line names them then: what they
//! held is below a committed log start, in a manifest that counts, in a later slot, or of a deleted topic.
//! Never deleted: claims, stops, ends, seals, the newest index and manifest (R18).

use crate::partition::Partition;
use crate::shared::Shared;
use floe_formats::keys::{self, Key};
use floe_formats::{Manifest, SegmentRef};
use floe_objstore::StoreError;
use floe_types::{PartitionId, SlotNumber};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Keys listed by one request.
const PAGE: usize = 1000;

/// How far this incarnation's own row and indexes are deleted.
#[derive(Debug, Default)]
struct OwnRow {
    slots: SlotNumber,
    indexes: u64,
}

/// Deletes from this incarnation's own row whenever an index has moved its front.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut row = OwnRow { slots: SlotNumber(0), indexes: 1 };
    loop {
        shared.history.sweep_is_wanted().await;
        while shared.ended.get().is_none() {
            match sweep_row(&shared, &mut row).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%error, "not deleted; trying again");
                    shared.env.sleep(shared.options.settle_check).await;
                }
            }
        }
    }
}

async fn sweep_row(shared: &Shared, row: &mut OwnRow) -> Result<(), StoreError> {
    let newest = shared.history.newest_index();
    while row.slots < newest.front {
        delete(shared, &keys::slot(shared.incarnation, row.slots)).await?;
        row.slots = row.slots.next();
    }
    while row.indexes < newest.number {
        delete(shared, &keys::index(shared.incarnation, row.indexes)).await?;
        row.indexes += 1;
    }
    Ok(())
}

async fn delete(shared: &Shared, key: &str) -> Result<(), StoreError> {
    shared.merging.delete(key).await?;
    shared.history.deleted();
    Ok(())
}

/// After a manifest of this incarnation has come to count: the packs that it dropped, the versions before it, and, the
/// first time, what owners of lower epochs have left and no manifest names (R20).
pub(crate) async fn after_publishing(shared: &Shared, partition: &Partition, dropped: &[SegmentRef]) -> Result<(), StoreError> {
    let Some(manifest) = partition.manifest().filter(|manifest| manifest.epoch == partition.leader_epoch()) else { return Ok(()) };
    let packs: BTreeSet<_> = dropped.iter().map(|segment| segment.pack).collect();
    for pack in packs {
        delete(shared, &pack.key()).await?;
    }
    prune(shared, partition.id(), &manifest).await?;
    if !partition.is_swept() {
        sweep_lower_epochs(shared, partition, &manifest).await?;
        partition.set_swept();
    }
    Ok(())
}

/// Versions before the one that counts.
async fn prune(shared: &Shared, partition: PartitionId, counts: &Manifest) -> Result<(), StoreError> {
    let newest = keys::manifest(partition, counts.version);
    for object in shared.merging.list(&keys::manifests_prefix(partition), Some(&newest), PAGE).await? {
        delete(shared, &object.key).await?;
    }
    Ok(())
}

/// Own packs of lower epochs that this owner's own counted version does not name.
async fn sweep_lower_epochs(shared: &Shared, partition: &Partition, counts: &Manifest) -> Result<(), StoreError> {
    let named: BTreeSet<String> = counts.segments.iter().map(|segment| segment.pack.key()).collect();
    let mut after: Option<String> = None;
    loop {
        let page = shared.merging.list(&keys::own_packs_prefix(partition.id()), after.as_deref(), PAGE).await?;
        for object in &page {
            match Key::parse(&object.key) {
                Ok(Key::OwnPack { epoch, .. }) if epoch < partition.leader_epoch() && !named.contains(&object.key) => {
                    delete(shared, &object.key).await?;
                }
                // Of this epoch or a later one, or named, or nothing that is known here.
                Ok(_) | Err(_) => {}
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(()),
        }
    }
}
