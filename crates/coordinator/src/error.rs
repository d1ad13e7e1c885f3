//! What a client is told when a request about a group cannot be done, by Kafka's names.

use floe_types::ErrorKind;

/// Why a request was refused. Each is one of Kafka's codes; the broker's map gives the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("the coordinator's log is being read")]
    CoordinatorLoadInProgress,
    #[error("the coordinator cannot write at the moment")]
    CoordinatorNotAvailable,
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    #[error("the generation is not the group's")]
    IllegalGeneration,
    #[error("the group's members have no protocol in common with this one")]
    InconsistentGroupProtocol,
    #[error("the group id is not allowed")]
    InvalidGroupId,
    #[error("the group has no such member")]
    UnknownMemberId,
    #[error("the session timeout lies outside the broker's limits")]
    InvalidSessionTimeout,
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    #[error("the group has as many members as it may have")]
    GroupMaxSizeReached,
    #[error("another member took this instance id over")]
    FencedInstanceId,
    #[error("the group is not empty")]
    NonEmptyGroup,
    #[error("there is no such group")]
    GroupIdNotFound,
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    #[error("the metadata of the offset is too large")]
    OffsetMetadataTooLarge,
    #[error("the request holds more offsets than one batch takes")]
    InvalidCommitOffsetSize,
    #[error("the request contradicts itself")]
    InvalidRequest,
    #[error("the group's state is larger than one batch takes")]
    UnknownServerError,
}

impl GroupError {
    /// What it asks of the caller.
    #[must_use]
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::CoordinatorLoadInProgress | Self::RebalanceInProgress => ErrorKind::Retry,
            Self::CoordinatorNotAvailable => ErrorKind::Overloaded,
            Self::NotCoordinator | Self::FencedInstanceId | Self::IllegalGeneration => ErrorKind::Fenced,
            Self::UnknownMemberId | Self::GroupIdNotFound => ErrorKind::NotFound,
            Self::InconsistentGroupProtocol
            | Self::InvalidGroupId
            | Self::InvalidSessionTimeout
            | Self::GroupMaxSizeReached
            | Self::NonEmptyGroup
            | Self::GroupSubscribedToTopic
            | Self::OffsetMetadataTooLarge
            | Self::InvalidCommitOffsetSize
            | Self::InvalidRequest
            | Self::UnknownServerError => ErrorKind::Invalid,
        }
    }
}

/// Why records were not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteFailed {
    #[error("the log has no room at the moment")]
    NoRoom,
    #[error("this broker does not own the log any more")]
    NotOwner,
    #[error("the records are more than one batch takes")]
    TooLarge,
}

impl WriteFailed {
    /// What it asks of the caller.
    #[must_use]
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::NoRoom => ErrorKind::Overloaded,
            Self::NotOwner => ErrorKind::Fenced,
            Self::TooLarge => ErrorKind::Invalid,
        }
    }

    /// What members are told of a group's state that could not be stored.
    pub(crate) fn of_group(self) -> GroupError {
        match self {
            Self::NoRoom => GroupError::CoordinatorNotAvailable,
            Self::NotOwner => GroupError::NotCoordinator,
            Self::TooLarge => GroupError::UnknownServerError,
        }
    }

    /// What a client is told of offsets that could not be stored.
    pub(crate) fn of_offsets(self) -> GroupError {
        match self {
            Self::TooLarge => GroupError::InvalidCommitOffsetSize,
            other => other.of_group(),
        }
    }
}
