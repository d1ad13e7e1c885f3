//! Limits that more than one crate has to agree on.

/// Batches remembered per producer and partition, so that a repeat of any of them gets its original offset
/// (Kafka's `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const MAX_BATCHES_OF_PRODUCER: usize = 5;

/// Longest topic name, in bytes (Kafka's `Topic.MAX_NAME_LENGTH`).
pub const MAX_TOPIC_NAME: usize = 249;
