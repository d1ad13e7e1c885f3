//! THE map from what can go wrong below to what a Kafka client is told. Exhaustive on purpose: a new error of a lower
//! crate does not compile before somebody has decided what clients do about it.
//!
//! Codes are chosen by what the common clients do with them, not by their names alone. `NOT_ENOUGH_REPLICAS` is what both
//! Java and librdkafka take for "not written, try again without a hurry"; `NOT_ENOUGH_REPLICAS_AFTER_APPEND` for "perhaps
//! written, try again"; `KAFKA_STORAGE_ERROR` for "refresh metadata and try again".

use crate::broker::Broker;
use crate::topic_config::TopicConfigError;
use floe_coordinator::GroupError;
use floe_log::{AppendError, DeleteError, Ended, ReadError, TopicError};
use floe_protocol::ErrorCode;
use floe_records::BatchError;
use floe_types::{ErrorKind, PartitionId};

/// A code, and a sentence for those versions that can carry one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Said to whoever brings a transactional id: fatal at once in every client.
pub(crate) const NO_TRANSACTIONS: &str = "Floe does not serve transactions yet; use an idempotent producer without transactional.id";

/// Produced bytes that are not an acceptable batch.
pub(crate) fn of_batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Truncated { .. } | BatchError::Length { .. } | BatchError::Crc { .. } | BatchError::Decompress { .. } => {
            ErrorCode::CorruptMessage
        }
        BatchError::TrailingBytes { .. }
        | BatchError::Magic { .. }
        | BatchError::Counts { .. }
        | BatchError::UnknownCodec { .. }
        | BatchError::Invalid { .. }
        | BatchError::Record { .. } => ErrorCode::InvalidRecord,
        BatchError::CodecNotAllowed { .. } => ErrorCode::UnsupportedCompressionType,
        BatchError::TimestampTypeFromClient => ErrorCode::InvalidTimestamp,
        BatchError::BatchTooLarge { .. } | BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        BatchError::Build { .. } => ErrorCode::UnknownServerError,
    }
}

/// A batch that was not appended.
pub(crate) fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::DuplicateSequence { .. } => ErrorCode::DuplicateSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::Overloaded => ErrorCode::NotEnoughReplicas,
        AppendError::NotOwner => ErrorCode::NotLeaderOrFollower,
        AppendError::Broken(_) => ErrorCode::KafkaStorageError,
        AppendError::Ended(ended) => of_ended(ended),
    }
}

/// A batch that was appended and then lost its acknowledgement: whether it survives is not known.
pub(crate) fn of_commit(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::NotOwner | AppendError::Broken(_) | AppendError::Ended(_) => ErrorCode::NotEnoughReplicasAfterAppend,
        AppendError::OutOfOrderSequence { .. }
        | AppendError::DuplicateSequence { .. }
        | AppendError::InvalidProducerEpoch { .. }
        | AppendError::Overloaded => ErrorCode::UnknownServerError,
    }
}

/// Records that were not deleted, or perhaps were: asking again tells.
pub(crate) fn of_delete(error: &DeleteError) -> ErrorCode {
    match error {
        DeleteError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteError::NotOwner => ErrorCode::NotLeaderOrFollower,
        DeleteError::Broken(_) => ErrorCode::KafkaStorageError,
        DeleteError::Ended(ended) => of_ended(ended),
    }
}

/// Records that could not be read.
pub(crate) fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::NotOwner => ErrorCode::NotLeaderOrFollower,
        ReadError::Broken(_) => ErrorCode::KafkaStorageError,
        ReadError::Format { source, .. } => of_stored(source.kind()),
        // Said at once by every client, with the offset; a client that goes on from the damage's end is served.
        ReadError::Damaged(_) | ReadError::Batch(_) => ErrorCode::CorruptMessage,
        ReadError::Store(e) => of_stored(e.kind()),
        ReadError::Wal(e) => of_stored(e.kind()),
        ReadError::Ended(ended) => of_ended(ended),
    }
}

/// Tells the operator of a read that failed: loudly of damage and faults, in a whisper of what passes by itself, since
/// clients come again and again.
pub(crate) fn log_read(broker: &Broker, partition: PartitionId, at: i64, error: &ReadError) {
    let topic = broker.view().by_id(partition.topic).map(|topic| topic.name.clone()).unwrap_or_default();
    match error.kind() {
        // It has moved: the client is told, and asks where to.
        _ if matches!(error, ReadError::NotOwner) => {}
        ErrorKind::Corrupt | ErrorKind::Bug | ErrorKind::NotFound => {
            tracing::error!(topic, %partition, at, %error, "records cannot be read")
        }
        ErrorKind::Retry | ErrorKind::Fenced | ErrorKind::Invalid | ErrorKind::Overloaded | ErrorKind::Closed => {
            tracing::debug!(topic, %partition, at, %error, "records cannot be read at the moment");
        }
    }
}

/// A topic that was not created or deleted.
pub(crate) fn of_topic(error: &TopicError) -> ErrorCode {
    match error {
        TopicError::Exists(_) => ErrorCode::TopicAlreadyExists,
        TopicError::Collides { .. } => ErrorCode::InvalidTopicException,
        TopicError::NotFound(_) => ErrorCode::UnknownTopicOrPartition,
        TopicError::Invalid(_) => ErrorCode::InvalidRequest,
        TopicError::Config(_) => ErrorCode::InvalidConfig,
        TopicError::Metadata(e) => of_change(e.kind()),
        TopicError::Wal(e) => of_change(e.kind()),
        TopicError::Store(e) => of_change(e.kind()),
        TopicError::Ended(_) => ErrorCode::NotController,
    }
}

/// A topic setting that was refused.
pub(crate) fn of_topic_config(error: &TopicConfigError) -> ErrorCode {
    match error {
        TopicConfigError::Unknown(_) | TopicConfigError::Null(_) | TopicConfigError::Value { .. } | TopicConfigError::NoEffect { .. } => {
            ErrorCode::InvalidConfig
        }
    }
}

/// A request about a group that was refused.
pub(crate) fn of_group(error: GroupError) -> ErrorCode {
    match error {
        GroupError::CoordinatorLoadInProgress => ErrorCode::CoordinatorLoadInProgress,
        GroupError::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::InvalidCommitOffsetSize => ErrorCode::InvalidCommitOffsetSize,
        GroupError::InvalidRequest => ErrorCode::InvalidRequest,
        GroupError::UnknownServerError => ErrorCode::UnknownServerError,
    }
}

/// The code of a group's outcome.
pub(crate) fn code_of_group(error: Option<GroupError>) -> i16 {
    error.map_or(ErrorCode::None, of_group).code()
}

/// This broker serves nothing any more: the client looks for who does.
fn of_ended(ended: &Ended) -> ErrorCode {
    match ended {
        Ended::Fenced { .. } | Ended::Failed { .. } | Ended::Drained => ErrorCode::NotLeaderOrFollower,
    }
}

/// Reading what is stored failed. Only damage is worth an exception in the consumer; the rest it tries again.
fn of_stored(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::Corrupt => ErrorCode::CorruptMessage,
        ErrorKind::Fenced => ErrorCode::NotLeaderOrFollower,
        ErrorKind::Retry | ErrorKind::NotFound | ErrorKind::Overloaded | ErrorKind::Closed => ErrorCode::KafkaStorageError,
        ErrorKind::Invalid | ErrorKind::Bug => ErrorCode::UnknownServerError,
    }
}

/// A change of the catalog failed: it may or may not have happened.
fn of_change(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::Retry | ErrorKind::Overloaded => ErrorCode::RequestTimedOut,
        ErrorKind::Fenced | ErrorKind::Closed => ErrorCode::NotController,
        ErrorKind::Corrupt | ErrorKind::NotFound => ErrorCode::KafkaStorageError,
        ErrorKind::Invalid | ErrorKind::Bug => ErrorCode::UnknownServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_pressure_is_what_clients_retry_without_believing_the_record_written() {
        assert_eq!(of_append(&AppendError::Overloaded), ErrorCode::NotEnoughReplicas);
        assert_eq!(of_commit(&AppendError::NotOwner), ErrorCode::NotEnoughReplicasAfterAppend);
    }

    #[test]
    fn java_consumers_accept_every_code_that_a_read_can_give() {
        // Any other code makes the Java client throw IllegalStateException (reference: kafka-protocol.md, Fetch).
        let accepted = [-1, 1, 2, 3, 6, 9, 29, 56, 74, 75, 78, 100, 103];
        let kinds = [
            ErrorKind::Retry,
            ErrorKind::Fenced,
            ErrorKind::NotFound,
            ErrorKind::Invalid,
            ErrorKind::Corrupt,
            ErrorKind::Overloaded,
            ErrorKind::Closed,
            ErrorKind::Bug,
        ];
        for kind in kinds {
            assert!(accepted.contains(&of_stored(kind).code()), "{kind:?}");
        }
        let ended = Ended::Drained;
        for error in [ReadError::NotOwner, ReadError::Broken("x".into()), ReadError::Ended(ended)] {
            assert!(accepted.contains(&of_read(&error).code()), "{error}");
        }
    }
}
