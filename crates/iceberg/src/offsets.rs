//! Up to where a table has a topic: `floe.next.<topic id>.<partition>`, the offset behind the last file, in the summary of the snapshot that
//! has added it, and in the table's properties.
//!
//! What counts is what the current snapshot's ancestors say, the greatest of each partition: whoever rolls a table back gets what was
//! appended since once more. The table's own properties count only where an ancestor is gone (snapshots expire), since they do not go back.
//! Snapshots of other writers, such as compactions, may lie anywhere between.

use floe_types::{Offset, TopicId};
use iceberg::spec::TableMetadata;
use std::collections::BTreeMap;

/// Where a partition's offset is kept.
#[must_use]
pub fn property(topic: TopicId, partition: i32) -> String {
    format!("{}{partition}", prefix(topic))
}

fn prefix(topic: TopicId) -> String {
    format!("floe.next.{topic}.")
}

/// Up to where the table has each partition of a topic; those that it has nothing of are not named.
#[must_use]
pub fn read(metadata: &TableMetadata, topic: TopicId) -> BTreeMap<i32, Offset> {
    let prefix = prefix(topic);
    let mut next = BTreeMap::new();
    let mut add = |name: &str, value: &str| {
        let partition = name.strip_prefix(&prefix).and_then(|partition| partition.parse::<i32>().ok());
        if let (Some(partition), Ok(offset)) = (partition, value.parse::<Offset>()) {
            let known = next.entry(partition).or_insert(offset);
            *known = offset.max(*known);
        }
    };
    let mut at = metadata.current_snapshot();
    let mut seen = 0;
    while let Some(snapshot) = at {
        snapshot.summary().additional_properties.iter().for_each(|(name, value)| add(name, value));
        seen += 1;
        let Some(parent) = snapshot.parent_snapshot_id() else { return next };
        // More ancestors than snapshots are a circle.
        at = metadata.snapshot_by_id(parent).filter(|_| seen <= metadata.snapshots().len());
    }
    if seen > 0 {
        metadata.properties().iter().for_each(|(name, value)| add(name, value));
    }
    next
}
