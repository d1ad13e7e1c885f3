//! The state as records: appended to the log anew, group by group, they make everything before the first of them superfluous.
//!
//! A checkpoint needs no pause. What changes while it is written is appended behind what was written of it before, so whoever
//! reads from the checkpoint's begin on gets the newest in the end. It repeats what the *log* says of a group, not where the
//! group is: of one in the middle of a rebalance the generation before, as a start would have found it.

use crate::Name;
use crate::group::Group;
use crate::records::GroupRecord;
use crate::shard::{Groups, Shard};
use std::collections::BTreeMap;

impl Shard {
    /// What the log would have to hold of a group, and nothing else; empty for a group that it does not know.
    #[must_use]
    pub fn checkpoint(&self, group: &Name) -> Vec<GroupRecord> {
        let Some(group) = self.groups.get(group) else { return Vec::new() };
        let members = group.stored.as_deref().map(|stored| GroupRecord::Group { group: group.id.clone(), stored: Some(stored.clone()) });
        let offsets = group.offsets.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(|(partition, stored)| GroupRecord::Offset {
                group: group.id.clone(),
                topic: topic.clone(),
                partition: *partition,
                committed: Some(stored.committed.clone()),
            })
        });
        members.into_iter().chain(offsets).collect()
    }

    /// How many records a checkpoint of all groups has.
    #[must_use]
    pub fn checkpoint_len(&self) -> usize {
        self.groups.values().map(len).sum()
    }
}

fn len(group: &Group) -> usize {
    usize::from(group.stored.is_some()) + group.offsets.values().map(BTreeMap::len).sum::<usize>()
}

/// Keeps what was appended of groups that go on. Those that were deleted take it with them.
pub(crate) fn remember(groups: &mut Groups, appended: &[GroupRecord]) {
    for record in appended {
        if let GroupRecord::Group { group, stored } = record
            && let Some(group) = groups.get_mut(group)
        {
            group.stored = stored.clone().map(Box::new);
        }
    }
}
