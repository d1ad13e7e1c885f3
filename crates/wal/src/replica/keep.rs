//! What of a replica is kept beside its folder: how far it was trimmed, and how much of it was acknowledged for certain.
//!
//! One task writes, so that whoever is cancelled while it waits leaves nothing behind that lands late over something newer.

use crate::{Wal, WalError};
use floe_env::{Disk, Env, Task, Watched};
use floe_formats::{Replica, Writer, decode, encode};
use floe_types::{Lsn, WriteId};
use std::{io, sync::Arc, time::Duration};

pub(crate) type State = Replica;

/// How long to wait before space is asked for again.
const NO_SPACE_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    _task: Task<()>,
}

#[derive(Debug)]
struct Shared {
    wanted: Watched<State>,
    kept: Watched<Result<State, WalError>>,
}

/// Writes the state, durably.
pub(crate) async fn write(disk: &Arc<dyn Disk>, path: &str, state: &State) -> io::Result<()> {
    // A local file: its write id has nothing to tell apart.
    let writer = Writer { write_id: WriteId(0), incarnation: state.incarnation, revision: 0 };
    disk.write_durably(path, encode(&writer, state)).await
}

/// What is kept at `path`; none if nothing ever was.
pub(crate) async fn state_of(disk: &Arc<dyn Disk>, path: &str) -> Result<Option<State>, WalError> {
    let bytes = match disk.read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(WalError::disk("read what is kept of a replica")(error)),
    };
    match decode::<State>(&bytes) {
        Ok((_, state)) => Ok(Some(state)),
        Err(error) => Err(WalError::Damaged { at: Lsn(0), proof: format!("{path}: {error}") }),
    }
}

impl Keeper {
    /// `state` is what is kept by now. A failure to keep more ends `wal`.
    pub(crate) fn start(env: &Env, disk: &Arc<dyn Disk>, path: String, state: State, wal: &Arc<Wal>) -> Self {
        let shared = Arc::new(Shared { wanted: Watched::new(state), kept: Watched::new(Ok(state)) });
        let work = keep(env.clone(), Arc::clone(disk), path, Arc::clone(&shared), Arc::clone(&wal.shared));
        Self { _task: env.spawn("replica keeper", work), shared }
    }

    /// Marks never go down.
    pub(crate) fn raise(&self, trimmed: Lsn, acknowledged: Lsn) {
        self.shared.wanted.set_if(|wanted| {
            let before = *wanted;
            wanted.trimmed = before.trimmed.max(trimmed);
            wanted.acknowledged = before.acknowledged.max(acknowledged);
            *wanted != before
        });
    }

    /// Waits until what is kept is as wanted. Cancellation safe.
    pub(crate) async fn kept(&self, wanted: impl Fn(&State) -> bool) -> Result<State, WalError> {
        self.shared.kept.wait_for(|kept| kept.as_ref().map_or(true, &wanted)).await
    }
}

async fn keep(env: Env, disk: Arc<dyn Disk>, path: String, shared: Arc<Shared>, wal: Arc<crate::wal::Shared>) {
    let mut kept = shared.wanted.get();
    loop {
        let wanted = shared.wanted.wait_for(|wanted| *wanted != kept).await;
        match write(&disk, &path, &wanted).await {
            Ok(()) => {
                kept = wanted;
                shared.kept.set(Ok(kept));
            }
            // Nothing was changed; a later attempt writes another file.
            Err(error) if crate::files::is_no_space(&error) => env.sleep(NO_SPACE_PAUSE).await,
            Err(error) => {
                let failed = WalError::Failed { error: Arc::new(error) };
                wal.fail(failed.clone());
                shared.kept.set(Err(failed));
                return;
            }
        }
    }
}
