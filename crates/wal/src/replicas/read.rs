//! Reading what a sealed disk holds of a generation: entries, and where they end - or that it is no answer (R5, R7).

use super::{Inner, Name, OWN, dir, own_dir, state_path};
use crate::{Replay, Replayed, ReplayedEntry, WalError, reopen, replica::State, replica::state_of, seal};
use floe_env::{Mutant, mutated};
use floe_types::Lsn;

/// A sealed replica that is being read. Nothing on the disk is changed: reading twice gives the same.
#[derive(Debug)]
pub struct SealedReplica {
    /// None where no file was begun.
    replay: Option<Replay>,
    kept: State,
}

impl Inner {
    pub(super) async fn read_sealed(&self, name: Name) -> Result<SealedReplica, WalError> {
        if !seal::is_sealed(&self.disk, name.0).await? {
            return Err(WalError::Invalid { what: format!("incarnation {} is not sealed on this disk", name.0) });
        }
        let (folder, kept) = match state_of(&self.disk, &state_path(name)).await? {
            Some(kept) => (dir(name), kept),
            None => self.without_state(name).await?,
        };
        let replay = match Replay::open(&self.disk, &folder, name.0, name.1).await {
            Ok(replay) => Some(replay),
            Err(WalError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        if replay.is_none() && kept.acknowledged > kept.trimmed && !mutated(Mutant::AcknowledgedForgotten) {
            return Err(WalError::Damaged { at: kept.trimmed, proof: format!("{folder} is missing") });
        }
        Ok(SealedReplica { replay, kept })
    }

    /// A WAL that a broker on this very disk wrote has no state: its marks alone tell.
    async fn without_state(&self, name: Name) -> Result<(String, State), WalError> {
        if self.disk.list(&dir(name)).await.is_ok() {
            return Err(WalError::Damaged { at: Lsn(0), proof: format!("{} is missing", state_path(name)) });
        }
        if !super::names_in(&self.disk, OWN).await?.contains(&name) {
            return Err(WalError::Missing { dir: dir(name) });
        }
        // Where it begins was never kept: any start is as good.
        let kept = State { incarnation: name.0, generation: name.1, trimmed: Lsn(u64::MAX), acknowledged: Lsn(0) };
        Ok((own_dir(name.0, name.1), kept))
    }
}

impl SealedReplica {
    /// The next entries in LSN order, about 4 MiB of them; none behind the last. Not to be cancelled.
    ///
    /// # Errors
    /// `Damaged`: it holds less than it should, so that what was read is no answer. `Format`, `Disk`.
    pub async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, WalError> {
        let Some(replay) = &mut self.replay else { return Ok(None) };
        let entries = replay.next().await?;
        if entries.is_none() && !mutated(Mutant::AcknowledgedForgotten) {
            reopen::check(&self.kept, replay, replay.replayed().end)?;
        }
        Ok(entries)
    }

    /// What was found until now; all of it once [`SealedReplica::next`] gave none.
    #[must_use]
    pub fn replayed(&self) -> Replayed {
        let nothing = Replayed { entries: 0, start: self.kept.trimmed, end: self.kept.trimmed, torn: false };
        self.replay.as_ref().map_or(nothing, Replay::replayed)
    }

    /// What lies below was given back by the owner: it is certain elsewhere.
    #[must_use]
    pub fn trimmed(&self) -> Lsn {
        if self.kept.trimmed == Lsn(u64::MAX) { self.replayed().start } else { self.kept.trimmed }
    }
}
