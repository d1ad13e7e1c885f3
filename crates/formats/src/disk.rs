//! Small files of the local disk: who the disk is, and which incarnations it has sealed. Same envelope as objects.

use crate::{doc::persisted, header::Kind, object::Object};
use floe_types::{ClusterId, DiskId, Incarnation};

persisted! {
    /// Who a data directory is, for ever (R2).
    #[derive(Copy)]
    pub struct DiskIdentity {
        /// The disk's id, drawn when the directory was first used.
        pub disk: DiskId,
        /// The cluster that it belongs to; none before it first met a store.
        pub cluster: Option<ClusterId>,
    }
}

persisted! {
    /// A disk's word to accept nothing more of an incarnation, for ever (R5, R11).
    #[derive(Copy)]
    pub struct Seal {
        /// The incarnation that is sealed.
        pub incarnation: Incarnation,
        /// The incarnation that asked for it.
        pub by: Incarnation,
    }
}

impl Object for DiskIdentity {
    const KIND: Kind = Kind::DiskIdentity;
    const VERSION: u16 = 1;
}

impl Object for Seal {
    const KIND: Kind = Kind::Seal;
    const VERSION: u16 = 1;
}
