//! The row of marks in the object store.

use super::MarkRow;
use async_trait::async_trait;
use floe_env::Env;
use floe_formats::{Mark, Writer, decode, encode, keys};
use floe_objstore::{Created, Payload, Store};
use floe_types::{Incarnation, WriteId};

/// `mark/~n` in a store, each created only if absent.
#[derive(Debug, Clone)]
pub struct StoreMarks {
    env: Env,
    store: Store,
    incarnation: Incarnation,
}

impl StoreMarks {
    /// Marks are written in the name of `incarnation`.
    #[must_use]
    pub fn new(env: Env, store: Store, incarnation: Incarnation) -> Self {
        Self { env, store, incarnation }
    }
}

#[async_trait]
impl MarkRow for StoreMarks {
    async fn ensure(&self, number: u64, nonce: WriteId) -> Result<WriteId, String> {
        let writer = Writer { write_id: WriteId(self.env.random_u128()), incarnation: self.incarnation, revision: 0 };
        let (key, body) = (keys::mark(number), Payload::from(encode(&writer, &Mark { number, nonce })));
        match self.store.create(&key, &body).await.map_err(|error| error.to_string())? {
            Created::Won => Ok(nonce),
            Created::Lost => {
                let bytes = self.store.get(&key).await.map_err(|error| error.to_string())?;
                let (_, mark) = decode::<Mark>(&bytes).map_err(|error| format!("{key}: {error}"))?;
                Ok(mark.nonce)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_objstore::{MemoryBackend, StoreOptions};
    use std::sync::Arc;

    #[tokio::test]
    async fn the_first_nonce_of_a_number_stands() {
        let env = Env::real();
        let store = Store::new(env.clone(), Arc::new(MemoryBackend::new()), StoreOptions::default());
        let row = StoreMarks::new(env, store, Incarnation(1));
        for (number, nonce, stands) in [(1, 7, 7), (1, 7, 7), (1, 8, 7), (2, 8, 8)] {
            assert_eq!(row.ensure(number, WriteId(nonce)).await, Ok(WriteId(stands)));
        }
    }
}
