//! The groups of one partition of `__consumer_offsets`, and what goes in and comes out.
//!
//! The driver's part: call [`Shard::handle`], [`Shard::expire`] or [`Shard::clean`]; give the answers to who waits for them,
//! each once its `until` is committed; append the records of a write as one batch and say how that went with
//! [`Shard::written`], before anything else is asked. What [`Shard::replay`] is fed at the start is the same records, or those
//! of a checkpoint ([`Shard::checkpoint`]) and all that came after it began.

use crate::expiry::millis_until;
use crate::group::Group;
use crate::records::GroupRecord;
use crate::timers::Timers;
use crate::{GroupError, Name, Reply, Request, WriteFailed};
use crate::{describe, heartbeat, join, leave, offsets, sync};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an operator may set about groups; Kafka's names are in the broker's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// How long the first members of an empty group are waited for.
    pub initial_rebalance_delay: Duration,
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    /// Most members of a group.
    pub max_size: usize,
    /// Longest metadata of an offset, in characters as Java counts them.
    pub max_offset_metadata: usize,
    /// How long offsets are kept that nobody uses (KIP-211), in milliseconds.
    pub offsets_retention_ms: i64,
    /// How long a new member's first join may take.
    pub new_member_join_timeout: Duration,
}

impl Default for GroupConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_secs(3),
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: usize::MAX,
            max_offset_metadata: 4096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            new_member_join_timeout: Duration::from_secs(300),
        }
    }
}

/// The two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Duration,
    /// Unix milliseconds, for what is stored.
    pub wall_ms: i64,
}

/// Who waits for a reply. The driver gives each request its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// A reply, to be given once the log is committed up to `until`.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub waiter: Waiter,
    pub outcome: Result<Reply, GroupError>,
    /// End offset in the shard's partition; 0 for at once.
    pub until: i64,
}

/// Records that are to be appended as one batch.
#[derive(Debug)]
pub struct Write {
    pub records: Vec<GroupRecord>,
    pub(crate) then: Then,
}

/// What an append brings about.
#[derive(Debug)]
pub(crate) enum Then {
    /// The leader's assignments count, if the group is still where it was.
    Assign { group: Name, generation: i32, assignments: BTreeMap<Name, bytes::Bytes> },
    /// A static member goes on under a new id.
    Replace(Box<join::Replaced>),
    /// The group has no members; whoever left is told.
    Emptied { group: Name, told: Vec<(Waiter, Reply)> },
    /// Offsets and groups are as the records say.
    Apply { told: Option<(Waiter, Reply)> },
}

/// What a step asks of the driver.
#[derive(Debug, Default)]
pub struct Effects {
    pub answers: Vec<Answer>,
    pub write: Option<Write>,
}

/// One step: what it may look at, and what it brings about.
pub(crate) struct Step<'a> {
    pub(crate) config: &'a GroupConfig,
    pub(crate) timers: &'a mut Timers,
    pub(crate) now: Now,
    pub(crate) effects: Effects,
}

impl<'a> Step<'a> {
    pub(crate) fn new(config: &'a GroupConfig, timers: &'a mut Timers, now: Now) -> Self {
        Self { config, timers, now, effects: Effects::default() }
    }

    /// Answers at once.
    pub(crate) fn answer(&mut self, waiter: Waiter, outcome: Result<Reply, GroupError>) {
        self.answer_at(waiter, outcome, 0);
    }

    /// Answers once the log is committed up to `until`.
    pub(crate) fn answer_at(&mut self, waiter: Waiter, outcome: Result<Reply, GroupError>, until: i64) {
        self.effects.answers.push(Answer { waiter, outcome, until });
    }

    pub(crate) fn refuse(&mut self, waiter: Waiter, error: GroupError) {
        self.answer(waiter, Err(error));
    }

    pub(crate) fn write(&mut self, records: Vec<GroupRecord>, then: Then) {
        debug_assert!(self.effects.write.is_none(), "a step writes once");
        self.effects.write = Some(Write { records, then });
    }
}

pub(crate) type Groups = BTreeMap<Name, Group>;

/// The state machine.
#[derive(Debug)]
pub struct Shard {
    pub(crate) config: GroupConfig,
    pub(crate) groups: Groups,
    pub(crate) timers: Timers,
}

impl Shard {
    /// A shard without groups: feed it the log with [`Shard::replay`].
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self { config, groups: Groups::new(), timers: Timers::default() }
    }

    /// From now on these limits count. What is under way keeps the times that it was given.
    pub fn configure(&mut self, config: GroupConfig) {
        self.config = config;
    }

    /// Handles a request. Its waiter is answered now, after the write, or by a later step.
    pub fn handle(&mut self, now: Now, waiter: Waiter, request: Request) -> Effects {
        let mut step = Step::new(&self.config, &mut self.timers, now);
        let touched = match &request {
            Request::Join(join) => Some(join.group.clone()),
            Request::Leave(leave) => Some(leave.group.clone()),
            _ => None,
        };
        let groups = &mut self.groups;
        match request {
            Request::Join(request) => join::join(groups, &mut step, waiter, &request),
            Request::Sync(request) => sync::sync(groups, &mut step, waiter, request),
            Request::Heartbeat(request) => heartbeat::heartbeat(groups, &mut step, waiter, &request),
            Request::Leave(request) => leave::leave(groups, &mut step, waiter, request),
            Request::Describe { group } => step.answer(waiter, Ok(describe::describe(groups.get(&group)))),
            Request::List { states } => step.answer(waiter, Ok(describe::list(groups, &states))),
            Request::Delete { group } => describe::delete(groups, &mut step, waiter, &group),
            Request::Commit(request) => offsets::commit(groups, &mut step, waiter, request),
            Request::Fetch(request) => offsets::fetch(groups, &mut step, waiter, request),
            Request::DeleteOffsets { group, topics } => offsets::delete(groups, &mut step, waiter, &group, topics),
        }
        let effects = step.effects;
        if let Some(group) = touched {
            self.forget_if_unused(&group);
        }
        effects
    }

    /// Tells how the append of a write went: the end offset of its batch, or why it was refused.
    pub fn written(&mut self, now: Now, write: Write, result: Result<i64, WriteFailed>) -> Effects {
        let mut step = Step::new(&self.config, &mut self.timers, now);
        let groups = &mut self.groups;
        if result.is_ok() {
            crate::checkpoint::remember(groups, &write.records);
        }
        match (write.then, result) {
            (Then::Assign { group, generation, assignments }, result) => {
                if let Some(group) = groups.get_mut(&group).filter(|group| group.generation == generation) {
                    sync::assigned(group, &mut step, assignments, result);
                }
            }
            (Then::Replace(replaced), result) => join::replaced(groups, &mut step, *replaced, result),
            (Then::Emptied { group, told }, result) => {
                // Not stored, the generation before comes back after a crash, and its members' sessions end then.
                let until = result.unwrap_or(0);
                if let Some(group) = groups.get_mut(&group).filter(|_| until > 0) {
                    group.is_stored = true;
                }
                told.into_iter().for_each(|(waiter, reply)| step.answer_at(waiter, Ok(reply), until));
            }
            (Then::Apply { told }, Ok(end)) => {
                for record in write.records {
                    offsets::apply(groups, record, end);
                }
                if let Some((waiter, reply)) = told {
                    step.answer_at(waiter, Ok(reply), end);
                }
            }
            (Then::Apply { told }, Err(error)) => {
                if let Some((waiter, _)) = told {
                    step.refuse(waiter, error.of_offsets());
                }
            }
        }
        step.effects
    }

    /// Does the first thing that is due by now, if there is one. To be called again until there is none.
    pub fn expire(&mut self, now: Now) -> Option<Effects> {
        let timer = self.timers.pop_due(now.monotonic)?;
        let mut step = Step::new(&self.config, &mut self.timers, now);
        let group = crate::expiry::expire(&mut self.groups, &mut step, timer);
        let effects = step.effects;
        self.forget_if_unused(&group);
        Some(effects)
    }

    /// When [`Shard::expire`] is to be called next, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The same, as a wait from `now` on.
    #[must_use]
    pub fn next_wait(&self, now: Duration) -> Option<Duration> {
        self.timers.next().map(|at| millis_until(at, now))
    }

    /// Groups, for one [`Shard::clean`] each.
    #[must_use]
    pub fn group_ids(&self) -> Vec<Name> {
        self.groups.keys().cloned().collect()
    }

    /// Lets go of a group that the log knows nothing of and nobody uses.
    fn forget_if_unused(&mut self, id: &Name) {
        if self.groups.get(id).is_some_and(Group::is_unused) {
            self.groups.remove(id);
        }
    }
}
