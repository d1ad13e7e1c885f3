//! Ending one's own chain: recovery (R4-R9) done to oneself. Afterwards the disk can be thrown away.

use crate::chain::{self, Chain};
use crate::ended::Ended;
use crate::shared::Shared;
use crate::{index, start};
use floe_formats::{Claim, ClaimState, End, Index, Object, Stop, keys};
use floe_objstore::{Created, Payload};
use floe_types::Generation;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a WAL that nothing needs any more may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A request to drain, answered when it is done.
#[derive(Debug)]
pub(crate) struct Drain(pub(crate) oneshot::Sender<()>);

/// From now on nothing is appended to what is open, nor to what is opened later.
pub(crate) fn stop_appending(shared: &Shared) {
    let mut followed = shared.followed.lock();
    followed.draining = true;
    shared.partitions().iter().for_each(|partition| partition.stop_appending());
}

/// Has the flusher flush everything and close the chain. How the incarnation ended.
pub(crate) async fn close_chain(shared: &Shared, drains: &mpsc::Sender<Drain>) -> Ended {
    let (done, finished) = oneshot::channel();
    if drains.send(Drain(done)).await.is_ok() {
        // Answered, or the flusher has ended for another reason: either way the end is told.
        let _answer = finished.await;
    }
    shared.ended.wait().await
}

/// Everything is flushed: closes the claims, stops the row, creates `end`, and gives the WAL back.
pub(crate) async fn finish(shared: &Arc<Shared>, chain: &Chain, drain: Option<Drain>) {
    let ended = match close(shared, chain).await {
        Ok(()) => Ended::Drained,
        Err(ended) => ended,
    };
    shared.end(ended);
    if let Some(Drain(done)) = drain {
        let _gone = done.send(());
    }
}

async fn close(shared: &Arc<Shared>, chain: &Chain) -> Result<(), Ended> {
    let incarnation = shared.incarnation;
    // Nobody begins another generation from here on.
    let mut sent = shared.sent_claim.lock().await;
    if let Some(own) = shared.wals.end_current() {
        // All of it is in certain slots, and nothing reads it any more: a disk that hangs or fails is not waited for.
        match shared.env.timeout(CLOSE_PATIENCE, own.wal.close()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the WAL was not closed; it is flushed"),
            Err(error) => tracing::warn!(%error, "the WAL's disk hangs; it is flushed"),
        }
    }
    if let Some(claim) = sent.take() {
        // Nobody knows whether it stands: make sure that it does, so that the closing one comes behind it.
        create(shared, &keys::claim(incarnation, claim.generation), &claim.body).await?;
        shared.wals.claimed(claim.generation);
    }
    let next = Generation(shared.wals.newest().0 + 1);
    let claim = Claim { state: ClaimState::Closed, ..start::claim(shared, next) };
    let key = keys::claim(incarnation, next);
    // A broker that was refused may have closed the claims before it knew (R4): then they are closed, that is all.
    if chain::create_for_sure(&shared.store, &key, &body(shared, &claim)).await == Created::Lost && !chain::is_closed(shared, &key).await {
        let (by, found) = chain::whose(shared, &key).await;
        return Err(Ended::Fenced { by, found });
    }
    let stop = chain.certain();
    create(shared, &keys::slot(incarnation, stop), &body(shared, &Stop { by: incarnation })).await?;
    let index = index::of_chain(shared, chain.next_index(), stop);
    let index = Index { front: index.front.max(chain.front()), ..index };
    let end = End { incarnation, by: incarnation, stop, recovery: Vec::new(), gave_up: Vec::new(), index };
    create(shared, &keys::end(incarnation), &body(shared, &end)).await
}

fn body<T: Object>(shared: &Shared, object: &T) -> Payload {
    Payload::from(floe_formats::encode(&Chain::writer(shared), object))
}

async fn create(shared: &Arc<Shared>, key: &str, body: &Payload) -> Result<(), Ended> {
    match chain::create_for_sure(&shared.store, key, body).await {
        Created::Won => Ok(()),
        Created::Lost => {
            let (by, found) = chain::whose(shared, key).await;
            Err(Ended::Fenced { by, found })
        }
    }
}
