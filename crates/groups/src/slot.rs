//! One partition of `__consumer_offsets`: the state machine behind a lock, who waits for its answers, and its clock.
//!
//! The lock is never held across a wait; an append never waits. What the machine wants appended is appended before anybody
//! else gets the lock, so records lie in the log in the order of the decisions.

mod checkpoint;

use crate::groups::Surroundings;
use crate::load;
use checkpoint::Due;
use floe_coordinator::records::GroupRecord;
use floe_coordinator::{Answer, Effects, GroupError, Now, Reply, Request, Shard, Waiter, WriteFailed};
use floe_env::hash::HashMap;
use floe_env::{Mutant, Watched, mutated};
use floe_log::{AppendError, Partition};
use floe_records::{BatchBuilder, BatchHeader, Codec};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Largest batch that a group's state or a commit may take.
const LARGEST_BATCH: usize = 16 << 20;

/// How far a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Loading,
    Ready,
    /// It could not be loaded, or the log is another's: a new slot takes its place.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Slot {
    surroundings: Arc<Surroundings>,
    partition: Arc<Partition>,
    phase: Watched<Phase>,
    running: Mutex<Option<Running>>,
    /// The next deadline has come nearer.
    sooner: Notify,
    /// The log may be due for a checkpoint.
    grown: Notify,
    due: Mutex<Due>,
}

/// A loaded shard.
#[derive(Debug)]
struct Running {
    shard: Shard,
    waiting: HashMap<Waiter, oneshot::Sender<Answer>>,
    next_waiter: u64,
    /// When the clock wakes, if it sleeps.
    armed: Option<Duration>,
}

impl Slot {
    pub(crate) fn new(surroundings: Arc<Surroundings>, partition: Arc<Partition>) -> Self {
        let (phase, running) = (Watched::new(Phase::Loading), Mutex::new(None));
        let due = Mutex::new(Due::above(surroundings.options.checkpoint_slack));
        Self { surroundings, partition, phase, running, sooner: Notify::new(), grown: Notify::new(), due }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.phase.get() == Phase::Gone
    }

    /// Waits until requests can be handled.
    pub(crate) async fn until_loaded(&self, limit: Duration) -> Result<(), GroupError> {
        let loaded = self.phase.wait_for(|phase| *phase != Phase::Loading);
        match self.surroundings.env.timeout(limit, loaded).await {
            Ok(Phase::Ready) => Ok(()),
            Ok(_) => Err(GroupError::NotCoordinator),
            Err(_) => Err(GroupError::CoordinatorLoadInProgress),
        }
    }

    /// Asks, waits for the answer, and for what it rests on to be committed.
    pub(crate) async fn call(&self, request: Request) -> Result<Reply, GroupError> {
        if matches!(request, Request::Describe { .. } | Request::List { .. } | Request::Delete { .. }) {
            // Who asks once a session is over finds it over, however late the clock is: librdkafka's tests delete a group 2 ms later.
            self.expire();
        }
        let (sender, answer) = oneshot::channel();
        self.step(|running, now| {
            let waiter = Waiter(running.next_waiter);
            running.next_waiter += 1;
            running.waiting.insert(waiter, sender);
            running.shard.handle(now, waiter, request)
        })?;
        let answer = tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| GroupError::NotCoordinator)?,
            // Who waits for other members is told at once that they will meet elsewhere.
            () = self.surroundings.shutdown.wait() => return Err(GroupError::NotCoordinator),
        };
        if answer.until > 0 && !mutated(Mutant::AnsweredBeforeCommit) {
            let committed = self.partition.committed(answer.until);
            match self.surroundings.env.timeout(self.surroundings.options.commit_timeout, committed).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(GroupError::NotCoordinator),
                Err(_) => return Err(GroupError::CoordinatorNotAvailable),
            }
        }
        answer.outcome
    }

    /// Lets go of offsets that nobody has used for too long.
    pub(crate) fn clean(&self) {
        self.each_group(|shard, now, group| shard.clean(now, group));
    }

    pub(crate) fn forget_topic(&self, topic: &str) {
        self.each_group(|shard, now, group| shard.forget_topic(now, group, topic));
    }

    /// One step per group, so that requests get in between.
    fn each_group(&self, mut work: impl FnMut(&mut Shard, Now, &floe_coordinator::Name) -> Effects) {
        let groups = self.running.lock().as_ref().map(|running| running.shard.group_ids()).unwrap_or_default();
        for group in &groups {
            if self.step(|running, now| work(&mut running.shard, now, group)).is_err() {
                return;
            }
        }
    }

    /// Loads, then keeps time until shutdown or until the log is gone.
    pub(crate) async fn run(self: Arc<Self>) {
        let permit = self.surroundings.loads.acquire().await;
        let loading = load::load(&self.partition, self.surroundings.config(), self.surroundings.options.load_bytes);
        let loaded = tokio::select! {
            biased;
            () = self.surroundings.shutdown.wait() => return self.leave(),
            () = self.partition.no_longer_led() => return self.leave(),
            loaded = loading => loaded,
        };
        drop(permit);
        match loaded {
            Ok(shard) => self.start(shard),
            Err(error) => {
                tracing::error!(partition = %self.partition.id(), %error, "groups cannot be loaded");
                return self.leave();
            }
        }
        tokio::select! {
            biased;
            () = self.surroundings.shutdown.wait() => {}
            _gone = self.phase.wait_for(|phase| *phase == Phase::Gone) => {}
            // Whoever asks goes to the broker that leads the partition next.
            () = self.partition.no_longer_led() => self.leave(),
            () = self.keep_time() => {}
            () = self.keep_short() => {}
        }
    }

    /// Does what is due, for ever.
    async fn keep_time(&self) {
        loop {
            let wait = self.expire();
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = self.surroundings.env.sleep(wait) => {}
            }
        }
    }

    /// Writes checkpoints, for ever. Apart from the clock: while a checkpoint waits for the log, sessions end all the same.
    async fn keep_short(&self) {
        loop {
            self.checkpoint_if_due().await;
            self.grown.notified().await;
        }
    }

    fn start(&self, shard: Shard) {
        *self.running.lock() = Some(Running { shard, waiting: HashMap::default(), next_waiter: 0, armed: None });
        // Each pass handles one group that a lowered limit makes too large.
        loop {
            let mut more = false;
            let done = self.step(|running, now| {
                let effects = running.shard.loaded(now);
                more = effects.is_some();
                effects.unwrap_or_default()
            });
            if done.is_err() || !more {
                break;
            }
        }
        self.phase.set_if(|phase| {
            let loading = *phase == Phase::Loading;
            *phase = if loading { Phase::Ready } else { *phase };
            loading
        });
    }

    /// Does all that is due; the time until there is more.
    fn expire(&self) -> Duration {
        /// Without a deadline the clock still looks from time to time; news wake it sooner.
        const IDLE: Duration = Duration::from_secs(3600);
        loop {
            let (mut due, mut wait) = (false, IDLE);
            let done = self.step(|running, now| match running.shard.expire(now) {
                Some(effects) => {
                    due = true;
                    effects
                }
                None => {
                    running.armed = running.shard.next_deadline();
                    wait = running.shard.next_wait(now.monotonic).unwrap_or(IDLE);
                    Effects::default()
                }
            });
            if done.is_err() || !due {
                return wait;
            }
        }
    }

    /// One step of the machine with all that follows from it.
    fn step(&self, work: impl FnOnce(&mut Running, Now) -> Effects) -> Result<(), GroupError> {
        let env = &self.surroundings.env;
        let now = Now { monotonic: env.monotonic(), wall_ms: env.now_ms() };
        let mut guard = self.running.lock();
        let running = guard.as_mut().ok_or(GroupError::NotCoordinator)?;
        running.shard.configure(self.surroundings.config());
        let mut effects = work(running, now);
        let mut owned = true;
        loop {
            for answer in effects.answers {
                if let Some(sender) = running.waiting.remove(&answer.waiter) {
                    // Who has gone away does not care.
                    let _gone = sender.send(answer);
                }
            }
            let Some(write) = effects.write else { break };
            let result = self.append(&write.records, now.wall_ms);
            owned &= result != Err(WriteFailed::NotOwner);
            effects = running.shard.written(now, write, result);
        }
        let next = running.shard.next_deadline();
        let is_sooner = next.is_some_and(|next| running.armed.is_none_or(|armed| next < armed));
        if is_sooner {
            running.armed = next;
        }
        if !owned {
            // Whoever waits is told by the senders that go with it.
            *guard = None;
        }
        drop(guard);
        if is_sooner {
            self.sooner.notify_one();
        }
        if self.may_be_due() {
            self.grown.notify_one();
        }
        if !owned {
            tracing::warn!(partition = %self.partition.id(), "this broker does not own these groups any more");
            self.leave();
        }
        Ok(())
    }

    /// From now on nothing is coordinated here.
    fn leave(&self) {
        self.running.lock().take();
        self.phase.set(Phase::Gone);
    }

    /// Appends one batch; its end offset.
    fn append(&self, records: &[GroupRecord], now_ms: i64) -> Result<i64, WriteFailed> {
        let mut builder = BatchBuilder::new(Codec::None);
        for record in records {
            builder.append(now_ms, Some(&record.key()), record.value().as_deref()).map_err(|_| WriteFailed::TooLarge)?;
        }
        let batch = builder.build();
        if batch.len() > LARGEST_BATCH {
            return Err(WriteFailed::TooLarge);
        }
        let header = BatchHeader::parse(&batch).expect("a batch that was just built has a header");
        match self.partition.append(&batch, &header) {
            Ok(appended) => Ok(appended.end_offset),
            Err(AppendError::Overloaded) => Err(WriteFailed::NoRoom),
            Err(error) => {
                tracing::debug!(partition = %self.partition.id(), %error, "the groups' log takes nothing more");
                Err(WriteFailed::NotOwner)
            }
        }
    }
}
