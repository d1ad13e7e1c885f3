//! Ending a predecessor's chain (R4-R9): close its claims, seal its WAL on this disk, or its copies wherever they are, stop its row, keep what only
//! WALs have, and create `end`. Racing is harmless, and whoever comes later goes on at any step.

mod copied;
mod packs;

use crate::OpenError;
use crate::copies::Copies;
use crate::partition::Line;
use crate::row::{Row, RowReader};
use crate::start::{Predecessor, Start};
use copied::gather;
use floe_env::{Mutant, mutated};
use floe_formats::etcd::OwnerEntry;
use floe_formats::{End, Index, PackRef, PartitionIndex, Writer, keys};
use floe_objstore::{Created, Payload, StoreError};
use floe_types::{DiskId, Incarnation, PartitionId, SlotNumber, WriteId};
use floe_wal::{Replay, Replayed, WalError};
use packs::{RecoveryPacks, Stored};
use std::collections::{BTreeMap, BTreeSet};

/// The lines of a chain's partitions, as its row and its WAL make them.
type Lines = BTreeMap<PartitionId, Line>;
/// What ownership names an incarnation for.
pub(crate) type Records = BTreeMap<PartitionId, OwnerEntry>;

/// What recovery has besides in a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfCluster<'a> {
    /// Read after the incarnation was marked (R8).
    pub(crate) records: &'a Records,
    /// The disks that may hold copies of its WALs (R5).
    pub(crate) copies: &'a dyn Copies,
    /// Disks that nobody waits for (R12).
    pub(crate) lost: &'a BTreeSet<DiskId>,
}

impl Start {
    /// Recovers one predecessor; `by` is the incarnation that does it. Its `end`, ours or another's.
    pub(crate) async fn recover(&self, predecessor: &Predecessor, by: Incarnation, of: Option<OfCluster<'_>>) -> Result<End, OpenError> {
        let incarnation = predecessor.incarnation;
        tracing::info!(incarnation = incarnation.0, "recovering the incarnation before");
        let claims = self.close_claims(incarnation, by).await?;
        let mut gave_up = self.check_wals(incarnation, &claims)?;
        gave_up.extend(of.iter().flat_map(|of| of.lost));
        let mine = self.wals_on_this_disk(&claims);
        if !mine.is_empty() {
            floe_wal::seal(&self.disk, incarnation, by).await?;
        }
        let window = claims.iter().map(|claim| claim.window).max().unwrap_or(1);
        let reader = RowReader { env: &self.env, store: &self.store, incarnation };
        // Before the row is stopped: what is acknowledged by copies alone ends here, what lies in slots there (R5, R6).
        let sealed = match of {
            Some(of) => Some(self.seal_copies(&reader, (of, by), &claims).await?),
            None => None,
        };
        let (index, row) = self.stop_row(&reader, window, by).await?;
        let base = claims.iter().find_map(|claim| claim.base);
        // The owner may have deleted topics until its row was stopped; what the WAL has of them is not wanted.
        self.catalog.refresh().await?;
        let view = self.catalog_view();
        let (number, front) = index.as_ref().map_or((1, SlotNumber(0)), |index| (index.number + 1, index.front));
        let records = of.map(|of| of.records);
        let mut lines = match records {
            None => self.lines(index, base).await?,
            Some(records) => self.lines_of(incarnation, index, records).await?,
        };
        apply_row(&mut lines, &row, incarnation);
        let mut packs = RecoveryPacks::new(self, (incarnation, by), (&lines, records), &view);
        if let Some(sealed) = sealed {
            gather(&reader, sealed, &row, &mut packs).await?;
        }
        for claim in &mine {
            if !self.replay(claim, &mut packs).await? {
                gave_up.push(self.disk_id);
            }
        }
        let stored = packs.finish().await?;
        let recovery = stored.iter().map(|pack| pack.stored).collect();
        for pack in stored {
            apply(&mut lines, &pack);
        }
        let is_its = |id: PartitionId| !view.is_deleted(id.topic) && records.is_none_or(|records| records.contains_key(&id));
        let partitions = lines.into_values().filter(|line| is_its(line.partition)).map(|line| line.to_index()).collect();
        let index = Index { incarnation, number, front, covers: row.stop, base: None, partitions };
        self.create_end(End { incarnation, by, stop: row.stop, recovery, gave_up, index }).await
    }

    /// Stops the row from the newest index on. The stop counts only if no index that was listed after it has a front
    /// behind it (R6): else the row was deleted up to there, and is read again from that front.
    async fn stop_row(&self, reader: &RowReader<'_>, window: u32, by: Incarnation) -> Result<(Option<Index>, Row), OpenError> {
        let mut index = reader.newest_index().await?;
        loop {
            let from = index.as_ref().map_or(SlotNumber(0), |index| index.covers);
            let stopped = reader.stop(from, window, by).await;
            let newest = reader.newest_index().await?;
            let front = newest.as_ref().map_or(SlotNumber(0), |newest| newest.front);
            match stopped {
                Ok(row) if front <= row.stop || mutated(Mutant::FrontNotChecked) => return Ok((index, row)),
                Ok(_) => {}
                // Listed, and deleted before it was read.
                Err(error) if is_missing_below(&error, front) => {}
                Err(error) => return Err(error),
            }
            index = newest;
        }
    }

    /// The chain's lines before the row is read: its newest index, or what its base's `end` lists.
    async fn lines(&self, index: Option<Index>, base: Option<Incarnation>) -> Result<Lines, OpenError> {
        let index = match (index, base) {
            (Some(index), _) => Some(index),
            (None, Some(base)) => Some(self.read_end(base).await?.index),
            (None, None) => None,
        };
        let partitions = index.map(|index| index.partitions).unwrap_or_default();
        Ok(partitions.into_iter().map(|line| (line.partition, Line::from_index(line))).collect())
    }

    /// The same for what ownership names the chain for: its newest index, where that is of the record's epoch, else what it found when it was given the partition.
    async fn lines_of(&self, incarnation: Incarnation, index: Option<Index>, records: &Records) -> Result<Lines, OpenError> {
        let listed = index.map(|index| index.partitions).unwrap_or_default();
        let is_current = |line: &PartitionIndex| records.get(&line.partition).is_some_and(|owner| owner.epoch == line.epoch);
        let mut lines: Lines = listed.into_iter().filter(is_current).map(|line| (line.partition, Line::from_index(line))).collect();
        if mutated(Mutant::BaseForgotten) {
            return Ok(lines);
        }
        let view = self.catalog_view();
        let is_unlisted = |id: &PartitionId| !lines.contains_key(id) && !view.is_deleted(id.topic);
        let unlisted = records.iter().filter(|(id, _)| is_unlisted(id)).map(|(id, owner)| (*id, *owner)).collect();
        for (id, line) in self.left(&unlisted).await {
            // An `end` is for ever: it is not created without any of them.
            let line = line.map_err(|error| OpenError::Inherits { incarnation, partition: id, error })?;
            lines.insert(id, Line::from_index(line));
        }
        Ok(lines)
    }

    /// Stores, of one generation's WAL, what the row does not have. False if the rest of a damaged WAL was given up.
    async fn replay(&self, claim: &floe_formats::Claim, packs: &mut RecoveryPacks<'_>) -> Result<bool, OpenError> {
        let incarnation = claim.incarnation;
        match self.replay_into(claim, packs).await {
            // Claimed and never begun.
            Ok(()) | Err(OpenError::Wal(WalError::Missing { .. })) => Ok(true),
            Err(OpenError::Wal(source @ WalError::Damaged { .. })) if self.options.take_over => {
                tracing::error!(error = %source, "giving up what lies behind the damage, as --take-over says");
                Ok(false)
            }
            Err(OpenError::Wal(source @ WalError::Damaged { .. })) => Err(OpenError::WalDamaged { incarnation, source }),
            Err(other) => Err(other),
        }
    }

    async fn replay_into(&self, claim: &floe_formats::Claim, packs: &mut RecoveryPacks<'_>) -> Result<(), OpenError> {
        let (incarnation, generation) = (claim.incarnation, claim.generation);
        let dir = crate::start::wal_dir(incarnation, generation);
        let mut replay = Replay::open(&self.disk, &dir, incarnation, generation).await?;
        while let Some(entries) = replay.next().await? {
            packs.keep(entries);
            packs.send_full().await?;
        }
        let Replayed { entries, end, torn, .. } = replay.replayed();
        tracing::info!(incarnation = incarnation.0, entries, end = end.0, torn, "replayed a WAL");
        Ok(())
    }

    async fn create_end(&self, end: End) -> Result<End, OpenError> {
        let key = keys::end(end.incarnation);
        let body = Payload::from(floe_formats::encode(&self.writer(end.by), &end));
        match self.store.create(&key, &body).await? {
            Created::Won => Ok(end),
            // Another recoverer was first: its end counts.
            Created::Lost => self.read_end(end.incarnation).await,
        }
    }

    pub(super) fn writer(&self, incarnation: Incarnation) -> Writer {
        Writer { write_id: WriteId(self.env.random_u128()), incarnation, revision: 0 }
    }

    /// Disks whose WALs cannot be asked; refused unless they are to be given up.
    fn check_wals(&self, incarnation: Incarnation, claims: &[floe_formats::Claim]) -> Result<Vec<DiskId>, OpenError> {
        let elsewhere = self.wals_elsewhere(claims);
        match elsewhere.first() {
            Some(disk) if !self.options.take_over => Err(OpenError::LocalElsewhere { incarnation, disk: *disk }),
            _ => Ok(elsewhere),
        }
    }
}

/// Whether a slot was not there because the row was deleted beyond it.
fn is_missing_below(error: &OpenError, front: SlotNumber) -> bool {
    match error {
        OpenError::Store(StoreError::NotFound { key }) => keys::parse_slot(key).is_ok_and(|(_, slot)| slot < front),
        _ => false,
    }
}

fn apply_row(lines: &mut Lines, row: &Row, incarnation: Incarnation) {
    for pack in &row.packs {
        let stored = PackRef::Slot { incarnation, slot: pack.slot };
        for segment in &pack.footer.segments {
            let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
            line.apply(segment, segment.to_ref(stored, pack.pack_len, pack.footer_len));
        }
    }
}

fn apply(lines: &mut Lines, pack: &Stored) {
    for segment in &pack.footer.segments {
        let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
        line.apply(segment, segment.to_ref(pack.stored, pack.pack_len, pack.footer_len));
    }
}
