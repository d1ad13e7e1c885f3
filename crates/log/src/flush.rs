//! The flusher: one task that turns what waits into packs, gives them slots in order, and counts them when they are
//! certain. Several uploads are in flight; nothing else in the broker waits for the store.

use crate::chain::{self, Chain, Landed, NewIndex};
use crate::drain::Drain;
use crate::ended::Ended;
use crate::history::remerge::Merge;
use crate::partition::{Partition, PlannedSegment};
use crate::shared::Shared;
use crate::wals::{OwnWal, WalPlace};
use floe_env::{Mutant, TaskFailed, mutated};
use floe_formats::{BatchSlice, BuiltPack, FormatError, PackBuilder, PackKind, SegmentMeta, WalPosition};
use floe_objstore::Created;
use floe_types::SlotNumber;
use floe_wal::WalError;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Why a pack could not be made. Either ends the incarnation: its records are safe in the WAL, or were never acknowledged.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error("reading unflushed records back: {0}")]
    Wal(#[from] WalError),
    #[error("building a pack: {0}")]
    Format(#[from] FormatError),
    #[error("a batch is neither in memory nor in the WAL")]
    Nowhere,
    #[error("building a pack: {0}")]
    Task(#[from] TaskFailed),
}

/// What one pack will hold.
type Contents = Vec<PlannedSegment>;

pub(crate) struct Flusher {
    shared: Arc<Shared>,
    chain: Chain,
    /// With the bytes of records that each holds.
    uploads: FuturesUnordered<BoxFuture<'static, (u64, Result<Landed, PackError>)>>,
    uploading: u64,
    index_upload: Option<BoxFuture<'static, (NewIndex, Created)>>,
    /// Beside the flush: a disk that hangs must not hold up what needs no disk (T69).
    trimming: Option<BoxFuture<'static, ()>>,
    /// Up to where, when that is done.
    trim_to: Option<WalPosition>,
    /// When what waits has to be on its way, on the monotonic clock.
    due: Option<Duration>,
    drains: mpsc::Receiver<Drain>,
    drain: Option<Drain>,
    merges: mpsc::Receiver<Merge>,
    /// The slot of a merged pack on its way, and who waits for it.
    merging: Option<(SlotNumber, oneshot::Sender<()>)>,
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flusher").field("chain", &self.chain).field("uploads", &self.uploads.len()).finish_non_exhaustive()
    }
}

impl Flusher {
    pub(crate) fn new(shared: Arc<Shared>, drains: mpsc::Receiver<Drain>, merges: mpsc::Receiver<Merge>) -> Self {
        let chain = Chain::new(shared.clone());
        let uploads = FuturesUnordered::new();
        Self {
            shared,
            chain,
            uploads,
            uploading: 0,
            index_upload: None,
            trimming: None,
            trim_to: None,
            due: None,
            drains,
            drain: None,
            merges,
            merging: None,
        }
    }

    /// Runs until the incarnation ends or has drained.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        let ended = shared.ended.wait();
        let mut ended = std::pin::pin!(ended);
        loop {
            self.look_at_the_clock();
            self.flush_due();
            if self.is_drained() {
                let drain = self.drain.take();
                return crate::drain::finish(&shared, &self.chain, drain).await;
            }
            tokio::select! {
                biased;
                _ = &mut ended => return,
                Some((bytes, landed)) = self.uploads.next(), if !self.uploads.is_empty() => {
                    self.uploading -= bytes;
                    match landed {
                        Ok(landed) => self.landed(landed),
                        Err(error) => return shared.end(Ended::Failed { why: error.to_string() }),
                    }
                }
                (index, created) = pending_or(self.index_upload.as_mut()) => self.index_landed(&index, created),
                () = pending_or(self.trimming.as_mut()) => {
                    self.trimming = None;
                    self.begin_trim();
                }
                Some(drain) = self.drains.recv(), if self.drain.is_none() => {
                    self.drain = Some(drain);
                    self.due = Some(Duration::ZERO);
                }
                Some(merge) = self.merges.recv(), if self.takes_merges() => self.send_merge(merge),
                () = shared.dirty.news() => {}
                () = shared.history.index_is_wanted(), if self.index_upload.is_none() && self.drain.is_none() => self.write_index(true),
                () = sleep_until(&shared, self.chain.index_deadline()), if self.waits_for_an_index() => self.write_index(false),
                () = sleep_until(&shared, self.due), if self.due.is_some() && self.has_a_free_slot() => {}
            }
        }
    }

    fn waits_for_an_index(&self) -> bool {
        self.index_upload.is_none() && self.drain.is_none() && self.chain.index_deadline().is_some()
    }

    fn takes_merges(&self) -> bool {
        let window = self.shared.options.window as usize;
        // A place is left for what is produced meanwhile.
        self.merging.is_none() && self.drain.is_none() && self.uploads.len() < window.saturating_sub(1).max(1)
    }

    /// A merged pack takes the next slot. It covers nothing of the WAL that earlier slots do not.
    fn send_merge(&mut self, merge: Merge) {
        let wal_from = self.wal_from_of(&[Vec::new()]).pop().flatten();
        let (slot, front) = (self.chain.take_slot(), self.chain.front());
        self.merging = Some((slot, merge.certain));
        // Its bytes have a bound of their own.
        self.upload(0, send_segments(self.shared.clone(), (slot, front), merge.segments, wal_from));
    }

    fn upload(&mut self, bytes: u64, sending: impl Future<Output = Result<Landed, PackError>> + Send + 'static) {
        self.uploading += bytes;
        self.uploads.push(async move { (bytes, sending.await) }.boxed());
    }

    fn has_a_free_slot(&self) -> bool {
        self.uploads.len() < self.shared.options.window as usize && self.uploading < self.shared.options.upload_bytes
    }

    fn is_drained(&self) -> bool {
        self.drain.is_some() && self.uploads.is_empty() && self.index_upload.is_none() && self.shared.unflushed_batches() == 0
    }

    /// Sets the time by which what waits has to be on its way.
    fn look_at_the_clock(&mut self) {
        let (since, options) = (self.shared.dirty.since(), &self.shared.options);
        let now = self.shared.env.monotonic();
        let mut sooner = |by: Duration| self.due = Some(self.due.map_or(by, |due| due.min(by)));
        if since.any {
            sooner(now + options.flush_age);
        }
        if since.object || (since.any && self.shared.is_hurried()) {
            sooner(now + options.object_flush_age);
        }
        if since.hurried {
            sooner(now);
        }
        if self.shared.dirty.unplanned_bytes.load(Relaxed) >= options.flush_bytes {
            sooner(now);
        }
    }

    /// Sends what is due, as far as slots are free.
    fn flush_due(&mut self) {
        if !self.has_a_free_slot() || self.due.is_none_or(|due| due > self.shared.env.monotonic()) {
            return;
        }
        // Before looking: what comes in while we look starts the clock again.
        self.shared.dirty.clear_since();
        let (packs, complete) = self.plan();
        let wal_from = self.wal_from_of(&packs);
        for (contents, wal_from) in packs.into_iter().zip(wal_from) {
            let places = (self.chain.take_slot(), self.chain.front());
            self.upload(contents.iter().map(|segment| segment.bytes).sum(), send(self.shared.clone(), places, contents, wal_from));
        }
        if complete {
            let again = self.shared.env.monotonic() + self.shared.options.object_flush_age;
            self.due = self.drain.as_ref().map(|_| again);
        }
    }

    /// Takes what waits, as many packs as slots are free and about as many bytes as may be under way; false if something is left. A partition with much gets a
    /// pack of its own.
    fn plan(&self) -> (Vec<Contents>, bool) {
        let options = &self.shared.options;
        let free = (options.window as usize).saturating_sub(self.uploads.len());
        let mut room = options.upload_bytes.saturating_sub(self.uploading);
        let (mut packs, mut small, mut small_bytes) = (Vec::new(), Vec::new(), 0);
        for partition in self.shared.dirty.all() {
            loop {
                let is_full = packs.len() + usize::from(!small.is_empty()) >= free;
                if room == 0 || (is_full && (small.is_empty() || small_bytes >= options.pack_bytes)) {
                    packs.extend((!small.is_empty()).then_some(small));
                    return (packs, false);
                }
                let Some(segment) = self.take(&partition, options.pack_bytes.min(room)) else { break };
                let bytes = segment.bytes;
                room = room.saturating_sub(bytes);
                // The shared pack gets a later slot than an own one that is ready now: a partition's next segment must
                // not overtake one that waits in it.
                let overtakes = small.iter().any(|waiting: &PlannedSegment| waiting.partition == segment.partition);
                if bytes >= options.own_pack_bytes && !overtakes && packs.len() + usize::from(!small.is_empty()) < free {
                    packs.push(vec![segment]);
                } else {
                    small_bytes += bytes;
                    small.push(segment);
                    if small_bytes >= options.pack_bytes {
                        packs.push(std::mem::take(&mut small));
                        small_bytes = 0;
                    }
                }
            }
        }
        packs.extend((!small.is_empty()).then_some(small));
        (packs, true)
    }

    fn take(&self, partition: &Partition, max_bytes: u64) -> Option<PlannedSegment> {
        let segment = partition.plan(max_bytes)?;
        self.shared.dirty.unplanned_bytes.fetch_sub(segment.bytes, Relaxed);
        Some(segment)
    }

    /// For each pack, the oldest WAL position that the slots up to its own do not cover. The end of the WAL is sampled
    /// first and the dirty partitions are asked afterwards: see [`crate::shared::Dirty`].
    fn wal_from_of(&self, packs: &[Contents]) -> Vec<Option<WalPosition>> {
        let Some(mut oldest) = self.shared.wals.end() else { return vec![None; packs.len()] };
        let newest = oldest.generation;
        let counts = |position: &WalPosition| position.generation == newest || !mutated(Mutant::FootersNameNewest);
        for partition in self.shared.dirty.all() {
            oldest = partition.first_unplanned().filter(counts).map_or(oldest, |unplanned| oldest.min(unplanned));
        }
        let mut positions = Vec::with_capacity(packs.len());
        for contents in packs.iter().rev() {
            positions.push(Some(oldest));
            oldest = first_position(contents).filter(counts).map_or(oldest, |first| oldest.min(first));
        }
        positions.reverse();
        positions
    }

    fn landed(&mut self, landed: Landed) {
        match landed {
            Landed::Ours(slot, pack) => {
                self.trim_to = self.chain.landed(slot, pack).or(self.trim_to);
                self.begin_trim();
                self.shared.made_room();
                if let Some((_, waits)) = self.merging.take_if(|(slot, _)| *slot < self.chain.certain()) {
                    // Nobody waits any more where the incarnation ends.
                    let _gone = waits.send(());
                }
                self.write_index(false);
            }
            Landed::Foreign { slot, by, found } => {
                tracing::warn!(slot = slot.0, "a slot of this row holds another's write");
                self.shared.end(Ended::Fenced { by, found });
            }
        }
    }

    fn begin_trim(&mut self) {
        if self.trimming.is_none()
            && let Some(position) = self.trim_to.take()
        {
            let shared = self.shared.clone();
            let trimmed = async move {
                trim(&shared, Some(position)).await;
                shared.made_room();
            };
            self.trimming = Some(trimmed.boxed());
        }
    }

    /// Sends an index if one is due, and none is on its way.
    fn write_index(&mut self, wanted: bool) {
        if self.index_upload.is_none()
            && let Some(index) = self.chain.index_due(wanted)
        {
            if mutated(Mutant::DeletedBeforeIndex) {
                self.shared.history.indexed(index.says.clone());
            }
            self.index_upload = Some(create_index(self.shared.clone(), index).boxed());
        }
    }

    fn index_landed(&mut self, index: &NewIndex, created: Created) {
        self.index_upload = None;
        match created {
            Created::Won => self.shared.history.indexed(index.says.clone()),
            Created::Lost => self.shared.end(Ended::Fenced { by: None, found: "an index of this chain is another's".into() }),
        }
    }
}

/// Builds a slot's pack and puts it there. Several are built and sent at once; they are counted in the order of their slots.
async fn send(
    shared: Arc<Shared>,
    (slot, front): (SlotNumber, SlotNumber),
    contents: Contents,
    wal_from: Option<WalPosition>,
) -> Result<Landed, PackError> {
    let mut segments = Vec::with_capacity(contents.len());
    for segment in contents {
        segments.push(read_back(&shared, segment).await?);
    }
    send_segments(shared, (slot, front), segments, wal_from).await
}

async fn send_segments(
    shared: Arc<Shared>,
    (slot, front): (SlotNumber, SlotNumber),
    segments: Vec<(SegmentMeta, Vec<BatchSlice>)>,
    wal_from: Option<WalPosition>,
) -> Result<Landed, PackError> {
    let kind = if segments.len() == 1 { PackKind::Own } else { PackKind::Shared };
    let pack = PackBuilder::new(Chain::writer(&shared), kind, shared.incarnation, Some(slot)).compression(shared.options.block_codec);
    let built = shared.env.compute("build a pack", move || build(pack, segments, (wal_from, front))).await??;
    if mutated(Mutant::TrimBeforeCertain) {
        trim(&shared, wal_from).await;
    }
    Ok(chain::upload(shared, slot, built).await)
}

/// A segment with the bytes of all its batches, also of those that memory let go.
async fn read_back(shared: &Shared, segment: PlannedSegment) -> Result<(SegmentMeta, Vec<BatchSlice>), PackError> {
    let meta = SegmentMeta {
        partition: segment.partition,
        epoch: segment.epoch,
        base_offset: segment.base_offset,
        log_start: segment.log_start,
        events: segment.events,
        producers: segment.producers,
    };
    let mut batches = Vec::with_capacity(segment.batches.len());
    for batch in segment.batches {
        let bytes = match (batch.bytes, batch.wal) {
            (Some(bytes), _) => bytes,
            (None, Some(WalPlace { generation, start, end })) => {
                shared.wals.get(generation).ok_or(PackError::Nowhere)?.wal.read(start, end).await?
            }
            (None, None) => return Err(PackError::Nowhere),
        };
        let (base_offset, end_offset) = (batch.base_offset, batch.end_offset);
        batches.push(BatchSlice { bytes, base_offset, end_offset, max_timestamp: batch.max_timestamp, records: batch.records });
    }
    Ok((meta, batches))
}

fn build(
    mut pack: PackBuilder,
    segments: Vec<(SegmentMeta, Vec<BatchSlice>)>,
    (wal_from, front): (Option<WalPosition>, SlotNumber),
) -> Result<BuiltPack, FormatError> {
    for (meta, batches) in segments {
        pack.add_segment(meta, batches)?;
    }
    pack.finish(wal_from, front)
}

/// The WALs are needed no more below this position: only certain slots say so (T06).
async fn trim(shared: &Arc<Shared>, wal_from: Option<WalPosition>) {
    let Some(position) = wal_from else { return };
    for own in shared.wals.take_before(position.generation) {
        shared.env.spawn("give a generation back", give_back(shared.clone(), own)).detach_to_group();
    }
    let Some(own) = shared.wals.get(position.generation) else { return };
    if let Some(copied) = &own.copied {
        copied.trim(position.lsn);
    }
    if let Err(error) = own.wal.trim(position.lsn.min(own.wal.durable())).await {
        tracing::warn!(%error, "the WAL was not trimmed; trying again behind the next slot");
    }
}

/// How long standbys may take to delete what is wholly flushed: who is away keeps it until this incarnation is closed.
const FORGET_PATIENCE: Duration = Duration::from_secs(60);

/// All of a generation is flushed, and a certain slot says so: the copies go, and the WAL after them (R11).
async fn give_back(shared: Arc<Shared>, own: Arc<OwnWal>) {
    if let Some(copied) = &own.copied {
        copied.finish();
        // Either way nobody needs it.
        let _forgotten = shared.env.timeout(FORGET_PATIENCE, copied.forgotten()).await;
    }
    let (disk, dir) = (own.disk.clone(), own.wal.options().dir.clone());
    // Its tasks end with it; a reader that holds it finds it gone, and the slots instead.
    drop(own);
    if let Err(error) = floe_wal::remove_generation(&disk, &dir).await {
        tracing::warn!(dir, %error, "a WAL that is flushed was not removed");
    }
}

fn first_position(contents: &[PlannedSegment]) -> Option<WalPosition> {
    contents.iter().flat_map(|segment| &segment.batches).filter_map(|batch| batch.wal.map(|place| place.position())).min()
}

async fn create_index(shared: Arc<Shared>, index: NewIndex) -> (NewIndex, Created) {
    let created = chain::create_for_sure(&shared.store, &index.key, &index.body).await;
    (index, created)
}

async fn pending_or<T>(under_way: Option<&mut BoxFuture<'static, T>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(shared: &Shared, due: Option<Duration>) {
    let due = due.unwrap_or(Duration::MAX);
    shared.env.sleep(due.saturating_sub(shared.env.monotonic())).await;
}
