//! What an owner finds of a partition (architecture, "Opening"): the line of its base's index, which is of the epoch before; without a base what the newest manifest
//! says; nothing, if nobody owned it before. An `end` has a line for every record that named its incarnation (R8): one that lacks it is damage, and never an empty
//! partition.

use crate::OpenError;
use crate::history::manifest::read_newest;
use crate::partition::Line;
use crate::start::Start;
use floe_formats::etcd::OwnerEntry;
use floe_formats::{End, PartitionIndex};
use floe_types::{Incarnation, LeaderEpoch, PartitionId};
use futures::stream::{self, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Manifests read at the same time.
const PARALLEL: usize = 16;

/// The lines of some bases' indexes, or why they cannot be had.
type Bases = BTreeMap<Incarnation, Result<BTreeMap<PartitionId, PartitionIndex>, Arc<OpenError>>>;
/// What is found of each partition, or why nothing can be.
pub(crate) type Left = BTreeMap<PartitionId, Result<PartitionIndex, Arc<OpenError>>>;

impl Start {
    /// What is to be found of each partition by the owner that its record names: one object for all that have the same base. Each line has its owner's epoch. What cannot
    /// be read costs those alone that need it.
    pub(crate) async fn left(&self, owners: &BTreeMap<PartitionId, OwnerEntry>) -> Left {
        let mut bases = Bases::new();
        for base in owners.values().filter_map(|owner| owner.base).collect::<BTreeSet<_>>() {
            let by_partition = |end: End| end.index.partitions.into_iter().map(|line| (line.partition, line)).collect();
            bases.insert(base, self.read_end(base).await.map(by_partition).map_err(Arc::new));
        }
        let (mut left, mut by_manifest) = (Left::new(), Vec::new());
        for (id, owner) in owners {
            match owner.base {
                Some(base) => drop(left.insert(*id, listed(&mut bases, *id, (base, owner.epoch)))),
                None if owner.epoch == 0 => drop(left.insert(*id, Ok(Line::empty(*id).to_index()))),
                None => by_manifest.push(*id),
            }
        }
        let read = stream::iter(by_manifest).map(async |id| (id, self.by_manifest(id).await.map_err(Arc::new)));
        left.extend(read.buffer_unordered(PARALLEL).collect::<Vec<_>>().await);
        for (id, line) in &mut left {
            if let (Ok(line), Some(owner)) = (line, owners.get(id)) {
                line.epoch = owner.epoch;
            }
        }
        left
    }

    async fn by_manifest(&self, id: PartitionId) -> Result<PartitionIndex, OpenError> {
        let manifest = read_newest(&self.store, id).await.map_err(OpenError::from)?;
        Ok(manifest.map_or_else(
            || Line::empty(id).to_index(),
            |manifest| {
                let log_start = manifest.snapshot.log_start.max(manifest.log_start);
                PartitionIndex { log_start, segments: Vec::new(), manifest: Some(manifest.version), ..manifest.snapshot }
            },
        ))
    }
}

/// The line counts only if it carries the epoch under which the base owned the partition last.
fn listed(bases: &mut Bases, id: PartitionId, (base, epoch): (Incarnation, LeaderEpoch)) -> Result<PartitionIndex, Arc<OpenError>> {
    let missing = || Arc::new(OpenError::NotInherited { partition: id, base });
    match bases.get_mut(&base) {
        None => Err(missing()),
        Some(Err(error)) => Err(error.clone()),
        Some(Ok(lines)) => lines.remove(&id).filter(|line| line.epoch + 1 == epoch).ok_or_else(missing),
    }
}
