//! What an owner finds of a partition (architecture, "Opening"): the line of its base's index, if that is of the epoch before; else what the newest manifest
//! says; nothing, if nobody owned it before.

use crate::OpenError;
use crate::history::manifest::read_newest;
use crate::partition::Line;
use crate::start::Start;
use floe_formats::PartitionIndex;
use floe_formats::etcd::OwnerEntry;
use floe_types::{Incarnation, PartitionId};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};

/// Manifests read at the same time.
const PARALLEL: usize = 16;

/// The lines of some bases' indexes.
type Bases = BTreeMap<Incarnation, BTreeMap<PartitionId, PartitionIndex>>;

impl Start {
    /// What is to be found of each partition by the owner that its record names: one object for all that have the same base. Each line has its owner's epoch.
    ///
    /// # Errors
    /// The store's, or an object that is damaged.
    pub(crate) async fn left(
        &self,
        owners: &BTreeMap<PartitionId, OwnerEntry>,
    ) -> Result<BTreeMap<PartitionId, PartitionIndex>, OpenError> {
        let mut bases = Bases::new();
        for base in owners.values().filter_map(|owner| owner.base).collect::<BTreeSet<_>>() {
            let lines = self.read_end(base).await?.index.partitions;
            bases.insert(base, lines.into_iter().map(|line| (line.partition, line)).collect());
        }
        let (mut left, mut unlisted) = (BTreeMap::new(), Vec::new());
        for (id, owner) in owners {
            match listed(&mut bases, *id, owner) {
                Some(line) => {
                    left.insert(*id, line);
                }
                None if owner.epoch == 0 && owner.base.is_none() => {
                    left.insert(*id, Line::empty(*id).to_index());
                }
                None => unlisted.push(*id),
            }
        }
        let read = stream::iter(unlisted).map(|id| self.by_manifest(id)).buffer_unordered(PARALLEL);
        for line in read.try_collect::<Vec<_>>().await? {
            left.insert(line.partition, line);
        }
        for (id, line) in &mut left {
            line.epoch = owners.get(id).map_or(line.epoch, |owner| owner.epoch);
        }
        Ok(left)
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
fn listed(bases: &mut Bases, id: PartitionId, owner: &OwnerEntry) -> Option<PartitionIndex> {
    let lines = bases.get_mut(&owner.base?)?;
    lines.get(&id).is_some_and(|line| line.epoch + 1 == owner.epoch).then(|| lines.remove(&id)).flatten()
}
