//! `floe cluster adopt`: a single broker's store becomes a cluster's. The broker has drained, so that everything it led is in its `end`: each partition gets a record that names
//! that incarnation, closed, and whichever brokers come take over from it, as from any other that has ended.
//!
//! The store says `adopted` before etcd says anything, and etcd names the cluster last: until then a broker of a cluster is refused, and from the first on a single one is.

use crate::OpenError;
use crate::open::epoch_of;
use crate::start::{is_adopted, read_cluster};
use floe_env::Env;
use floe_formats::etcd::{IncarnationEntry, OwnerEntry};
use floe_formats::{Claim, Cluster as ClusterObject, End, Mode, Object, Writer, keys};
use floe_metadata::cluster::{Cluster, Owned};
use floe_objstore::{Payload, Store, StoreError};
use floe_types::{Incarnation, PartitionId, WriteId};
use std::collections::BTreeMap;

/// What was adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The last life of the single broker; 0: the store was never used.
    pub incarnation: Incarnation,
    pub partitions: usize,
}

/// Gives a drained single broker's partitions to a cluster. May be done again when it was cut short.
///
/// # Errors
/// `NotDrained`, `NotInherited`: nothing has changed that anybody relies on. `OtherEtcd`: etcd has a cluster already. And the store's and etcd's: do it again.
pub async fn adopt(env: &Env, store: &Store, cluster: &Cluster) -> Result<Adopted, OpenError> {
    let key = keys::cluster();
    let Some(single) = read_cluster(store).await? else { return Err(StoreError::NotFound { key }.into()) };
    if single.mode == Mode::Cluster && !is_adopted(store).await? {
        return Err(OpenError::ClusterStore);
    }
    if let Some(stands) = cluster.founded().await? {
        return Err(OpenError::OtherEtcd { etcd: stands.to_string(), store: single.cluster.to_string() });
    }
    let last = drained(store).await?;
    let writer = Writer { write_id: WriteId(env.random_u128()), incarnation: last, revision: 0 };
    let adopted = ClusterObject { mode: Mode::Cluster, ..single.clone() };
    // Lost: an earlier attempt.
    store.create(&keys::adopted(), &Payload::from(floe_formats::encode(&writer, &adopted))).await?;
    // Looked for again: whoever has claimed since was here before that stood, or ends.
    let last_now = drained(store).await?;
    let catalog = floe_metadata::load(store).await?;
    let mut owners = Vec::new();
    if last_now.0 > 0 {
        let end: End = read(store, &keys::end(last_now)).await?;
        let lines: BTreeMap<PartitionId, i32> = end.index.partitions.iter().map(|line| (line.partition, line.epoch)).collect();
        let owner = OwnerEntry { incarnation: last_now, epoch: epoch_of(last_now), base: None };
        for topic in catalog.topics() {
            for index in 0..topic.partitions {
                let partition = PartitionId { topic: topic.id, index };
                if lines.get(&partition) != Some(&owner.epoch) {
                    return Err(OpenError::NotInherited { partition, base: last_now });
                }
                owners.push(Owned { partition, owner });
            }
        }
    }
    let entry = match last_now.0 {
        0 => None,
        _ => Some((last_now, whose(store, last_now).await?)),
    };
    cluster.adopt(single.cluster, entry.as_ref(), &owners, catalog.version).await?;
    Ok(Adopted { incarnation: last_now, partitions: owners.len() })
}

/// The newest life; it has ended.
async fn drained(store: &Store) -> Result<Incarnation, OpenError> {
    let folders = store.list_folders(&keys::chains_prefix()).await?;
    let Some(newest) = folders.iter().filter_map(|name| keys::parse_chain_folder(name).ok()).max() else { return Ok(Incarnation(0)) };
    match store.get_start(&keys::end(newest), 64).await {
        Ok(_) => Ok(newest),
        Err(StoreError::NotFound { .. }) => Err(OpenError::NotDrained(newest)),
        Err(error) => Err(error.into()),
    }
}

/// Whose life it was, as its first claim says.
async fn whose(store: &Store, incarnation: Incarnation) -> Result<IncarnationEntry, OpenError> {
    let claim: Claim = read(store, &keys::claim(incarnation, floe_types::Generation(0))).await?;
    Ok(IncarnationEntry { broker: claim.broker, disk: claim.disk.unwrap_or_default(), started_ms: claim.created_ms })
}

async fn read<T: Object>(store: &Store, key: &str) -> Result<T, OpenError> {
    let bytes = store.get(key).await?;
    Ok(floe_formats::decode(&bytes).map_err(|source| OpenError::of_object(key, source))?.1)
}
