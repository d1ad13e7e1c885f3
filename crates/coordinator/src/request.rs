//! What is asked of a shard, and what it replies: Kafka's requests without their wire.

use crate::GroupError;
use bytes::Bytes;
use std::sync::Arc;

/// A group, member, topic or protocol name. Shared, because one name stands in many places.
pub type Name = Arc<str>;

/// Something of each partition, by topic.
pub type ByPartition<T> = Vec<(Name, Vec<(i32, T)>)>;

/// A request about groups of one shard.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Join(Join),
    Sync(Sync),
    Heartbeat(Heartbeat),
    Leave(Leave),
    Describe {
        group: Name,
    },
    /// States as Kafka spells them, in any case; none for all.
    List {
        states: Vec<String>,
    },
    Delete {
        group: Name,
    },
    Commit(Commit),
    Fetch(Fetch),
    DeleteOffsets {
        group: Name,
        topics: Vec<TopicPartitions>,
    },
}

/// What is replied when nothing is refused as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Joined(Joined),
    /// Join again under this id (KIP-394).
    MemberIdRequired(Name),
    Synced(Synced),
    Heartbeat,
    /// In the order of the request.
    Left(Vec<(LeavingMember, Option<GroupError>)>),
    Described(Description),
    Listed(Vec<Listed>),
    Deleted,
    /// In the order of the request.
    Committed(ByPartition<Option<GroupError>>),
    /// In the order of the request, or by topic. A partition without an offset is there with none.
    Fetched(ByPartition<Option<CommittedOffset>>),
    /// In the order of the request.
    DeletedOffsets(ByPartition<Option<GroupError>>),
}

/// JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    pub group: Name,
    /// Empty where the member has no id yet.
    pub member: Name,
    pub instance: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: Name,
    /// By the member's preference, with its metadata for each.
    pub protocols: Vec<(Name, Bytes)>,
    /// Whether a member without an id first gets one and has to come again (version 4 on).
    pub member_id_required: bool,
    /// Whether the client knows of `skip_assignment` (version 9 on).
    pub can_skip_assignment: bool,
    /// Randomness for the id, if one is given.
    pub fresh: u128,
}

/// The generation that a member has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub generation: i32,
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    pub leader: Name,
    pub skip_assignment: bool,
    pub member: Name,
    /// Everybody, for the leader alone.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub member: Name,
    pub instance: Option<Name>,
    /// For the protocol that was chosen.
    pub metadata: Bytes,
}

/// SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    pub group: Name,
    pub generation: i32,
    pub member: Name,
    pub instance: Option<Name>,
    /// Compared where given (version 5 on).
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    /// By member; the leader's alone count.
    pub assignments: Vec<(Name, Bytes)>,
}

/// A member's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    pub assignment: Bytes,
}

/// Heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub group: Name,
    pub generation: i32,
    pub member: Name,
    pub instance: Option<Name>,
}

/// LeaveGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    pub group: Name,
    pub members: Vec<LeavingMember>,
}

/// Who leaves: by member id, or by instance id alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    pub member: Name,
    pub instance: Option<Name>,
}

/// Where a group is on its way to an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; offsets at most.
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// The leader is to say who gets what.
    CompletingRebalance,
    Stable,
    /// There is no such group.
    Dead,
}

impl GroupState {
    /// As Kafka spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A group as DescribeGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub state: GroupState,
    pub protocol_type: Name,
    /// Empty unless the group is stable.
    pub protocol: Name,
    pub members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it; its bytes only while the group is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    pub member: Name,
    pub instance: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// A group as ListGroups shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub group: Name,
    pub protocol_type: Name,
    pub state: GroupState,
}

/// OffsetCommit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub group: Name,
    /// Negative from who is no member: an administrator, or a consumer that assigns itself.
    pub generation: i32,
    /// Empty from who is no member.
    pub member: Name,
    pub instance: Option<Name>,
    /// How long the offsets are to be kept, where the client says (versions 2 to 4).
    pub retention_ms: Option<i64>,
    /// Whether a generation of a group that is not there is told as such (version 9 on).
    pub tells_missing_group: bool,
    pub topics: Vec<(Name, Vec<CommitPartition>)>,
}

/// One partition's offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPartition {
    pub index: i32,
    pub offset: i64,
    /// Negative for none.
    pub leader_epoch: i32,
    pub metadata: Name,
}

/// An offset as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    /// Negative for none.
    pub leader_epoch: i32,
    pub metadata: Name,
    /// Unix milliseconds.
    pub committed_ms: i64,
    /// Unix milliseconds; given by old clients only.
    pub expires_ms: Option<i64>,
}

/// OffsetFetch of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub group: Name,
    /// None for everything there is.
    pub topics: Option<Vec<TopicPartitions>>,
}

/// Some partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartitions {
    pub topic: Name,
    pub partitions: Vec<i32>,
}
