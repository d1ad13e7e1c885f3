//! A way to an implementation on which answers are lost, and on which a transaction can be held up for as long as one likes.

use crate::cluster::backend::{Backend, BackendError, Committed, LeaseId, Listed, Revision, Txn, Watching};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Flaky {
    inner: Arc<dyn Backend>,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    lose_answers: u32,
    hold: bool,
    held: Vec<Txn>,
    commits: usize,
}

impl Flaky {
    pub(super) fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// The next transactions and grants, so many, happen and have no answer.
    pub(super) fn lose_answers(&self, count: u32) {
        self.plan.lock().lose_answers = count;
    }

    /// Transactions do not arrive until they are released.
    pub(super) fn hold(&self, hold: bool) {
        self.plan.lock().hold = hold;
    }

    /// The transactions that were held arrive now; answers which of them won.
    pub(super) async fn release(&self) -> Vec<bool> {
        let held = std::mem::take(&mut self.plan.lock().held);
        let mut won = Vec::new();
        for txn in held {
            won.push(self.inner.commit(&txn).await.expect("nothing is wrong with the server").won);
        }
        won
    }

    /// Transactions so far.
    pub(super) fn commits(&self) -> usize {
        self.plan.lock().commits
    }

    async fn answer<T>(&self, answer: T) -> T {
        let is_lost = {
            let mut plan = self.plan.lock();
            let is_lost = plan.lose_answers > 0;
            plan.lose_answers = plan.lose_answers.saturating_sub(1);
            is_lost
        };
        if is_lost { std::future::pending().await } else { answer }
    }
}

#[async_trait]
impl Backend for Flaky {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: Option<Revision>) -> Result<Listed, BackendError> {
        self.inner.list(prefix, after, limit, at).await
    }

    async fn commit(&self, txn: &Txn) -> Result<Committed, BackendError> {
        let is_held = {
            let mut plan = self.plan.lock();
            plan.commits += 1;
            let is_held = plan.hold && !txn.writes.is_empty();
            if is_held {
                plan.held.push(txn.clone());
            }
            is_held
        };
        if is_held {
            return std::future::pending().await;
        }
        let answer = self.inner.commit(txn).await;
        if txn.writes.is_empty() { answer } else { self.answer(answer).await }
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, BackendError> {
        self.inner.grant(ttl).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool, BackendError> {
        self.inner.renew(lease).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        self.inner.revoke(lease).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watching>, BackendError> {
        self.inner.watch(prefix, from).await
    }
}
