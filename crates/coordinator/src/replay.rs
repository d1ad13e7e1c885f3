//! Loading: the log's records, one after the other, become the state. A group with members is stable in its last stored
//! generation; its members' sessions begin anew when the log has been read.

use crate::group::Group;
use crate::member::Member;
use crate::offsets;
use crate::rebalance::{self, hear_of};
use crate::records::{GroupRecord, RecordError, StoredGroup, StoredMember};
use crate::shard::{Effects, Groups, Now, Shard, Step};
use crate::{GroupState, Name};
use floe_records::Record;
use std::time::Duration;

impl Shard {
    /// Takes over one record of the log, in the log's order. Kinds that are not known are skipped.
    ///
    /// # Errors
    /// A record that is damaged; the state is as before.
    pub fn replay(&mut self, record: &Record) -> Result<(), RecordError> {
        let key = record.key.as_ref().ok_or(RecordError("it has no key"))?;
        if let Some(record) = GroupRecord::read(key, record.value.as_ref())? {
            offsets::apply(&mut self.groups, record, 0);
        }
        Ok(())
    }

    /// The log has been read: sessions begin. Groups over the limit are to be rebalanced, one per call: to be called until
    /// it gives none.
    pub fn loaded(&mut self, now: Now) -> Option<Effects> {
        let mut step = Step::new(&self.config, &mut self.timers, now);
        for group in self.groups.values_mut() {
            for member in group.members.values_mut().filter(|member| member.armed.is_none()) {
                let session = member.session();
                hear_of(&group.id, member, &mut step, session);
            }
            if group.state == GroupState::Stable && group.members.len() > step.config.max_size {
                rebalance::prepare(group, &mut step);
                return Some(step.effects);
            }
        }
        None
    }
}

/// A group as it was stored; its offsets stay.
pub(crate) fn restore(groups: &mut Groups, id: &Name, stored: StoredGroup, until: i64) {
    let offsets = groups.remove(id).map(|group| group.offsets).unwrap_or_default();
    let mut group = Group::with_offsets(id.clone(), offsets);
    let protocol: Option<Name> = stored.protocol.as_deref().map(Into::into);
    let protocol_type: Name = stored.protocol_type.as_str().into();
    for member in &stored.members {
        group.add(restored(member.clone(), protocol.as_ref()), &protocol_type);
    }
    group.state = if group.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
    group.state_since_ms = Some(stored.state_since_ms).filter(|ms| *ms >= 0);
    group.generation = stored.generation;
    group.protocol_type = Some(protocol_type).filter(|kind| !kind.is_empty());
    group.protocol = protocol;
    group.leader = stored.leader.as_deref().map(Name::from).filter(|leader| group.members.contains_key(leader)).or(group.leader);
    group.subscribed = group.subscriptions();
    group.is_stored = true;
    group.stored_until = until;
    group.stored = Some(Box::new(stored));
    groups.insert(id.clone(), group);
}

fn restored(stored: StoredMember, protocol: Option<&Name>) -> Member {
    let protocols = protocol.map(|name| (name.clone(), stored.subscription)).into_iter().collect();
    Member {
        id: stored.member.into(),
        instance: stored.instance.map(Into::into),
        client_id: stored.client_id.into(),
        client_host: stored.client_host.into(),
        rebalance_timeout_ms: stored.rebalance_timeout_ms,
        session_timeout_ms: stored.session_timeout_ms,
        protocols,
        assignment: stored.assignment,
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
        session_ends: Duration::ZERO,
        armed: None,
    }
}
