//! The words every other crate speaks: ids, offsets, epochs, log positions, names and limits.
//!
//! Nothing here does I/O, and nothing here knows a file format. Numbers that could be confused with one another
//! are newtypes; offsets stay `i64` because Kafka's arithmetic on them is everywhere.

mod error;
mod ids;
mod limits;
mod names;
mod units;

pub use error::ErrorKind;
pub use ids::{BrokerId, ClusterId, DiskId, Generation, Incarnation, InvalidId, Lsn, PartitionId, SlotNumber, TopicId, WriteId};
pub use limits::{MAX_BATCHES_OF_PRODUCER, MAX_TOPIC_NAME};
pub use names::{InvalidTopicName, check_topic_name};
pub use units::{ByteSize, InvalidUnit, Millis};

/// A record's position in its partition. Ranges are end-exclusive: `start..end`.
pub type Offset = i64;

/// Grows at each change of a partition's owner; never goes down for a topic id (T44).
pub type LeaderEpoch = i32;
