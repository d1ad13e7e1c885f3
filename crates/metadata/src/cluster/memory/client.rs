//! One process's way to a [`MemoryEtcd`], with faults that follow from the process's seed.

use super::MemoryEtcd;
use crate::cluster::backend::{Backend, BackendError, Committed, Events, LeaseId, Listed, Revision, Txn, Watching};
use async_trait::async_trait;
use floe_env::{Env, Watched};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What goes wrong between a process and etcd. Zero: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Each way takes up to this long.
    pub delay: Duration,
    /// Of 1000 requests so many never arrive, or arrive and their answers do not.
    pub lost_requests: u64,
    pub lost_answers: u64,
    /// Nothing gets through.
    pub is_cut: bool,
    /// The next requests that arrive, so many, have no answer.
    pub drop_answers: u32,
}

/// See [`super`].
#[derive(Debug, Clone)]
pub struct MemoryClient {
    etcd: MemoryEtcd,
    env: Env,
    faults: Arc<Mutex<Faults>>,
    cut: Arc<Watched<bool>>,
}

impl MemoryClient {
    #[must_use]
    pub fn new(etcd: MemoryEtcd, env: Env) -> Self {
        Self { etcd, env, faults: Arc::default(), cut: Arc::default() }
    }

    /// From now on. A cut ends running watches.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock() = faults;
        self.cut.set(faults.is_cut);
    }

    #[must_use]
    pub fn faults(&self) -> Faults {
        *self.faults.lock()
    }

    fn pause(&self, most: Duration) -> Duration {
        Duration::from_micros(self.env.random_below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Sends a request: it is carried out whatever becomes of the sender.
    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&MemoryEtcd) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let faults = self.faults();
        let is_lost = |of_1000: u64| of_1000 > 0 && self.env.random_below(1000) < of_1000;
        if faults.is_cut || is_lost(faults.lost_requests) {
            return std::future::pending().await;
        }
        let answers = faults.drop_answers == 0 && !is_lost(faults.lost_answers);
        if faults.drop_answers > 0 {
            self.faults.lock().drop_answers -= 1;
        }
        let there = self.pause(faults.delay);
        if there.is_zero() {
            let answer = request(&self.etcd);
            return if answers { answer } else { std::future::pending().await };
        }
        let (sender, receiver) = oneshot::channel();
        let etcd = self.etcd.clone();
        let on_its_way = async move {
            etcd.env().sleep(there).await;
            // The sender may have given up.
            let _ = sender.send(request(&etcd));
        };
        self.etcd.env().spawn("etcd request", on_its_way).detach_to_group();
        let answer = receiver.await.map_err(|_| BackendError::Unavailable("etcd has ended".into()))?;
        self.env.sleep(self.pause(faults.delay)).await;
        if answers && !self.faults().is_cut { answer } else { std::future::pending().await }
    }
}

#[async_trait]
impl Backend for MemoryClient {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize, at: Option<Revision>) -> Result<Listed, BackendError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.ask(move |etcd| etcd.list(&prefix, after.as_deref(), limit, at)).await
    }

    async fn commit(&self, txn: &Txn) -> Result<Committed, BackendError> {
        let txn = txn.clone();
        self.ask(move |etcd| etcd.commit(&txn)).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, BackendError> {
        self.ask(move |etcd| etcd.grant(ttl)).await
    }

    async fn renew(&self, lease: LeaseId) -> Result<bool, BackendError> {
        self.ask(move |etcd| etcd.renew(lease)).await
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        self.ask(move |etcd| etcd.revoke(lease)).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Box<dyn Watching>, BackendError> {
        let life = self.ask(move |etcd| etcd.begin_watch(from)).await?;
        Ok(Box::new(MemoryWatch { client: self.clone(), prefix: prefix.to_owned(), life, from }))
    }
}

#[derive(Debug)]
struct MemoryWatch {
    client: MemoryClient,
    prefix: String,
    life: u64,
    from: Revision,
}

#[async_trait]
impl Watching for MemoryWatch {
    async fn next(&mut self) -> Result<Events, BackendError> {
        let client = &self.client;
        let delay = client.pause(client.faults().delay);
        if !delay.is_zero() {
            client.env.sleep(delay).await;
        }
        let events = tokio::select! {
            biased;
            _ = client.cut.wait_for(|is_cut| *is_cut) => return Err(BackendError::Unavailable("cut off".into())),
            events = client.etcd.changes(self.life, &self.prefix, self.from) => events?,
        };
        self.from = events.revision + 1;
        Ok(events)
    }
}
