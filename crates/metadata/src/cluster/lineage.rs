//! Marks: how whoever relies on what etcd says knows that it was not set back meanwhile (decision 6, model `setback`).
//!
//! etcd holds one mark, a number and a nonce. The store holds the row of all marks, each created only if absent. Who wants to rely makes sure that the mark in etcd stands
//! in the store with its nonce, compares and puts the next in etcd, and makes sure of that one in the store. Then what etcd said at the revision of that
//! transaction is on the one history that counts, and counts. A number that stands in the store with another nonce: etcd was set back.

use super::ClusterError;
use super::backend::{Compare, Revision, Txn, Write};
use super::handle::{Cluster, decode};
use super::keys::Key;
use super::options::MAX_RACES;
use super::view::ClusterView;
use async_trait::async_trait;
use floe_formats::etcd::{MarkEntry, encode_value};
use floe_types::WriteId;
use std::fmt::Debug;
use std::sync::Arc;

/// The row of marks in the object store.
#[async_trait]
pub trait MarkRow: Debug + Send + Sync + 'static {
    /// Creates the mark of that number, only if it is absent, and answers the nonce that stands there then.
    ///
    /// # Errors
    /// The store's, in words: it may have happened.
    async fn ensure(&self, number: u64, nonce: WriteId) -> Result<WriteId, String>;
}

/// Relies on what a cluster's etcd says.
#[derive(Debug, Clone)]
pub struct Lineage {
    cluster: Cluster,
    row: Arc<dyn MarkRow>,
}

/// The mark, read alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MarkRead {
    pub(crate) revision: Revision,
    pub(crate) mark: Option<MarkEntry>,
}

impl Cluster {
    pub(crate) async fn read_mark(&self) -> Result<MarkRead, ClusterError> {
        let mark = self.value::<MarkEntry>("reading the mark", Key::Mark).await?;
        Ok(MarkRead { revision: self.seen(), mark })
    }

    /// Puts a mark behind `before`; answers the revision that did, or the mark that stands instead.
    async fn put_mark(&self, before: Option<MarkEntry>, mark: MarkEntry) -> Result<Result<Revision, Option<MarkEntry>>, ClusterError> {
        let key = self.key(Key::Mark);
        let compare = match before {
            Some(before) => Compare::Is { key: key.clone(), value: encode_value(&before) },
            None => Compare::Absent { key: key.clone() },
        };
        let txn = Txn {
            compares: vec![compare],
            writes: vec![Write::Put { key: key.clone(), value: encode_value(&mark), lease: None }],
            reads: vec![key],
        };
        let done = self.commit("putting a mark", &txn).await?;
        if done.won {
            return Ok(Ok(done.revision));
        }
        let Some(found) = done.found.into_iter().next().flatten() else { return Ok(Err(None)) };
        let stands = decode::<MarkEntry>(&found)?;
        Ok(if stands == mark { Ok(found.revision) } else { Err(Some(stands)) })
    }
}

impl Lineage {
    #[must_use]
    pub fn new(cluster: Cluster, row: Arc<dyn MarkRow>) -> Self {
        Self { cluster, row }
    }

    /// A view that may be relied upon: **a new owner opens partitions only as it says** (those that name it, with these records), **and a recoverer that has marked an
    /// incarnation sealing creates its `end` only from the records that it says** (R8). One object is created in the store, two where the one before was not there.
    ///
    /// A lost answer, or a cancelled call: call again; a mark that nobody relies on does no harm.
    ///
    /// # Errors
    /// `SetBack`: final. `Unavailable`: of etcd or the store; call again. And [`Cluster::found`]'s; `Contended`.
    pub async fn rely(&self) -> Result<ClusterView, ClusterError> {
        let mut before = self.cluster.read_mark().await?.mark;
        for _ in 0..MAX_RACES {
            if let Some(before) = before {
                self.ensure(before).await?;
            }
            let number = before.map_or(1, |before| before.number.saturating_add(1));
            let mark = MarkEntry { number, nonce: WriteId(self.cluster.env().random_u128()) };
            match self.cluster.put_mark(before, mark).await? {
                Ok(revision) => {
                    self.ensure(mark).await?;
                    return self.as_of(mark, revision).await;
                }
                Err(stands) => before = stands,
            }
        }
        Err(ClusterError::Contended { what: "putting a mark", attempts: MAX_RACES })
    }

    /// What etcd said when it put the mark: as of that revision, where the mark has to be the one.
    async fn as_of(&self, mark: MarkEntry, revision: Revision) -> Result<ClusterView, ClusterError> {
        let view = self.cluster.read_all(Some(revision)).await?;
        if view.mark() == Some(mark) {
            return Ok(view);
        }
        Err(self.cluster.freeze(format!("revision {revision} put mark {}, and does not show it", mark.number)))
    }

    async fn ensure(&self, mark: MarkEntry) -> Result<(), ClusterError> {
        let what = "a mark in the store";
        let stands = self.row.ensure(mark.number, mark.nonce).await;
        let stands = stands.map_err(|reason| ClusterError::Unavailable { what, attempts: 1, reason })?;
        if stands == mark.nonce {
            return Ok(());
        }
        Err(self.cluster.freeze(format!("mark {} stands in the store with another nonce", mark.number)))
    }
}
