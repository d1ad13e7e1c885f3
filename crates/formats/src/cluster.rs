//! `cluster`: the first object of every store. Created once, never changed, never deleted.

use crate::{doc::persisted, header::Kind, object::Object};
use floe_types::ClusterId;

persisted! {
    /// Names the cluster that a store belongs to, and how its brokers agree on ownership.
    pub struct Cluster {
        /// The cluster's id, drawn when the store was first used. A data directory that names another one is refused.
        pub cluster: ClusterId,
        /// Whether one broker owns everything, or etcd says who owns what.
        pub mode: Mode,
        /// When the store was first used, in unix milliseconds. For people only.
        pub created_ms: i64,
    }
}

persisted! {
    /// How ownership is decided in this store.
    #[derive(Copy)]
    pub enum Mode {
        /// One broker without etcd: the newest incarnation by claim owns everything.
        Single,
        /// Several brokers: ownership is in etcd. A broker without `--etcd` refuses this store.
        Cluster,
    }
}

impl Object for Cluster {
    const KIND: Kind = Kind::Cluster;
    const VERSION: u16 = 1;
}
