//! Recovery's view of all disks: the own one is asked directly, others over the network.

use crate::{Brokers, Refusal, ReplicationError, peer::Reading};
use async_trait::async_trait;
use floe_log::copies::{Copies, CopyError, CopyReader};
use floe_types::{DiskId, ErrorKind, Generation, Incarnation, Lsn};
use floe_wal::{HeldWal, Replayed, ReplayedEntry, Replicas, SealedReplica, WalError};

/// The disks of a cluster.
#[derive(Debug)]
pub struct PeerCopies {
    brokers: Brokers,
    own: Replicas,
}

impl PeerCopies {
    #[must_use]
    pub fn new(brokers: Brokers, own: Replicas) -> Self {
        Self { brokers, own }
    }
}

#[async_trait]
impl Copies for PeerCopies {
    async fn seal(&self, disk: DiskId, incarnation: Incarnation, by: Incarnation) -> Result<Vec<HeldWal>, CopyError> {
        if disk == self.own.disk_id() {
            return self.own.seal(incarnation, by).await.map_err(|error| own_error(disk, &error));
        }
        let peer = self.brokers.peer(disk).map_err(|error| peer_error(disk, &error))?;
        peer.seal(incarnation, by).await.map_err(|error| peer_error(disk, &error))
    }

    async fn read(&self, disk: DiskId, incarnation: Incarnation, generation: Generation) -> Result<Option<Box<dyn CopyReader>>, CopyError> {
        if disk == self.own.disk_id() {
            return match self.own.read_sealed(incarnation, generation).await {
                Ok(sealed) => Ok(Some(Box::new(Own { disk, sealed }))),
                Err(WalError::Missing { .. }) => Ok(None),
                Err(error) => Err(own_error(disk, &error)),
            };
        }
        let peer = self.brokers.peer(disk).map_err(|error| peer_error(disk, &error))?;
        match peer.read(incarnation, generation).await {
            Ok(reading) => Ok(Some(Box::new(Other { disk, reading }))),
            Err(ReplicationError::Refused { refusal: Refusal::Missing, .. }) => Ok(None),
            Err(error) => Err(peer_error(disk, &error)),
        }
    }
}

fn copy_error(disk: DiskId, kind: ErrorKind, reason: String) -> CopyError {
    if kind == ErrorKind::Corrupt { CopyError::NoAnswer { disk, reason } } else { CopyError::Unreachable { disk, reason } }
}

fn own_error(disk: DiskId, error: &WalError) -> CopyError {
    copy_error(disk, error.kind(), error.to_string())
}

/// Damage on the way, or by a version that is not known, may not be there when it is asked again.
fn peer_error(disk: DiskId, error: &ReplicationError) -> CopyError {
    let kind = if matches!(error, ReplicationError::Wal(_)) { ErrorKind::Retry } else { error.kind() };
    copy_error(disk, kind, error.to_string())
}

#[derive(Debug)]
struct Own {
    disk: DiskId,
    sealed: SealedReplica,
}

#[async_trait]
impl CopyReader for Own {
    async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, CopyError> {
        self.sealed.next().await.map_err(|error| own_error(self.disk, &error))
    }

    fn replayed(&self) -> Replayed {
        self.sealed.replayed()
    }

    fn trimmed(&self) -> Lsn {
        self.sealed.trimmed()
    }
}

#[derive(Debug)]
struct Other {
    disk: DiskId,
    reading: Reading,
}

#[async_trait]
impl CopyReader for Other {
    async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, CopyError> {
        self.reading.next().await.map_err(|error| peer_error(self.disk, &error))
    }

    fn replayed(&self) -> Replayed {
        self.reading.replayed()
    }

    fn trimmed(&self) -> Lsn {
        self.reading.trimmed()
    }
}
