//! What this broker's coordinators know, for who is no Kafka client: the console. Only reads: nothing is created by asking, and no member is kept in
//! its group by it.

use floe_coordinator::{CommittedOffset, Description, Fetch, GroupError, GroupState, Listed, Name, Reply, Request};
use floe_groups::Groups;
use floe_types::PartitionId;
use std::sync::{Arc, OnceLock};

/// A group's committed offset of a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupOffset {
    pub topic: Name,
    pub partition: i32,
    pub committed: CommittedOffset,
}

/// The coordinators of one server, once it runs; until then none. Clones ask the same.
#[derive(Debug, Clone, Default)]
pub struct GroupReads(Arc<OnceLock<Groups>>);

impl GroupReads {
    /// There is one broker in a server's life.
    pub(crate) fn open(&self, groups: &Groups) {
        let _first = self.0.set(groups.clone());
    }

    fn groups(&self) -> Result<&Groups, GroupError> {
        self.0.get().ok_or(GroupError::CoordinatorLoadInProgress)
    }

    /// The partition that keeps a group; none before there has been any group.
    #[must_use]
    pub fn partition_of(&self, group: &str) -> Option<PartitionId> {
        self.0.get()?.partition_of(group)
    }

    /// All groups that are coordinated here, by id.
    ///
    /// # Errors
    /// A coordinator that is still loading, or has just gone elsewhere.
    pub async fn list(&self) -> Result<Vec<Listed>, GroupError> {
        let mut groups = self.groups()?.list(&[]).await?;
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    /// One group; none if there is no such group.
    ///
    /// # Errors
    /// It is coordinated elsewhere, or its coordinator is still loading.
    pub async fn describe(&self, group: &Name) -> Result<Option<Description>, GroupError> {
        match self.ask(group, Request::Describe { group: group.clone() }).await? {
            Some(Reply::Described(described)) => Ok(Some(described).filter(|described| described.state != GroupState::Dead)),
            None => Ok(None),
            Some(_) => Err(GroupError::UnknownServerError),
        }
    }

    /// All that a group has committed, by topic and partition.
    ///
    /// # Errors
    /// As [`GroupReads::describe`].
    pub async fn offsets(&self, group: &Name) -> Result<Vec<GroupOffset>, GroupError> {
        match self.ask(group, Request::Fetch(Fetch { group: group.clone(), topics: None })).await? {
            Some(Reply::Fetched(topics)) => {
                let of_topic = |(topic, partitions): (Name, Vec<(i32, Option<CommittedOffset>)>)| {
                    let of_partition = move |(partition, committed): (i32, Option<CommittedOffset>)| {
                        Some(GroupOffset { topic: topic.clone(), partition, committed: committed? })
                    };
                    partitions.into_iter().filter_map(of_partition)
                };
                Ok(topics.into_iter().flat_map(of_topic).collect())
            }
            None => Ok(Vec::new()),
            Some(_) => Err(GroupError::UnknownServerError),
        }
    }

    async fn ask(&self, group: &Name, request: Request) -> Result<Option<Reply>, GroupError> {
        let groups = self.groups()?;
        // Asking would create the topic that keeps groups.
        if groups.partition_of(group).is_none() {
            return Ok(None);
        }
        groups.call(group, request).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use floe_coordinator::{Commit, CommitPartition};

    fn commit(group: &Name, offset: i64) -> Request {
        let partition = CommitPartition { index: 2, offset, leader_epoch: -1, metadata: "".into() };
        Request::Commit(Commit {
            group: group.clone(),
            generation: -1,
            member: "".into(),
            instance: None,
            retention_ms: None,
            tells_missing_group: false,
            topics: vec![("orders".into(), vec![partition])],
        })
    }

    #[tokio::test(start_paused = true)]
    async fn groups_are_read_and_nothing_is_created_by_reading() {
        let world = World::new(1);
        let broker = world.broker().await;
        let reads = GroupReads::default();
        let group: Name = "readers".into();
        assert_eq!(reads.list().await, Err(GroupError::CoordinatorLoadInProgress));
        reads.open(&broker.groups);
        assert_eq!((reads.list().await, reads.describe(&group).await, reads.offsets(&group).await), (Ok(vec![]), Ok(None), Ok(vec![])));
        assert!(broker.view().topics().next().is_none(), "the topic of the groups was created by asking");

        broker.groups.call(&group, commit(&group, 7)).await.expect("committed");
        let listed = reads.list().await.expect("loaded");
        assert_eq!(listed.iter().map(|one| (&*one.group, one.state)).collect::<Vec<_>>(), [("readers", GroupState::Empty)]);
        let offsets = reads.offsets(&group).await.expect("loaded");
        let seen: Vec<_> = offsets.iter().map(|one| (&*one.topic, one.partition, one.committed.offset)).collect();
        assert_eq!(seen, [("orders", 2, 7)]);
        assert!(reads.describe(&group).await.expect("loaded").is_some());
        assert_eq!(reads.describe(&"others".into()).await, Ok(None));
    }
}
