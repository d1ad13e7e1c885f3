//! Blocks of packs, from wherever they are nearest: memory, the local disk, the store. Each is fetched once however many
//! wait for it; neighbours are fetched by one request.
//!
//! A fetch is a task of its own: a reader who goes away cancels nothing that another waits for. What does not verify is
//! fetched once more by itself, since bits flip on the way as well; then it is damage, of that block alone.

use super::PackError;
use bytes::Bytes;
use floe_cache::{BlockStats, Blocks, DiskCache, DiskCacheStats};
use floe_env::hash::HashMap;
use floe_env::{Env, Watched};
use floe_formats::{Block, BlockCodec, FormatError};
use floe_objstore::{Op, Store, StoreError};
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Stored bytes of one request ahead of a reader: large enough that a GB takes few of them.
pub(crate) const AHEAD_RUN: u64 = 8 << 20;
/// Stored bytes of one request that a reader waits for: more go side by side.
const AWAITED_RUN: u64 = 4 << 20;
/// Runs longer than this when opened are opened where they hold up no other task.
const LONG: u64 = 512 << 10;
/// Who waits less than this did not wait.
const NO_WAIT: Duration = Duration::from_millis(1);

/// A pack's key and a block's position in it.
type Key = (Arc<str>, u64);
pub(super) type Opened = BTreeMap<u64, Result<Bytes, PackError>>;

#[derive(Debug)]
pub(super) struct Fetcher {
    env: Env,
    blocks: Blocks<Key, Bytes>,
    disk: Option<DiskCache>,
    flights: Mutex<HashMap<Key, Arc<Flight>>>,
    /// Opened bytes of runs under way ahead of readers.
    ahead_in_flight: AtomicU64,
}

/// A request under way, and what came of it.
#[derive(Debug)]
struct Flight {
    landed: Watched<Option<Arc<Opened>>>,
}

/// Takes a flight off the board when its task ends, however that comes.
struct Landing {
    fetcher: Arc<Fetcher>,
    pack: Arc<str>,
    run: Vec<Block>,
    flight: Arc<Flight>,
    ahead: bool,
}

/// Blocks of one pack that are here or on their way.
pub(super) struct Asked {
    pack: Arc<str>,
    sources: Vec<(u64, Source)>,
}

enum Source {
    Here(Bytes),
    Coming(Arc<Flight>),
}

impl Fetcher {
    pub(super) fn new(env: Env, budget: u64, disk: Option<DiskCache>) -> Arc<Self> {
        let blocks = Blocks::new(budget, |block: &Bytes| block.len() as u64);
        Arc::new(Self { env, blocks, disk, flights: Mutex::default(), ahead_in_flight: AtomicU64::new(0) })
    }

    pub(super) fn stats(&self) -> (BlockStats, Option<DiskCacheStats>) {
        (self.blocks.stats(), self.disk.as_ref().map(DiskCache::stats))
    }

    /// Opened bytes that may be held ahead of all readers.
    pub(super) fn ahead_budget(&self) -> u64 {
        self.blocks.ahead_budget()
    }

    /// Whether so many more opened bytes may be under way ahead of readers.
    pub(super) fn has_room_ahead(&self, bytes: u64) -> bool {
        self.ahead_in_flight.load(Relaxed) + bytes <= self.ahead_budget()
    }

    pub(super) fn is_here(&self, pack: &str, block: &Block) -> bool {
        self.blocks.contains(&(pack.into(), block.position))
    }

    /// Asks for blocks: those that are nowhere are on their way afterwards. See [`Fetcher::wait`].
    pub(super) fn ask(self: &Arc<Self>, store: &Store, pack: &Arc<str>, blocks: &[Block]) -> Asked {
        let mut found: BTreeMap<u64, Source> = BTreeMap::new();
        let mut begun = Vec::new();
        {
            let mut flights = self.flights.lock();
            let mut missing = Vec::new();
            for block in blocks {
                let key = (pack.clone(), block.position);
                if let Some(bytes) = self.blocks.get(&key) {
                    found.insert(block.position, Source::Here(bytes));
                } else if let Some(flight) = flights.get(&key) {
                    found.insert(block.position, Source::Coming(flight.clone()));
                } else {
                    missing.push(block.clone());
                }
            }
            for run in runs(&missing, AWAITED_RUN, u64::MAX) {
                let landing = self.begin(&mut flights, pack, run, false);
                found.extend(run.iter().map(|block| (block.position, Source::Coming(landing.flight.clone()))));
                begun.push(landing);
            }
        }
        self.fly(store, begun);
        // By position, which is the order of the blocks.
        Asked { pack: pack.clone(), sources: found.into_iter().collect() }
    }

    /// The blocks that were asked for, in their order, and whether they had to be waited for.
    pub(super) async fn wait(&self, asked: Asked) -> (Vec<Result<Bytes, PackError>>, bool) {
        let began = self.env.monotonic();
        let mut opened = Vec::with_capacity(asked.sources.len());
        for (position, source) in asked.sources {
            opened.push(match source {
                Source::Here(bytes) => Ok(bytes),
                Source::Coming(flight) => {
                    let landed = flight.landed.wait_for(Option::is_some).await;
                    self.blocks.touch(&(asked.pack.clone(), position));
                    let found = landed.as_ref().and_then(|opened| opened.get(&position)).cloned();
                    found.unwrap_or_else(|| Err(ending(&asked.pack)))
                }
            });
        }
        let waited = self.env.monotonic().saturating_sub(began) >= NO_WAIT;
        (opened, waited)
    }

    /// Keeps blocks of a pack that was read from its beginning on, as far as they are sound.
    pub(super) fn take_in(&self, pack: &str, blocks: &[Block], bytes: &Bytes) {
        for block in blocks {
            if let Ok(opened) = open_one(block, 0, bytes, true) {
                self.blocks.put((pack.into(), block.position), opened);
            }
        }
    }

    /// Begins to fetch a run that nobody waits for yet, as far as it is not here or coming.
    pub(super) fn ahead(self: &Arc<Self>, store: &Store, pack: &Arc<str>, run: &[Block]) {
        let mut begun = Vec::new();
        {
            let mut flights = self.flights.lock();
            let key = |block: &Block| (pack.clone(), block.position);
            let missing: Vec<Block> =
                run.iter().filter(|block| !flights.contains_key(&key(block)) && !self.blocks.contains(&key(block))).cloned().collect();
            // A run is as long as it may be already.
            for run in runs(&missing, u64::MAX, u64::MAX) {
                begun.push(self.begin(&mut flights, pack, run, true));
            }
        }
        self.fly(store, begun);
    }

    /// Puts a run on the board.
    fn begin(self: &Arc<Self>, flights: &mut HashMap<Key, Arc<Flight>>, pack: &Arc<str>, run: &[Block], ahead: bool) -> Landing {
        let flight = Arc::new(Flight { landed: Watched::new(None) });
        for block in run {
            flights.insert((pack.clone(), block.position), flight.clone());
        }
        if ahead {
            self.ahead_in_flight.fetch_add(opened_len(run), Relaxed);
        }
        Landing { fetcher: self.clone(), pack: pack.clone(), run: run.to_vec(), flight, ahead }
    }

    /// Not under the lock: a process that ends drops what is spawned at once, and landing takes the lock.
    fn fly(&self, store: &Store, begun: Vec<Landing>) {
        for landing in begun {
            let store = store.clone();
            let task = async move {
                let opened = landing.fetcher.fetch(&store, &landing.pack, &landing.run).await;
                landing.land(opened);
            };
            self.env.spawn("fetch", task).detach_to_group();
        }
    }

    /// A run of blocks: from the disk what is there, the rest by one request for each stretch of neighbours.
    pub(super) async fn fetch(&self, store: &Store, pack: &Arc<str>, run: &[Block]) -> Opened {
        let mut opened = Opened::new();
        let mut missing = Vec::new();
        for block in run {
            match self.read_disk(pack, block).await {
                Some(bytes) => drop(opened.insert(block.position, Ok(bytes))),
                None => missing.push(block.clone()),
            }
        }
        let mut requests = Vec::new();
        for stretch in runs(&missing, u64::MAX, u64::MAX) {
            requests.push(self.read_store(store, pack, stretch));
        }
        for stretch in join_all(requests).await {
            opened.extend(stretch);
        }
        opened
    }

    async fn read_disk(&self, pack: &Arc<str>, block: &Block) -> Option<Bytes> {
        let disk = self.disk.as_ref()?;
        let key = disk_key(pack, block);
        if !disk.contains(&key) {
            return None;
        }
        floe_formats::open_block(block, &disk.get(&key).await?).ok()
    }

    /// Neighbours, by one request; what cannot be had that way, each by its own.
    async fn read_store(&self, store: &Store, pack: &Arc<str>, stretch: &[Block]) -> Opened {
        let range = stretch.first().map_or(0, |block| block.position)..stretch.last().map_or(0, |block| block.range().end);
        let fetched = store.get_range_hedged(pack, range.clone()).await.map_err(PackError::from);
        let opened = match fetched {
            Ok(bytes) => self.open(pack, stretch, range.start, bytes).await,
            // The object is cut somewhere: what lies before that is whole.
            Err(PackError::Damaged(_)) if stretch.len() > 1 => stretch.iter().map(|block| (block.position, None)).collect(),
            Err(error) => return stretch.iter().map(|block| (block.position, Err(error.clone()))).collect(),
        };
        let mut all = Opened::new();
        for (block, (position, opened)) in stretch.iter().zip(opened) {
            let opened = match opened {
                Some(bytes) => Ok(bytes),
                None => alone(store, pack, block).await,
            };
            all.insert(position, opened);
        }
        all
    }

    /// Verifies and decompresses the blocks of a stretch; None for those that are not sound.
    async fn open(&self, pack: &Arc<str>, stretch: &[Block], start: u64, bytes: Bytes) -> Vec<(u64, Option<Bytes>)> {
        if let Some(disk) = &self.disk {
            for block in stretch {
                disk.offer(&disk_key(pack, block), &stored(block, start, &bytes));
            }
        }
        let blocks = stretch.to_vec();
        let work = move || blocks.iter().map(|block| (block.position, open_one(block, start, &bytes, blocks.len() > 1).ok())).collect();
        if opened_len(stretch) <= LONG {
            return work();
        }
        // Only a panic, or the end of the process: the blocks are fetched again, or nobody waits any more.
        let failed = |_| stretch.iter().map(|block| (block.position, None)).collect();
        self.env.compute("open blocks", work).await.unwrap_or_else(failed)
    }
}

impl Landing {
    /// Keeps what came, and gives it to those who wait.
    fn land(self, opened: Opened) {
        for (position, bytes) in &opened {
            if let Ok(bytes) = bytes {
                let key = (self.pack.clone(), *position);
                if self.ahead { self.fetcher.blocks.put_ahead(key, bytes.clone()) } else { self.fetcher.blocks.put(key, bytes.clone()) }
            }
        }
        self.flight.landed.set(Some(Arc::new(opened)));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        {
            let mut flights = self.fetcher.flights.lock();
            for block in &self.run {
                flights.remove(&(self.pack.clone(), block.position));
            }
        }
        if self.ahead {
            self.fetcher.ahead_in_flight.fetch_sub(opened_len(&self.run), Relaxed);
        }
        if self.flight.landed.get().is_none() {
            self.flight.landed.set(Some(Arc::default()));
        }
    }
}

/// What a reader is told whose fetch ended without a word.
fn ending(pack: &Arc<str>) -> PackError {
    let reason = "the fetch was ended".to_owned();
    PackError::Store(StoreError::Unavailable { op: Op::GetRange, key: pack.to_string(), attempts: 0, reason })
}

/// One block, once more.
async fn alone(store: &Store, pack: &str, block: &Block) -> Result<Bytes, PackError> {
    let bytes = store.get_range(pack, block.range()).await?;
    Ok(floe_formats::open_block(block, &bytes)?)
}

fn disk_key(pack: &Arc<str>, block: &Block) -> String {
    format!("{pack}@{}", block.position)
}

fn stored(block: &Block, start: u64, bytes: &Bytes) -> Bytes {
    let at = |position: u64| usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(block.range().start)..at(block.range().end))
}

fn open_one(block: &Block, start: u64, bytes: &Bytes, of_many: bool) -> Result<Bytes, FormatError> {
    let opened = floe_formats::open_block(block, &stored(block, start, bytes))?;
    // A block that stays in memory must not hold its neighbours there.
    Ok(if of_many && block.codec == BlockCodec::None { Bytes::copy_from_slice(&opened) } else { opened })
}

pub(super) fn opened_len(run: &[Block]) -> u64 {
    run.iter().map(|block| u64::from(block.raw_len)).sum()
}

/// Blocks that lie one behind the other, in runs of about so many stored and opened bytes, each of one block at least: as few as there can be, and of equal length. A
/// run is a quarter longer rather than leave a small rest, which would cost a request of its own.
pub(super) fn runs(blocks: &[Block], stored: u64, opened: u64) -> impl Iterator<Item = &[Block]> {
    blocks.chunk_by(|before, next| before.range().end == next.position).flat_map(move |stretch| parts(stretch, stored, opened))
}

fn parts(stretch: &[Block], stored: u64, opened: u64) -> impl Iterator<Item = &[Block]> {
    let (all_stored, all_opened) =
        stretch.iter().fold((0, 0), |(stored, opened), block| (stored + u64::from(block.len), opened + u64::from(block.raw_len)));
    let needed = |all: u64, most: u64| all.div_ceil(most.saturating_add(most / 4).max(1)).max(1);
    let (by_stored, by_opened) = (needed(all_stored, stored), needed(all_opened, opened));
    let counts_stored = by_stored >= by_opened;
    let (count, all) = if counts_stored { (by_stored, all_stored) } else { (by_opened, all_opened) };
    let part = move |at: u64| u128::from(at) * u128::from(count) / u128::from(all.max(1));
    let mut at = 0;
    stretch.chunk_by(move |before, _| {
        let of_before = part(at);
        at += u64::from(if counts_stored { before.len } else { before.raw_len });
        part(at) == of_before
    })
}
