//! Fetch sessions (KIP-227): what a consumer asks for again and again is remembered, so that it sends and gets only what
//! has changed.
//!
//! Rules are Kafka's (`FetchSession.scala`): a session is made by a full fetch of epoch 0 and named in its answer; later
//! fetches count its epochs up, and one that does not is refused, so that the two sides never differ in silence. A full
//! answer lists every partition, an incremental one those with records, an error, or a mark that moved. A partition that
//! gave records goes to the back, so that none starves those behind it.
//!
//! Bounded: so many sessions, and so many partitions in all of them. A full cache gives up what was not used for two
//! minutes, then an older session that is smaller than the new one; else the client gets none and goes on with full
//! fetches. A session holds no frame and no partition alive.

use super::plan::AskedPartition;
use floe_env::Env;
use floe_env::hash::HashMap;
use floe_protocol::ErrorCode;
use floe_protocol::fetch::{FetchPartition, FetchTopic};
use floe_protocol::messages::fetch_request::{FetchTopic as AskedTopic, ForgottenTopic};
use floe_protocol::messages::{StrBytes, Uuid};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Epochs with a meaning of their own: a new session is wanted, and none is.
const INITIAL: i32 = 0;
const FINAL: i32 = -1;

/// The answer's word for "no session".
pub(super) const NO_SESSION: i32 = 0;

/// A session can be given up for another only after so long.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// Partitions in all sessions together: 100 bytes each.
const MAX_PARTITIONS: usize = 500_000;

/// A topic as its consumer names it: by name up to version 12, by id from then on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicKey {
    pub(super) name: StrBytes,
    pub(super) id: [u8; 16],
}

impl TopicKey {
    /// With bytes of its own: the name given is a slice of its frame.
    fn owned(name: &StrBytes, id: Uuid) -> Arc<Self> {
        Arc::new(Self { name: StrBytes::from(name.to_string()), id: id.to_bytes() })
    }
}

/// Partitions of one topic that stand side by side in the order of the answer.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) name: StrBytes,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<AskedPartition>,
}

/// What kind of fetch this is.
#[derive(Debug)]
pub(super) enum Context {
    /// Everything is in the request, and nothing is remembered.
    Sessionless,
    /// Everything is in the request, and wants to be remembered.
    Full { by_id: bool },
    /// The request holds what has changed.
    Incremental { session: Arc<Session>, epoch: i32 },
}

/// The sessions of all consumers.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    env: Env,
    slots: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Slot>,
    partitions: usize,
}

/// A session, and what it is charged for.
#[derive(Debug)]
struct Slot {
    session: Arc<Session>,
    partitions: usize,
}

#[derive(Debug)]
pub(super) struct Session {
    id: i32,
    by_id: bool,
    created: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The epoch that the next request must have.
    epoch: i32,
    used: Duration,
    /// By place in the order of answers.
    order: BTreeMap<u64, Remembered>,
    places: BTreeMap<(Arc<TopicKey>, i32), u64>,
    next_place: u64,
}

/// One partition of a session.
#[derive(Debug, Clone)]
struct Remembered {
    topic: Arc<TopicKey>,
    asked: AskedPartition,
    told: Told,
}

/// What the client was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
}

/// Nothing yet: whatever comes is news.
const UNTOLD: Told = Told { high_watermark: -1, last_stable_offset: -1, log_start_offset: -1 };

/// The parts of a request that are about its session.
pub(super) struct Opening<'a> {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) by_id: bool,
    pub(super) topics: &'a [AskedTopic],
    pub(super) forgotten: &'a [ForgottenTopic],
}

impl FetchSessions {
    pub(crate) fn new(env: Env, slots: usize) -> Self {
        Self { env, slots, cache: Mutex::new(Cache::default()) }
    }

    /// How many there are now, and how many partitions they hold.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let cache = self.cache.lock();
        (cache.sessions.len(), cache.partitions)
    }

    /// Finds out what kind of fetch a request is, and brings its session up to date.
    pub(super) fn open(&self, opening: &Opening<'_>) -> Result<Context, ErrorCode> {
        let Opening { session_id, session_epoch, by_id, .. } = *opening;
        if matches!(session_epoch, INITIAL | FINAL) {
            // Whoever starts again has no use for what was.
            self.cache.lock().remove(session_id);
            return Ok(if session_epoch == FINAL { Context::Sessionless } else { Context::Full { by_id } });
        }
        let found = self.cache.lock().sessions.get(&session_id).map(|slot| slot.session.clone());
        let session = found.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let (size, epoch) = {
            let mut state = session.state.lock();
            if state.epoch != session_epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if session.by_id != by_id {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            state.update(opening.topics, opening.forgotten);
            state.epoch = next_epoch(state.epoch);
            state.used = self.env.monotonic();
            (state.order.len(), state.epoch)
        };
        let mut cache = self.cache.lock();
        if !cache.resized(session_id, size) {
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        if size == 0 {
            cache.remove(session_id);
            return Ok(Context::Sessionless);
        }
        Ok(Context::Incremental { session, epoch })
    }

    /// Remembers a full fetch and its answer. The new session's id, or that there is none.
    pub(super) fn create(&self, by_id: bool, asked: &[Run], answered: &[FetchTopic]) -> i32 {
        let size: usize = asked.iter().map(|run| run.partitions.len()).sum();
        let now = self.env.monotonic();
        let mut cache = self.cache.lock();
        if size == 0 || !cache.make_room(self.slots, size, now) {
            return NO_SESSION;
        }
        let id = loop {
            // Positive and not taken; with far fewer sessions than ids one of the first few is.
            let drawn = i32::try_from(self.env.random_u128() & 0x7fff_ffff).unwrap_or(NO_SESSION);
            if drawn != NO_SESSION && !cache.sessions.contains_key(&drawn) {
                break drawn;
            }
        };
        let mut state = State { epoch: next_epoch(INITIAL), used: now, order: BTreeMap::new(), places: BTreeMap::new(), next_place: 0 };
        for (run, topic) in asked.iter().zip(answered) {
            let key = TopicKey::owned(&run.name, run.id);
            for (asked, answer) in run.partitions.iter().zip(&topic.partitions) {
                state.put(&key, *asked);
                state.tell(&key, answer);
            }
        }
        // A partition that was named twice is there once.
        let partitions = state.order.len();
        cache.partitions += partitions;
        let session = Arc::new(Session { id, by_id, created: now, state: Mutex::new(state) });
        cache.sessions.insert(id, Slot { session, partitions });
        id
    }
}

impl Cache {
    fn remove(&mut self, id: i32) {
        if let Some(slot) = self.sessions.remove(&id) {
            self.partitions -= slot.partitions;
        }
    }

    /// A session holds so many partitions now. One that leaves the others no room is given up: false.
    fn resized(&mut self, id: i32, size: usize) -> bool {
        let Some(slot) = self.sessions.get_mut(&id) else { return false };
        let grew = size > slot.partitions;
        self.partitions = self.partitions + size - slot.partitions;
        slot.partitions = size;
        if grew && self.partitions > MAX_PARTITIONS {
            self.remove(id);
            return false;
        }
        true
    }

    /// Room for one more session of `size` partitions, if need be by giving up another one.
    fn make_room(&mut self, slots: usize, size: usize, now: Duration) -> bool {
        if self.partitions + size > MAX_PARTITIONS {
            return false;
        }
        if self.sessions.len() < slots {
            return true;
        }
        let old = |since: Duration| now.saturating_sub(since) > EVICTABLE_AFTER;
        let mut idlest: Option<(Duration, i32)> = None;
        let mut smallest: Option<(usize, i32)> = None;
        for (id, slot) in &self.sessions {
            let used = slot.session.state.lock().used;
            if old(used) {
                idlest = idlest.into_iter().chain([(used, *id)]).min();
            }
            if old(slot.session.created) && slot.partitions < size {
                smallest = smallest.into_iter().chain([(slot.partitions, *id)]).min();
            }
        }
        let victim = idlest.map(|(_, id)| id).or(smallest.map(|(_, id)| id));
        victim.inspect(|id| self.remove(*id)).is_some()
    }
}

impl Session {
    pub(super) fn id(&self) -> i32 {
        self.id
    }

    /// What to read, in the order of the answer.
    pub(super) fn runs(&self) -> Vec<Run> {
        let state = self.state.lock();
        let mut runs: Vec<(Arc<TopicKey>, Run)> = Vec::new();
        for remembered in state.order.values() {
            match runs.last_mut() {
                Some((topic, run)) if *topic == remembered.topic => run.partitions.push(remembered.asked),
                _ => {
                    let (name, id) = (remembered.topic.name.clone(), Uuid::from_bytes(remembered.topic.id));
                    runs.push((remembered.topic.clone(), Run { name, id, partitions: vec![remembered.asked] }));
                }
            }
        }
        runs.into_iter().map(|(_, run)| run).collect()
    }

    /// Leaves of the answer what is news to the client, and notes that it was told.
    pub(super) fn tell(&self, epoch: i32, topics: Vec<FetchTopic>) -> Result<Vec<FetchTopic>, ErrorCode> {
        let mut state = self.state.lock();
        if state.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        let mut news = Vec::new();
        for mut topic in topics {
            let key = Arc::new(TopicKey { name: topic.name.clone(), id: topic.topic_id.to_bytes() });
            topic.partitions.retain(|answer| state.tell(&key, answer));
            for answer in topic.partitions.iter().filter(|answer| !answer.records.is_empty()) {
                state.move_back(&key, answer.index);
            }
            if !topic.partitions.is_empty() {
                news.push(topic);
            }
        }
        Ok(news)
    }
}

impl State {
    fn update(&mut self, topics: &[AskedTopic], forgotten: &[ForgottenTopic]) {
        for topic in topics {
            let key = TopicKey::owned(&topic.topic, topic.topic_id);
            topic.partitions.iter().for_each(|asked| self.put(&key, AskedPartition::from(asked)));
        }
        for topic in forgotten {
            let key = TopicKey::owned(&topic.topic, topic.topic_id);
            for index in &topic.partitions {
                if let Some(place) = self.places.remove(&(key.clone(), *index)) {
                    self.order.remove(&place);
                }
            }
        }
    }

    /// Adds a partition at the back, or changes what is asked of it.
    fn put(&mut self, topic: &Arc<TopicKey>, asked: AskedPartition) {
        if let Some(place) = self.places.get(&(topic.clone(), asked.index)) {
            if let Some(remembered) = self.order.get_mut(place) {
                remembered.asked = asked;
            }
            return;
        }
        self.places.insert((topic.clone(), asked.index), self.next_place);
        self.order.insert(self.next_place, Remembered { topic: topic.clone(), asked, told: UNTOLD });
        self.next_place += 1;
    }

    /// Whether the answer is news, which it no longer is afterwards. An error is news each time, and so is what follows it.
    fn tell(&mut self, topic: &Arc<TopicKey>, answer: &FetchPartition) -> bool {
        let place = self.places.get(&(topic.clone(), answer.index));
        let Some(remembered) = place.and_then(|place| self.order.get_mut(place)) else { return false };
        let now = Told {
            high_watermark: answer.high_watermark,
            last_stable_offset: answer.last_stable_offset,
            log_start_offset: answer.log_start_offset,
        };
        let failed = answer.error_code != 0 || answer.diverging_epoch.is_some();
        let news = failed || !answer.records.is_empty() || now != remembered.told || answer.preferred_read_replica >= 0;
        remembered.told = if failed { UNTOLD } else { now };
        news
    }

    fn move_back(&mut self, topic: &Arc<TopicKey>, index: i32) {
        let Some(place) = self.places.get_mut(&(topic.clone(), index)) else { return };
        if let Some(remembered) = self.order.remove(place) {
            *place = self.next_place;
            self.order.insert(self.next_place, remembered);
            self.next_place += 1;
        }
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
