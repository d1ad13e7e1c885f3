//! What a start reads and writes in the store before it serves anybody: the cluster, the chains, their claims and ends.

use crate::shared::Shared;
use crate::{EngineOptions, OpenError};
use floe_env::{Disk, Env};
use floe_formats::{Claim, ClaimState, Cluster, DiskIdentity, End, Mode, WalKind, Writer, keys};
use floe_metadata::{Catalog, View};
use floe_objstore::{Created, ObjectInfo, Payload, Store, StoreError, prove_create_only};
use floe_types::{ClusterId, DiskId, Generation, Incarnation, WriteId};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

const IDENTITY: &str = "identity";
const LOCK: &str = "lock";
/// Claims listed by one request.
const PAGE: usize = 1000;
/// Claims read at the same time.
const PARALLEL: usize = 16;

/// A chain without an `end`.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pub(crate) incarnation: Incarnation,
}

/// The chains as a start finds them.
#[derive(Debug)]
pub(crate) struct Chains {
    /// The newest incarnation there is; 0 before the first.
    pub(crate) newest: Incarnation,
    /// Those without an `end`, oldest first.
    pub(crate) open: Vec<Predecessor>,
    /// The newest one that has an `end`.
    pub(crate) ended: Option<Incarnation>,
}

/// What the steps of a start have in common.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) env: Env,
    pub(crate) store: Store,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: EngineOptions,
    pub(crate) disk_id: DiskId,
    pub(crate) catalog: Arc<Catalog>,
    /// Recovery packs that this process has tried to write: a number is used once, also when a step is done again.
    pub(crate) recovery_packs: AtomicU32,
    /// Bytes of batches in them.
    pub(crate) recovered_bytes: AtomicU64,
}

/// The folder of one generation's WAL.
pub(crate) fn wal_dir(incarnation: Incarnation, generation: Generation) -> String {
    format!("wal/{:016x}-{:08x}", incarnation.0, generation.0)
}

/// This incarnation's claim to a generation without a WAL.
pub(crate) fn claim(shared: &Shared, generation: Generation) -> Claim {
    Claim {
        incarnation: shared.incarnation,
        generation,
        state: ClaimState::Open,
        broker: shared.options.broker,
        disk: None,
        replicas: Vec::new(),
        quorum: 0,
        window: shared.options.window,
        wal: WalKind::None,
        previous_end: None,
        base: None,
        created_ms: shared.env.now_ms(),
    }
}

/// Takes the data directory: nobody else has it, and it says which disk it is.
pub(crate) async fn take_disk(env: &Env, disk: &Arc<dyn Disk>) -> Result<(floe_env::DiskLock, DiskIdentity), OpenError> {
    disk.create_dir_all("wal").await?;
    let lock =
        disk.lock(LOCK).await.map_err(|e| if e.kind() == ErrorKind::WouldBlock { OpenError::DataInUse } else { OpenError::Disk(e) })?;
    let identity = match disk.read(IDENTITY).await {
        Ok(bytes) => floe_formats::decode(&bytes).map_err(|source| OpenError::Format { key: IDENTITY.into(), source })?.1,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let identity = DiskIdentity { disk: DiskId(env.random_u128()), cluster: None, broker: None };
            write_identity(env, disk, &identity).await?;
            identity
        }
        Err(e) => return Err(e.into()),
    };
    Ok((lock, identity))
}

pub(crate) async fn write_identity(env: &Env, disk: &Arc<dyn Disk>, identity: &DiskIdentity) -> Result<(), OpenError> {
    let writer = Writer { write_id: WriteId(env.random_u128()), incarnation: Incarnation(0), revision: 0 };
    Ok(disk.write_durably(IDENTITY, floe_formats::encode(&writer, identity)).await?)
}

/// Finds the cluster that the store belongs to, or begins one; the data directory must belong to the same.
pub(crate) async fn join_cluster(
    env: &Env,
    store: &Store,
    disk: &Arc<dyn Disk>,
    (identity, mode): (DiskIdentity, Mode),
) -> Result<ClusterId, OpenError> {
    let cluster = match read_cluster(store).await? {
        Some(cluster) => cluster,
        None => {
            let cluster = Cluster { cluster: ClusterId(env.random_u128()), mode, created_ms: env.now_ms() };
            let body = || {
                let writer = Writer { write_id: WriteId(env.random_u128()), incarnation: Incarnation(0), revision: 0 };
                Payload::from(floe_formats::encode(&writer, &cluster))
            };
            match store.create(&keys::cluster(), &body()).await? {
                Created::Won => {
                    // A new store shows that it keeps what was created: everything rests on that.
                    prove_create_only(store, &keys::cluster(), &body()).await?;
                    cluster
                }
                Created::Lost => read_cluster(store).await?.ok_or(StoreError::NotFound { key: keys::cluster() })?,
            }
        }
    };
    match (cluster.mode, mode) {
        (Mode::Cluster, Mode::Single) => return Err(OpenError::ClusterStore),
        (Mode::Single, Mode::Cluster) => return Err(OpenError::SingleStore),
        (Mode::Single, Mode::Single) | (Mode::Cluster, Mode::Cluster) => {}
    }
    match identity.cluster {
        Some(data) if data != cluster.cluster => {
            return Err(OpenError::OtherCluster { data: data.to_string(), store: cluster.cluster.to_string() });
        }
        Some(_) => {}
        None => write_identity(env, disk, &DiskIdentity { cluster: Some(cluster.cluster), ..identity }).await?,
    }
    Ok(cluster.cluster)
}

/// The store's cluster; one that was adopted is of several brokers, whatever it was.
pub(crate) async fn read_cluster(store: &Store) -> Result<Option<Cluster>, OpenError> {
    let (began, adopted) = futures::join!(read_object(store, keys::cluster()), read_object(store, keys::adopted()));
    let began = began?;
    Ok(if began.is_none() { None } else { adopted?.or(began) })
}

/// Whether a single broker's store has become a cluster's. A broker that has claimed a number before it looks, and one that adopts before it looks for claims: one of them sees
/// the other.
pub(crate) async fn is_adopted(store: &Store) -> Result<bool, OpenError> {
    Ok(read_object(store, keys::adopted()).await?.is_some())
}

async fn read_object(store: &Store, key: String) -> Result<Option<Cluster>, OpenError> {
    match store.get(&key).await {
        Ok(bytes) => Ok(Some(floe_formats::decode(&bytes).map_err(|source| OpenError::of_object(&key, source))?.1)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl Start {
    pub(crate) fn catalog_view(&self) -> Arc<View> {
        self.catalog.view()
    }

    /// The chains from the newest back to the first that has an `end`.
    pub(crate) async fn chains(&self) -> Result<Chains, OpenError> {
        let folders = self.store.list_folders(&keys::chains_prefix()).await?;
        let mut incarnations: Vec<Incarnation> = folders.iter().filter_map(|name| keys::parse_chain_folder(name).ok()).collect();
        incarnations.sort_unstable_by(|a, b| b.cmp(a));
        let mut chains = Chains { newest: incarnations.first().copied().unwrap_or_default(), open: Vec::new(), ended: None };
        for incarnation in incarnations {
            if self.has_end(incarnation).await? {
                chains.ended = Some(incarnation);
                break;
            }
            chains.open.insert(0, Predecessor { incarnation });
        }
        Ok(chains)
    }

    pub(crate) async fn has_end(&self, incarnation: Incarnation) -> Result<bool, OpenError> {
        match self.store.get_start(&keys::end(incarnation), 64).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The `end` of a closed chain.
    pub(crate) async fn read_end(&self, incarnation: Incarnation) -> Result<End, OpenError> {
        let key = keys::end(incarnation);
        let bytes = self.store.get(&key).await?;
        Ok(floe_formats::decode(&bytes).map_err(|source| OpenError::of_object(&key, source))?.1)
    }

    /// All claims of an incarnation, oldest first.
    pub(crate) async fn claims(&self, incarnation: Incarnation) -> Result<Vec<Claim>, OpenError> {
        let mut listed = Vec::new();
        loop {
            let after = listed.last().map(|object: &ObjectInfo| object.key.clone());
            let page = self.store.list(&keys::claims_prefix(incarnation), after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            listed.extend(page);
            if is_last {
                break;
            }
        }
        let read = |object: ObjectInfo| async move {
            let bytes = self.store.get(&object.key).await?;
            Ok(floe_formats::decode(&bytes).map_err(|source| OpenError::of_object(&object.key, source))?.1)
        };
        stream::iter(listed.into_iter().rev().map(read)).buffered(PARALLEL).try_collect().await
    }

    /// Refuses, before anything is written, a store whose records may partly lie on another disk (T47).
    pub(crate) async fn refuse_local_elsewhere(&self, chains: &Chains) -> Result<(), OpenError> {
        for predecessor in chains.open.iter().filter(|_| !self.options.take_over) {
            let claims = self.claims(predecessor.incarnation).await?;
            if let Some(disk) = self.wals_elsewhere(&claims).first() {
                return Err(OpenError::LocalElsewhere { incarnation: predecessor.incarnation, disk: *disk });
            }
        }
        Ok(())
    }

    /// Disks with a local WAL that this broker cannot read.
    pub(crate) fn wals_elsewhere(&self, claims: &[Claim]) -> Vec<DiskId> {
        let elsewhere = claims.iter().filter(|claim| claim.wal == WalKind::Local).flat_map(|claim| &claim.replicas);
        elsewhere.copied().filter(|disk| *disk != self.disk_id).collect()
    }

    /// Removes the WALs of closed incarnations from this disk (R11). One whose `end` gave this disk up stays: it is all
    /// there is of what that disk acknowledged, and is read by `floe inspect`.
    pub(crate) async fn remove_old_wals(&self, incarnation: Incarnation) -> Result<(), OpenError> {
        for (of, dir) in self.former_wals().await?.into_iter().filter(|(of, _)| *of < incarnation) {
            match self.read_end(of).await {
                Ok(end) if end.gave_up.contains(&self.disk_id) => {
                    tracing::warn!(dir, incarnation = of.0, "this WAL was given up by a take-over; it is kept, and never merged");
                }
                Ok(_) => floe_wal::remove_generation(&self.disk, &dir).await?,
                Err(error) => tracing::warn!(dir, %error, "not removed: its incarnation's end could not be read"),
            }
        }
        Ok(())
    }

    /// WALs on this disk that incarnations have written, and their folders.
    pub(crate) async fn former_wals(&self) -> Result<Vec<(Incarnation, String)>, OpenError> {
        let entries = self.disk.list("wal").await?;
        let named = entries.into_iter().filter_map(|entry| {
            let number = entry.name.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok())?;
            Some((Incarnation(number), format!("wal/{}", entry.name)))
        });
        Ok(named.collect())
    }

    /// The generations whose only WAL lies here.
    pub(crate) fn wals_on_this_disk(&self, claims: &[Claim]) -> Vec<Claim> {
        let here = |claim: &&Claim| claim.wal == WalKind::Local && claim.replicas.contains(&self.disk_id);
        claims.iter().filter(here).cloned().collect()
    }

    /// Sees to it that no generation follows (R4), and returns all that there are.
    pub(crate) async fn close_claims(&self, incarnation: Incarnation, by: Incarnation) -> Result<Vec<Claim>, OpenError> {
        loop {
            let claims = self.claims(incarnation).await?;
            let Some(last) = claims.last() else { return Ok(claims) };
            if last.state == ClaimState::Closed {
                return Ok(claims.into_iter().filter(|claim| claim.state == ClaimState::Open).collect());
            }
            let generation = Generation(last.generation.0 + 1);
            let closed = Claim { generation, state: ClaimState::Closed, wal: WalKind::None, replicas: Vec::new(), ..last.clone() };
            let writer = Writer { write_id: WriteId(self.env.random_u128()), incarnation: by, revision: 0 };
            // Lost: the owner began another generation, or another recoverer closed it. Look again.
            self.store.create(&keys::claim(incarnation, generation), &Payload::from(floe_formats::encode(&writer, &closed))).await?;
        }
    }

    /// Begins an incarnation: the first number behind `newest` that nobody has taken (R1), with a WAL or without, on a base or without. None if it was taken.
    pub(crate) async fn claim_next(
        &self,
        newest: Incarnation,
        (wal, base): (bool, Option<Incarnation>),
    ) -> Result<Option<Incarnation>, OpenError> {
        let incarnation = Incarnation(newest.0 + 1);
        let claim = Claim {
            incarnation,
            generation: Generation(0),
            state: ClaimState::Open,
            broker: self.options.broker,
            disk: Some(self.disk_id),
            replicas: if wal { vec![self.disk_id] } else { Vec::new() },
            quorum: u8::from(wal),
            window: self.options.window,
            wal: if wal { WalKind::Local } else { WalKind::None },
            previous_end: None,
            base,
            created_ms: self.env.now_ms(),
        };
        let writer = Writer { write_id: WriteId(self.env.random_u128()), incarnation, revision: 0 };
        let body = Payload::from(floe_formats::encode(&writer, &claim));
        let created = self.store.create(&keys::claim(incarnation, Generation(0)), &body).await?;
        Ok((created == Created::Won).then_some(incarnation))
    }
}
