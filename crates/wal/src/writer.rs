//! The writer: one task that makes groups durable, one after the other.
//!
//! * While one group is written and synced, the next one fills: group commit without a linger.
//! * A group is written only when the one before is synced. So every entry of a group proves that all before the group is
//!   durable, and carries that mark (T67).
//! * Durability advances in LSN order, group by group, and sinks are told after it (T05). Of a WAL that is copied they are told when
//!   enough copies have the group ([`crate::commit`]); the copies begin when the local write does.
//! * A failed write or sync ends the WAL for ever. It is never retried: the kernel may have dropped the pages (T11).

use crate::{WalError, append::Group, files::FILE_HEADER, wal::Shared};
use floe_env::{DiskFile, Mutant, mutated};
use floe_types::Lsn;
use std::{io, sync::Arc, time::Duration};

/// How long somebody who waits for the writer's end waits for a file that is being made; nothing of what goes into it was told.
const FILE_PATIENCE: Duration = Duration::from_secs(1);

/// Runs until the WAL is closed and everything is durable, or until it fails.
pub(crate) async fn run(shared: Arc<Shared>) {
    // Whatever ends this task, nobody is to wait for it: a panic within a sink is a failure like any other.
    let mut guard = Guard { shared: &shared, done: false };
    match write_all(&shared).await {
        Ok(()) => {}
        Err(error) => shared.fail(WalError::Failed { error: Arc::new(error) }),
    }
    guard.done = true;
}

struct Guard<'a> {
    shared: &'a Shared,
    done: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.fail(WalError::Failed { error: Arc::new(io::Error::other("the WAL's writer was ended")) });
        }
        self.shared.writer_over.set(true);
    }
}

async fn write_all(shared: &Shared) -> io::Result<()> {
    let mut file = None;
    loop {
        let next = shared.appender.lock().take_group();
        match next {
            Some(group) => write(shared, group, &mut file).await?,
            None if shared.appender.lock().is_drained() => return Ok(()),
            None => shared.work.notified().await,
        }
    }
}

/// The file that is being written, and where it starts.
type Current = Option<(Lsn, Arc<dyn DiskFile>)>;

async fn write(shared: &Shared, mut group: Group, current: &mut Current) -> io::Result<()> {
    shared.begin_write();
    shared.begin_copies(&mut group);
    let file = match current {
        Some((start, file)) if *start == group.file => Arc::clone(file),
        _ => {
            let file = wait_ready(shared, group.file).await?;
            *current = Some((group.file, Arc::clone(&file)));
            file
        }
    };
    // A file's first group brings the file's header.
    let at = if group.start == group.file { 0 } else { FILE_HEADER + (group.start.0 - group.file.0) };
    let parts = std::mem::take(&mut group.parts);
    let began = shared.env.monotonic();
    if mutated(Mutant::AckBeforeSync) {
        file.write_at(at, parts).await?;
        finish(shared, group, began);
        return file.sync_data().await;
    }
    file.write_and_sync(at, parts).await?;
    finish(shared, group, began);
    Ok(())
}

/// The file that starts at `start`; not for ever if none is made any more, or somebody waits for the end.
async fn wait_ready(shared: &Shared, start: Lsn) -> io::Result<Arc<dyn DiskFile>> {
    let hurried = async {
        shared.settling.wait_for(|settling| *settling).await;
        shared.env.sleep(FILE_PATIENCE).await;
    };
    tokio::select! {
        biased;
        file = shared.files.wait_ready(start) => Ok(file),
        failure = shared.failed() => Err(io::Error::other(failure.to_string())),
        () = hurried => Err(io::Error::other("it was closed while it waited for a file")),
    }
}

fn finish(shared: &Shared, group: Group, began: Duration) {
    shared.advance_durable(group.end, shared.env.monotonic().saturating_sub(began));
    match &shared.tap {
        Some(tap) => tap.durable(group.end),
        None => group.sinks().iter().for_each(|sink| sink.durable(group.end)),
    }
    shared.advance_told(group.end);
    shared.appender.lock().give_back(group);
}
