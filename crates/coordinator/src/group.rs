//! One group's members and offsets, and what it takes to keep their counts right. Which state comes after which is not
//! decided here.

use crate::member::{Member, owned};
use crate::records::{GroupRecord, StoredGroup, StoredMember};
use crate::shard::{Now, Waiter};
use crate::{CommittedOffset, GroupError, GroupState, Join, Joined, JoinedMember, Name, subscription};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The protocol type of Kafka's consumers, whose subscriptions the coordinator may read (KIP-211).
pub(crate) const CONSUMER: &str = "consumer";

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: Name,
    pub(crate) state: GroupState,
    /// Unix milliseconds; none where an old record did not say.
    pub(crate) state_since_ms: Option<i64>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Name>,
    pub(crate) protocol: Option<Name>,
    pub(crate) leader: Option<Name>,
    pub(crate) members: BTreeMap<Name, Member>,
    /// Member by instance id (KIP-345).
    pub(crate) statics: BTreeMap<Name, Name>,
    /// Ids that were given and have not come back yet (KIP-394), with when they are given up.
    pub(crate) pending: BTreeMap<Name, Duration>,
    /// Who has not asked for its assignment yet.
    pub(crate) pending_sync: BTreeSet<Name>,
    /// Topics that the members want; none where they cannot be told.
    pub(crate) subscribed: Option<BTreeSet<String>>,
    /// By topic and partition.
    pub(crate) offsets: BTreeMap<Name, BTreeMap<i32, StoredOffset>>,
    /// The first rebalance of an empty group, whose end waits for the initial delay.
    pub(crate) initial: Option<Initial>,
    pub(crate) join_ends: Option<Duration>,
    pub(crate) sync_ends: Option<Duration>,
    /// Whether the log has a record of it.
    pub(crate) is_stored: bool,
    /// End offset of what was written of its members last.
    pub(crate) stored_until: i64,
    /// What the log says of its members: in the middle of a rebalance that is the generation before.
    pub(crate) stored: Option<Box<StoredGroup>>,
    /// How many members support each protocol.
    votes: Votes,
    /// How many members wait for a generation.
    joining: usize,
}

type Votes = BTreeMap<Name, usize>;

/// How the initial delay goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Initial {
    pub(crate) delay: Duration,
    pub(crate) remaining: Duration,
    /// Somebody joined during this delay.
    pub(crate) has_grown: bool,
}

/// An offset, and the end of the batch that holds it.
#[derive(Debug, Clone)]
pub(crate) struct StoredOffset {
    pub(crate) committed: CommittedOffset,
    pub(crate) until: i64,
}

impl Group {
    pub(crate) fn new(id: Name) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_since_ms: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            subscribed: None,
            offsets: BTreeMap::new(),
            initial: None,
            join_ends: None,
            sync_ends: None,
            is_stored: false,
            stored_until: 0,
            stored: None,
            votes: Votes::new(),
            joining: 0,
        }
    }

    /// Offsets alone, without members.
    pub(crate) fn with_offsets(id: Name, offsets: BTreeMap<Name, BTreeMap<i32, StoredOffset>>) -> Self {
        Self { offsets, is_stored: true, ..Self::new(id) }
    }

    pub(crate) fn enter(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_since_ms = Some(now.wall_ms);
    }

    /// Nobody has ever been in it, and the log knows nothing of it.
    pub(crate) fn is_unused(&self) -> bool {
        let is_new = self.state == GroupState::Empty && self.generation == 0 && !self.is_stored;
        is_new && self.pending.is_empty() && self.offsets.is_empty()
    }

    pub(crate) fn is_leader(&self, member: &Name) -> bool {
        self.leader.as_ref() == Some(member)
    }

    /// Everybody who is to join has.
    pub(crate) fn has_all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending.is_empty()
    }

    pub(crate) fn joining(&self) -> usize {
        self.joining
    }

    pub(crate) fn rebalance_timeout(&self) -> Duration {
        crate::member::millis(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0))
    }

    /// Whether a member of these protocols could join those that are there.
    pub(crate) fn supports(&self, join: &Join) -> bool {
        if self.state == GroupState::Empty || self.members.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let common = |name: &Name| self.votes.get(name) == Some(&self.members.len());
        self.protocol_type.as_ref() == Some(&join.protocol_type) && join.protocols.iter().any(|(name, _)| common(name))
    }

    /// Checks who speaks. A static member is known by its instance id, and its member id must be the newest.
    pub(crate) fn check_member(&self, member: &Name, instance: Option<&Name>) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(known) if known != member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    pub(crate) fn add(&mut self, member: Member, protocol_type: &Name) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending.remove(&member.id);
        self.count(&member.protocols, true);
        self.joining += usize::from(member.awaiting_join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    pub(crate) fn remove(&mut self, id: &Name) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.count(&member.protocols, false);
        self.joining -= usize::from(member.awaiting_join.is_some());
        self.pending_sync.remove(id);
        if let Some(instance) = member.instance.as_ref().filter(|instance| self.statics.get(*instance) == Some(id)) {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Lets a static member go on under another id: place, assignment and leadership stay.
    pub(crate) fn rename(&mut self, from: &Name, to: Name) -> Option<&mut Member> {
        let leads = self.is_leader(from);
        let mut member = self.remove(from)?;
        member.id = to.clone();
        member.armed = None;
        let protocol_type = self.protocol_type.clone().unwrap_or_else(|| "".into());
        self.add(member, &protocol_type);
        if leads {
            self.leader = Some(to.clone());
        }
        self.members.get_mut(&to)
    }

    /// Takes what a member brings when it joins again, and who waits for the answer. Gives back who waited before.
    pub(crate) fn update(&mut self, id: &Name, join: &Join, waiter: Waiter) -> Option<Waiter> {
        let member = self.members.get_mut(id)?;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        let before = std::mem::replace(&mut member.protocols, owned(&join.protocols));
        let waited = member.awaiting_join.replace(waiter);
        let new = member.protocols.clone();
        self.joining += usize::from(waited.is_none());
        self.count(&before, false);
        self.count(&new, true);
        waited
    }

    pub(crate) fn take_joining(&mut self, id: &Name) -> Option<Waiter> {
        let waiter = self.members.get_mut(id)?.awaiting_join.take()?;
        self.joining -= 1;
        Some(waiter)
    }

    fn count(&mut self, protocols: &[(Name, Bytes)], more: bool) {
        let names: BTreeSet<&Name> = protocols.iter().map(|(name, _)| name).collect();
        for name in names {
            let votes = self.votes.entry(name.clone()).or_default();
            *votes = if more { *votes + 1 } else { votes.saturating_sub(1) };
            if *votes == 0 {
                self.votes.remove(name);
            }
        }
    }

    /// The protocol that all support and most prefer. Among equals the first by name, so that it follows from the members.
    pub(crate) fn select_protocol(&self) -> Option<Name> {
        let common: BTreeSet<&Name> = self.votes.iter().filter(|(_, votes)| **votes == self.members.len()).map(|(name, _)| name).collect();
        let mut preferred: BTreeMap<&Name, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| common.contains(name)) {
                *preferred.entry(name).or_default() += 1;
            }
        }
        let most = preferred.values().max().copied()?;
        preferred.into_iter().find(|(_, votes)| *votes == most).map(|(name, _)| name.clone())
    }

    /// Keeps the leader if it has joined, else makes the first one leader who has. None has: false.
    pub(crate) fn elect_leader(&mut self) -> bool {
        let has_joined = |member: &Member| member.awaiting_join.is_some();
        if self.leader.as_ref().and_then(|leader| self.members.get(leader)).is_some_and(has_joined) {
            return true;
        }
        match self.members.values().find(|member| has_joined(member)) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Begins the next generation: with members it waits for the leader's assignments, without it is empty.
    pub(crate) fn next_generation(&mut self, now: Now) {
        // After 2^31 generations it starts anew, as Kafka's does by overflow; never below 0, which means "no member".
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.protocol = self.select_protocol();
        self.subscribed = self.subscriptions();
        self.initial = None;
        let state = if self.members.is_empty() { GroupState::Empty } else { GroupState::CompletingRebalance };
        self.enter(state, now);
    }

    /// The topics that the members ask for, if their protocol is the consumers' and all can be read.
    pub(crate) fn subscriptions(&self) -> Option<BTreeSet<String>> {
        let protocol_type = self.protocol_type.as_deref()?;
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        if protocol_type != CONSUMER {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscription::topics(&member.metadata(self.protocol.as_ref()))?);
        }
        Some(topics)
    }

    /// Whether the members consume the topic, or may do so.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.protocol_type.as_deref() == Some(CONSUMER),
        }
    }

    /// What a member is told of the generation; the leader alone gets everybody.
    pub(crate) fn joined(&self, id: &Name, with_members: bool) -> Joined {
        let member = |member: &Member| JoinedMember {
            member: member.id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(self.protocol.as_ref()),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| "".into()),
            skip_assignment: false,
            member: id.clone(),
            members: if with_members { self.members.values().map(member).collect() } else { Vec::new() },
        }
    }

    /// The group as it is to be stored, with other assignments than the members have.
    pub(crate) fn to_record(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupRecord {
        let text = |name: &Name| name.to_string();
        let member = |member: &Member| StoredMember {
            member: text(&member.id),
            instance: member.instance.as_ref().map(text),
            client_id: text(&member.client_id),
            client_host: text(&member.client_host),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_ref()),
            assignment: assignment(member),
        };
        let stored = StoredGroup {
            protocol_type: self.protocol_type.as_ref().map(text).unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.as_ref().map(text),
            leader: self.leader.as_ref().map(text),
            state_since_ms: self.state_since_ms.unwrap_or(-1),
            members: self.members.values().map(member).collect(),
        };
        GroupRecord::Group { group: self.id.clone(), stored: Some(stored) }
    }
}
