//! Deleting replicas: of one generation, once its owner says that all of it is certain elsewhere; of an incarnation, once it is closed (R11). Seals stay.

use super::{Inner, Known, Name, dir, state_path};
use crate::{WalError, replica::Replica, seal, trim};
use floe_types::Incarnation;
use std::sync::Arc;

impl Inner {
    pub(super) async fn forget(&self, name: Name) -> Result<(), WalError> {
        let incarnation = name.0;
        if seal::is_sealed(&self.disk, incarnation).await? {
            return Err(WalError::Sealed { incarnation });
        }
        for (open, replica) in self.open_of(incarnation) {
            if open == name {
                self.end(name, &replica).await;
            }
        }
        // First what says what it must hold: a part of it is no answer then, and deleting needs no room.
        self.disk.remove(&state_path(name)).await.map_err(WalError::disk("remove what was kept of a replica"))?;
        trim::remove_generation(&self.disk, &dir(name)).await?;
        self.gone(name);
        Ok(())
    }

    async fn end(&self, name: Name, replica: &Arc<Replica>) {
        replica.end().await;
        self.known.lock().insert(name, Known::Closed(replica.bytes()));
    }

    fn gone(&self, name: Name) {
        let counted = self.known.lock().remove(&name).map_or(0, |known| known.counted());
        self.room.give_back(counted);
    }

    pub(super) async fn remove(&self, incarnation: Incarnation) -> Result<(), WalError> {
        for (name, replica) in self.open_of(incarnation) {
            self.end(name, &replica).await;
        }
        for name in self.names().await?.into_iter().filter(|name| name.0 == incarnation) {
            trim::remove_generation(&self.disk, &dir(name)).await?;
            self.disk.remove(&state_path(name)).await.map_err(WalError::disk("remove what was kept of a replica"))?;
            self.gone(name);
        }
        Ok(())
    }
}
