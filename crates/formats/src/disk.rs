//! Small files of the local disk: who the disk is, which incarnations it has sealed, what it has acknowledged of others' WALs.
//! Same envelope as objects.

use crate::{
    FormatError, body,
    doc::persisted,
    header::{Kind, OBJECT_HEADER_LEN},
    object::Object,
};
use floe_types::{BrokerId, ClusterId, DiskId, Generation, Incarnation, Lsn};
use serde::Deserialize;

persisted! {
    /// Who a data directory is, for ever (R2).
    #[derive(Copy)]
    pub struct DiskIdentity {
        /// The disk's id, drawn when the directory was first used.
        pub disk: DiskId,
        /// The cluster that it belongs to; none before it first met a store.
        pub cluster: Option<ClusterId>,
        /// The broker id that it got when it was left to the cluster (`broker.id = auto`); none: it was never.
        pub broker: Option<BrokerId>,
    }
}

/// Version 1: ids were given by hand.
#[derive(Deserialize)]
struct DiskIdentity1 {
    disk: DiskId,
    cluster: Option<ClusterId>,
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

persisted! {
    /// What a disk must hold of another broker's WAL: a replica that holds less has lost something, and is no answer (R5, R11).
    #[derive(Copy)]
    pub struct Replica {
        /// The incarnation whose WAL it is a copy of.
        pub incarnation: Incarnation,
        /// The generation whose WAL it is.
        pub generation: Generation,
        /// What lies below was given back on the owner's word; the first file starts here or before.
        pub trimmed: Lsn,
        /// What lies below was fsynced here and told to the owner; it may have been told of more.
        pub acknowledged: Lsn,
    }
}

impl Object for DiskIdentity {
    const KIND: Kind = Kind::DiskIdentity;
    const VERSION: u16 = 2;

    fn read_earlier(_only_version_1: u16, bytes: &[u8]) -> Result<Self, FormatError> {
        let DiskIdentity1 { disk, cluster } = body::read(Self::KIND.name(), bytes, OBJECT_HEADER_LEN as u64)?;
        Ok(Self { disk, cluster, broker: None })
    }
}

impl Object for Seal {
    const KIND: Kind = Kind::Seal;
    const VERSION: u16 = 1;
}

impl Object for Replica {
    const KIND: Kind = Kind::Replica;
    const VERSION: u16 = 1;
}
