//! An export that goes on: round after round what is new, and small files merged at first and then whenever there are enough of them.

use crate::{Export, ExportError, Merged, Progress, Report};

/// Files of each partition, on average, between two merges.
const MERGE_AFTER_EACH: u64 = 16;

/// What the rounds so far have left to merge.
#[derive(Debug, Clone)]
pub struct Follow {
    merges: bool,
    /// Files since the last merge; None: there was none yet.
    fresh: Option<u64>,
}

/// What a round did.
#[derive(Debug)]
pub struct Round {
    pub report: Report,
    /// None: none was due. One that failed is due again in the next round; the table is whole without it.
    pub merged: Option<Result<Merged, ExportError>>,
}

impl Follow {
    #[must_use]
    pub fn new(merges: bool) -> Self {
        Self { merges, fresh: None }
    }

    /// Exports what is new, and merges if that is due.
    ///
    /// # Errors
    /// As [`Export::run`].
    pub async fn round(&mut self, export: &Export, heard: impl Fn(Progress) + Send + Sync + 'static) -> Result<Round, ExportError> {
        let report = export.run(heard).await?;
        self.fresh = self.fresh.map(|fresh| fresh + report.files);
        let is_due = self.fresh.is_none_or(|fresh| fresh >= MERGE_AFTER_EACH * report.partitions.max(1));
        let merged = if self.merges && is_due && export.merges_here() { Some(export.merge().await) } else { None };
        if let Some(Ok(_)) = merged {
            self.fresh = Some(0);
        }
        Ok(Round { report, merged })
    }
}
