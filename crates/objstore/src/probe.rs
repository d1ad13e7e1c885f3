//! Whether a store really creates only what is absent.
//!
//! Some stores ignore `If-None-Match` and overwrite (Garage, rclone, s3rver): on such a store every promise of Floe is
//! void, so it is refused before anything is acknowledged. A new store is asked by the object that makes it one:
//! whoever creates `cluster` calls [`prove_create_only`] on it right away, which costs two requests and leaves nothing
//! behind; whoever finds `cluster` there opens a store that was proven, and asks nothing.
//! A probe cannot show that creates are atomic under a race: [`crate::check`] tries that.

use crate::{Backend, BackendError, Created, Payload, Store, StoreError};
use bytes::Bytes;
use floe_env::Env;
use floe_types::ErrorKind;
use std::sync::Arc;

/// Why a store must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// A second create of a key succeeded.
    #[error("this store overwrites objects: it ignored 'create only if absent' for {key} and cannot keep what Floe acknowledges")]
    Overwrites { key: String },
    /// The answers do not fit together.
    #[error("this store cannot be trusted: {detail}")]
    Contradiction { detail: String },
    /// The store did not answer, or refused; nothing is known about it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProbeError {
    /// What the error asks of the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Overwrites { .. } | Self::Contradiction { .. } => ErrorKind::Invalid,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Creates `key`, which this caller has just created or found, again: with `other`, the same content under another
/// write id. The store is sound if that loses. One PUT and one GET of 64 bytes; nothing is left behind. On a store that
/// overwrites, `other` is what stands there afterwards.
///
/// # Errors
/// `Overwrites`, or the store's failure.
pub async fn prove_create_only(store: &Store, key: &str, other: &Payload) -> Result<(), ProbeError> {
    match store.create(key, other).await? {
        Created::Lost => Ok(()),
        Created::Won => Err(ProbeError::Overwrites { key: key.to_owned() }),
    }
}

/// Asks a store that may hold nothing yet, with a key of its own that is deleted at the end: five requests.
///
/// # Errors
/// `Overwrites`, `Contradiction`, or the store's failure.
pub async fn probe(env: &Env, store: &Store) -> Result<(), ProbeError> {
    let key = format!("probe/{:032x}", env.random_u128());
    let body = |id: u128| Payload::from(Bytes::from(format!("floe probe {id:032x}, to be deleted by who wrote it.\n")));
    let (first, second) = (body(env.random_u128()), body(env.random_u128()));
    let outcome = probe_key(store, &key, &first, &second).await;
    let deleted = store.delete(&key).await;
    outcome.and(deleted.map_err(ProbeError::from))
}

async fn probe_key(store: &Store, key: &str, first: &Payload, second: &Payload) -> Result<(), ProbeError> {
    let contradiction = |detail: String| Err(ProbeError::Contradiction { detail });
    if store.create(key, first).await? != Created::Won {
        return contradiction(format!("{key}, a random name, is said to exist"));
    }
    prove_create_only(store, key, second).await?;
    match store.get(key).await {
        Ok(found) if found == first.to_bytes() => Ok(()),
        Ok(_) => contradiction(format!("{key} does not hold what was written to it")),
        Err(StoreError::NotFound { .. }) => contradiction(format!("{key} was created and is not there")),
        Err(error) => Err(error.into()),
    }
}

/// One attempt to create, for checks that look at single answers: an unknown outcome is resolved by reading.
pub(crate) async fn create_once(backend: &Arc<dyn Backend>, key: &str, body: &Payload) -> Result<Created, BackendError> {
    match backend.create(key, body.clone()).await {
        Ok(()) => Ok(Created::Won),
        Err(BackendError::Exists) => Ok(Created::Lost),
        Err(BackendError::Unknown(_)) => Ok(if backend.get(key).await? == body.to_bytes() { Created::Won } else { Created::Lost }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryBackend, Op, StoreOptions};
    use std::ops::Range;

    /// Ignores "only if absent".
    #[derive(Debug)]
    struct Overwriting(MemoryBackend);

    #[async_trait::async_trait]
    impl Backend for Overwriting {
        async fn create(&self, key: &str, body: Payload) -> Result<(), BackendError> {
            self.0.delete(key).await?;
            self.0.create(key, body).await
        }
        async fn get(&self, key: &str) -> Result<Bytes, BackendError> {
            self.0.get(key).await
        }
        async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BackendError> {
            self.0.get_range(key, range).await
        }
        async fn get_start(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
            self.0.get_start(key, len).await
        }
        async fn get_tail(&self, key: &str, len: u64) -> Result<(u64, Bytes), BackendError> {
            self.0.get_tail(key, len).await
        }
        async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<crate::ObjectInfo>, BackendError> {
            self.0.list(prefix, after, limit).await
        }
        async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, BackendError> {
            self.0.list_folders(prefix).await
        }
        async fn delete(&self, key: &str) -> Result<(), BackendError> {
            self.0.delete(key).await
        }
    }

    fn body(id: u8) -> Payload {
        Bytes::from(vec![id; 80]).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_store_proves_itself_with_two_requests_and_no_garbage() {
        let env = Env::simulated(1);
        let store = Store::new(env, Arc::new(MemoryBackend::new()), StoreOptions::default());
        assert_eq!(store.create("cluster", &body(1)).await, Ok(Created::Won));
        let before = store.metrics().counts().requests;
        assert_eq!(prove_create_only(&store, "cluster", &body(2)).await, Ok(()));
        assert_eq!(store.metrics().counts().requests - before, 2);
        assert_eq!(store.get("cluster").await, Ok(body(1).to_bytes()));
        assert_eq!(store.list("", None, 10).await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn t13_a_store_that_overwrites_is_refused() {
        let env = Env::simulated(1);
        let store = Store::new(env.clone(), Arc::new(Overwriting(MemoryBackend::new())), StoreOptions::default());
        assert_eq!(store.create("cluster", &body(1)).await, Ok(Created::Won));
        let error = prove_create_only(&store, "cluster", &body(2)).await.expect_err("it overwrites");
        assert_eq!((error.kind(), &error), (ErrorKind::Invalid, &ProbeError::Overwrites { key: "cluster".into() }));
        assert!(matches!(probe(&env, &store).await, Err(ProbeError::Overwrites { .. })));
        assert_eq!(store.list("probe", None, 10).await, Ok(vec![]), "its own key is deleted all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_of_an_empty_store_leaves_it_empty() {
        let env = Env::simulated(1);
        let store = Store::new(env.clone(), Arc::new(MemoryBackend::new()), StoreOptions::default());
        assert_eq!(probe(&env, &store).await, Ok(()));
        assert_eq!(store.list("", None, 10).await, Ok(vec![]));
        assert_eq!(store.metrics().requests(Op::Create), 2);
    }
}
