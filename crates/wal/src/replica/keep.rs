//! What of a replica is kept beside its folder: how far it was trimmed, and how much of it was acknowledged for certain.
//!
//! One task writes, so that whoever is cancelled while it waits leaves nothing behind that lands late over something newer. For the same reason it is
//! ended, and waited for, before anybody else writes or removes that file.

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
    /// None once it is ended.
    wanted: Watched<Option<State>>,
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
        let shared = Arc::new(Shared { wanted: Watched::new(Some(state)), kept: Watched::new(Ok(state)) });
        let keeping = Keeping { env: env.clone(), disk: Arc::clone(disk), path, shared: Arc::clone(&shared) };
        let wal = Arc::clone(&wal.shared);
        let work = async move {
            let why = keeping.run(state).await;
            if let WalError::Failed { .. } = why {
                wal.fail(why.clone());
            }
            keeping.shared.kept.set(Err(why));
        };
        Self { _task: env.spawn("replica keeper", work), shared }
    }

    /// Marks never go down.
    pub(crate) fn raise(&self, trimmed: Lsn, acknowledged: Lsn) {
        self.shared.wanted.set_if(|wanted| {
            let Some(wanted) = wanted else { return false };
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

    /// Keeps nothing more; when this returns nothing is being written.
    pub(crate) async fn end(&self) {
        self.shared.wanted.set(None);
        drop(self.shared.kept.wait_for(Result::is_err).await);
    }
}

struct Keeping {
    env: Env,
    disk: Arc<dyn Disk>,
    path: String,
    shared: Arc<Shared>,
}

impl Keeping {
    /// Why nothing more is kept.
    async fn run(&self, mut kept: State) -> WalError {
        loop {
            let Some(wanted) = self.shared.wanted.wait_for(|wanted| *wanted != Some(kept)).await else { return WalError::Closed };
            match write(&self.disk, &self.path, &wanted).await {
                Ok(()) => {
                    kept = wanted;
                    self.shared.kept.set(Ok(kept));
                }
                // Nothing was changed; a later attempt writes another file.
                Err(error) if crate::files::is_no_space(&error) => self.env.sleep(NO_SPACE_PAUSE).await,
                Err(error) => return WalError::Failed { error: Arc::new(error) },
            }
        }
    }
}
