//! Who asks, who answers, and in which version: said with every question and every answer.
//!
//! A broker answers only its own cluster and only for the disk that is meant; who has asked checks the answer the same way (R2, T56). The highest
//! revision of etcd that either has seen goes along.

use crate::{
    ReplicationError,
    wire::{Answerer, Caller, Reason, Refused, id_bytes, parse_id},
};
use floe_env::{Mutant, mutated};
use floe_types::{BrokerId, ClusterId, DiskId, Incarnation};
use std::sync::atomic::{AtomicU64, Ordering};

/// Versions of the protocol that are spoken here.
pub const OLDEST_VERSION: u32 = 1;
pub const NEWEST_VERSION: u32 = 1;

/// One life of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub broker: BrokerId,
    pub disk: DiskId,
    pub incarnation: Incarnation,
}

/// This broker, as others see it.
#[derive(Debug)]
pub struct Me {
    identity: Identity,
    revision: AtomicU64,
}

impl Me {
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self { identity, revision: AtomicU64::new(0) }
    }

    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The highest revision of etcd that this broker, or any that it has talked with, has seen. A lower one from etcd means that it was set back.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn saw_revision(&self, revision: u64) {
        self.revision.fetch_max(revision, Ordering::AcqRel);
    }

    pub(crate) fn caller(&self, to: Option<DiskId>) -> Option<Caller> {
        let Identity { cluster, broker, disk, incarnation } = self.identity;
        Some(Caller {
            oldest: OLDEST_VERSION,
            newest: NEWEST_VERSION,
            cluster: id_bytes(cluster.0),
            broker: broker.0,
            disk: id_bytes(disk.0),
            incarnation: incarnation.0,
            revision: self.revision(),
            to: to.map(|disk| id_bytes(disk.0)).unwrap_or_default(),
        })
    }

    /// What to answer with, if the caller is one to be answered.
    pub(crate) fn admit(&self, caller: Option<Caller>) -> Result<Answerer, Refused> {
        let Some(caller) = caller else { return Err(Refused::new(Reason::Invalid, "it is not said who asks")) };
        let version = caller.newest.min(NEWEST_VERSION);
        if version < caller.oldest.max(OLDEST_VERSION) {
            let (oldest, newest) = (caller.oldest, caller.newest);
            let message = format!("versions {OLDEST_VERSION} to {NEWEST_VERSION} are spoken here, {oldest} to {newest} there");
            return Err(Refused::new(Reason::Version, message));
        }
        let mine = self.identity;
        if parse_id(&caller.cluster) != Some(mine.cluster.0) {
            return Err(Refused::new(Reason::Cluster, format!("this broker belongs to cluster {}", mine.cluster)));
        }
        if !caller.to.is_empty() && parse_id(&caller.to) != Some(mine.disk.0) && !mutated(Mutant::OtherDiskCounts) {
            return Err(Refused::new(Reason::Disk, format!("disk {} lies here", mine.disk)));
        }
        self.saw_revision(caller.revision);
        Ok(Answerer {
            version,
            cluster: id_bytes(mine.cluster.0),
            broker: mine.broker.0,
            disk: id_bytes(mine.disk.0),
            incarnation: mine.incarnation.0,
            revision: self.revision(),
        })
    }

    /// Whether the answer comes from whom was asked; who that is.
    pub(crate) fn accept(&self, peer: &str, answerer: &Answerer, asked: Option<DiskId>) -> Result<Identity, ReplicationError> {
        let broken = |what: &str| ReplicationError::Protocol { peer: peer.into(), what: what.into() };
        if !(OLDEST_VERSION..=NEWEST_VERSION).contains(&answerer.version) {
            return Err(broken("it answers in a version that was not offered"));
        }
        let (Some(cluster), Some(disk)) = (parse_id(&answerer.cluster), parse_id(&answerer.disk)) else {
            return Err(broken("it does not say who it is"));
        };
        if cluster != self.identity.cluster.0 {
            return Err(broken("it belongs to another cluster"));
        }
        let disk = DiskId(disk);
        if let Some(expected) = asked.filter(|asked| *asked != disk && !mutated(Mutant::OtherDiskCounts)) {
            return Err(ReplicationError::OtherDisk { peer: peer.into(), expected, found: disk });
        }
        self.saw_revision(answerer.revision);
        let (broker, incarnation) = (BrokerId(answerer.broker), Incarnation(answerer.incarnation));
        Ok(Identity { cluster: ClusterId(cluster), broker, disk, incarnation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me(cluster: u128, disk: u128) -> Me {
        Me::new(Identity { cluster: ClusterId(cluster), broker: BrokerId(1), disk: DiskId(disk), incarnation: Incarnation(5) })
    }

    #[test]
    fn only_the_own_cluster_and_the_disk_that_is_meant_are_answered() {
        let (here, there) = (me(1, 10), me(1, 20));
        let answer = here.admit(there.caller(Some(DiskId(10)))).unwrap();
        assert_eq!(there.accept("x", &answer, Some(DiskId(10))).unwrap(), here.identity());
        assert!(here.admit(there.caller(None)).is_ok());
        let refused = |caller| here.admit(caller).unwrap_err().reason();
        assert_eq!(refused(there.caller(Some(DiskId(20)))), Reason::Disk);
        assert_eq!(refused(me(2, 20).caller(Some(DiskId(10)))), Reason::Cluster);
        assert_eq!(refused(None), Reason::Invalid);
        let later = Caller { oldest: NEWEST_VERSION + 1, newest: NEWEST_VERSION + 3, ..there.caller(None).unwrap() };
        assert_eq!(refused(Some(later)), Reason::Version);
        let both = Caller { newest: NEWEST_VERSION + 3, ..there.caller(None).unwrap() };
        assert_eq!(here.admit(Some(both)).unwrap().version, NEWEST_VERSION);
    }

    #[test]
    fn t56_an_answer_from_another_disk_or_cluster_is_no_answer() {
        let asks = me(1, 20);
        let answer = me(1, 10).admit(asks.caller(None)).unwrap();
        let other = asks.accept("x", &answer, Some(DiskId(11))).unwrap_err();
        assert!(matches!(other, ReplicationError::OtherDisk { expected: DiskId(11), found: DiskId(10), .. }), "{other}");
        let foreign = Answerer { cluster: id_bytes(7), ..answer.clone() };
        assert!(matches!(asks.accept("x", &foreign, Some(DiskId(10))), Err(ReplicationError::Protocol { .. })));
        let nobody = Answerer { disk: bytes::Bytes::new(), ..answer };
        assert!(asks.accept("x", &nobody, None).is_err());
    }

    #[test]
    fn the_highest_revision_goes_both_ways() {
        let (here, there) = (me(1, 10), me(1, 20));
        there.saw_revision(7);
        let answer = here.admit(there.caller(None)).unwrap();
        assert_eq!(here.revision(), 7);
        here.saw_revision(9);
        let newer = here.admit(there.caller(None)).unwrap();
        there.accept("x", &newer, None).unwrap();
        there.accept("x", &answer, None).unwrap();
        assert_eq!(there.revision(), 9);
    }
}
