//! Where everybody's records lie, found from the store alone: the newest chain's `end`; or its newest index and what its row
//! holds behind that; or, of one that has neither yet, what its predecessors left. In a cluster, where several chains live at
//! once, the same of every chain, and of each partition what was said under the greatest epoch (`by_epoch.rs`).
//!
//! Why the rest of a row may be believed: slots are created only if absent, so what lies before the first free slot is
//! certain, whoever looks, and stays so when the row is stopped (R6). A row that was deleted from its front meanwhile
//! looks shorter: an older view, never a wrong one.

use super::{LinesByPartition, StoredError};
use crate::OpenError;
use crate::by_epoch::ByEpoch;
use crate::partition::Line;
use crate::row::{RowPack, RowReader};
use floe_env::Env;
use floe_formats::{Cluster, End, Mode, Object, PackRef, PartitionIndex, keys};
use floe_metadata::View;
use floe_objstore::{Store, StoreError};
use floe_types::{Incarnation, SlotNumber};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;

/// Times that a view is taken before a contradiction in it is believed: owners write, recover and delete meanwhile.
const LOOKS: u32 = 5;
/// Chains read at the same time.
const PARALLEL: usize = 16;

pub(super) type Lines = LinesByPartition;

/// Whose store it is.
pub(super) async fn mode(store: &Store) -> Result<Mode, StoredError> {
    match read::<Cluster>(store, &keys::cluster()).await? {
        None => Err(StoredError::NoStore("this place".to_owned())),
        Some(_) if read::<Cluster>(store, &keys::adopted()).await?.is_some() => Ok(Mode::Cluster),
        Some(cluster) => Ok(cluster.mode),
    }
}

/// The catalog, and each partition's line.
pub(super) async fn look(env: &Env, store: &Store, mode: Mode) -> Result<(Arc<View>, Arc<Lines>), StoredError> {
    let mut looks = 0;
    loop {
        looks += 1;
        let lines = match mode {
            Mode::Single => lines(env, store).await,
            Mode::Cluster => lines_of_all(env, store).await,
        };
        let lines = match lines {
            // Listed, and deleted before it was read.
            Err(OpenError::Store(StoreError::NotFound { .. })) if looks < LOOKS => continue,
            lines => lines?,
        };
        if looks < LOOKS && lines.values().any(|line| line.broken.is_some()) {
            continue;
        }
        // After the rows: every topic that they mention is in it, or deleted (R16).
        let view = floe_metadata::load(store).await.map_err(OpenError::from)?;
        return Ok((Arc::new(view), Arc::new(lines)));
    }
}

async fn incarnations(store: &Store) -> Result<Vec<Incarnation>, OpenError> {
    let folders = store.list_folders(&keys::chains_prefix()).await?;
    let mut incarnations: Vec<Incarnation> = folders.iter().filter_map(|name| keys::parse_chain_folder(name).ok()).collect();
    incarnations.sort_unstable_by(|a, b| b.cmp(a));
    Ok(incarnations)
}

/// What one chain of several says: what its `end`, or else its newest index lists, and the slots behind that.
struct Said {
    incarnation: Incarnation,
    listed: Vec<PartitionIndex>,
    packs: Vec<RowPack>,
    has_ended: bool,
}

async fn said(env: &Env, store: &Store, incarnation: Incarnation) -> Result<Said, OpenError> {
    if let Some(end) = read::<End>(store, &keys::end(incarnation)).await? {
        return Ok(Said { incarnation, listed: end.index.partitions, packs: Vec::new(), has_ended: true });
    }
    let reader = RowReader { env, store, incarnation };
    let index = reader.newest_index().await?;
    let (mut packs, mut next) = (Vec::new(), index.as_ref().map_or(SlotNumber(0), |index| index.covers));
    reader.read_on(&mut packs, &mut next).await?;
    Ok(Said { incarnation, listed: index.map(|index| index.partitions).unwrap_or_default(), packs, has_ended: false })
}

async fn lines_of_all(env: &Env, store: &Store) -> Result<Lines, OpenError> {
    let said = incarnations(store).await?.into_iter().map(|incarnation| said(env, store, incarnation));
    let mut all: Vec<Said> = stream::iter(said).buffered(PARALLEL).try_collect().await?;
    for said in all.iter_mut().filter(|said| !said.has_ended) {
        // What was read of its successors counts only with what its `end` says.
        if let Some(end) = read::<End>(store, &keys::end(said.incarnation)).await? {
            (said.listed, said.packs) = (end.index.partitions, Vec::new());
        }
    }
    let mut by_epoch = ByEpoch::default();
    for said in &all {
        by_epoch.index(&said.listed);
        for pack in &said.packs {
            let stored = PackRef::Slot { incarnation: said.incarnation, slot: pack.slot };
            pack.footer.segments.iter().for_each(|segment| by_epoch.tail(segment, segment.to_ref(stored, pack.pack_len, pack.footer_len)));
        }
    }
    Ok(by_epoch.finish())
}

async fn lines(env: &Env, store: &Store) -> Result<Lines, OpenError> {
    let mut rows = Vec::new();
    let mut lines = Lines::new();
    for incarnation in incarnations(store).await? {
        let reader = RowReader { env, store, incarnation };
        if let Some(end) = read::<End>(store, &keys::end(incarnation)).await? {
            lines = from_index(end.index.partitions);
            break;
        }
        let index = reader.newest_index().await?;
        let (mut packs, mut next) = (Vec::new(), index.as_ref().map_or(SlotNumber(0), |index| index.covers));
        reader.read_on(&mut packs, &mut next).await?;
        rows.push((incarnation, packs));
        if let Some(index) = index {
            lines = from_index(index.partitions);
            break;
        }
    }
    for (incarnation, packs) in rows.iter().rev() {
        packs.iter().for_each(|pack| apply(&mut lines, *incarnation, pack));
    }
    Ok(lines)
}

fn from_index(partitions: Vec<PartitionIndex>) -> Lines {
    partitions.into_iter().map(|line| (line.partition, Line::from_index(line))).collect()
}

fn apply(lines: &mut Lines, incarnation: Incarnation, pack: &RowPack) {
    let stored = PackRef::Slot { incarnation, slot: pack.slot };
    for segment in &pack.footer.segments {
        let line = lines.entry(segment.partition).or_insert_with(|| Line::empty(segment.partition));
        line.apply(segment, segment.to_ref(stored, pack.pack_len, pack.footer_len));
    }
}

async fn read<T: Object>(store: &Store, key: &str) -> Result<Option<T>, OpenError> {
    match store.get(key).await {
        Ok(bytes) => Ok(Some(floe_formats::decode(&bytes).map_err(|source| OpenError::Format { key: key.to_owned(), source })?.1)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
