//! A watch that resumes: after a disconnect from the revision behind the last, after a compaction by reading everything again. Either way no change is missed, and each
//! that lasted is told once; what came and went while the watch was away may be told as nothing.

use super::backend::{Event, Watching};
use super::handle::Cluster;
use super::options::NO_REVISION;
use super::view::{Change, ClusterView};
use super::{BackendError, ClusterError};

/// A view that is kept up to date, and what changes in it.
#[derive(Debug)]
pub struct Watch {
    cluster: Cluster,
    view: ClusterView,
    watching: Option<Box<dyn Watching>>,
    must_read: bool,
}

/// What one look at a running watch gave.
enum Look {
    Events(u64, Vec<Event>),
    Silent,
    Over(BackendError),
}

impl Cluster {
    /// Reads everything, and watches from there.
    ///
    /// # Errors
    /// See [`Cluster::found`].
    pub async fn watch(&self) -> Result<Watch, ClusterError> {
        let view = self.read().await?;
        Ok(Watch { cluster: self.clone(), view, watching: None, must_read: false })
    }
}

impl Watch {
    /// Everything as of the last change that was given.
    #[must_use]
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// The next changes; waits for them, however long. Cancellation safe. While etcd does not answer it goes on trying, at most
    /// [`super::ClusterOptions::deadline`] at a time, and then says so: call again, nothing is missed.
    ///
    /// # Errors
    /// `Unavailable`: call again. `SetBack`, `Format`, `Refused`: final.
    pub async fn next(&mut self) -> Result<Vec<Change>, ClusterError> {
        loop {
            if self.must_read {
                let changes = self.read_again().await?;
                if !changes.is_empty() {
                    return Ok(changes);
                }
            }
            if self.watching.is_none() {
                self.resume().await?;
            }
            let changes = match self.look().await {
                Some(Look::Events(revision, events)) => {
                    self.cluster.heard(revision);
                    let keys = self.cluster.keys().clone();
                    self.view.apply(&keys, revision, &events)?
                }
                Some(Look::Silent) => {
                    self.check().await?;
                    Vec::new()
                }
                Some(Look::Over(error)) => {
                    tracing::debug!(%error, "watch of etcd ended");
                    self.watching = None;
                    self.must_read = matches!(error, BackendError::Compacted { .. });
                    Vec::new()
                }
                None => Vec::new(),
            };
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    async fn look(&mut self) -> Option<Look> {
        let watching = self.watching.as_mut()?;
        let (env, patience) = (self.cluster.env(), self.cluster.options().watch_check);
        Some(match env.timeout(patience, watching.next()).await {
            Ok(Ok(events)) => Look::Events(events.revision, events.events),
            Ok(Err(error)) => Look::Over(error),
            Err(_) => Look::Silent,
        })
    }

    /// Everything anew, and what differs.
    async fn read_again(&mut self) -> Result<Vec<Change>, ClusterError> {
        let now = self.cluster.read().await?;
        let changes = self.view.changes_to(&now);
        (self.view, self.watching, self.must_read) = (now, None, false);
        Ok(changes)
    }

    /// A watch from behind what is known. One that cannot be had because that is compacted reads everything first.
    async fn resume(&mut self) -> Result<(), ClusterError> {
        let (from, prefix) = (self.view.revision() + 1, self.cluster.keys().all().to_owned());
        let cluster = self.cluster.clone();
        let begun = cluster
            .call("a watch", || async {
                match cluster.backend().watch(&prefix, from).await {
                    Ok(watching) => Ok((NO_REVISION, Some(watching))),
                    Err(BackendError::Compacted { .. }) => Ok((NO_REVISION, None)),
                    Err(error) => Err(error),
                }
            })
            .await?;
        self.must_read = begun.is_none();
        self.watching = begun;
        Ok(())
    }

    /// A watch that was silent for long: is there nothing, or does nobody speak? Whoever is behind what a read shows watches anew.
    async fn check(&mut self) -> Result<(), ClusterError> {
        let now = self.cluster.read_mark().await?;
        if now.revision > self.view.revision() {
            // Revisions of others' keys count, too: a new watch from behind what is known costs one request, and finds what this one may have lost.
            self.watching = None;
        }
        Ok(())
    }
}
