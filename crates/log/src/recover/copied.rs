//! What other disks, and this one, have of a dead incarnation's copied WALs (R5, R7).

use super::OfCluster;
use super::packs::RecoveryPacks;
use crate::OpenError;
use crate::copies::{Sealed, unflushed};
use crate::row::{Row, RowReader};
use crate::start::Start;
use floe_env::{Mutant, mutated};
use floe_formats::{Claim, WalPosition};
use floe_objstore::StoreError;
use floe_types::{Incarnation, SlotNumber};

/// Looks at a row whose owner deletes and writes on meanwhile.
const LOOKS: u32 = 16;

impl Start {
    /// Seals enough disks of every generation that is not wholly flushed. Racing and repeating are harmless.
    pub(super) async fn seal_copies<'a>(
        &self,
        reader: &RowReader<'_>,
        (of, by): (OfCluster<'a>, Incarnation),
        claims: &[Claim],
    ) -> Result<Sealed<'a>, OpenError> {
        let needed = if unflushed(claims, None).is_empty() { Vec::new() } else { unflushed(claims, reader.covered().await?) };
        let newest_alone = needed.len().saturating_sub(if mutated(Mutant::NewestGenerationAlone) { 1 } else { needed.len() });
        Ok(Sealed::of((of.copies, of.lost), reader.incarnation, by, needed.get(newest_alone..).unwrap_or_default()).await?)
    }
}

impl RowReader<'_> {
    /// What the last slot before the first free one, or before a stop, says to be covered; none while there is none, or no WAL has begun.
    async fn covered(&self) -> Result<Option<WalPosition>, OpenError> {
        for _ in 0..LOOKS {
            let from = self.newest_index().await?.map_or(SlotNumber(0), |index| SlotNumber(index.covers.0.saturating_sub(1)));
            let (mut packs, mut next) = (Vec::new(), from);
            match self.read_on(&mut packs, &mut next).await {
                // Nothing where an index says that something is: it was deleted, behind a newer index.
                Ok(_) if packs.is_empty() && from.0 > 0 => {}
                Ok(_) => return Ok(packs.last().and_then(|pack| pack.footer.wal_from)),
                Err(OpenError::Store(StoreError::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(OpenError::RowNotStopped(self.incarnation))
    }
}

/// Reads the sealed copies, once the row is stopped.
pub(super) async fn gather(reader: &RowReader<'_>, sealed: Sealed<'_>, row: &Row, packs: &mut RecoveryPacks<'_>) -> Result<(), OpenError> {
    if sealed.is_empty() {
        return Ok(());
    }
    let covered = match (row.packs.last(), row.stop.0.checked_sub(1)) {
        (Some(last), _) => last.footer.wal_from,
        // The newest index covers all that there is.
        (None, Some(last)) => reader.footer_of(SlotNumber(last)).await?.wal_from,
        (None, None) => None,
    };
    let (mut gather, mut entries) = (sealed.read(covered), 0);
    while let Some(more) = gather.next().await? {
        entries += more.len();
        packs.keep(more);
        packs.send_full().await?;
    }
    tracing::info!(incarnation = reader.incarnation.0, entries, "read the copies of its WALs");
    Ok(())
}
