//! Deliberate faults, so that the proofs can be shown to find them.
//!
//! `mutated(..)` guards each of them where the rule is kept. Without feature `mutants` it is constantly false, and with it a
//! build without debug assertions is refused, so that no release can carry one.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("feature `mutants` holds deliberate faults: it must not be part of a release build");

/// Each breaks one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// A replica counts as durable what it has received, not what it has fsynced (T03).
    ReplicaTellsWhatItReceived,
    /// A replica keeps the owner's marks, which speak of the owner's disk (R7).
    ReplicaKeepsMarks,
    /// After a restart a replica's end is fsynced, not written anew (decision 1, `SealOnlyFsyncs`).
    TailOnlySynced,
    /// What a replica must hold is not kept: a shorter one counts (R5).
    AcknowledgedForgotten,
    /// A seal counts before it is durable (R5, T64).
    SealNotSynced,
    /// A standby counts as having what was sent to it (T03, T04).
    StandbyCountsSent,
    /// One copy of a WAL is a quorum (T48).
    OneIsAQuorum,
    /// Recovery reads one sealed copy of three, which may be the one that lacks what the other two acknowledged (R5).
    OneSealIsEnough,
    /// A copy that has lost its front is taken for one whose owner gave that back (R5, R7).
    CopyFrontNotChecked,
    /// An answer from another disk of the same broker counts (R2, T56).
    OtherDiskCounts,
    /// Records count as durable once written, before fdatasync has returned (architecture section 4, step 2).
    AckBeforeSync,
    /// Objects are written unconditionally instead of create-only (T13).
    PlainPut,
    /// A slot counts as certain although one before it is not (T05).
    SlotsAckedOutOfOrder,
    /// The WAL is trimmed before the slots that cover it are certain (T06).
    TrimBeforeCertain,
    /// Recovery keeps what lies behind a hole (R7, T50).
    HoleKept,
    /// A slot that holds another's write id is taken for one's own (R10).
    ForeignSlotTakenForOwn,
    /// A later log start counts before its event is in a certain slot (R15).
    LogStartBeforeEvent,
    /// What was merged leaves the index before the manifest that names it counts (R15, R19).
    DroppedBeforeCounted,
    /// What compaction rewrote is published on the manifest that it began with, not on the newest (R15, T26).
    StaleCompaction,
    /// Slots are deleted before the index that names the new front stands (R19, T63).
    DeletedBeforeIndex,
    /// A stop counts although the row was deleted beyond it (R6, T63).
    FrontNotChecked,
    /// Recovery takes a row as far as it goes, and stops nobody from going on in it (R6).
    StopSkipped,
    /// An `end` leaves out what its chain was given and had not indexed yet (R8).
    BaseForgotten,
    /// A recoverer reads who owns what before it marks the incarnation (R4, R8).
    RecordReadBeforeSealing,
    /// A drain leaves out of its `end` what was given to the broker meanwhile (R8, R13).
    DrainEndsUnopened,
    /// A partition is handed over before a manifest says all that it has (R13).
    MovesUntold,
    /// A partition is handed over while it takes records (R13).
    MovesWhileAppending,
    /// The owner appends again when the answer of a hand-over was lost (R13, T55).
    AppendsAfterLostAnswer,
    /// A partition is opened once more by a view from before it was given away (R13, T18).
    OpensByOldView,
    /// What a partition that was left has not flushed is forgotten also of who leads it here again (R7, R11).
    LeftTakesPlace,
    /// A partition is given to an incarnation that is not open any more (R13, T66).
    GivenToTheClosed,
    /// A broker deletes slots of closed chains by what it leads itself, whoever leads the rest (R19).
    OthersSlotsDeleted,
    /// An owner goes on in a generation's WAL behind the end that the next claim names (R2).
    AppendedBehindEnd,
    /// Recovery asks for the copies of the newest generation alone (R5).
    NewestGenerationAlone,
    /// Footers speak of the newest generation, whatever of the ones before is not in slots (R5, R11).
    FootersNameNewest,
    /// A coordinator answers before the records that the answer rests on are committed.
    AnsweredBeforeCommit,
    /// The log of a coordinator begins where its checkpoint ends, not where it began.
    CheckpointFromItsEnd,
    /// A coordinator answers when it has read some of its partition, not all.
    LoadedInPart,
    /// A coordinator takes over offsets alone: members and generations begin anew.
    GenerationsForgotten,
}

impl Mutant {
    pub const ALL: [Self; 39] = [
        Self::ReplicaTellsWhatItReceived,
        Self::ReplicaKeepsMarks,
        Self::TailOnlySynced,
        Self::AcknowledgedForgotten,
        Self::SealNotSynced,
        Self::StandbyCountsSent,
        Self::OneIsAQuorum,
        Self::OneSealIsEnough,
        Self::CopyFrontNotChecked,
        Self::OtherDiskCounts,
        Self::AckBeforeSync,
        Self::PlainPut,
        Self::SlotsAckedOutOfOrder,
        Self::TrimBeforeCertain,
        Self::HoleKept,
        Self::ForeignSlotTakenForOwn,
        Self::LogStartBeforeEvent,
        Self::DroppedBeforeCounted,
        Self::StaleCompaction,
        Self::DeletedBeforeIndex,
        Self::FrontNotChecked,
        Self::StopSkipped,
        Self::BaseForgotten,
        Self::RecordReadBeforeSealing,
        Self::DrainEndsUnopened,
        Self::MovesUntold,
        Self::MovesWhileAppending,
        Self::AppendsAfterLostAnswer,
        Self::OpensByOldView,
        Self::LeftTakesPlace,
        Self::GivenToTheClosed,
        Self::OthersSlotsDeleted,
        Self::AppendedBehindEnd,
        Self::NewestGenerationAlone,
        Self::FootersNameNewest,
        Self::AnsweredBeforeCommit,
        Self::CheckpointFromItsEnd,
        Self::LoadedInPart,
        Self::GenerationsForgotten,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether this fault is switched on, on this thread.
#[cfg(feature = "mutants")]
#[must_use]
pub fn mutated(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(mutant)
}

/// Whether this fault is switched on: never, in a build without feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[must_use]
pub const fn mutated(_: Mutant) -> bool {
    false
}

/// The same for a write to `key`: slots only. A store that gets its very first objects wrong is found to be unsafe at the start,
/// and nothing behind that would be tested.
#[inline]
#[must_use]
pub fn mutated_write(mutant: Mutant, key: &str) -> bool {
    mutated(mutant) && key.contains("/slot/")
}

/// Switches one fault on, or all off, for this thread. A simulation runs on one thread.
#[cfg(feature = "mutants")]
pub fn set_mutant(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
}

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use super::*;

    #[test]
    fn one_fault_at_a_time_on_this_thread_only() {
        for chosen in Mutant::ALL {
            set_mutant(Some(chosen));
            assert_eq!(Mutant::ALL.into_iter().filter(|m| mutated(*m)).collect::<Vec<_>>(), [chosen]);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!Mutant::ALL.into_iter().any(mutated)));
        });
        set_mutant(None);
        assert!(!Mutant::ALL.into_iter().any(mutated));
    }
}
