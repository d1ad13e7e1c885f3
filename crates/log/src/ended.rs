//! How an incarnation ends, told once to everybody who waits.

use floe_env::Watched;
use floe_types::Incarnation;

/// Why nothing more is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A later owner has stopped this row, or something in it is not ours (R10).
    Fenced { by: Option<Incarnation>, found: String },
    /// The local disk, or an invariant, failed: what was acknowledged is recovered at the next start.
    Failed { why: String },
    /// Everything is flushed and the chain is closed.
    Drained,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fenced { by: Some(by), found } => write!(f, "stopped by a newer broker (incarnation {by}): {found}"),
            Self::Fenced { by: None, found } => write!(f, "stopped by a newer broker: {found}"),
            Self::Failed { why } => write!(f, "failed: {why}"),
            Self::Drained => f.write_str("drained"),
        }
    }
}

/// The first end that is told stays.
#[derive(Debug)]
pub(crate) struct End(Watched<Option<Ended>>);

impl End {
    pub(crate) fn new() -> Self {
        Self(Watched::new(None))
    }

    /// True if this was the first to be told.
    pub(crate) fn tell(&self, ended: Ended) -> bool {
        self.0.set_if(|current| {
            let first = current.is_none();
            current.get_or_insert(ended);
            first
        })
    }

    pub(crate) fn get(&self) -> Option<Ended> {
        self.0.get()
    }

    pub(crate) async fn wait(&self) -> Ended {
        self.0.wait_for(Option::is_some).await.unwrap_or(Ended::Drained)
    }
}
