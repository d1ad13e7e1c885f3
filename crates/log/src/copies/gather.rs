//! What the copies of a dead incarnation's WALs hold together (R5, R7): of each generation that is not wholly flushed, enough disks are sealed, and read to their end.
//!
//! | step | |
//! |---|---|
//! | [`unflushed`] | which generations, by what claims and the row's last footer say |
//! | [`Sealed::of`] | all their disks are asked at once; it goes on as soon as each generation has enough of them. Now the row can be stopped (R6) |
//! | [`Sealed::read`] | with what the stopped row's last certain slot says, copies are read |
//! | [`Gather::next`] | one copy after the other, each from front to back; one that turns out to be no answer is replaced by another that is sealed for it |
//!
//! * Enough is n - quorum + 1 of the disks that the claim names: what is left is no quorum, and each quorum that there was has one of them.
//! * Nothing is read before the seals of all generations stand. An answer counts once it was read to its end, and not before (T67).
//! * An owner gives back only what certain slots cover, and a row's last certain slot is never deleted. So a copy that begins above what that slot covers has lost
//!   its front, and is no answer: without this what it has behind would look as if it came behind a hole, and be dropped (R7).
//! * Entries come once for each copy that holds them, with gaps where an owner had trimmed: whoever takes them keeps what lies at or above a partition's end in the slots, up
//!   to its first hole. An entry of a copy that was no answer in the end counts all the same: its checksum holds.
//!
//! Is not: a decision that copies are lost. Too few answers are an error, to be tried again (R12).

use super::{Copies, CopyError, CopyReader};
use floe_env::{Mutant, mutated};
use floe_formats::{Claim, ClaimState, WalKind, WalPosition};
use floe_types::{DiskId, ErrorKind, Generation, Incarnation, Lsn};
use floe_wal::{HeldWal, ReplayedEntry};
use futures::{StreamExt, stream::FuturesUnordered};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Fewer disks have answered than must.
#[derive(Debug, Clone, thiserror::Error)]
#[error("generation {generation} of incarnation {incarnation}: {answered} of the {needed} disks that must answer did: {reasons}")]
pub struct TooFew {
    pub incarnation: Incarnation,
    pub generation: Generation,
    pub answered: usize,
    pub needed: usize,
    /// What those said that did not.
    pub reasons: String,
}

impl TooFew {
    /// `Retry`: a copy may come back (R12).
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Retry
    }
}

/// The generations whose copies must be asked: replicated ones that do not end empty, and whose end no slot before the first free one reaches. `claims` are all of one
/// incarnation, oldest first; `covered` is what the footer of the last certain slot says, if there is one.
#[must_use]
pub fn unflushed(claims: &[Claim], covered: Option<WalPosition>) -> Vec<Claim> {
    let mut found = Vec::new();
    for (n, claim) in claims.iter().enumerate() {
        // Only the owner knows where it ended: a claim that closes the row was written by somebody else.
        let next = claims.get(n + 1).filter(|next| next.state == ClaimState::Open);
        let end = next.and_then(|next| next.previous_end);
        let is_empty = end.is_some_and(|end| end.0 == 0);
        let is_covered = covered.is_some_and(|covered| {
            covered.generation > claim.generation || (covered.generation == claim.generation && end.is_some_and(|end| covered.lsn >= end))
        });
        if claim.state == ClaimState::Open && claim.wal == WalKind::Replicated && !is_empty && !is_covered {
            found.push(claim.clone());
        }
    }
    found
}

/// One generation that is being asked for.
#[derive(Debug)]
struct Asked {
    generation: Generation,
    needed: usize,
    disks: Vec<DiskId>,
    /// Sealed, not read yet; whether it said that it has a copy.
    sealed: VecDeque<(DiskId, bool)>,
    answered: BTreeSet<DiskId>,
    refused: BTreeMap<DiskId, CopyError>,
}

impl Asked {
    /// Nobody waits for what was declared lost, but for all that is left in its place (R12).
    fn new(claim: &Claim, lost: &BTreeSet<DiskId>) -> Self {
        let needed = (claim.replicas.len() + 1).saturating_sub(usize::from(claim.quorum)).max(1);
        let needed = if mutated(Mutant::OneSealIsEnough) { 1 } else { needed };
        let disks: Vec<DiskId> = claim.replicas.iter().copied().filter(|disk| !lost.contains(disk)).collect();
        let needed = needed.min(disks.len());
        Self { generation: claim.generation, needed, disks, sealed: VecDeque::new(), answered: BTreeSet::new(), refused: BTreeMap::new() }
    }

    fn has_enough_seals(&self) -> bool {
        self.sealed.len() + self.answered.len() >= self.needed
    }

    /// Asked neither now nor before.
    fn untried(&self) -> Option<DiskId> {
        let is_sealed = |disk: &DiskId| self.sealed.iter().any(|(sealed, _)| sealed == disk);
        let is_known = |disk: &DiskId| is_sealed(disk) || self.answered.contains(disk) || self.refused.contains_key(disk);
        self.disks.iter().copied().find(|disk| !is_known(disk))
    }

    /// What a disk said when it was asked for its seal.
    fn word(&mut self, disk: DiskId, word: Result<&[HeldWal], CopyError>) {
        match word {
            Ok(held) => self.sealed.push_back((disk, held.iter().any(|held| held.generation == self.generation))),
            Err(error) => drop(self.refused.insert(disk, error)),
        }
    }

    fn too_few(&self, incarnation: Incarnation) -> TooFew {
        let reasons: Vec<String> = self.refused.values().map(CopyError::to_string).collect();
        let answered = self.sealed.len() + self.answered.len();
        TooFew { incarnation, generation: self.generation, answered, needed: self.needed, reasons: reasons.join("; ") }
    }
}

/// Enough disks are sealed, so that nothing more is acknowledged and nothing given back.
#[derive(Debug)]
pub struct Sealed<'a> {
    copies: &'a dyn Copies,
    /// Of whom, and by whom.
    incarnations: (Incarnation, Incarnation),
    /// Oldest first.
    asked: VecDeque<Asked>,
}

impl<'a> Sealed<'a> {
    /// Seals enough disks of each of these generations of `incarnation`, in the name of `by`. Racing and repeating are harmless. Nobody waits for those of `lost`.
    ///
    /// # Errors
    /// Too few disks gave their word; some did, for ever.
    pub async fn of(
        (copies, lost): (&'a dyn Copies, &BTreeSet<DiskId>),
        incarnation: Incarnation,
        by: Incarnation,
        generations: &[Claim],
    ) -> Result<Self, TooFew> {
        let mut asked: VecDeque<Asked> = generations.iter().map(|claim| Asked::new(claim, lost)).collect();
        let disks: BTreeSet<DiskId> = asked.iter().flat_map(|asked| asked.disks.iter().copied()).collect();
        let seal = |disk: DiskId| async move { (disk, copies.seal(disk, incarnation, by).await) };
        let mut words: FuturesUnordered<_> = disks.into_iter().map(seal).collect();
        while !asked.iter().all(Asked::has_enough_seals) {
            let Some((disk, word)) = words.next().await else { break };
            for generation in asked.iter_mut().filter(|generation| generation.disks.contains(&disk)) {
                generation.word(disk, word.as_deref().map_err(Clone::clone));
            }
        }
        if let Some(lacking) = asked.iter().find(|generation| !generation.has_enough_seals()) {
            return Err(lacking.too_few(incarnation));
        }
        Ok(Self { copies, incarnations: (incarnation, by), asked })
    }

    /// Nothing has to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Begins to read. `covered` is what the last certain slot of the row says, once that is stopped; none if there never was a certain slot.
    #[must_use]
    pub fn read(self, covered: Option<WalPosition>) -> Gather<'a> {
        Gather { sealed: self, covered, reading: None }
    }
}

/// Reads the sealed copies of one incarnation.
#[derive(Debug)]
pub struct Gather<'a> {
    sealed: Sealed<'a>,
    covered: Option<WalPosition>,
    reading: Option<(DiskId, Box<dyn CopyReader>)>,
}

impl Gather<'_> {
    /// The next entries; none once enough copies of each generation were read to their end.
    ///
    /// # Errors
    /// So many turned out to be no answer that too few are left.
    pub async fn next(&mut self) -> Result<Option<Vec<ReplayedEntry>>, TooFew> {
        let (incarnation, _) = self.sealed.incarnations;
        while let Some(asked) = self.sealed.asked.front_mut() {
            if let Some((disk, reader)) = &mut self.reading {
                let disk = *disk;
                let begins = match reader.next().await {
                    Ok(Some(entries)) => return Ok(Some(entries)),
                    Ok(None) => whole(disk, reader.replayed().start, asked.generation, self.covered),
                    Err(error) => Err(error),
                };
                match begins {
                    Ok(()) => drop(asked.answered.insert(disk)),
                    Err(error) => drop(asked.refused.insert(disk, error)),
                }
                self.reading = None;
            } else if asked.answered.len() >= asked.needed {
                self.sealed.asked.pop_front();
            } else if let Some((disk, has_copy)) = asked.sealed.pop_front() {
                match self.sealed.copies.read(disk, incarnation, asked.generation).await {
                    Ok(Some(reader)) => self.reading = Some((disk, reader)),
                    Ok(None) if has_copy => {
                        asked.refused.insert(disk, CopyError::NoAnswer { disk, reason: "the copy that it had is missing".into() });
                    }
                    // It never held any of it, and never will.
                    Ok(None) => drop(asked.answered.insert(disk)),
                    Err(error) => drop(asked.refused.insert(disk, error)),
                }
            } else {
                self.seal_another().await?;
            }
        }
        Ok(None)
    }

    /// One more disk of the generation that is read, instead of one that was no answer.
    async fn seal_another(&mut self) -> Result<(), TooFew> {
        let (incarnation, by) = self.sealed.incarnations;
        let Some(asked) = self.sealed.asked.front_mut() else { return Ok(()) };
        let Some(disk) = asked.untried() else { return Err(asked.too_few(incarnation)) };
        let word = self.sealed.copies.seal(disk, incarnation, by).await;
        asked.word(disk, word.as_deref().map_err(Clone::clone));
        Ok(())
    }
}

/// Whether a copy that begins at `start` may have begun there.
fn whole(disk: DiskId, start: Lsn, generation: Generation, covered: Option<WalPosition>) -> Result<(), CopyError> {
    let highest = match covered {
        Some(covered) if covered.generation > generation => return Ok(()),
        Some(covered) if covered.generation == generation => covered.lsn,
        // Nothing of it is in any slot.
        Some(_) | None => Lsn(0),
    };
    if start <= highest || mutated(Mutant::CopyFrontNotChecked) {
        return Ok(());
    }
    let reason = format!("its copy of generation {generation} begins at {start}, and nobody has given back what lies above {highest}");
    Err(CopyError::NoAnswer { disk, reason })
}

#[cfg(test)]
mod tests;
