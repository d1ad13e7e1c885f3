//! A backend with another's objects and a cloud's latency.

use super::{Shape, Shaper, Stats};
use crate::store_faults::{FaultRules, StoreFault, StoreOp};
use async_trait::async_trait;
use bytes::Bytes;
use floe_env::Env;
use floe_objstore::{Backend, BackendError, ObjectInfo, Payload};
use std::{future::Future, ops::Range, sync::Arc};

/// Wraps `B`: each request waits as the shape says, on the environment's clock, and meets the faults that were asked for.
#[derive(Debug)]
pub struct Shaped<B> {
    env: Env,
    inner: Arc<B>,
    shaper: Shaper,
    rules: FaultRules,
    stats: Stats,
}

impl<B: Backend + 'static> Shaped<B> {
    #[must_use]
    pub fn new(env: &Env, inner: B, shape: Shape, seed: u64) -> Self {
        Self {
            env: env.clone(),
            inner: Arc::new(inner),
            shaper: Shaper::new(shape, seed),
            rules: FaultRules::default(),
            stats: Stats::default(),
        }
    }

    pub fn rules(&self) -> &FaultRules {
        &self.rules
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Latency, effect, transfer of the answer; faults on demand as [`StoreFault`] says.
    async fn request<T, F>(&self, op: StoreOp, key: &str, bytes_in: u64, effect: F, size: impl Fn(&T) -> u64) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, BackendError>> + Send + 'static,
        T: Send + 'static,
    {
        self.stats.request(op);
        let fault = self.rules.take(op, key);
        if fault.is_some() {
            self.stats.fault();
        }
        let shape = self.shaper.shape();
        self.env.sleep(self.shaper.latency(op) + shape.transfer(bytes_in)).await;
        match fault {
            Some(StoreFault::Before) => return Err(BackendError::Transient("slow down".into())),
            Some(StoreFault::Lost) => return Err(BackendError::Unknown("connection reset".into())),
            Some(late @ StoreFault::Late { .. }) => {
                let (env, later) = (self.env.clone(), late.late_by());
                self.env
                    .spawn("late request", async move {
                        env.sleep(later).await;
                        effect.await.map(|_| ())
                    })
                    .detach_to_group();
                return Err(BackendError::Unknown("timed out".into()));
            }
            Some(StoreFault::After | StoreFault::Hang) | None => {}
        }
        let answer = effect.await;
        self.stats.bytes_in(bytes_in);
        match fault {
            Some(StoreFault::Hang) => std::future::pending().await,
            Some(_) => return Err(BackendError::Unknown("internal error".into())),
            None => {}
        }
        let bytes_out = answer.as_ref().map_or(0, &size);
        self.stats.bytes_out(bytes_out);
        self.env.sleep(shape.transfer(bytes_out)).await;
        answer
    }
}

fn part(answer: &(u64, Bytes)) -> u64 {
    answer.1.len() as u64
}

#[async_trait]
impl<B: Backend + 'static> Backend for Shaped<B> {
    async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
        let (inner, owned, len) = (Arc::clone(&self.inner), key.to_owned(), body.len());
        self.request(StoreOp::Create, key, len, async move { inner.create(&owned, body).await }, |()| 0).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        self.request(StoreOp::Read, key, 0, async move { inner.get(&owned).await }, |bytes: &Bytes| bytes.len() as u64).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        let size = |bytes: &Bytes| bytes.len() as u64;
        self.request(StoreOp::Read, key, 0, async move { inner.get_range(&owned, range).await }, size).await
    }

    async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        self.request(StoreOp::Read, key, 0, async move { inner.get_start(&owned, len).await }, part).await
    }

    async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        self.request(StoreOp::Read, key, 0, async move { inner.get_tail(&owned, len).await }, part).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>, BackendError> {
        let (inner, owned, after) = (Arc::clone(&self.inner), prefix.to_owned(), after.map(str::to_owned));
        self.request(StoreOp::List, prefix, 0, async move { inner.list(&owned, after.as_deref(), limit).await }, |_| 0).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
        let (inner, owned) = (Arc::clone(&self.inner), prefix.to_owned());
        self.request(StoreOp::List, prefix, 0, async move { inner.list_folders(&owned).await }, |_| 0).await
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        let (inner, owned) = (Arc::clone(&self.inner), key.to_owned());
        self.request(StoreOp::Delete, key, 0, async move { inner.delete(&owned).await }, |()| 0).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store_faults::FaultRule;
    use floe_objstore::{MemoryBackend, conformance};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_shaped_backend_still_conforms() {
        let env = Env::simulated(1);
        conformance::conforms(&env, "shaped", Arc::new(Shaped::new(&env, MemoryBackend::new(), Shape::s3(), 1))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn requests_take_what_the_shape_says_and_are_counted() {
        let env = Env::simulated(1);
        let shaped = Shaped::new(&env, MemoryBackend::new(), Shape::s3(), 9);
        let twin = Shaper::new(Shape::s3(), 9);
        let body = Bytes::from(vec![0; 8_000_000]);
        let began = env.monotonic();
        shaped.create("k", body.into()).await.unwrap();
        let expected = twin.latency(StoreOp::Create) + Duration::from_millis(100);
        assert!((env.monotonic() - began).abs_diff(expected) <= Duration::from_millis(1));
        let began = env.monotonic();
        shaped.get_range("k", 0..4_000_000).await.unwrap();
        let expected = twin.latency(StoreOp::Read) + Duration::from_millis(50);
        assert!((env.monotonic() - began).abs_diff(expected) <= Duration::from_millis(2));
        let stats = shaped.stats().snapshot();
        assert_eq!((stats.bytes_in, stats.bytes_out, stats.faults), (8_000_000, 4_000_000, 0));
        assert!((stats.cost_dollars - 0.000_005_4).abs() < 1e-12, "{stats:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn faults_come_on_demand() {
        let env = Env::simulated(1);
        let shaped = Shaped::new(&env, MemoryBackend::new(), Shape::none(), 9);
        let create = async |fault| {
            shaped.rules().add(FaultRule { op: Some(StoreOp::Create), prefix: String::new(), fault, count: 1 });
            let key = format!("{fault:?}").chars().filter(char::is_ascii_alphanumeric).collect::<String>();
            let answer = env.timeout(Duration::from_secs(10), shaped.create(&key, Bytes::from_static(b"x").into())).await;
            (answer, shaped.inner.peek(&key).is_some())
        };
        assert!(matches!(create(StoreFault::Before).await, (Ok(Err(BackendError::Transient(_))), false)));
        assert!(matches!(create(StoreFault::Lost).await, (Ok(Err(BackendError::Unknown(_))), false)));
        assert!(matches!(create(StoreFault::After).await, (Ok(Err(BackendError::Unknown(_))), true)));
        assert!(matches!(create(StoreFault::Hang).await, (Err(_), true)));
        assert!(matches!(create(StoreFault::Late { by_ms: 500 }).await, (Ok(Err(BackendError::Unknown(_))), false)));
        env.sleep(Duration::from_millis(501)).await;
        assert_eq!(shaped.inner.peek_keys("").len(), 3);
        assert_eq!(shaped.stats().snapshot().faults, 5);
    }
}
