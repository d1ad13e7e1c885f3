//! `chain/~i/claim/~g`: by creating it an incarnation, or its next generation, begins (R1, R2). Never deleted (R18).

use crate::{doc::persisted, header::Kind, object::Object};
use floe_types::{BrokerId, DiskId, Generation, Incarnation, Lsn};

persisted! {
    /// The create-only object by which an incarnation, or its next generation, begins; a closed one says that none follows (R4).
    pub struct Claim {
        /// The incarnation that claims.
        pub incarnation: Incarnation,
        /// The generation that begins; 0 is the incarnation's first.
        pub generation: Generation,
        /// Whether entries may follow, or this ends the generations.
        pub state: ClaimState,
        /// The broker whose life this incarnation is.
        pub broker: BrokerId,
        /// The disk that holds the owner's copy of the WAL; none without a WAL.
        pub disk: Option<DiskId>,
        /// The disks that hold copies of the WAL, the owner's among them. An answer from any other disk is no answer (R2).
        pub replicas: Vec<DiskId>,
        /// How many of the replicas must have an entry before it counts as committed.
        pub quorum: u8,
        /// Most slots that are in flight at once: how far behind the first free slot recovery must put stops (R6).
        pub window: u32,
        /// What kind of WAL this generation has.
        pub wal: WalKind,
        /// Where the generation before ended: from sending this claim on, nothing more was appended there. None for the first.
        pub previous_end: Option<Lsn>,
        /// A dead incarnation whose `end` this one took over as its base; none when there was nothing before.
        pub base: Option<Incarnation>,
        /// When the claim was made, in unix milliseconds. For people only.
        pub created_ms: i64,
    }
}

persisted! {
    /// Whether a generation accepts entries.
    #[derive(Copy)]
    pub enum ClaimState {
        /// The generation is in use.
        Open,
        /// No generation follows: written by whoever ends the incarnation (R4).
        Closed,
    }
}

persisted! {
    /// Where entries are made durable before they are flushed.
    #[derive(Copy)]
    pub enum WalKind {
        /// No WAL: records commit by being in a certain slot.
        None,
        /// On the owner's own disk only.
        Local,
        /// On the disks named in `replicas`.
        Replicated,
    }
}

impl Object for Claim {
    const KIND: Kind = Kind::Claim;
    const VERSION: u16 = 1;
}
