//! Deleting what nothing needs any more, by the rules (R18-R22): one task for this incarnation's own row, and what a
//! settled partition leaves behind.
//!
//! Own row: slots below the front of the newest index that stands, front first (R19). No line names them then: what they
//! held is below a committed log start, in a manifest that counts, in a later slot, or of a deleted topic.
//! Never deleted: claims, stops, ends, seals, the newest index and manifest (R18).

use super::pages::{Dropped, Walk};
use crate::ReadError;
use crate::partition::Partition;
use crate::shared::Shared;
use floe_env::hash::HashSet;
use floe_formats::keys::{self, Key};
use floe_formats::{Manifest, PackRef, Ulid};
use floe_objstore::StoreError;
use floe_types::{PartitionId, SlotNumber};
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

pub(super) async fn delete(shared: &Shared, key: &str) -> Result<(), StoreError> {
    shared.merging.delete(key).await?;
    shared.history.deleted();
    Ok(())
}

/// After a manifest of this incarnation has come to count: what it dropped, the versions before it, and, the first time, what
/// owners of lower epochs have left and it does not name (R20).
pub(crate) async fn after_publishing(shared: &Shared, partition: &Partition, dropped: &Dropped) -> Result<(), ReadError> {
    let Some(manifest) = partition.manifest().filter(|manifest| manifest.epoch == partition.leader_epoch()) else { return Ok(()) };
    for pack in &dropped.packs {
        delete(shared, &pack.key()).await?;
    }
    for page in dropped.cut.iter().filter(|page| page.end_offset > dropped.passed.start && !dropped.passed.is_empty()) {
        match shared.pages.open(&shared.merging, partition.id(), page).await {
            Ok(page) => {
                for pack in dropped.packs_in(&page) {
                    delete(shared, &pack.key()).await?;
                }
            }
            // What it named stays for a later owner's sweep.
            Err(ReadError::Damaged(damage)) => tracing::warn!(%damage, "packs below the log start are left"),
            Err(error) => return Err(error),
        }
    }
    for page in &dropped.pages {
        delete(shared, &page.key(partition.id())).await?;
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

/// Own packs and pages of lower epochs that this owner's own counted version does not name, itself or by a page.
async fn sweep_lower_epochs(shared: &Shared, partition: &Partition, counts: &Arc<Manifest>) -> Result<(), ReadError> {
    let named = match named_by(shared, counts).await {
        Ok(named) => named,
        Err(ReadError::Damaged(damage)) => {
            tracing::warn!(%damage, "what earlier owners left stays: nobody knows whether it is named");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for prefix in [keys::own_packs_prefix(partition.id()), keys::pages_prefix(partition.id())] {
        let mut after: Option<String> = None;
        loop {
            let page = shared.merging.list(&prefix, after.as_deref(), PAGE).await?;
            for object in &page {
                match Key::parse(&object.key) {
                    Ok(Key::OwnPack { epoch, ulid, .. } | Key::Page { epoch, ulid, .. })
                        if epoch < partition.leader_epoch() && !named.contains(&short(ulid)) =>
                    {
                        delete(shared, &object.key).await?;
                    }
                    // Of this epoch or a later one, or named, or nothing that is known here.
                    Ok(_) | Err(_) => {}
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => break,
            }
        }
    }
    Ok(())
}

/// Packs that a manifest names above its log start, and its pages. Eight bytes for each: two that look alike keep one that might
/// go, and let none go that has to stay.
async fn named_by(shared: &Shared, manifest: &Arc<Manifest>) -> Result<HashSet<u64>, ReadError> {
    let mut named: HashSet<u64> = manifest.pages.iter().map(|page| short(page.ulid)).collect();
    let mut walk = Walk::new(shared, manifest.clone(), manifest.log_start);
    while let Some(segment) = walk.next().await? {
        if let (PackRef::Own { ulid, .. }, true) = (segment.pack, segment.end_offset > manifest.log_start) {
            named.insert(short(ulid));
        }
    }
    Ok(named)
}

/// The random end of a ulid.
fn short(ulid: Ulid) -> u64 {
    u64::try_from(ulid.0 & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}
