//! `catalog/~v`: topics and their settings, as versioned deltas with checkpoints (R16). The newest is never deleted (R18).

use crate::{
    FormatError, body,
    doc::persisted,
    header::{Kind, OBJECT_HEADER_LEN},
    object::Object,
};
use floe_types::{BrokerId, TopicId};
use serde::Deserialize;
use std::collections::BTreeMap;

persisted! {
    /// One version of the catalog: what changed since the version before, or all there is.
    pub struct CatalogVersion {
        /// The version, from 1. Its key carries the same number.
        pub version: u64,
        /// The change or the whole.
        pub body: CatalogBody,
    }
}

persisted! {
    /// What a catalog version holds.
    pub enum CatalogBody {
        /// Changes to the version before, in order; all of them or none.
        Delta(Vec<CatalogChange>),
        /// The whole catalog as of this version: nothing before it need be read.
        Checkpoint(CatalogState),
    }
}

persisted! {
    /// One change to the catalog.
    pub enum CatalogChange {
        /// A topic now exists.
        CreateTopic(Topic),
        /// A topic no longer exists; its id stays known as deleted, so that its objects may be swept (R21).
        DeleteTopic {
            /// The topic.
            id: TopicId,
            /// When, in unix milliseconds. For people and grace periods only.
            deleted_ms: i64,
        },
        /// A topic's setting has changed.
        SetTopicConfig {
            /// The topic.
            id: TopicId,
            /// The setting's name.
            key: String,
            /// The new value; none puts the default back.
            value: Option<String>,
        },
        /// A topic has more partitions.
        SetPartitions {
            /// The topic.
            id: TopicId,
            /// The new number of partitions.
            count: i32,
        },
        /// A setting of brokers has changed. From version 2 on.
        SetBrokerConfig {
            /// The broker; none for all that have no value of their own.
            broker: Option<BrokerId>,
            /// The setting's name.
            key: String,
            /// The new value; none takes it away.
            value: Option<String>,
        },
    }
}

persisted! {
    /// A topic.
    pub struct Topic {
        /// Its identity: a re-created name gets a new one.
        pub id: TopicId,
        /// Its name, as clients use it.
        pub name: String,
        /// Number of partitions.
        pub partitions: i32,
        /// Settings that differ from the broker's defaults, as clients gave them.
        pub configs: BTreeMap<String, String>,
        /// When it was created, in unix milliseconds. For people only.
        pub created_ms: i64,
    }
}

persisted! {
    /// Everything as of one version.
    #[derive(Default)]
    pub struct CatalogState {
        /// Topics that exist, by id.
        pub topics: BTreeMap<TopicId, Topic>,
        /// Topics that were deleted, and when in unix milliseconds.
        pub deleted: BTreeMap<TopicId, i64>,
        /// Settings altered while brokers ran, for all that have no value of their own. From version 2 on.
        pub all_brokers: BTreeMap<String, String>,
        /// Settings altered while a broker ran, by broker. From version 2 on.
        pub brokers: BTreeMap<BrokerId, BTreeMap<String, String>>,
    }
}

/// Version 1: nothing of brokers.
#[derive(Deserialize)]
struct CatalogVersion1 {
    version: u64,
    body: CatalogBody1,
}

#[derive(Deserialize)]
enum CatalogBody1 {
    Delta(Vec<CatalogChange>),
    Checkpoint { topics: BTreeMap<TopicId, Topic>, deleted: BTreeMap<TopicId, i64> },
}

impl Object for CatalogVersion {
    const KIND: Kind = Kind::Catalog;
    const VERSION: u16 = 2;

    fn read_earlier(_only_version_1: u16, bytes: &[u8]) -> Result<Self, FormatError> {
        let CatalogVersion1 { version, body } = body::read(Self::KIND.name(), bytes, OBJECT_HEADER_LEN as u64)?;
        let body = match body {
            CatalogBody1::Delta(changes) => CatalogBody::Delta(changes),
            CatalogBody1::Checkpoint { topics, deleted } => {
                CatalogBody::Checkpoint(CatalogState { topics, deleted, ..CatalogState::default() })
            }
        };
        Ok(Self { version, body })
    }

    fn check(&self) -> Result<(), &'static str> {
        match &self.body {
            CatalogBody::Checkpoint(state) if state.topics.iter().any(|(id, topic)| *id != topic.id) => {
                Err("a topic stands under another's id")
            }
            _ => Ok(()),
        }
    }
}
